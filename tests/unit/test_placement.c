// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Placement of real pages. Nodes are partly made up: a fake sysfs gives this machine's memory
 * blocks to nodes as the test likes, and what is reported is checked against the frames in pagemap.
 */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <dirent.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "frames.h"
#include "fs.h"
#include "placement.h"

#define PAGE 4096UL
#define TILE (512 * PAGE)

struct env {
	char dir[64], sys[80], proc[80];
	struct ht_roots roots;
	struct ht_tiers tiers;
	struct ht_placement *pl;
	struct ht_page_place place[4096];
};

static int setup(void **state)
{
	struct env *e = calloc(1, sizeof(*e));

	fs_tmpdir(e->dir);
	snprintf(e->sys, sizeof(e->sys), "%s/sys", e->dir);
	snprintf(e->proc, sizeof(e->proc), "%s/proc", e->dir);
	mkdir(e->sys, 0755);
	mkdir(e->proc, 0755);
	e->roots = (struct ht_roots){ .sys = e->sys, .proc = e->proc };
	e->tiers = (struct ht_tiers){ .nr_nodes = 2, .node = { { .id = 0 }, { .id = 1 } } };
	*state = e;
	return 0;
}

static int teardown(void **state)
{
	struct env *e = *state;

	ht_placement_close(e->pl);
	fs_rmtree(e->dir);
	free(e);
	return 0;
}

static void open_host(struct env *e)
{
	assert_int_equal(ht_tiers_discover(&e->tiers, &ht_host_roots, NULL, NULL), 0);
	assert_int_equal(ht_placement_open(&e->pl, &ht_host_roots, &e->tiers), 0);
}

static void need_frames(const struct env *e)
{
	if (strcmp(ht_placement_backend(e->pl), "pagemap"))
		skip();
}

/* Of nr bytes, aligned to a tile. */
static char *map_tiles(size_t bytes, int advice)
{
	char *p = mmap(NULL, bytes + TILE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	assert_true(p != MAP_FAILED);
	p = (char *)(((uintptr_t)p + TILE - 1) & ~(TILE - 1));
	madvise(p, bytes, advice);
	return p;
}

static uint64_t frame_of(const void *p)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	assert_int_equal(pread(fd, &entry, 8, (uintptr_t)p / PAGE * 8), 8);
	close(fd);
	assert_true(entry >> 63);
	return entry & ((1ULL << 55) - 1);
}

/* Not every kernel maps the zero page where memory is only read. */
static bool has_zero_page(void)
{
	char *p = map_tiles(2 * TILE, MADV_NOHUGEPAGE);
	volatile char sink = p[0] + p[TILE];
	bool same = frame_of(p) == frame_of(p + TILE);

	(void)sink;
	munmap(p, 2 * TILE);
	return same;
}

static void query(struct env *e, const void *p, size_t nr)
{
	assert_int_equal(ht_placement_query(e->pl, getpid(), (uintptr_t)p, nr, 1, e->place), 0);
}

static void test_own_pages(void **state)
{
	struct env *e = *state;
	char *p = map_tiles(4 * TILE, MADV_NOHUGEPAGE);
	bool zero = has_zero_page();
	volatile char sink;

	open_host(e);
	assert_true(strlen(ht_placement_why(e->pl)) > 0 ||
		    !strcmp(ht_placement_backend(e->pl), "pagemap"));
	for (int i = 0; i < 100; i++)
		p[i * PAGE] = 1;
	sink = p[600 * PAGE]; /* only read: the zero page */
	p[1300 * PAGE] = 1;
	(void)sink;
	query(e, p, 2048);
	for (int i = 0; i < 2048; i++) {
		bool there = i < 100 || i == 1300 || (i == 600 && !zero);

		assert_int_equal(e->place[i].node, there ? 0 : HT_NODE_NONE);
		if (!there)
			assert_int_equal(e->place[i].flags, 0);
		else if (!strcmp(ht_placement_backend(e->pl), "pagemap"))
			assert_int_equal(e->place[i].flags, HT_PAGE_EXCLUSIVE | HT_PAGE_OURS);
	}
	/* From the middle, over the edge of a chunk. */
	query(e, p + 99 * PAGE, 1300);
	assert_int_equal(e->place[0].node, 0);
	assert_int_equal(e->place[1].node, HT_NODE_NONE);
	assert_int_equal(e->place[1201].node, 0);
	query(e, p, 0);
	munmap(p, 4 * TILE);
	query(e, p, 512);
	assert_int_equal(e->place[0].node, HT_NODE_NONE);
}

static void test_shared(void **state)
{
	struct env *e = *state;
	char *shared =
		mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *cow = map_tiles(TILE, MADV_NOHUGEPAGE), c;
	int fds[2];
	pid_t pid;

	open_host(e);
	need_frames(e);
	memset(shared, 1, 8 * PAGE);
	memset(cow, 1, 8 * PAGE);
	assert_int_equal(pipe(fds), 0);
	pid = fs_fork();
	assert_true(pid >= 0);
	if (!pid) {
		cow[0] = 2; /* a copy of its own; the others stay shared */
		c = shared[0];
		if (write(fds[1], "x", 1) != 1)
			_exit(c);
		pause();
		_exit(0);
	}
	assert_int_equal(read(fds[0], &c, 1), 1);
	close(fds[0]);
	close(fds[1]);
	assert_int_equal(ht_placement_query(e->pl, pid, (uintptr_t)cow, 8, 1, e->place), 0);
	assert_int_equal(e->place[0].flags, HT_PAGE_EXCLUSIVE | HT_PAGE_OURS);
	assert_int_equal(e->place[1].flags, 0);
	assert_int_equal(e->place[1].node, 0);
	/* With both known it is theirs; with only one more than map it as well. */
	for (unsigned int sharers = 2; sharers <= 3; sharers++) {
		assert_int_equal(
			ht_placement_query(e->pl, pid, (uintptr_t)cow, 8, sharers, e->place), 0);
		assert_int_equal(e->place[0].flags, HT_PAGE_EXCLUSIVE | HT_PAGE_OURS);
		for (int i = 1; i < 8; i++)
			assert_int_equal(e->place[i].flags, HT_PAGE_OURS);
	}
	query(e, shared, 2);
	assert_int_equal(e->place[0].flags, HT_PAGE_SHARED);
	assert_int_equal(e->place[1].flags & HT_PAGE_SHARED, HT_PAGE_SHARED);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	munmap(shared, 8 * PAGE);
}

static void test_huge(void **state)
{
	struct env *e = *state;
	char *p = map_tiles(4 * TILE, MADV_HUGEPAGE);
	int nr = has_zero_page() ? 2048 : 1536;
	bool huge[4];

	open_host(e);
	need_frames(e);
	madvise(p + TILE, TILE, MADV_NOHUGEPAGE);
	for (int t = 0; t < 3; t++)
		memset(p + t * TILE, 1, TILE);
	(void)*(volatile char *)(p + 3 * TILE); /* read only: the huge zero page */
	for (int t = 0; t < 3; t++)
		huge[t] = frame_of(p + t * TILE) % 512 == 0 &&
			  frame_of(p + t * TILE + 511 * PAGE) == frame_of(p + t * TILE) + 511;
	if (!huge[0] || !huge[2])
		skip(); /* no huge pages here, or none free */
	query(e, p, 2048);
	for (int i = 0; i < nr; i++) {
		assert_int_equal(e->place[i].node, i < 1536 ? 0 : HT_NODE_NONE);
		assert_int_equal(e->place[i].flags & HT_PAGE_THP,
				 i / 512 == 0 || i / 512 == 2 ? HT_PAGE_THP : 0);
	}
	/* A part of it, and split in its mapping but not in fact. */
	query(e, p + 2 * TILE + 37 * PAGE, 3);
	assert_int_equal(e->place[0].flags & HT_PAGE_THP, HT_PAGE_THP);
	mprotect(p + 5 * PAGE, PAGE, PROT_READ);
	query(e, p, 512);
	assert_int_equal(e->place[5].flags & HT_PAGE_THP, HT_PAGE_THP);
	assert_int_equal(e->place[511].flags & HT_PAGE_THP, HT_PAGE_THP);
	munmap(p, 4 * TILE);
}

/* Small pages whose frames happen to lie as in a huge page must not pass for one. */
static void test_not_huge(void **state)
{
	struct env *e = *state;
	size_t nr = 4096;
	char *p = map_tiles(nr * PAGE, MADV_NOHUGEPAGE);

	open_host(e);
	need_frames(e);
	memset(p, 1, nr * PAGE);
	query(e, p, nr);
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(e->place[i].flags, HT_PAGE_EXCLUSIVE | HT_PAGE_OURS);
	munmap(p, nr * PAGE);
}

static void test_gone(void **state)
{
	struct env *e = *state;
	char *p = map_tiles(TILE, MADV_NOHUGEPAGE), c;
	int fds[2];
	siginfo_t info;
	pid_t pid;

	open_host(e);
	p[0] = 1;
	assert_int_equal(pipe(fds), 0);
	pid = fs_fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(fds[1]);
		if (read(fds[0], &c, 1) != 1)
			_exit(1);
		execl("/bin/sleep", "sleep", "60", NULL);
		_exit(2);
	}
	close(fds[0]);
	assert_int_equal(ht_placement_query(e->pl, pid, (uintptr_t)p, 1, 1, e->place), 0);
	assert_int_equal(e->place[0].node, 0);

	/* After an exec what was there is not. */
	assert_int_equal(write(fds[1], "x", 1), 1);
	close(fds[1]);
	for (int i = 0; i < 200; i++) {
		usleep(10000);
		ht_placement_forget(e->pl, pid);
		assert_int_equal(ht_placement_query(e->pl, pid, (uintptr_t)p, 1, 1, e->place), 0);
		if (e->place[0].node == HT_NODE_NONE)
			break;
	}
	assert_int_equal(e->place[0].node, HT_NODE_NONE);

	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(ht_placement_query(e->pl, pid, (uintptr_t)p, 1, 1, e->place), -ESRCH);
	waitpid(pid, NULL, 0);
	assert_int_equal(ht_placement_query(e->pl, pid, (uintptr_t)p, 1, 1, e->place), -ESRCH);
	ht_placement_forget(e->pl, pid);
	assert_int_equal(ht_placement_query(e->pl, pid, (uintptr_t)p, 1, 1, e->place), -ESRCH);
	assert_int_equal(ht_placement_query(e->pl, 0, (uintptr_t)p, 1, 1, e->place), -ESRCH);
	assert_int_equal(ht_placement_query(e->pl, -1, (uintptr_t)p, 1, 1, e->place), -ESRCH);
	munmap(p, TILE);
}

static void test_odd_addresses(void **state)
{
	static const uint64_t va[] = { 0, 0x7ffffffff000, 0x800000000000, 0xffffffffff600000,
				       0xfffffffffffff000 };
	struct env *e = *state;

	open_host(e);
	for (size_t i = 0; i < sizeof(va) / sizeof(*va); i++) {
		e->place[0].node = e->place[511].node = 42;
		assert_int_equal(ht_placement_query(e->pl, getpid(), va[i], 512, 1, e->place), 0);
		assert_int_equal(e->place[0].node, HT_NODE_NONE);
		assert_int_equal(e->place[511].node, HT_NODE_NONE);
	}
}

/* Without the right to see frames the kernel is asked, of each page. */
static void test_without_rights(void **state)
{
	struct env *e = *state;
	char *p = map_tiles(4 * TILE, MADV_NOHUGEPAGE);
	int status;
	pid_t pid;

	if (geteuid())
		skip();
	for (int i = 0; i < 2048; i += 2)
		p[i * PAGE] = 1;
	pid = fs_fork();
	assert_true(pid >= 0);
	if (!pid) {
		int bad = 0;

		if (setresuid(65534, 65534, 65534))
			_exit(9);
		if (ht_tiers_discover(&e->tiers, &ht_host_roots, NULL, NULL) ||
		    ht_placement_open(&e->pl, &ht_host_roots, &e->tiers))
			_exit(8);
		if (strcmp(ht_placement_backend(e->pl), "move_pages") ||
		    !strlen(ht_placement_why(e->pl)))
			_exit(7);
		if (ht_placement_query(e->pl, getpid(), (uintptr_t)p, 2048, 1, e->place))
			_exit(6);
		for (int i = 0; i < 2048; i++)
			bad += e->place[i].node != (i % 2 ? HT_NODE_NONE : 0) || e->place[i].flags;
		_exit(bad ? 5 : 0);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	munmap(p, 4 * TILE);
}

/* ---- made-up nodes ---- */

static uint64_t block_frames; /* frames of a block of this machine */

static void link_proc(struct env *e)
{
	static const char *const names[] = { "self", "kpageflags", "PID" };
	char from[64], to[PATH_MAX];

	for (int i = 0; i < 3; i++) {
		snprintf(from, sizeof(from), "/proc/%s", names[i]);
		if (i == 2)
			snprintf(from, sizeof(from), "/proc/%d", getpid());
		snprintf(to, sizeof(to), "%s%s", e->proc, from + 5);
		assert_int_equal(symlink(from, to), 0);
	}
}

static void put_block(struct env *e, int node, uint64_t block)
{
	char path[128];

	snprintf(path, sizeof(path), "devices/system/node/node%d/memory%llu/x", node,
		 (unsigned long long)block);
	fs_put(e->sys, path, "");
}

/* Blocks of 16 MiB, so that a mapping meets several; which = node of a block, -1 none, 2 both. */
static void put_blocks(struct env *e, int (*which)(uint64_t block))
{
	uint64_t nr = (64ULL << 30) / (block_frames * PAGE);

	fs_put(e->sys, "devices/system/memory/block_size_bytes", "1000000\n");
	for (uint64_t b = 0; b < nr; b++) {
		int node = which(b);

		if (node == 0 || node == 2)
			put_block(e, 0, b);
		if (node == 1 || node == 2)
			put_block(e, 1, b);
	}
}

static int even_odd(uint64_t b)
{
	return b % 2;
}

static int both(uint64_t b)
{
	return 2;
}

static void test_two_nodes(void **state)
{
	struct env *e = *state;
	size_t nr = 4096;
	char *p = map_tiles(nr * PAGE, MADV_NOHUGEPAGE);

	block_frames = 4096;
	link_proc(e);
	put_blocks(e, even_odd);
	assert_int_equal(ht_placement_open(&e->pl, &e->roots, &e->tiers), 0);
	need_frames(e);
	memset(p, 1, nr * PAGE);
	query(e, p, nr);
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(e->place[i].node, frame_of(p + i * PAGE) / block_frames % 2);
	munmap(p, nr * PAGE);
}

static void test_straddling_blocks(void **state)
{
	struct env *e = *state;
	size_t nr = 2048, below = 0;
	char *p = map_tiles(nr * PAGE, MADV_NOHUGEPAGE), text[512];
	uint64_t border;

	block_frames = 4096;
	memset(p, 1, nr * PAGE);
	border = frame_of(p + nr / 2 * PAGE);
	link_proc(e);
	put_blocks(e, both);
	snprintf(text, sizeof(text),
		 "Node 0, zone Normal\n  pages free 1\n  high 5\n  spanned %llu\n  start_pfn: 1\n"
		 "Node 1, zone Normal\n  pages free 1\n  high 5\n  spanned 99999999\n"
		 "  start_pfn: %llu\n",
		 (unsigned long long)border - 1, (unsigned long long)border);
	fs_put(e->proc, "zoneinfo", text);
	assert_int_equal(ht_placement_open(&e->pl, &e->roots, &e->tiers), 0);
	need_frames(e);
	query(e, p, nr);
	for (size_t i = 0; i < nr; i++) {
		assert_int_equal(e->place[i].node, frame_of(p + i * PAGE) >= border);
		below += e->place[i].node == 0;
	}
	assert_true(below < nr);

	/* Spans that overlap leave the kernel's word for each page: it knows node 0 alone. */
	ht_placement_close(e->pl);
	snprintf(text, sizeof(text),
		 "Node 0, zone Normal\n  spanned 99999999\n  start_pfn: 1\n"
		 "Node 1, zone Normal\n  spanned 99999999\n  start_pfn: 1\n");
	fs_put(e->proc, "zoneinfo", text);
	assert_int_equal(ht_placement_open(&e->pl, &e->roots, &e->tiers), 0);
	query(e, p, nr);
	for (size_t i = 0; i < nr; i++)
		assert_int_equal(e->place[i].node, 0);
	munmap(p, nr * PAGE);
}

static int none_but_0(uint64_t b)
{
	return b ? -1 : 0;
}

static void test_memory_added(void **state)
{
	struct env *e = *state;
	char *p = map_tiles(TILE, MADV_NOHUGEPAGE);

	block_frames = 4096;
	memset(p, 1, TILE);
	link_proc(e);
	put_blocks(e, none_but_0);
	assert_int_equal(ht_placement_open(&e->pl, &e->roots, &e->tiers), 0);
	need_frames(e);
	query(e, p, 512);
	assert_int_equal(e->place[100].node, HT_NODE_NONE);
	put_blocks(e, even_odd);
	usleep(1050000);
	query(e, p, 512);
	for (size_t i = 0; i < 512; i++)
		assert_int_equal(e->place[i].node, frame_of(p + i * PAGE) / block_frames % 2);
	munmap(p, TILE);
}

static void test_no_blocks(void **state)
{
	struct env *e = *state;
	char *p = map_tiles(TILE, MADV_NOHUGEPAGE);

	link_proc(e);
	p[0] = 1;
	/* Several nodes and nothing to tell them by: the kernel is asked. */
	assert_int_equal(ht_placement_open(&e->pl, &e->roots, &e->tiers), 0);
	assert_string_equal(ht_placement_backend(e->pl), "move_pages");
	query(e, p, 512);
	assert_int_equal(e->place[0].node, 0);
	assert_int_equal(e->place[1].node, HT_NODE_NONE);
	ht_placement_close(e->pl);

	/* One node has every frame, whatever its number. */
	e->tiers = (struct ht_tiers){ .nr_nodes = 1, .node = { { .id = 3 } } };
	assert_int_equal(ht_placement_open(&e->pl, &e->roots, &e->tiers), 0);
	need_frames(e);
	query(e, p, 512);
	assert_int_equal(e->place[0].node, 3);
	assert_int_equal(e->place[1].node, HT_NODE_NONE);
	munmap(p, TILE);
}

static void test_hostile_blocks(void **state)
{
	static const char *const size[] = { "",	 "x", "0", "3000000", "10", "ffffffffffffffffff",
					    "-1" };
	static const char *const name[] = {
		"memoryx",  "memory",	"memory-1",
		"memory1x", "memory 1", "memory9999999999999999999999"
	};
	struct env *e = *state;
	struct ht_frames f = { .only_node = -1 };
	char path[128];

	for (size_t i = 0; i < sizeof(size) / sizeof(*size); i++) {
		fs_put(e->sys, "devices/system/memory/block_size_bytes", size[i]);
		put_block(e, 0, 1);
		assert_true(ht_frames_load(&f, &e->roots, &e->tiers) < 0);
	}
	fs_put(e->sys, "devices/system/memory/block_size_bytes", "8000000\n");
	for (size_t i = 0; i < sizeof(name) / sizeof(*name); i++) {
		snprintf(path, sizeof(path), "devices/system/node/node0/%s/x", name[i]);
		fs_put(e->sys, path, "");
	}
	put_block(e, 99, 2);
	assert_int_equal(ht_frames_load(&f, &e->roots, &e->tiers), 0);
	assert_int_equal(f.block_shift, 15);
	assert_int_equal(ht_frames_node(&f, 0), HT_FRAME_UNKNOWN);
	assert_int_equal(ht_frames_node(&f, 1 << 15), 0);
	assert_int_equal(ht_frames_node(&f, (2 << 15) - 1), 0);
	assert_int_equal(ht_frames_node(&f, 2 << 15), HT_FRAME_UNKNOWN);
	assert_int_equal(ht_frames_node(&f, (1ULL << 55) - 1), HT_FRAME_UNKNOWN);

	/* A block number that no machine has; what was known stays. */
	put_block(e, 0, 1 << 20);
	assert_int_equal(ht_frames_load(&f, &e->roots, &e->tiers), -ERANGE);
	assert_int_equal(ht_frames_node(&f, 1 << 15), 0);
	ht_frames_free(&f);
}

/* Called for whole tiles every epoch: the cost is one page of pagemap. */
static void test_cost(void **state)
{
	struct env *e = *state;
	size_t tiles = 64, rounds = 20;
	char *p = map_tiles(tiles * TILE, MADV_NOHUGEPAGE);
	struct timespec a, b;
	double ns;

	open_host(e);
	memset(p, 1, tiles * TILE);
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (size_t r = 0; r < rounds; r++)
		for (size_t t = 0; t < tiles; t++)
			query(e, p + t * TILE, 512);
	clock_gettime(CLOCK_MONOTONIC, &b);
	ns = ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / (rounds * tiles);
	print_message("%s: %.1f us a tile of 512 pages\n", ht_placement_backend(e->pl), ns / 1e3);
	assert_true(ns < 2e6);
	munmap(p, tiles * TILE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_own_pages, setup, teardown),
		cmocka_unit_test_setup_teardown(test_shared, setup, teardown),
		cmocka_unit_test_setup_teardown(test_huge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_not_huge, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_odd_addresses, setup, teardown),
		cmocka_unit_test_setup_teardown(test_without_rights, setup, teardown),
		cmocka_unit_test_setup_teardown(test_two_nodes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_straddling_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_added, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_blocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cost, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
