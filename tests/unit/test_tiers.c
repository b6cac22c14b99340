// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Tiers of machines that are described as files, and of this one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <numa.h>

#include "fs.h"
#include "tiers.h"

struct env {
	char dir[64], sys[80], proc[80];
	struct ht_roots roots;
	struct ht_tiers t;
};

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));

	fs_tmpdir(e->dir);
	snprintf(e->sys, sizeof(e->sys), "%s/sys", e->dir);
	snprintf(e->proc, sizeof(e->proc), "%s/proc", e->dir);
	e->roots = (struct ht_roots){ .sys = e->sys, .proc = e->proc };
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	fs_rmtree(e->dir);
	free(e);
	return 0;
}

__attribute__((format(printf, 3, 4))) static void put_node(struct env *e, int node, const char *fmt,
							   ...)
{
	char file[64], path[128], text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* The first word of the text is the file's name. */
	sscanf(text, "%63s", file);
	snprintf(path, sizeof(path), "devices/system/node/node%d/%s", node, file);
	fs_put(e->sys, path, text + strlen(file) + 1);
}

static void add_node(struct env *e, int node, const char *cpus, const char *distance,
		     unsigned long mib)
{
	put_node(e, node, "cpulist %s\n", cpus);
	put_node(e, node, "distance %s\n", distance);
	put_node(e, node,
		 "meminfo Node %d MemTotal:       %lu kB\nNode %d MemFree:        %lu kB\n", node,
		 mib << 10, node, (mib / 4) << 10);
}

static void add_hmat(struct env *e, int node, int class, int lat, int bw)
{
	put_node(e, node, "access%d/initiators/read_latency %d\n", class, lat);
	put_node(e, node, "access%d/initiators/write_latency %d\n", class, lat + 1);
	put_node(e, node, "access%d/initiators/read_bandwidth %d\n", class, bw);
	put_node(e, node, "access%d/initiators/write_bandwidth %d\n", class, bw + 1);
}

static void add_tier(struct env *e, int id, const char *list)
{
	char path[128];

	snprintf(path, sizeof(path), "devices/virtual/memory_tiering/memory_tier%d/nodelist", id);
	fs_put(e->sys, path, list);
}

static void online(struct env *e, const char *list)
{
	fs_put(e->sys, "devices/system/node/online", list);
}

/* What QEMU gives with hmat=on: node 0 with the CPUs, node 1 without. */
static void lab(struct env *e, int tiers)
{
	online(e, "0-1\n");
	add_node(e, 0, "0-1", "10 20", 512);
	add_node(e, 1, "", "20 10", 1536);
	if (tiers > 1) {
		add_hmat(e, 0, 0, 10, 10240);
		add_hmat(e, 0, 1, 10, 10240);
		add_hmat(e, 1, 0, 250, 2048);
		add_hmat(e, 1, 1, 250, 2048);
		add_tier(e, 4, "0\n");
		add_tier(e, 140, "1\n");
	} else if (tiers == 1) {
		add_tier(e, 4, "0-1\n");
	}
	fs_put(e->sys, "devices/virtual/memory_tiering/uevent", "");
}

static int discover(struct env *e, const char *fast, const char *slow)
{
	return ht_tiers_discover(&e->t, &e->roots, fast, slow);
}

static int update(struct env *e, const char *fast)
{
	return ht_tiers_update(&e->t, &e->roots, fast, NULL);
}

/* Compares the tiers with a text such as "0 2|1": nodes, a bar between tiers. */
static void assert_tiers(const struct env *e, const char *want)
{
	char got[512] = "";
	size_t n = 0;

	for (unsigned int i = 0; i < e->t.nr_tiers; i++) {
		if (i)
			n += sprintf(got + n, "|");
		for (unsigned int k = 0; k < e->t.tier[i].nr_nodes; k++) {
			n += sprintf(got + n, "%s%d", k ? " " : "", e->t.tier[i].node[k]);
			assert_int_equal(ht_tiers_of_node(&e->t, e->t.tier[i].node[k]), i);
		}
	}
	assert_string_equal(got, want);
	assert_true(strlen(e->t.why) > 0);
}

static void test_lab(void **state)
{
	struct env *e = *state;

	lab(e, 2);
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0|1");
	assert_int_equal(e->t.tier[0].kernel_id, 4);
	assert_int_equal(e->t.tier[1].kernel_id, 140);
	assert_int_equal(e->t.nr_nodes, 2);
	assert_true(e->t.node[0].has_cpu);
	assert_false(e->t.node[1].has_cpu);
	assert_int_equal(e->t.node[0].distance, 10);
	assert_int_equal(e->t.node[1].distance, 20);
	assert_int_equal(e->t.node[1].read_lat_ns, 250);
	assert_int_equal(e->t.node[1].write_lat_ns, 251);
	assert_int_equal(e->t.node[1].read_bw_mbps, 2048);
	assert_int_equal(e->t.node[1].write_bw_mbps, 2049);
	assert_int_equal(e->t.tier[1].read_lat_ns, 250);
	assert_int_equal(e->t.tier[0].total_bytes, 512 << 20);
	assert_int_equal(e->t.tier[1].total_bytes, 1536 << 20);
	assert_string_equal(e->t.why, "the kernel's memory tiers");
	assert_int_equal(ht_tiers_of_node(&e->t, 2), -1);
	assert_int_equal(ht_tiers_of_node(&e->t, -1), -1);
}

static void test_three_tiers(void **state)
{
	struct env *e = *state;

	online(e, "0-5\n");
	for (int i = 0; i < 5; i++)
		add_node(e, i, i < 2 ? "0-3" : "", "10 20 20 20 20 20", 1024);
	add_node(e, 5, "", "20 20 20 20 20 10", 0); /* no memory */
	for (int i = 0; i < 5; i++)
		add_hmat(e, i, 0, i < 2 ? 80 : i < 4 ? 200 : 900, 1000);
	add_hmat(e, 3, 1, 300, 1000);
	add_tier(e, 140, "2-3\n");
	add_tier(e, 4, "0-1\n");
	add_tier(e, 961, "4\n");
	add_tier(e, 30, "\n"); /* tiers may be empty */
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0 1|2 3|4");
	assert_int_equal(e->t.nr_nodes, 5);
	assert_int_equal(e->t.tier[2].kernel_id, 961);
	assert_int_equal(e->t.tier[1].read_lat_ns, 250); /* class 1 of node 3, class 0 of node 2 */
	assert_int_equal(e->t.tier[1].total_bytes, 2ULL << 30);
}

/* Memory that comes, and goes, at run time. */
static void test_update(void **state)
{
	struct env *e = *state;

	online(e, "0-4\n");
	for (int i = 0; i < 4; i++)
		add_node(e, i, i ? "" : "0-3", "10 20 20 20 20", i < 3 ? 1024 : 0);
	add_tier(e, 4, "0\n");
	add_tier(e, 140, "1-2\n");
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0|1 2");
	assert_int_equal(update(e, NULL), 0);
	add_node(e, 3, "", "20 20 20 10 20", 512);
	add_tier(e, 140, "1-3\n");
	assert_int_equal(update(e, NULL), 1);
	assert_tiers(e, "0|1 2 3");
	assert_int_equal(e->t.tier[1].total_bytes, 2560ULL << 20);
	assert_int_equal(update(e, NULL), 0);
	add_node(e, 2, "", "20 20 10 20 20", 0);
	add_tier(e, 140, "1,3\n");
	assert_int_equal(update(e, NULL), 1);
	assert_tiers(e, "0|1 3");
	/* Another tier, or a node that is in another one: nothing changes. */
	add_node(e, 4, "", "20 20 20 20 10", 512);
	add_tier(e, 961, "4\n");
	assert_int_equal(update(e, NULL), -EAGAIN);
	assert_tiers(e, "0|1 3");
	add_tier(e, 140, "1,4\n");
	add_tier(e, 4, "0,3\n");
	add_tier(e, 961, "\n");
	assert_int_equal(update(e, NULL), -EAGAIN);
	assert_tiers(e, "0|1 3");
	/* As the user wants it. */
	assert_int_equal(update(e, "0"), 1);
	assert_tiers(e, "0|1 3 4");
	for (int i = 0; i < 5; i++)
		add_node(e, i, "", "10 20 20 20 20", 0);
	assert_int_equal(update(e, NULL), -ENOENT);
	assert_tiers(e, "0|1 3 4");
}

static void test_hmat_only(void **state)
{
	struct env *e = *state;

	/* Linux 6.1: HMAT in sysfs, no tiers; and one tier for all. */
	for (int tiers = 0; tiers < 2; tiers++) {
		lab(e, tiers);
		add_hmat(e, 0, 0, 10, 1);
		add_hmat(e, 1, 0, 250, 1);
		assert_int_equal(discover(e, NULL, NULL), 0);
		assert_tiers(e, "0|1");
		assert_non_null(strstr(e->t.why, "HMAT"));
		assert_int_equal(e->t.tier[0].kernel_id, -1);
	}
	/* A node faster than the one with the CPUs, and two about equal. */
	online(e, "0-3\n");
	add_node(e, 1, "", "20 10 20 20", 64);
	add_node(e, 2, "", "20 20 10 20", 64);
	add_node(e, 3, "", "20 20 20 10", 64);
	add_hmat(e, 2, 0, 5, 1);
	add_hmat(e, 3, 0, 220, 1);
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "2|0|3 1");
	/* Not known of all: of no use. */
	add_hmat(e, 3, 0, 0, 1);
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0|1 2 3");
	assert_non_null(strstr(e->t.why, "distance"));
}

static void test_distance(void **state)
{
	struct env *e = *state;

	lab(e, 0);
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0|1");
	assert_non_null(strstr(e->t.why, "distance"));

	/* Two sockets, two kinds of CPU-less nodes, a hole in the numbering. */
	online(e, "0-1,3-5\n");
	add_node(e, 0, "0-3", "10 21 17 28 28", 1024);
	add_node(e, 1, "4-7", "21 10 28 17 28", 1024);
	add_node(e, 3, "", "17 28 10 28 28", 1024);
	add_node(e, 4, "", "28 17 28 10 28", 1024);
	add_node(e, 5, "", "28 28 28 28 10", 1024);
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0 1|3 4|5");
	assert_int_equal(e->t.node[3].distance, 17);

	/* CPUs everywhere: one tier, which is no error. */
	online(e, "0-1\n");
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0 1");

	/* Unreadable rows. */
	online(e, "0-1,3\n");
	put_node(e, 3, "distance 17 x\n");
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0 1|3");
	assert_int_equal(e->t.node[2].distance, 255);
}

static void test_more_tiers_than_fit(void **state)
{
	struct env *e = *state;

	online(e, "0-11\n");
	for (int i = 0; i < 12; i++) {
		add_node(e, i, i ? "" : "0", "", 64);
		add_hmat(e, i, 0, 100 << i, 1);
	}
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0|1|2|3|4|5|6|7 8 9 10 11");
}

static void test_one_node(void **state)
{
	struct env *e = *state;

	online(e, "0\n");
	add_node(e, 0, "0-1", "10", 512);
	add_tier(e, 4, "0\n");
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0");
	assert_non_null(strstr(e->t.why, "only node 0"));
	assert_int_equal(discover(e, "0", NULL), 0);
	assert_tiers(e, "0");
}

static void test_user(void **state)
{
	struct env *e = *state;

	lab(e, 2);
	assert_int_equal(discover(e, "1", NULL), 0);
	assert_tiers(e, "1|0");
	assert_string_equal(e->t.why, "--fast");
	assert_int_equal(e->t.tier[0].kernel_id, -1);
	assert_int_equal(discover(e, NULL, "0"), 0);
	assert_tiers(e, "1|0");
	assert_string_equal(e->t.why, "--slow");

	online(e, "0-4\n");
	for (int i = 2; i < 5; i++)
		add_node(e, i, "", "", 64);
	assert_int_equal(discover(e, "0,3", "4/1-2"), 0);
	assert_tiers(e, "0 3|4|1 2");
	assert_int_equal(discover(e, "4", "1"), 0);
	assert_tiers(e, "4|1");
	assert_int_equal(ht_tiers_of_node(&e->t, 0), -1);
	assert_int_equal(discover(e, NULL, "1/2"), 0);
	assert_tiers(e, "0 3 4|1|2");
}

static void test_user_errors(void **state)
{
	static const struct {
		const char *fast, *slow;
	} bad[] = {
		{ "2", NULL },
		{ "0", "0" },
		{ "0", "1/1" },
		{ NULL, "0-1" },
		{ "", NULL },
		{ "0", "" },
		{ "0", "1/" },
		{ "0", "/1" },
		{ "x", NULL },
		{ "0x", NULL },
		{ "0,", NULL },
		{ "1-0", NULL },
		{ "0,0", NULL },
		{ "0", "1/2" },
		{ "64", NULL },
		{ "-1", NULL },
		{ "0-99999999999999", NULL },
		{ " 0", NULL },
		{ "0", "1////////////" },
	};
	struct env *e = *state;
	struct fs_log log;
	const char *text;

	lab(e, 2);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		fs_log_start(&log);
		assert_int_equal(discover(e, bad[i].fast, bad[i].slow), -EINVAL);
		text = fs_log_end(&log);
		/* Told once. */
		assert_non_null(strchr(text, '\n'));
		assert_ptr_equal(strchr(text, '\n'), strrchr(text, '\n'));
	}
	char longer[3000];

	memset(longer, '0', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	fs_log_start(&log);
	assert_int_equal(discover(e, "0", longer), -EINVAL);
	fs_log_end(&log);
}

static void test_hostile(void **state)
{
	static const char *const lists[] = {
		"", "x", "0-", "-1", "0-1-2", "1,0", "0,0", "0 1", "0-1,", "0xff", "\xff\xfe",
	};
	struct env *e = *state;
	struct fs_log log;
	char noise[3000];

	fs_log_start(&log);
	assert_int_equal(discover(e, NULL, NULL), -ENOENT);
	assert_non_null(strstr(fs_log_end(&log), "CONFIG_NUMA"));
	fs_log_start(&log);
	lab(e, 2);
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++) {
		online(e, lists[i]);
		assert_int_equal(discover(e, NULL, NULL), -EINVAL);
	}
	online(e, "0-64");
	assert_int_equal(discover(e, NULL, NULL), -ERANGE);
	online(e, "0-18446744073709551616");
	assert_int_equal(discover(e, NULL, NULL), -ERANGE);
	online(e, "0-63"); /* nodes that are online but say nothing are left out */
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0|1");

	/* Tiers that name nodes twice, none, or nonsense. */
	add_tier(e, 140, "0-1\n");
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0|1");
	add_tier(e, 140, "1,x\n");
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0|1"); /* by the HMAT */
	assert_non_null(strstr(e->t.why, "HMAT"));
	add_tier(e, 140, "99\n");
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0|1");

	/* Latencies out of range are not known; memory out of range is none. */
	put_node(e, 1, "access0/initiators/read_latency 99999999999\n");
	put_node(e, 1, "access1/initiators/read_latency -1\n");
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_int_equal(e->t.node[1].read_lat_ns, 0);
	put_node(e, 1, "meminfo Node 1 MemTotal: 99999999999999999999999 kB\n");
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0");
	put_node(e, 0, "meminfo garbage\n");
	assert_int_equal(discover(e, NULL, NULL), -ENOENT);

	srand(4);
	for (int round = 0; round < 100; round++) {
		lab(e, 2);
		for (int f = 0; f < 6; f++) {
			static const char *const file[] = {
				"node0/meminfo",
				"node1/distance",
				"node0/cpulist",
				"node1/access0/initiators/read_latency",
				"online",
				"../../virtual/memory_tiering/memory_tier4/nodelist",
			};
			char path[128];

			for (size_t i = 0; i < sizeof(noise); i++)
				noise[i] = rand() % 4 ? "0123456789,- "[rand() % 13] : rand();
			snprintf(path, sizeof(path), "devices/system/node/%s", file[f]);
			if (rand() % 2)
				fs_put_bytes(e->sys, path, noise, rand() % sizeof(noise));
		}
		discover(e, NULL, NULL);
	}
	fs_log_end(&log);
}

static void test_node_outside_of_tiers(void **state)
{
	struct env *e = *state;
	struct fs_log log;

	lab(e, 2);
	online(e, "0-2\n");
	add_node(e, 2, "", "20 20 10", 64);
	fs_log_start(&log);
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_non_null(strstr(fs_log_end(&log), "node 2"));
	assert_tiers(e, "0|1");
	assert_int_equal(ht_tiers_of_node(&e->t, 2), -1);
}

static void test_mem(void **state)
{
	struct env *e = *state;
	struct ht_tier_mem mem;

	lab(e, 2);
	online(e, "0-2\n");
	add_node(e, 2, "", "", 4096);
	add_tier(e, 140, "1-2\n");
	assert_int_equal(discover(e, NULL, NULL), 0);
	assert_tiers(e, "0|1 2");
	assert_int_equal(ht_tiers_mem(&e->t, &e->roots, 0, &mem), -ENOENT);
	fs_put(e->proc, "zoneinfo",
	       "Node 0, zone      DMA\n  per-node stats\n      nr_inactive_anon 1706\n"
	       "  pages free     3840\n        boost    0\n        min      57\n"
	       "        low      71\n        high     85\n        spanned  4095\n  pagesets\n"
	       "    cpu: 0\n"
	       "              count:    77\n              high:     9999\n"
	       "              high_min: 9999\n    cpu: 1\n              count:    3\n"
	       "  start_pfn:           1\n"
	       "Node 0, zone   Normal\n  pages free     3840\n        low      3\n        high     "
	       "15\n"
	       "        spanned  1000\n    cpu: 0\n              count:    10\n"
	       "    cpu: 1\n              count:    1\n  start_pfn:           4096\n"
	       "Node 0, zone  Movable\n  pages free     0\n        high     32\n"
	       "        spanned  0\n"
	       "Node 1, zone   Normal\n  pages free     1\n        low      999\n        high     "
	       "1000\n"
	       "        spanned  7\n  start_pfn:           8192\n"
	       "Node 2, zone   Normal\n  pages free     1\n        high     300\n"
	       "        spanned  7\n  start_pfn:           9192\n");
	assert_int_equal(ht_tiers_mem(&e->t, &e->roots, 0, &mem), 0);
	assert_int_equal(mem.total_bytes, 512 << 20);
	/* Of the lists' 80 pages of the first zone 14, of the second one's 11 all. */
	assert_int_equal(mem.free_bytes, (128 << 20) + 25 * 4096);
	assert_int_equal(mem.watermark_bytes, 100 * 4096);
	assert_int_equal(ht_tiers_mem(&e->t, &e->roots, 1, &mem), 0);
	assert_int_equal(mem.total_bytes, (1536ULL + 4096) << 20);
	assert_int_equal(mem.free_bytes, (1536ULL + 4096) << 18);
	assert_int_equal(mem.watermark_bytes, 1300 * 4096);
	assert_int_equal(ht_tiers_mem(&e->t, &e->roots, 2, &mem), -EINVAL);

	assert_int_equal(ht_tiers_pick_node(&e->t, &e->roots, 0), 0);
	assert_int_equal(ht_tiers_pick_node(&e->t, &e->roots, 1), 2);
	put_node(e, 2, "meminfo Node 2 MemTotal: 4194304 kB\nNode 2 MemFree: 5 kB\n");
	assert_int_equal(ht_tiers_pick_node(&e->t, &e->roots, 1), 1);
	put_node(e, 1, "meminfo gone\n");
	assert_int_equal(ht_tiers_pick_node(&e->t, &e->roots, 1), 2);
	assert_int_equal(ht_tiers_mem(&e->t, &e->roots, 1, &mem), -EINVAL);
	put_node(e, 2, "meminfo gone\n");
	assert_int_equal(ht_tiers_pick_node(&e->t, &e->roots, 1), -ENOENT);
	assert_int_equal(ht_tiers_pick_node(&e->t, &e->roots, 9), -ENOENT);
}

/* This machine, checked against libnuma. */
static void test_real(void **state)
{
	struct env *e = *state;
	struct ht_tier_mem mem, sum = { 0 };
	long long total = 0, free_bytes;

	if (numa_available() < 0)
		skip();
	assert_int_equal(ht_tiers_discover(&e->t, &ht_host_roots, NULL, NULL), 0);
	assert_true(e->t.nr_nodes >= 1 && e->t.nr_tiers >= 1);
	for (unsigned int i = 0; i < e->t.nr_nodes; i++) {
		assert_true(numa_node_size64(e->t.node[i].id, &free_bytes) > 0);
		total += numa_node_size64(e->t.node[i].id, NULL);
		assert_true(e->t.node[i].distance >= 10);
	}
	for (unsigned int i = 0; i < e->t.nr_tiers; i++) {
		assert_int_equal(ht_tiers_mem(&e->t, &ht_host_roots, i, &mem), 0);
		assert_true(mem.free_bytes > 0 && mem.free_bytes <= mem.total_bytes);
		assert_true(mem.watermark_bytes > 0 && mem.watermark_bytes < mem.total_bytes);
		assert_true(ht_tiers_pick_node(&e->t, &ht_host_roots, i) >= 0);
		sum.total_bytes += mem.total_bytes;
	}
	/* Memory may come and go while we look (a balloon), but not by half. */
	assert_true(sum.total_bytes > (uint64_t)total / 2 && sum.total_bytes / 2 < (uint64_t)total);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_lab, setup, teardown),
		cmocka_unit_test_setup_teardown(test_three_tiers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_update, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hmat_only, setup, teardown),
		cmocka_unit_test_setup_teardown(test_distance, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_tiers_than_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(test_one_node, setup, teardown),
		cmocka_unit_test_setup_teardown(test_user, setup, teardown),
		cmocka_unit_test_setup_teardown(test_user_errors, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_node_outside_of_tiers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_mem, setup, teardown),
		cmocka_unit_test_setup_teardown(test_real, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
