/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The invocations that speak to a loader that runs: swap, --status, --unload, --list. */
#ifndef HT_CLIENT_H
#define HT_CLIENT_H

#include <stdbool.h>

#include "config.h"

/* Each returns an enum ht_exit_code. */
int ht_client_status(const struct ht_config *c);
int ht_client_unload(const struct ht_config *c);
int ht_client_list(const struct ht_config *c);
/* True when a loader of this instance answers; *rc then is the result of the swap it was asked for.
 */
bool ht_client_swap(const struct ht_config *c, int *rc);

#endif
