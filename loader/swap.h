/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Changing the policy of a running loader, between two epochs. The new object is opened, verified,
 * initialised and tried on the present ranges before the old one leaves; heat, targets and
 * statistics are in maps and structures that both share. One store to control.generation moves the
 * sampler over; the ops of the epoch change with a pointer. Any failure before that keeps the old
 * policy.
 */
#ifndef HT_SWAP_H
#define HT_SWAP_H

#include "engine.h"

/*
 * path NULL = the built-in policy. sets are knob assignments (may be NULL). error gets the reason
 * of a failure in a sentence.
 */
int ht_swap(struct ht_engine *e, const char *path, char *const *sets, size_t nr_sets,
	    const struct ht_exit *why, char *error, size_t error_size);
/* Has the kernel helper ask the policy in charge about each pair, where both can. */
void ht_swap_hook(struct ht_engine *e);
/* After an epoch: ejects the policy if the watchdog says so. */
void ht_swap_watch(struct ht_engine *e);
/* The answer to a request at the control socket. */
struct json_object *ht_swap_control(void *engine, struct json_object *request);

#endif
