// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "tiers.h"
#include "zoneinfo.h"

#define LIST_SIZE 1024
#define DISTANCE_UNKNOWN 255
#define KERNEL_TIERS_MAX 64

/* ---- nodes ---- */

struct online {
	unsigned int nr;
	int id[HT_MAX_NODES];
	bool has_cpu[HT_MAX_NODES];
};

static int add_online(unsigned int n, void *arg)
{
	struct online *on = arg;

	/* Ascending, as the kernel's lists are; else a repeated number would count twice. */
	if (on->nr && (int)n <= on->id[on->nr - 1])
		return -EINVAL;
	on->id[on->nr++] = n;
	return 0;
}

static int read_online(struct online *on, const struct ht_roots *roots)
{
	char list[LIST_SIZE], cpus[16];
	ssize_t n;
	int err;

	on->nr = 0;
	n = ht_read_str(list, sizeof(list), "%s/devices/system/node/online", roots->sys);
	if (n < 0) {
		pr_err("cannot read the NUMA nodes from %s/devices/system/node: %s; the kernel "
		       "needs "
		       "CONFIG_NUMA",
		       roots->sys, strerror(-n));
		return n;
	}
	err = ht_parse_list(list, HT_MAX_NODES, add_online, on);
	if (!err && !on->nr)
		err = -EINVAL;
	if (err) {
		pr_err("%s/devices/system/node/online says \"%.40s\": %s", roots->sys, list,
		       err == -ERANGE ? "node ids above 63 are not supported" : "no list of nodes");
		return err;
	}
	for (unsigned int i = 0; i < on->nr; i++)
		on->has_cpu[i] =
			ht_read_str(cpus, sizeof(cpus), "%s/devices/system/node/node%d/cpulist",
				    roots->sys, on->id[i]) > 0;
	return 0;
}

/* A line "Node 0 MemFree:   4181772 kB" of the node's meminfo, in bytes. */
static int node_meminfo(uint64_t *bytes, const struct ht_roots *roots, int node, const char *key)
{
	char buf[8192], *p;
	uint64_t kb;
	ssize_t n;

	n = ht_read_str(buf, sizeof(buf), "%s/devices/system/node/node%d/meminfo", roots->sys,
			node);
	if (n < 0)
		return n;
	p = strstr(buf, key);
	if (!p || sscanf(p + strlen(key), " %" SCNu64 " kB", &kb) != 1 || kb > UINT64_MAX / 1024)
		return -EINVAL;
	*bytes = kb * 1024;
	return 0;
}

static uint32_t node_perf(const struct ht_roots *roots, int node, const char *what)
{
	uint64_t val;

	for (int class = 1; class >= 0; class --)
		if (!ht_read_u64(&val, "%s/devices/system/node/node%d/access%d/initiators/%s",
				 roots->sys, node, class, what) &&
		    val && val <= UINT32_MAX)
			return val;
	return 0;
}

/* The row has a distance for each online node, in their order. */
static int node_distance(const struct ht_roots *roots, const struct online *on, int node)
{
	char row[LIST_SIZE], *p = row, *end;
	long d, best = DISTANCE_UNKNOWN;

	if (ht_read_str(row, sizeof(row), "%s/devices/system/node/node%d/distance", roots->sys,
			node) < 0)
		return DISTANCE_UNKNOWN;
	for (unsigned int i = 0; i < on->nr; i++, p = end) {
		d = strtol(p, &end, 10);
		if (end == p || d < 1 || d > DISTANCE_UNKNOWN)
			return DISTANCE_UNKNOWN;
		if (on->has_cpu[i] && d < best)
			best = d;
	}
	return best;
}

static int read_nodes(struct ht_tiers *t, const struct ht_roots *roots)
{
	struct online on;
	int err;

	err = read_online(&on, roots);
	if (err)
		return err;
	for (unsigned int i = 0; i < on.nr; i++) {
		struct ht_node *n = &t->node[t->nr_nodes];

		*n = (struct ht_node){ .id = on.id[i], .tier = -1, .has_cpu = on.has_cpu[i] };
		if (node_meminfo(&n->total_bytes, roots, n->id, "MemTotal:") || !n->total_bytes)
			continue;
		n->read_lat_ns = node_perf(roots, n->id, "read_latency");
		n->write_lat_ns = node_perf(roots, n->id, "write_latency");
		n->read_bw_mbps = node_perf(roots, n->id, "read_bandwidth");
		n->write_bw_mbps = node_perf(roots, n->id, "write_bandwidth");
		n->distance = node_distance(roots, &on, n->id);
		t->nr_nodes++;
	}
	if (t->nr_nodes)
		return 0;
	pr_err("no node in %s/devices/system/node has memory (nodeN/meminfo, MemTotal)",
	       roots->sys);
	return -ENOENT;
}

static struct ht_node *find_node(struct ht_tiers *t, int id)
{
	for (unsigned int i = 0; i < t->nr_nodes; i++)
		if (t->node[i].id == id)
			return &t->node[i];
	return NULL;
}

/* ---- making tiers ---- */

static void clear_tiers(struct ht_tiers *t)
{
	memset(t->tier, 0, sizeof(t->tier));
	t->nr_tiers = 0;
	for (unsigned int i = 0; i < t->nr_nodes; i++)
		t->node[i].tier = -1;
}

static void put_node(struct ht_tiers *t, unsigned int tier, struct ht_node *n)
{
	n->tier = tier;
	t->tier[tier].node[t->tier[tier].nr_nodes++] = n->id;
}

/* What is slower than the last tier there is room for goes into that one. */
static unsigned int next_tier(struct ht_tiers *t, int kernel_id)
{
	if (t->nr_tiers < HT_MAX_TIERS)
		t->tier[t->nr_tiers++].kernel_id = kernel_id;
	return t->nr_tiers - 1;
}

struct key {
	uint64_t val; /* smaller is faster */
	struct ht_node *node;
};

static int key_cmp(const void *a, const void *b)
{
	const struct key *x = a, *y = b;

	if (x->val != y->val)
		return x->val < y->val ? -1 : 1;
	return x->node->id - y->node->id;
}

/* Sorts the nodes and starts a tier where one is over a fifth slower than the tier's fastest. */
static void group(struct ht_tiers *t, struct key *key)
{
	unsigned int tier = 0;
	uint64_t base = 0;

	clear_tiers(t);
	qsort(key, t->nr_nodes, sizeof(*key), key_cmp);
	for (unsigned int i = 0; i < t->nr_nodes; i++) {
		if (!i || key[i].val * 5 > base * 6) {
			tier = next_tier(t, -1);
			base = key[i].val;
		}
		put_node(t, tier, key[i].node);
	}
}

/* ---- the kernel's tiers ---- */

static int int_cmp(const void *a, const void *b)
{
	const int *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static unsigned int kernel_tier_ids(const struct ht_roots *roots, int ids[KERNEL_TIERS_MAX])
{
	char path[PATH_MAX], *end;
	unsigned int nr = 0;
	struct dirent *d;
	unsigned long n;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/devices/virtual/memory_tiering", roots->sys);
	dir = opendir(path);
	if (!dir)
		return 0;
	while (nr < KERNEL_TIERS_MAX && (d = readdir(dir))) {
		if (strncmp(d->d_name, "memory_tier", 11) || !isdigit((unsigned char)d->d_name[11]))
			continue;
		n = strtoul(d->d_name + 11, &end, 10);
		if (!*end && n <= INT_MAX)
			ids[nr++] = n;
	}
	closedir(dir);
	qsort(ids, nr, sizeof(*ids), int_cmp);
	return nr;
}

static void put_kernel_tier(struct ht_tiers *t, const struct ht_roots *roots, int id)
{
	bool mask[HT_MAX_NODES] = {};
	char list[LIST_SIZE];
	int tier = -1;

	if (ht_read_str(list, sizeof(list),
			"%s/devices/virtual/memory_tiering/memory_tier%d/nodelist", roots->sys,
			id) < 0)
		return;
	if (ht_parse_mask(list, HT_MAX_NODES, mask)) {
		pr_warn("memory_tier%d/nodelist says \"%.40s\", which is no list of nodes: ignored",
			id, list);
		return;
	}
	for (unsigned int i = 0; i < t->nr_nodes; i++) {
		struct ht_node *n = &t->node[i];

		if (!mask[n->id] || n->tier >= 0)
			continue;
		if (tier < 0)
			tier = next_tier(t, id);
		put_node(t, tier, n);
	}
}

static bool from_kernel(struct ht_tiers *t, const struct ht_roots *roots)
{
	int ids[KERNEL_TIERS_MAX];
	unsigned int nr;

	nr = kernel_tier_ids(roots, ids);
	for (unsigned int i = 0; i < nr; i++)
		put_kernel_tier(t, roots, ids[i]);
	if (t->nr_tiers < 2)
		return false;
	for (unsigned int i = 0; i < t->nr_nodes; i++)
		if (t->node[i].tier < 0)
			pr_warn("node %d is in none of the kernel's memory tiers and is left "
				"alone; "
				"name it with --fast or --slow",
				t->node[i].id);
	snprintf(t->why, sizeof(t->why), "the kernel's memory tiers");
	return true;
}

/* ---- latency and distance ---- */

static bool from_hmat(struct ht_tiers *t, const char *kernel_says)
{
	struct key key[HT_MAX_NODES];

	for (unsigned int i = 0; i < t->nr_nodes; i++) {
		if (!t->node[i].read_lat_ns)
			return false;
		key[i] = (struct key){ t->node[i].read_lat_ns, &t->node[i] };
	}
	group(t, key);
	snprintf(t->why, sizeof(t->why), "read latency of the firmware's HMAT (%s)", kernel_says);
	return true;
}

static void from_distance(struct ht_tiers *t, const char *kernel_says)
{
	struct key key[HT_MAX_NODES];

	for (unsigned int i = 0; i < t->nr_nodes; i++)
		key[i] = (struct key){ t->node[i].has_cpu ? 0 : t->node[i].distance, &t->node[i] };
	group(t, key);
	snprintf(t->why, sizeof(t->why),
		 "distance from the CPUs, nodes without CPUs being slower (%s, no HMAT latencies)",
		 kernel_says);
}

/* ---- --fast and --slow ---- */

struct user_list {
	struct ht_tiers *t;
	unsigned int tier;
	const char *option;
	bool told; /* what is wrong with it has been logged */
};

static int put_user_node(unsigned int id, void *arg)
{
	struct user_list *u = arg;
	struct ht_node *n = find_node(u->t, id);

	u->told = true;
	if (!n) {
		pr_err("%s: there is no node %u with memory; see `numactl -H`", u->option, id);
		return -EINVAL;
	}
	if (n->tier >= 0) {
		pr_err("%s: node %u is named twice", u->option, id);
		return -EINVAL;
	}
	u->told = false;
	put_node(u->t, u->tier, n);
	return 0;
}

static int put_user_list(struct ht_tiers *t, unsigned int tier, const char *option,
			 const char *list)
{
	struct user_list u = { .t = t, .tier = tier, .option = option };
	int err;

	t->nr_tiers = tier + 1;
	t->tier[tier].kernel_id = -1;
	err = ht_parse_list(list, HT_MAX_NODES, put_user_node, &u);
	if (!err && t->tier[tier].nr_nodes)
		return 0;
	if (!u.told)
		pr_err("%s \"%s\": give nodes as in 0-1,3", option, list);
	return -EINVAL;
}

static int put_slow_lists(struct ht_tiers *t, const char *slow)
{
	char buf[LIST_SIZE], *rest = buf, *list;
	unsigned int tier = 1;
	int err = 0;

	if (strlen(slow) >= sizeof(buf)) {
		pr_err("--slow is longer than %zu characters", sizeof(buf) - 1);
		return -EINVAL;
	}
	strcpy(buf, slow);
	while (!err && (list = strsep(&rest, "/"))) {
		if (tier == HT_MAX_TIERS) {
			pr_err("--slow names more than %d tiers", HT_MAX_TIERS - 1);
			return -EINVAL;
		}
		err = put_user_list(t, tier++, "--slow", list);
	}
	return err;
}

/* All nodes without a tier; returns how many there were. */
static unsigned int put_rest(struct ht_tiers *t, unsigned int tier)
{
	unsigned int nr = 0;

	for (unsigned int i = 0; i < t->nr_nodes; i++) {
		if (t->node[i].tier >= 0)
			continue;
		put_node(t, tier, &t->node[i]);
		nr++;
	}
	return nr;
}

static int from_user(struct ht_tiers *t, const char *fast, const char *slow)
{
	int err = 0;

	t->tier[0].kernel_id = t->tier[1].kernel_id = -1;
	if (fast)
		err = put_user_list(t, 0, "--fast", fast);
	if (!err && slow)
		err = put_slow_lists(t, slow);
	if (err)
		return err;
	if (!fast && !put_rest(t, 0)) {
		pr_err("--slow names every node with memory: none is left to be fast");
		return -EINVAL;
	}
	if (!slow && put_rest(t, 1))
		t->nr_tiers = 2;
	snprintf(t->why, sizeof(t->why), "%s",
		 !slow	 ? "--fast"
		 : !fast ? "--slow"
			 : "--fast and --slow");
	return 0;
}

/* ---- the whole ---- */

static void sum_up(struct ht_tiers *t)
{
	for (unsigned int i = 0; i < t->nr_tiers; i++) {
		struct ht_tier *tier = &t->tier[i];
		uint64_t sum = 0, nr = 0;

		for (unsigned int k = 0; k < tier->nr_nodes; k++) {
			const struct ht_node *n = find_node(t, tier->node[k]);

			tier->total_bytes += n->total_bytes;
			sum += n->read_lat_ns;
			nr += n->read_lat_ns != 0;
		}
		tier->read_lat_ns = nr ? sum / nr : 0;
	}
}

int ht_tiers_discover(struct ht_tiers *t, const struct ht_roots *roots, const char *fast,
		      const char *slow)
{
	const char *kernel_says;
	int err;

	memset(t, 0, sizeof(*t));
	err = read_nodes(t, roots);
	if (err)
		return err;
	if (fast || slow) {
		err = from_user(t, fast, slow);
		if (err)
			return err;
	} else if (!from_kernel(t, roots)) {
		kernel_says = t->nr_tiers ? "the kernel has all nodes in one tier"
					  : "the kernel has no memory tiers";
		if (!from_hmat(t, kernel_says))
			from_distance(t, kernel_says);
		if (t->nr_nodes == 1)
			snprintf(t->why, sizeof(t->why), "only node %d has memory", t->node[0].id);
	}
	sum_up(t);
	return 0;
}

static bool same_nodes(const struct ht_tiers *a, const struct ht_tiers *b)
{
	unsigned int i;

	for (i = 0; i < a->nr_nodes && a->nr_nodes == b->nr_nodes; i++)
		if (a->node[i].id != b->node[i].id)
			return false;
	return a->nr_nodes == b->nr_nodes;
}

/* Nodes that both have are in the same tier. */
static bool same_tiers(const struct ht_tiers *a, const struct ht_tiers *b)
{
	unsigned int i;
	int tier;

	for (i = 0; i < a->nr_nodes && a->nr_tiers == b->nr_tiers; i++) {
		tier = ht_tiers_of_node(b, a->node[i].id);
		if (tier >= 0 && a->node[i].tier >= 0 && tier != a->node[i].tier)
			return false;
	}
	return a->nr_tiers == b->nr_tiers;
}

int ht_tiers_update(struct ht_tiers *t, const struct ht_roots *roots, const char *fast,
		    const char *slow)
{
	struct ht_tiers now = {};
	int err;

	err = read_nodes(&now, roots);
	if (err || same_nodes(t, &now))
		return err;
	err = ht_tiers_discover(&now, roots, fast, slow);
	if (err)
		return err;
	if (!same_tiers(t, &now))
		return -EAGAIN;
	*t = now;
	return 1;
}

int ht_tiers_of_node(const struct ht_tiers *t, int node)
{
	for (unsigned int i = 0; i < t->nr_nodes; i++)
		if (t->node[i].id == node)
			return t->node[i].tier;
	return -1;
}

/* ---- present memory ---- */

struct zones {
	const struct ht_tiers *t;
	int tier;
	uint64_t high, cached; /* pages */
};

static int add_zone(const struct ht_zone *z, void *arg)
{
	uint64_t apart = z->high > z->low ? z->high - z->low : 0;
	struct zones *sum = arg;

	if (ht_tiers_of_node(sum->t, z->node) != sum->tier)
		return 0;
	sum->high += z->high;
	sum->cached += z->cached < apart ? z->cached : apart;
	return 0;
}

int ht_tiers_mem(const struct ht_tiers *t, const struct ht_roots *roots, unsigned int tier,
		 struct ht_tier_mem *mem)
{
	struct zones sum = { .t = t, .tier = tier };
	uint64_t bytes;
	int err;

	memset(mem, 0, sizeof(*mem));
	if (tier >= t->nr_tiers)
		return -EINVAL;
	for (unsigned int i = 0; i < t->tier[tier].nr_nodes; i++) {
		int node = t->tier[tier].node[i];

		err = node_meminfo(&bytes, roots, node, "MemTotal:");
		if (err)
			return err;
		mem->total_bytes += bytes;
		err = node_meminfo(&bytes, roots, node, "MemFree:");
		if (err)
			return err;
		mem->free_bytes += bytes;
	}
	err = ht_zoneinfo_each(roots, add_zone, &sum);
	mem->watermark_bytes = sum.high * 4096;
	mem->free_bytes += sum.cached * 4096;
	return err;
}

int ht_tiers_pick_node(const struct ht_tiers *t, const struct ht_roots *roots, unsigned int tier)
{
	uint64_t bytes, most = 0;
	int best = -ENOENT;

	if (tier >= t->nr_tiers)
		return -ENOENT;
	for (unsigned int i = 0; i < t->tier[tier].nr_nodes; i++) {
		int node = t->tier[tier].node[i];

		if (node_meminfo(&bytes, roots, node, "MemFree:"))
			continue;
		if (best < 0 || bytes > most) {
			best = node;
			most = bytes;
		}
	}
	return best;
}
