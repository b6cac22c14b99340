/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
#ifndef HT_VALIDATE_H
#define HT_VALIDATE_H

/*
 * Checks a configuration file and, where it names one, the policy and its knobs, without loading
 * anything. Returns an enum ht_exit_code.
 */
int ht_validate(const char *path);

#endif
