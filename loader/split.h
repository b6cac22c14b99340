/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Splitting of another process's transparent huge page, on a stock kernel. Advice that covers only
 * a part of a huge page makes the kernel split it first: process_madvise(2) with MADV_COLD for one
 * of its pages (Linux 5.10). Beside that the page named is moved to the cold end of the LRU lists,
 * so it should be a cold one. Content, frames and mappings of the pages stay as they are; from
 * Linux 6.12 on, pages that hold nothing but zeroes are replaced by the zero page.
 *
 * The kernel leaves a huge page whole, and says nothing, where other processes map it too or where
 * something holds a reference to it (direct I/O, a pipe): only a look at the page tells. It waits
 * for one that is locked.
 */
#ifndef HT_SPLIT_H
#define HT_SPLIT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Does the system call work here? 0 or a negative errno; why gets a clause for people. */
int ht_split_probe(char *why, size_t size);
/*
 * Asks for the split of the huge page around the 4 KiB page at va. 0: the advice was taken.
 * -EINVAL: locked memory; -ENOMEM: not mapped; -ESRCH: the process is gone; -EPERM
 * or -EACCES: CAP_SYS_NICE is missing, or the right to read its memory.
 */
int ht_split_ask(pid_t pid, uint64_t va);

#endif
