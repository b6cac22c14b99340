/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Guest physical address -> NUMA node, from the memory map the guest wrote into the ring. */
#ifndef LAB_EMU_MAP_H
#define LAB_EMU_MAP_H

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <hypertier/lab_ring.h>

struct emu_map {
	unsigned int nr;
	struct ht_ring_mem mem[HT_RING_MAX_MEM]; /* sorted by start, not overlapping */
};

/*
 * Takes over what the guest wrote, which may be anything: the ranges are copied first, then
 * checked. -EINVAL leaves the map alone. Ranges may come in any order.
 */
static inline int emu_map_load(struct emu_map *map, const volatile struct ht_ring_hdr *hdr)
{
	struct emu_map tmp = { .nr = hdr->nr_mem };

	if (tmp.nr > HT_RING_MAX_MEM)
		return -EINVAL;
	for (unsigned int i = 0; i < tmp.nr; i++) {
		struct ht_ring_mem m = { .start = hdr->mem[i].start,
					 .end = hdr->mem[i].end,
					 .node = hdr->mem[i].node };
		unsigned int at = i;

		if (m.start >= m.end || m.node >= HT_RING_MAX_NODES)
			return -EINVAL;
		for (; at && tmp.mem[at - 1].start > m.start; at--)
			tmp.mem[at] = tmp.mem[at - 1];
		tmp.mem[at] = m;
	}
	for (unsigned int i = 1; i < tmp.nr; i++)
		if (tmp.mem[i].start < tmp.mem[i - 1].end)
			return -EINVAL;
	*map = tmp;
	return 0;
}

/*
 * Node of a physical address, HT_RING_MAX_NODES when no range holds it. A linear search with the
 * caller's last hit first: guests have two to a dozen ranges, and accesses come in runs.
 */
static inline unsigned int emu_map_node(const struct emu_map *map, uint64_t paddr,
					unsigned int *last)
{
	if (*last < map->nr && paddr >= map->mem[*last].start && paddr < map->mem[*last].end)
		return map->mem[*last].node;
	for (unsigned int i = 0; i < map->nr && paddr >= map->mem[i].start; i++) {
		if (paddr < map->mem[i].end) {
			*last = i;
			return map->mem[i].node;
		}
	}
	return HT_RING_MAX_NODES;
}

#endif
