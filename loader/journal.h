/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What must be put back. Before the loader changes anything that outlives it (a sysctl, DAMON's
 * sysfs, a pin), it writes down how to undo it, in /run/hypertier/journal, on disk before the
 * change is made. A clean exit undoes all and removes the file; after a kill -9 the next start, of
 * whatever instance, finds it and undoes it then. An flock on /run/hypertier/lock, held while
 * running, tells a journal left behind from one in use.
 *
 * The file is text. First line: "hypertier-journal 1". Then one step a line, oldest first:
 *   write PATH VALUE       undone by writing VALUE into PATH
 *   unlink PATH            undone by removing the regular file PATH
 * White space (in PATH), backslashes and bytes outside of printable ASCII are written as \xHH.
 * A last line without a newline is one whose change was never made, and is ignored.
 */
#ifndef HT_JOURNAL_H
#define HT_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>

struct ht_journal;

/*
 * Takes the lock in dir (created 0700 if missing; NULL = "/run/hypertier"). -EBUSY with a message
 * that names the holder's pid when another loader runs; -EPERM when others could write to dir. If a
 * journal was left behind, undoes it and says each step (pr_info); the number of steps undone is
 * returned in *recovered (may be NULL).
 */
int ht_journal_open(struct ht_journal **j, const char *dir, size_t *recovered);
/* A loader holds the lock in dir: without a socket it is about to start, or to end. */
bool ht_journal_is_locked(const char *dir);
/*
 * The same with a further path prefix allowed from the start, recovery included, and the other
 * loaders' directories in it (for tests).
 */
int ht_journal_open_allow(struct ht_journal **j, const char *dir, const char *prefix,
			  size_t *recovered);
/*
 * Records "write old into path", where old is the file's present content, then writes val. A path
 * already recorded keeps its first old value. Of a choice such as "always [madvise] never", old is
 * the word in brackets. -EBUSY, told, if another loader that runs has recorded path. Paths must be
 * below one of /proc/sys/, /sys/, or (for tests) the prefix given to ht_journal_allow(), without
 * ".."; recovery refuses any other (-EPERM).
 */
int ht_journal_write(struct ht_journal *j, const char *path, const char *val);
/*
 * Records "unlink path" / "write val into path" without doing it: for pins, DAMON's off switch.
 * Several steps may name the same path; they are undone newest first. Only regular files below
 * /sys/fs/bpf/ (or the allowed prefix) can be unlinked.
 */
int ht_journal_note_unlink(struct ht_journal *j, const char *path);
int ht_journal_note_write(struct ht_journal *j, const char *path, const char *val);
int ht_journal_allow(struct ht_journal *j, const char *prefix);
/*
 * Undoes everything, newest first. Continues after errors, returns the first; steps that failed
 * stay recorded. A path that is not there any more counts as undone.
 */
int ht_journal_undo(struct ht_journal *j);
/* Undoes what is still recorded, removes the journal, releases the lock. */
void ht_journal_close(struct ht_journal *j);

#endif
