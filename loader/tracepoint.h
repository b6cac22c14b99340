/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Kernel tracepoints: id, field offsets, and attaching a BPF program. tracefs is used where it is
 * mounted; where it is not, a mount of our own that is attached nowhere serves, and is gone with
 * its file descriptor.
 */
#ifndef HT_TRACEPOINT_H
#define HT_TRACEPOINT_H

#include <stddef.h>
#include <stdint.h>

#include "sysfs.h"

/* name is "category/event". -ENOENT when the kernel does not have it (or no tracefs). */
int ht_tracepoint_id(const struct ht_roots *roots, const char *name, uint64_t *id);
/* Where a field lies in the raw record. */
int ht_tracepoint_field(const struct ht_roots *roots, const char *name, const char *field,
			unsigned int *offset, unsigned int *size);
/* Runs the program at every hit. Returns the file descriptor that holds the attachment. */
int ht_tracepoint_attach(const struct ht_roots *roots, const char *name, int prog_fd);

#endif
