/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Files that are read while they are written: a reader, and a crash, see all of one or of the
 * other. */
#ifndef HT_REPLACE_H
#define HT_REPLACE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Writes text to path by way of path.part in the same directory, with this mode whatever the umask.
 * sync: it is on disk when this returns. 0 or a negative errno; the old file stays then.
 */
int ht_replace_file(const char *path, const char *text, size_t len, mode_t mode, bool sync);
/* All of it, whatever interrupts. 0 or a negative errno; a part may have been written then. */
int ht_write_all(int fd, const char *s, size_t len);

#endif
