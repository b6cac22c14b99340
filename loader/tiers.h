/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Which NUMA nodes exist, which memory tier each belongs to, and what they cost.
 *
 * Source of truth, in this order: --fast/--slow; the kernel's memory tiers
 * (/sys/devices/virtual/memory_tiering/memory_tierN/nodelist, Linux 6.1 and later; a smaller N is
 * faster); where the kernel puts all nodes in one tier, the HMAT read latency
 * (nodeN/accessC/initiators/read_latency, ns; class 1, from CPUs alone, before class 0), then
 * distance from the CPUs with CPU-less nodes slower. Latencies and distances within a fifth of the
 * fastest of a tier belong to that tier. Nodes without memory are left out until they get some.
 */
#ifndef HT_TIERS_H
#define HT_TIERS_H

#include <stdbool.h>
#include <stdint.h>

#include "sysfs.h"

#define HT_MAX_NODES 64
#define HT_MAX_TIERS 8

struct ht_node {
	int id;
	int tier; /* index into ht_tiers.tier, 0 = fastest; -1 = in none, never tiered */
	bool has_cpu;
	uint64_t total_bytes;
	uint32_t read_lat_ns, write_lat_ns;   /* 0 = the kernel does not say */
	uint32_t read_bw_mbps, write_bw_mbps; /* MiB/s, 0 = the kernel does not say */
	int distance; /* smallest distance to a node with CPUs, 255 = not known */
};

struct ht_tier {
	int kernel_id; /* N of memory_tierN, -1 if not from the kernel's tiers */
	unsigned int nr_nodes;
	int node[HT_MAX_NODES]; /* node ids */
	uint64_t total_bytes;
	uint32_t read_lat_ns; /* mean over its nodes, 0 = not known */
};

struct ht_tiers {
	unsigned int nr_nodes;
	struct ht_node node[HT_MAX_NODES];
	unsigned int nr_tiers;
	struct ht_tier tier[HT_MAX_TIERS]; /* fastest first */
	char why[160];			   /* one clause: what decided the tiers */
};

/*
 * Fills tiers. fast and slow are node lists as given by the user ("0", "1-2") or NULL; slow may
 * hold several lists separated by '/' for more than two tiers, faster first. -EINVAL with a message
 * logged for a list that names unknown or overlapping nodes. With only one of the two given, all
 * other nodes are the other tier. -ENOENT with a message where the kernel knows no nodes, -ERANGE
 * where node ids reach HT_MAX_NODES. One tier is not an error here.
 */
int ht_tiers_discover(struct ht_tiers *tiers, const struct ht_roots *roots, const char *fast,
		      const char *slow);

/*
 * Looks again, for memory comes and goes at run time; fast and slow as at first. 1 if other nodes
 * have memory than before, and tiers is up to date; 0 if they are the same. -EAGAIN where there are
 * more or fewer tiers, or a node is in another one: tiers stays as it was.
 */
int ht_tiers_update(struct ht_tiers *tiers, const struct ht_roots *roots, const char *fast,
		    const char *slow);

/* Index of the tier of a node id, -1 if the node is not in any. */
int ht_tiers_of_node(const struct ht_tiers *tiers, int node);

struct ht_tier_mem {
	/*
	 * MemFree of the tier's nodes, and what the CPUs' lists hold beside it: up to the distance
	 * of the zones' high and low watermarks, so that whoever keeps free_bytes above the high
	 * ones keeps MemFree above the low ones.
	 */
	uint64_t free_bytes;
	uint64_t watermark_bytes; /* sum of the zones' high watermarks (zoneinfo) */
	uint64_t total_bytes;
};

/* Present free memory of one tier, from nodeN/meminfo and /proc/zoneinfo. */
int ht_tiers_mem(const struct ht_tiers *tiers, const struct ht_roots *roots, unsigned int tier,
		 struct ht_tier_mem *mem);

/* Of the tier's nodes, the one with most free memory: where the next pages go. -ENOENT if none. */
int ht_tiers_pick_node(const struct ht_tiers *tiers, const struct ht_roots *roots,
		       unsigned int tier);

#endif
