// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * move_pages(2) for real, as far as one node goes; and its way of giving up half-way, which takes
 * two nodes and pages that resist, against a model of what the kernel does (do_pages_move()).
 */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <numaif.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fs.h"
#include "migrate.h"

#define PAGE 4096UL

/* ---- the model ---- */

enum nature { N_MOVES, N_RESISTS, N_NO_MEMORY, N_PINNED, N_ABSENT };

struct model {
	size_t nr;
	enum nature nature[64];
	int node[64];
	unsigned int delay_ns; /* per page moved */
	size_t longest;	       /* most pages in one call */
};

static struct model *model; /* NULL: the kernel itself */

static long model_flush(int dest, const size_t *queued, size_t nr)
{
	long failed = 0;

	for (size_t i = 0; i < nr; i++) {
		if (model->nature[queued[i]] == N_NO_MEMORY)
			return -ENOMEM;
		if (model->nature[queued[i]] == N_RESISTS)
			failed++;
		else
			model->node[queued[i]] = dest;
	}
	return failed;
}

static size_t model_page(void *addr)
{
	return ((uintptr_t)addr >> 12) % model->nr;
}

static long model_move(unsigned long count, void **pages, const int *nodes, int *status)
{
	struct timespec nap = { .tv_nsec = 0 };
	size_t queued[64], nq = 0, start = 0;
	long err;

	if (count > model->longest)
		model->longest = count;
	for (size_t i = 0; i < count; i++) {
		size_t p = model_page(pages[i]);
		int st = model->nature[p] == N_ABSENT ? -ENOENT : model->node[p];

		nap.tv_nsec += nodes ? model->delay_ns : 0;
		if (nodes && st >= 0 && model->nature[p] == N_PINNED)
			st = -EBUSY;
		if (nodes && st >= 0 && model->node[p] != nodes[i]) {
			if (!nq)
				start = i;
			queued[nq++] = p;
			continue;
		}
		status[i] = st;
		if (!nq)
			continue;
		err = model_flush(nodes[i], queued, nq);
		if (err)
			return err < 0 ? err : err + (long)(count - i) - 1;
		for (size_t k = start; k < i; k++)
			status[k] = nodes[i];
		nq = 0;
	}
	nanosleep(&nap, NULL);
	err = nq ? model_flush(nodes[count - 1], queued, nq) : 0;
	for (size_t k = start; !err && nq && k < count; k++)
		status[k] = nodes[k];
	return err;
}

long move_pages(int pid, unsigned long count, void **pages, const int *nodes, int *status,
		int flags)
{
	long err;

	if (!model)
		return syscall(SYS_move_pages, pid, count, pages, nodes, status, flags);
	err = model_move(count, pages, nodes, status);
	if (err >= 0)
		return err;
	errno = -err;
	return -1;
}

static struct model *model_start(size_t nr)
{
	model = calloc(1, sizeof(*model));
	assert_non_null(model);
	model->nr = nr;
	return model;
}

/* ---- helpers ---- */

struct batch {
	struct ht_migrate_batch b;
	uint64_t addr[20000];
	int node[20000], from[20000], status[20000];
};

static struct batch *batch_new(pid_t pid, uint64_t base, size_t nr, int node, int from)
{
	struct batch *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	t->b = (struct ht_migrate_batch){
		.pid = pid, .nr = nr, .addr = t->addr, .node = t->node, .status = t->status
	};
	t->b.from = from < -1 ? NULL : t->from;
	for (size_t i = 0; i < nr; i++) {
		t->addr[i] = base + i * PAGE;
		t->node[i] = node;
		t->from[i] = from;
		t->status[i] = -1;
	}
	return t;
}

static void assert_all(const struct batch *t, enum ht_outcome o)
{
	for (size_t i = 0; i < t->b.nr; i++)
		assert_int_equal(t->status[i], o);
}

/* A child that has nr pages mapped at the address returned and sleeps. */
static pid_t sleeper(uint64_t *base, size_t nr)
{
	char *p = mmap(NULL, nr * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fds[2];
	pid_t pid;
	char c;

	assert_true(p != MAP_FAILED);
	madvise(p, nr * PAGE, MADV_NOHUGEPAGE);
	assert_int_equal(pipe(fds), 0);
	pid = fs_fork();
	assert_true(pid >= 0);
	if (!pid) {
		memset(p, 1, nr * PAGE);
		if (write(fds[1], "x", 1) != 1)
			_exit(1);
		pause();
		_exit(0);
	}
	assert_int_equal(read(fds[0], &c, 1), 1);
	close(fds[0]);
	close(fds[1]);
	munmap(p, nr * PAGE);
	*base = (uintptr_t)p;
	return pid;
}

static void reap(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static int setup(void **state)
{
	return ht_migrate_open((struct ht_migrate **)state);
}

static int teardown(void **state)
{
	free(model);
	model = NULL;
	ht_migrate_close(*state);
	return 0;
}

/* ---- tests ---- */

static void test_already(void **state)
{
	const struct ht_migrate_stats *st = ht_migrate_stats(*state);
	struct batch *t;
	uint64_t base;
	pid_t pid = sleeper(&base, 8192);

	assert_string_equal(ht_migrate_backend(*state), "move_pages");
	t = batch_new(pid, base, 8192, 0, -2);
	assert_int_equal(ht_migrate_move(*state, &t->b), 0);
	assert_all(t, HT_OUT_ALREADY);
	assert_int_equal(st->pages[HT_OUT_ALREADY], 8192);
	assert_true(st->ns > 0);
	/* Chunks grow: 256, 512, ... 4096, the rest; a query and a move each. */
	assert_true(st->calls >= 2 && st->calls <= 40);
	free(t);

	/* A caller that says the pages are elsewhere is believed, and asked for nothing more. */
	t = batch_new(pid, base, 100, 0, 1);
	uint64_t calls = st->calls;

	assert_int_equal(ht_migrate_move(*state, &t->b), 0);
	assert_all(t, HT_OUT_MOVED);
	assert_int_equal(st->calls, calls + 1);
	free(t);

	/* Where one source is open, the kernel is asked. */
	t = batch_new(pid, base, 100, 0, 1);
	t->from[7] = -1;
	assert_int_equal(ht_migrate_move(*state, &t->b), 0);
	assert_int_equal(t->status[6], HT_OUT_MOVED);
	assert_int_equal(t->status[7], HT_OUT_ALREADY);
	free(t);
	reap(pid);
}

static void test_gone(void **state)
{
	const struct ht_migrate_stats *st = ht_migrate_stats(*state);
	struct batch *t;
	uint64_t base;
	siginfo_t info;
	pid_t pid = sleeper(&base, 4);

	/* A zombie has no memory any more, and is as good as gone. */
	kill(pid, SIGKILL);
	assert_int_equal(waitid(P_PID, pid, &info, WEXITED | WNOWAIT), 0);
	t = batch_new(pid, base, 600, 0, -2);
	assert_int_equal(ht_migrate_move(*state, &t->b), -ESRCH);
	assert_all(t, HT_OUT_ESRCH);
	waitpid(pid, NULL, 0);
	t->b.from = t->from;
	memset(t->status, 0xff, sizeof(t->status));
	assert_int_equal(ht_migrate_move(*state, &t->b), -ESRCH);
	assert_all(t, HT_OUT_ESRCH);
	assert_int_equal(st->pages[HT_OUT_ESRCH], 1200);

	/* Never our own pages by accident. */
	t->b.pid = 0;
	assert_int_equal(ht_migrate_move(*state, &t->b), -ESRCH);
	t->b.pid = -1;
	assert_int_equal(ht_migrate_move(*state, &t->b), -ESRCH);
	t->b.nr = 0;
	assert_int_equal(ht_migrate_move(*state, &t->b), 0);
	free(t);
}

static void test_unmapped(void **state)
{
	uint64_t base;
	pid_t pid = sleeper(&base, 4);
	struct batch *t = batch_new(pid, base, 4, 0, 1);

	t->addr[1] = 0x1000;		 /* nothing there */
	t->addr[2] = 0xffffffffff600000; /* not user memory */
	assert_int_equal(ht_migrate_move(*state, &t->b), 0);
	assert_int_equal(t->status[0], HT_OUT_MOVED);
	assert_true(t->status[1] == HT_OUT_EFAULT || t->status[1] == HT_OUT_ENOENT);
	assert_int_equal(t->status[2], HT_OUT_EFAULT);
	assert_int_equal(t->status[3], HT_OUT_MOVED);
	free(t);
	reap(pid);
}

static void test_bad_node(void **state)
{
	static const int bad[] = { 63, 100000, -5, 0x7fffffff };
	const struct ht_migrate_stats *st = ht_migrate_stats(*state);
	uint64_t base;
	pid_t pid = sleeper(&base, 8);
	struct batch *t = batch_new(pid, base, 8, 0, 1);

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		t->node[2] = t->node[3] = bad[i];
		assert_int_equal(ht_migrate_move(*state, &t->b), -ENODEV);
		assert_int_equal(t->status[1], HT_OUT_MOVED);
		assert_int_equal(t->status[2], HT_OUT_OTHER);
		assert_int_equal(t->status[3], HT_OUT_OTHER);
		assert_int_equal(t->status[4], HT_OUT_MOVED);
	}
	assert_int_equal(st->pages[HT_OUT_OTHER], 8);
	free(t);
	reap(pid);
}

static void test_permission(void **state)
{
	struct ht_migrate *m = *state;
	uint64_t base;
	pid_t pid, victim = sleeper(&base, 4);
	int status;

	if (geteuid())
		skip();
	pid = fs_fork();
	assert_true(pid >= 0);
	if (!pid) {
		struct batch *t = batch_new(victim, base, 4, 0, -2);

		if (setresuid(65534, 65534, 65534))
			_exit(2);
		_exit(ht_migrate_move(m, &t->b) == -EPERM && t->status[3] == HT_OUT_EPERM ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	reap(victim);
}

/* Every mixture of what pages may do, of small batches: each page gets what became of it. */
static void test_giving_up(void **state)
{
	struct batch *t;
	struct model *mo = model_start(6);
	unsigned int combinations = 4 * 4 * 4 * 4 * 4 * 4;
	static const enum nature natures[] = { N_MOVES, N_RESISTS, N_PINNED, N_ABSENT };
	static const enum ht_outcome want[] = { HT_OUT_MOVED, HT_OUT_EBUSY, HT_OUT_EBUSY,
						HT_OUT_ENOENT };

	for (unsigned int c = 0; c < combinations; c++) {
		for (unsigned int i = 0, rest = c; i < mo->nr; i++, rest /= 4) {
			mo->nature[i] = natures[rest % 4];
			mo->node[i] = 1;
		}
		t = batch_new(1, 0, mo->nr, 0, c % 2 ? -2 : 1);
		assert_int_equal(ht_migrate_move(*state, &t->b), 0);
		for (unsigned int i = 0, rest = c; i < mo->nr; i++, rest /= 4) {
			assert_int_equal(t->status[i], want[rest % 4]);
			assert_int_equal(mo->node[i], rest % 4 ? 1 : 0);
		}
		free(t);
	}
}

static void test_node_full(void **state)
{
	struct model *mo = model_start(12);
	struct batch *t;

	for (size_t i = 0; i < mo->nr; i++)
		mo->node[i] = 1;
	mo->node[1] = 0;
	mo->nature[4] = N_NO_MEMORY;
	t = batch_new(1, 0, mo->nr, 0, -2);
	assert_int_equal(ht_migrate_move(*state, &t->b), 0);
	assert_int_equal(t->status[0], HT_OUT_MOVED);
	assert_int_equal(t->status[1], HT_OUT_ALREADY);
	/* Moved before memory ran out, in the very flush that failed. */
	assert_int_equal(t->status[2], HT_OUT_MOVED);
	assert_int_equal(t->status[3], HT_OUT_MOVED);
	for (size_t i = 4; i < mo->nr; i++)
		assert_int_equal(t->status[i], HT_OUT_ENOMEM);
	free(t);
}

/* The most pages of one call, of a batch of nr whose every page costs ns. */
static size_t longest(struct ht_migrate *m, size_t nr, unsigned int ns, bool huge)
{
	struct batch *t = batch_new(1, 0, nr, 0, 1);

	model->longest = 0;
	model->delay_ns = ns;
	t->b.huge = huge;
	assert_int_equal(ht_migrate_move(m, &t->b), 0);
	free(t);
	return model->longest;
}

/* Calls that take too long get shorter, to a floor; huge pages have a chunk size of their own. */
static void test_adapts(void **state)
{
	struct model *mo = model_start(64);

	for (size_t i = 0; i < mo->nr; i++)
		mo->node[i] = 0; /* answered at once by the model, but slowly */
	assert_int_equal(longest(*state, 400, 500000, false), 256);
	assert_int_equal(longest(*state, 300, 500000, false), 128);
	assert_int_equal(longest(*state, 300, 500000, false), 128);

	assert_int_equal(longest(*state, 8, 12000000, true), 4);
	assert_int_equal(longest(*state, 8, 12000000, true), 2);
	/* Quick again: both grow. */
	assert_true(longest(*state, 400, 0, true) >= 32);
	assert_true(longest(*state, 4096, 0, false) >= 512);
	/* Never more than there is room for, whatever they grow from. */
	assert_int_equal(longest(*state, 20000, 0, false), 8192);
	assert_int_equal(longest(*state, 5000, 5000, false), 5000);
	assert_int_equal(longest(*state, 20000, 0, false), 8192);
}

static void test_names(void **state)
{
	for (int o = 0; o < HT_OUT_NR; o++) {
		assert_non_null(ht_migrate_outcome_name(o));
		for (int p = 0; p < o; p++)
			assert_string_not_equal(ht_migrate_outcome_name(o),
						ht_migrate_outcome_name(p));
	}
	assert_string_equal(ht_migrate_outcome_name(HT_OUT_NR), "unknown");
	assert_string_equal(ht_migrate_outcome_name(-1), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_already, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gone, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unmapped, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_node, setup, teardown),
		cmocka_unit_test_setup_teardown(test_permission, setup, teardown),
		cmocka_unit_test_setup_teardown(test_giving_up, setup, teardown),
		cmocka_unit_test_setup_teardown(test_node_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_adapts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_names, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
