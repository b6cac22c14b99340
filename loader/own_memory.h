/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The loader's own memory does without the fast tier, as far as the slowest has room: its tables are
 * walked in order once an epoch, and what they would take belongs to the workload. Not so its BPF maps,
 * which every sample touches: they are made under the default policy.
 */
#ifndef HT_OWN_MEMORY_H
#define HT_OWN_MEMORY_H

#include "tiers.h"

/* The node meant, where there are two tiers; else a negative errno. */
int ht_own_memory_node(const struct ht_tiers *t, const struct ht_roots *roots);
/* From now on, of this thread. Where that cannot be, memory comes from anywhere, as before. */
void ht_own_memory_slow(const struct ht_tiers *t, const struct ht_roots *roots);
void ht_own_memory_default(void);

#endif
