/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The kernel's view of which physical memory belongs to which node, written into the lab's ring for
 * the emulator. Memory blocks in sysfs tell it exactly and include memory added at run time; where
 * a block spans two nodes, or there are no blocks, the zones of /proc/zoneinfo do.
 */
#ifndef WORKLOAD_MEMMAP_H
#define WORKLOAD_MEMMAP_H

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <hypertier/lab_ring.h>
#include <hypertier/marker.h>

#define MEMMAP_BLOCKS "/sys/devices/system/memory"

struct memmap {
	unsigned int nr;
	struct ht_ring_mem mem[HT_RING_MAX_MEM]; /* sorted by start */
};

static inline int memmap_insert(struct memmap *map, uint64_t start, uint64_t end, unsigned int node)
{
	unsigned int i;

	if (node >= HT_RING_MAX_NODES)
		return -ERANGE;
	for (i = 0; i < map->nr; i++) {
		struct ht_ring_mem *m = &map->mem[i];

		if (m->node == node && m->end == start) {
			m->end = end;
			return 0;
		}
		if (m->node == node && m->start == end) {
			m->start = start;
			return 0;
		}
	}
	if (map->nr == HT_RING_MAX_MEM)
		return -ENOSPC;
	for (i = map->nr++; i && map->mem[i - 1].start > start; i--)
		map->mem[i] = map->mem[i - 1];
	map->mem[i] = (struct ht_ring_mem){ .start = start, .end = end, .node = node };
	return 0;
}

/* Zones of all nodes, cut to [start, end). */
static inline int memmap_add_zones(struct memmap *map, uint64_t start, uint64_t end)
{
	unsigned long long spanned = 0, pfn;
	unsigned int node = 0, n;
	char line[256];
	FILE *f = fopen("/proc/zoneinfo", "r");
	int err = 0;

	if (!f)
		return -errno;
	while (!err && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %u, zone", &n) == 1) {
			node = n;
			spanned = 0;
		} else if (sscanf(line, " spanned %llu", &spanned) != 1 &&
			   sscanf(line, " start_pfn: %llu", &pfn) == 1 && spanned) {
			uint64_t from = pfn * 4096, to = (pfn + spanned) * 4096;

			from = from > start ? from : start;
			to = to < end ? to : end;
			if (from < to)
				err = memmap_insert(map, from, to, node);
		}
	}
	fclose(f);
	return err;
}

/* The one node a memory block links to, -1 for none, -2 for several. */
static inline int memmap_block_node(const char *name)
{
	char path[512];
	struct dirent *d;
	int node = -1;
	DIR *dir;

	snprintf(path, sizeof(path), MEMMAP_BLOCKS "/%.200s", name);
	dir = opendir(path);
	if (!dir)
		return -1;
	while ((d = readdir(dir))) {
		if (strncmp(d->d_name, "node", 4) || !isdigit((unsigned char)d->d_name[4]))
			continue;
		node = node == -1 ? atoi(d->d_name + 4) : -2;
	}
	closedir(dir);
	return node;
}

static inline bool memmap_block_online(const char *name)
{
	char path[512], state[16] = "";
	FILE *f;

	snprintf(path, sizeof(path), MEMMAP_BLOCKS "/%.200s/state", name);
	f = fopen(path, "r");
	if (!f)
		return false;
	if (!fgets(state, sizeof(state), f))
		state[0] = '\0';
	fclose(f);
	return !strncmp(state, "online", 6);
}

static inline int memmap_add_block(struct memmap *map, const char *name, uint64_t size)
{
	uint64_t start = strtoull(name + 6, NULL, 10) * size;
	int node;

	if (!memmap_block_online(name))
		return 0;
	node = memmap_block_node(name);
	if (node >= 0)
		return memmap_insert(map, start, start + size, node);
	return memmap_add_zones(map, start, start + size);
}

static inline uint64_t memmap_block_size(void)
{
	FILE *f = fopen(MEMMAP_BLOCKS "/block_size_bytes", "r");
	unsigned long long size = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%llx", &size) != 1)
		size = 0;
	fclose(f);
	return size;
}

/* Blocks come in any order; inserted out of order, neighbours would not always merge. */
static inline int memmap_by_number(const struct dirent **a, const struct dirent **b)
{
	unsigned long x = strtoul((*a)->d_name + 6, NULL, 10);
	unsigned long y = strtoul((*b)->d_name + 6, NULL, 10);

	return x < y ? -1 : x > y;
}

static inline int memmap_is_block(const struct dirent *d)
{
	return !strncmp(d->d_name, "memory", 6) && isdigit((unsigned char)d->d_name[6]);
}

static inline int memmap_read(struct memmap *map)
{
	uint64_t size = memmap_block_size();
	struct dirent **list;
	int nr, err = 0;

	map->nr = 0;
	nr = size ? scandir(MEMMAP_BLOCKS, &list, memmap_is_block, memmap_by_number) : 0;
	if (nr <= 0)
		return memmap_add_zones(map, 0, UINT64_MAX);
	for (int i = 0; i < nr; i++) {
		if (!err)
			err = memmap_add_block(map, list[i]->d_name, size);
		free(list[i]);
	}
	free(list);
	return err;
}

/* Hands the map to the emulator. */
static inline int memmap_send(volatile struct ht_ring_hdr *hdr)
{
	struct memmap map;
	int err = memmap_read(&map);

	if (err)
		return err;
	for (unsigned int i = 0; i < map.nr; i++) {
		hdr->mem[i].start = map.mem[i].start;
		hdr->mem[i].end = map.mem[i].end;
		hdr->mem[i].node = map.mem[i].node;
	}
	hdr->nr_mem = map.nr;
	ht_marker(HT_MARK_MEMMAP, 0, 0);
	return 0;
}

#endif
