/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The kernel migration helper's device: /dev/hypertier, include/hypertier/exchange.h. */
#ifndef HT_EXCHANGE_H
#define HT_EXCHANGE_H

#include <stdbool.h>
#include <stddef.h>

#include <hypertier/exchange.h>

/*
 * Opens the device. fd, or a negative errno with the reason in why: -ENOENT where the module is not
 * loaded, -EPROTO where it speaks another version, -EPERM.
 */
int ht_exchange_open(const char *path, struct ht_xchg_info *info, char *why, size_t size);
int ht_exchange_info(int fd, struct ht_xchg_info *info);
/*
 * Exchanges nr pairs (at most HT_XCHG_MAX, of huge ones HT_XCHG_MAX_HUGE) and sets their status.
 * Number of pairs exchanged, or a negative errno.
 */
int ht_exchange_pairs(int fd, struct ht_xchg_pair *pair, size_t nr, bool huge, int hot_node,
		      int cold_node, const struct ht_move *move, size_t nr_moves);
const char *ht_exchange_status_name(unsigned int status);

#endif
