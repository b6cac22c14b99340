// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * sysfs and procfs texts that tell the tiers: nodes, memory tiers, HMAT, zones, memory blocks.
 * Input: the files' contents in the order below, separated by bytes of 0xff.
 */
#include "fuzz.h"

#include "frames.h"
#include "tiers.h"

#define NODE "sys/devices/system/node/"
#define KTIER "sys/devices/virtual/memory_tiering/"

static const char *const files[] = {
	NODE "online",
	NODE "node0/cpulist",
	NODE "node0/meminfo",
	NODE "node0/distance",
	NODE "node0/access0/initiators/read_latency",
	NODE "node1/cpulist",
	NODE "node1/meminfo",
	NODE "node1/distance",
	NODE "node1/access1/initiators/read_latency",
	NODE "node1/access1/initiators/write_bandwidth",
	KTIER "memory_tier4/nodelist",
	KTIER "memory_tier22/nodelist",
	"proc/zoneinfo",
	"sys/devices/system/memory/block_size_bytes",
};

static struct fuzz_tree tree = FUZZ_TREE(files);

static void check(const struct ht_tiers *t)
{
	unsigned int i, k;

	FUZZ_ASSERT(t->nr_nodes && t->nr_nodes <= HT_MAX_NODES);
	FUZZ_ASSERT(t->nr_tiers && t->nr_tiers <= HT_MAX_TIERS);
	for (i = 0; i < t->nr_tiers; i++)
		for (k = 0; k < t->tier[i].nr_nodes; k++)
			FUZZ_ASSERT(ht_tiers_of_node(t, t->tier[i].node[k]) == (int)i);
}

static void use(const struct ht_tiers *t)
{
	struct ht_tier_mem mem;
	struct ht_frames f;
	unsigned int i;

	check(t);
	for (i = 0; i < t->nr_tiers; i++) {
		ht_tiers_mem(t, &tree.roots, i, &mem);
		ht_tiers_pick_node(t, &tree.roots, i);
	}
	memset(&f, 0, sizeof(f));
	if (!ht_frames_load(&f, &tree.roots, t))
		for (i = 0; i < 64; i++)
			ht_frames_node(&f, i * 8191ULL);
	ht_frames_free(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	static struct ht_tiers t;
	char *lists;

	if (fuzz_tree_put(&tree, &in)) {
		close(fuzz_file(NODE "node0/memory0"));
		close(fuzz_file(NODE "node0/memory1"));
		close(fuzz_file(NODE "node1/memory1"));
	}
	if (!ht_tiers_discover(&t, &tree.roots, NULL, NULL))
		use(&t);
	/* What is left is --fast and --slow. */
	if (!in.size)
		return 0;
	lists = fuzz_text(fuzz_cut(&in, 0xff));
	if (!ht_tiers_discover(&t, &tree.roots, lists, NULL))
		use(&t);
	if (!ht_tiers_discover(&t, &tree.roots, NULL, lists))
		check(&t);
	free(lists);
	return 0;
}
