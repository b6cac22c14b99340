/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The default policy (bpf/policies/range.bpf.c), linked into the loader: it takes over for others.
 */
#ifndef HT_BUILTIN_H
#define HT_BUILTIN_H

extern const char ht_builtin_policy[];
extern const char ht_builtin_policy_end[];

#define HT_BUILTIN_NAME "built-in range"

#endif
