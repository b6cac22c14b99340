/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The run-time directories of loaders side by side: that of the unnamed one, and in it one for each
 * instance. Each has a lock and a journal of its own; what they change is the same kernel's.
 */
#ifndef HT_SIBLINGS_H
#define HT_SIBLINGS_H

#include <stdbool.h>

/* 0 to go on; anything else ends it and is returned. */
typedef int (*ht_sibling_fn)(void *arg, const char *dir);
/* Calls fn for base and each directory in it that has a journal; own is left out. */
int ht_siblings(const char *base, int own, ht_sibling_fn fn, void *arg);

#endif
