/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The ledger of recent moves bounds what ping-pong can cost: a page is not moved back within the
 * hold time of its last move, and each reversal doubles the hold time. It is a direct-mapped table
 * of fixed size; an entry overwritten by another page is forgotten, which only makes the bound
 * softer.
 */
#ifndef HT_LEDGER_H
#define HT_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#define HT_LEDGER_HOLD 4   /* epochs a page stays after its first move */
#define HT_LEDGER_WASTE 20 /* a move reversed within so many epochs was wasted */

struct ht_ledger_entry {
	uint64_t key; /* address space and page number, 0 = empty */
	uint32_t epoch;
	uint8_t to; /* tier */
	uint8_t reversals;
};

struct ht_ledger {
	struct ht_ledger_entry *entry;
	uint32_t mask;
	uint64_t held;	 /* moves refused because of a hold */
	uint64_t wasted; /* moves reversed within HT_LEDGER_WASTE epochs */
};

int ht_ledger_init(struct ht_ledger *l, uint32_t entries); /* a power of two */
void ht_ledger_free(struct ht_ledger *l);
/* May the page go to this tier now? */
bool ht_ledger_may(struct ht_ledger *l, uint32_t space, uint64_t va, uint8_t to, uint32_t epoch);
/* Notes that it went there; weight is its size in 4 KiB pages. */
void ht_ledger_note(struct ht_ledger *l, uint32_t space, uint64_t va, uint8_t to, uint32_t epoch,
		    uint32_t weight);

#endif
