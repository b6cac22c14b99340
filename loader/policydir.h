/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
#ifndef HT_POLICYDIR_H
#define HT_POLICYDIR_H

/*
 * Where the policy of this name is: a file of that name goes first; a name without a slash is
 * looked up among the policies that came with this program, with and without ".bpf.o". Allocated;
 * NULL: it is nowhere.
 */
char *ht_policy_find(const char *name);
/* Of a name that was not found: logs where it was looked for, and what is there. */
void ht_policy_say_where(const char *name);

#endif
