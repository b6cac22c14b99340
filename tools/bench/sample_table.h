/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What a user-space consumer of a ring does with a record: counts its page in a hash table. Open
 * addressing on huge pages, sized for the footprint in advance: as fast as such a table gets.
 */
#ifndef HT_SAMPLE_TABLE_H
#define HT_SAMPLE_TABLE_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

#include <hypertier/heat.h>

struct page_slot {
	uint64_t key;
	uint64_t count;
};

struct page_table {
	struct page_slot *slot;
	uint64_t mask;
};

static inline int page_table_init(struct page_table *t, uint64_t pages)
{
	uint64_t n = 1024;

	while (n < pages * 2)
		n <<= 1;
	t->mask = n - 1;
	t->slot = mmap(NULL, n * sizeof(*t->slot), PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t->slot == MAP_FAILED) {
		t->slot = NULL;
		return -ENOMEM;
	}
	madvise(t->slot, n * sizeof(*t->slot), MADV_HUGEPAGE);
	return 0;
}

static inline void page_table_free(struct page_table *t)
{
	if (t->slot)
		munmap(t->slot, (t->mask + 1) * sizeof(*t->slot));
	t->slot = NULL;
}

static inline void page_table_count(struct page_table *t, uint64_t tgid, uint64_t page)
{
	uint64_t key = tgid << 45 | page, i = ht_hash(key) & t->mask;

	while (t->slot[i].key != key && t->slot[i].key)
		i = (i + 1) & t->mask;
	t->slot[i].key = key;
	t->slot[i].count++;
}

#endif
