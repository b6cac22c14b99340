/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Capabilities: what the loader keeps once everything is attached. tests/lab/guest-privs.sh
 * measures that each of them is needed, and by what.
 */
#ifndef HT_PRIVS_H
#define HT_PRIVS_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Gives up all capabilities but those that running needs, as far as they are there, for good: also
 * by exec. admin: CAP_SYS_ADMIN is among them; frame numbers in pagemap and NUMA balancing's sysctl
 * have no smaller one. For this thread alone: call it while there is no other. 0 or a negative
 * errno, logged.
 */
int ht_privs_drop(bool admin);
/* The names of the effective capabilities, separated by blanks. */
int ht_privs_effective(char *buf, size_t size);

#endif
