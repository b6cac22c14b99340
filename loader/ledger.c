// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <hypertier/heat.h>

#include "ledger.h"

#define MAX_REVERSALS 8 /* hold time at most 4 << 8 epochs */

int ht_ledger_init(struct ht_ledger *l, uint32_t entries)
{
	memset(l, 0, sizeof(*l));
	if (!entries || entries & (entries - 1))
		return -EINVAL;
	l->entry = calloc(entries, sizeof(*l->entry));
	l->mask = entries - 1;
	return l->entry ? 0 : -ENOMEM;
}

void ht_ledger_free(struct ht_ledger *l)
{
	free(l->entry);
	memset(l, 0, sizeof(*l));
}

static uint64_t key_of(uint32_t space, uint64_t va)
{
	/* 22 bits of the space, 42 of page number: enough for 54-bit addresses. */
	return (uint64_t)space << 42 | (va >> HT_PAGE_SHIFT & ((1ULL << 42) - 1));
}

static struct ht_ledger_entry *slot(struct ht_ledger *l, uint64_t key)
{
	return &l->entry[ht_hash(key) & l->mask];
}

bool ht_ledger_may(struct ht_ledger *l, uint32_t space, uint64_t va, uint8_t to, uint32_t epoch)
{
	uint64_t key = key_of(space, va);
	const struct ht_ledger_entry *e = slot(l, key);

	if (e->key != key || e->to == to)
		return true;
	if (epoch - e->epoch >= (uint32_t)HT_LEDGER_HOLD << e->reversals)
		return true;
	l->held++;
	return false;
}

void ht_ledger_note(struct ht_ledger *l, uint32_t space, uint64_t va, uint8_t to, uint32_t epoch,
		    uint32_t weight)
{
	uint64_t key = key_of(space, va);
	struct ht_ledger_entry *e = slot(l, key);
	bool known = e->key == key && e->to != to;
	uint8_t reversals = 0;

	if (known && epoch - e->epoch < HT_LEDGER_WASTE)
		l->wasted += weight;
	/* Forgiven once the page has kept its place for twice its hold time. */
	if (known && epoch - e->epoch < (uint32_t)HT_LEDGER_HOLD << (e->reversals + 1))
		reversals = e->reversals < MAX_REVERSALS ? e->reversals + 1 : MAX_REVERSALS;
	*e = (struct ht_ledger_entry){
		.key = key, .epoch = epoch, .to = to, .reversals = reversals
	};
}
