// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Real pages of a real child, as far as one node goes: they are taken for pages of the slow tier,
 * and the kernel's answer to a move to where they are is that they are there. Order and failures of
 * moves need two nodes: there the answers are made up.
 */
#include "test_util.h"

#include <fcntl.h>
#include <numaif.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "fs.h"
#include "mover.h"

#define TILES 24
#define T HT_TILE_PAGES
#define FAST_NODE 0 /* the node there is */
#define SLOW_NODE 7

/* ---- made-up answers ---- */

struct call {
	int node, first, nr;
};

static struct model {
	bool on;
	int error;	    /* of every page, 0 = it moves */
	unsigned int every; /* of each so many pages one fails, 0 = all do */
	struct call call[256];
	size_t nr;
	uintptr_t base;
} model;

long move_pages(int pid, unsigned long count, void **pages, const int *nodes, int *status,
		int flags)
{
	if (!model.on)
		return syscall(SYS_move_pages, pid, count, pages, nodes, status, flags);
	if (!nodes || model.nr == 256)
		abort();
	for (unsigned long i = 0; i < count; i++)
		status[i] =
			model.error && !(model.every && i % model.every) ? model.error : nodes[i];
	model.call[model.nr++] =
		(struct call){ .node = nodes[0],
			       .first = ((uintptr_t)pages[0] - model.base) / HT_TILE_SIZE,
			       .nr = count };
	return 0;
}

/* The kernel helper, made up as well: a device that gives each pair the status asked for. */
static struct helper {
	bool on;
	uint32_t status[8]; /* of the n-th pair, again and again */
	struct ht_xchg_pair pair[4096];
	uint8_t huge[4096];
	uint32_t span[4096]; /* pages of the move the policy is shown */
	size_t nr, calls;
} helper;

int open(const char *path, int flags, ...)
{
	va_list ap;
	int mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? va_arg(ap, int) : 0;
	va_end(ap);
	if (helper.on && !strcmp(path, HT_XCHG_DEVICE))
		path = "/dev/null";
	return syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

static int helper_exchange(struct ht_xchg *x)
{
	struct ht_xchg_pair *p = (void *)(uintptr_t)x->pairs;
	const struct ht_move *move = (void *)(uintptr_t)x->moves;

	if (x->nr > (x->huge ? HT_XCHG_MAX_HUGE : HT_XCHG_MAX) || helper.nr + x->nr > 4096)
		abort();
	x->done = 0;
	helper.calls++;
	for (uint32_t i = 0; i < x->nr; i++) {
		p[i].status = helper.status[helper.nr % 8];
		helper.span[helper.nr] = move[p[i].move].pages;
		helper.huge[helper.nr] = x->huge;
		helper.pair[helper.nr++] = p[i];
		x->done += p[i].status == HT_XCHG_DONE;
	}
	return 0;
}

int ioctl(int fd, unsigned long request, ...)
{
	struct ht_xchg_info *info;
	va_list ap;
	void *arg;

	va_start(ap, request);
	arg = va_arg(ap, void *);
	va_end(ap);
	if (helper.on && request == HT_XCHG_IOC_EXCHANGE)
		return helper_exchange(arg);
	if (!helper.on || request != HT_XCHG_IOC_INFO)
		return syscall(SYS_ioctl, fd, request, arg);
	info = arg;
	info->flags = HT_XCHG_F_EXCHANGE;
	return 0;
}

/* ---- the child whose memory it is ---- */

struct child {
	pid_t pid;
	int to, from; /* pipes */
	char *mem;    /* TILES tiles, at the same address in both processes */
};

/* Commands: 't' touch tile n, 'g' give it back. */
static void serve(int in, int out, char *mem)
{
	unsigned char cmd[2], ok = 1;

	while (read(in, cmd, 2) == 2) {
		char *p = mem + cmd[1] * HT_TILE_SIZE;

		if (cmd[0] == 't')
			memset(p, 1, HT_TILE_SIZE);
		else
			madvise(p, HT_TILE_SIZE, MADV_DONTNEED);
		if (write(out, &ok, 1) != 1)
			break;
	}
	_exit(0);
}

static void child_do(struct child *c, char what, unsigned char tile)
{
	const unsigned char cmd[2] = { what, tile };
	unsigned char ok;

	assert_int_equal(write(c->to, cmd, 2), 2);
	assert_int_equal(read(c->from, &ok, 1), 1);
}

static void child_start(struct child *c, bool huge)
{
	size_t len = (TILES + 1) * HT_TILE_SIZE;
	int to[2], from[2];

	c->mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(c->mem, MAP_FAILED);
	c->mem = (char *)(((uintptr_t)c->mem + HT_TILE_SIZE - 1) & ~(HT_TILE_SIZE - 1));
	madvise(c->mem, TILES * HT_TILE_SIZE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	assert_int_equal(pipe(to) | pipe(from), 0);
	c->pid = fork();
	if (!c->pid) {
		close(to[1]);
		close(from[0]);
		serve(to[0], from[1], c->mem);
	}
	close(to[0]);
	close(from[1]);
	c->to = to[1];
	c->from = from[0];
}

static void child_stop(struct child *c)
{
	if (c->pid)
		kill(c->pid, SIGKILL);
	if (c->pid)
		waitpid(c->pid, NULL, 0);
	close(c->to);
	close(c->from);
	munmap(c->mem, TILES * HT_TILE_SIZE);
}

/* ---- the rest of the loader ---- */

struct fix {
	struct child child;
	struct tu_map m;
	struct ht_space s, *space[1];
	struct ht_tiers tiers;
	struct ht_mover mover;
	struct ht_plan plan;
	struct ht_mover_env env;
	struct ht_roots roots;
	char dir[64];
};

static struct fix *start_with(size_t tiles, bool huge, bool simulated)
{
	struct fix *f = tu_zalloc(1, sizeof(*f));

	memset(&model, 0, sizeof(model));
	child_start(&f->child, huge);
	model.base = (uintptr_t)f->child.mem;
	for (size_t i = 0; i < tiles && !simulated; i++)
		child_do(&f->child, 't', i);
	fs_tmpdir(f->dir);
	fs_put(f->dir, "devices/system/node/node0/meminfo", "Node 0 MemFree: 1000000 kB\n");
	fs_put(f->dir, "devices/system/node/node7/meminfo", "Node 7 MemFree: 1000000 kB\n");
	f->roots = (struct ht_roots){ .sys = f->dir, .proc = "/proc" };
	f->tiers.nr_nodes = 1;
	f->tiers.node[0] = (struct ht_node){ .id = 0, .tier = 1, .has_cpu = true };
	f->tiers.nr_tiers = 2;
	f->tiers.tier[0].nr_nodes = f->tiers.tier[1].nr_nodes = 1;
	f->tiers.tier[0].node[0] = FAST_NODE;
	f->tiers.tier[1].node[0] = SLOW_NODE;
	tu_map_open(&f->m, 64);
	ht_space_init(&f->s, f->child.pid);
	f->space[0] = &f->s;
	tu_add_spots(&f->s, (uintptr_t)f->child.mem, tiles, 1);
	assert_int_equal(ht_mover_init(&f->mover, simulated), 0);
	f->plan.item = tu_zalloc(1000, sizeof(*f->plan.item));
	f->env = (struct ht_mover_env){ .space = f->space,
					.hm = &f->m.hm,
					.tiers = &f->tiers,
					.roots = &f->roots,
					.epoch = 10,
					.room = { INT64_MAX / 4, INT64_MAX / 4, INT64_MAX / 4,
						  INT64_MAX / 4 },
					.deadline_ns = UINT64_MAX };
	if (!simulated)
		assert_int_equal(ht_placement_open(&f->env.placement, &ht_host_roots, &f->tiers),
				 0);
	return f;
}

static struct fix *start(size_t tiles)
{
	return start_with(tiles, false, false);
}

/* All that is known is known: no question to the kernel in this epoch. */
static void known(struct fix *f)
{
	for (size_t i = 0; i < f->s.nr; i++)
		f->s.spot[i].queried = f->env.epoch;
}

static void finish(struct fix *f)
{
	child_stop(&f->child);
	ht_mover_free(&f->mover);
	ht_placement_close(f->env.placement);
	ht_space_free(&f->s);
	tu_map_close(&f->m);
	free(f->plan.item);
	fs_rmtree(f->dir);
	free(f);
}

static struct ht_plan_item *item(struct fix *f, uint32_t spot, uint32_t pages, int from, int to)
{
	struct ht_plan_item *it = &f->plan.item[f->plan.nr++];

	*it = (struct ht_plan_item){ .spot = spot,
				     .pages = pages,
				     .serves = -1,
				     .levels = HT_ALL_LEVELS,
				     .from = from,
				     .to = to,
				     .admitted = true };
	return it;
}

static void run(struct fix *f)
{
	assert_int_equal(ht_mover_run(&f->mover, &f->plan, &f->env), 0);
}

/* ---- with real pages ---- */

static void test_dry_run(void **state)
{
	struct fix *f = start(4);

	item(f, 0, T, 1, 0);
	item(f, 1, 100, 1, 0);
	item(f, 2, T, 1, 0)->admitted = false;
	item(f, 3, 50, 1, 2);
	f->env.dry_run = true;
	run(f);
	assert_int_equal(f->mover.stats.would_promote, T + 100);
	assert_int_equal(f->mover.stats.would_demote, 50);
	assert_int_equal(f->mover.stats.promoted + f->mover.stats.demoted, 0);
	assert_int_equal(f->mover.stats.failed + f->mover.stats.stale, 0);
	assert_int_equal(f->s.in_tier[0], 0);
	assert_int_equal(ht_migrate_stats(f->mover.migrate)->calls, 0);
	finish(f);
}

static void test_promote(void **state)
{
	struct fix *f = start(8);
	double before = f->mover.page_ns;

	for (int i = 0; i < 7; i++)
		item(f, i, T, 1, 0);
	item(f, 7, 100, 1, 0);
	run(f);
	assert_int_equal(f->mover.stats.promoted, 7 * T + 100);
	assert_int_equal(f->mover.stats.demoted + f->mover.stats.failed, 0);
	assert_int_equal(f->s.in_tier[0], 7 * T + 100);
	assert_int_equal(f->s.in_tier[1], T - 100);
	for (int i = 0; i < 8; i++) {
		assert_int_equal(f->s.spot[i].moved, 10);
		assert_int_equal(f->s.spot[i].moved_to, 0);
	}
	/* The cost of a page was measured. */
	assert_true(f->mover.page_ns != before && f->mover.page_ns > 0);
	/* They may not go back at once (but for a few the ledger forgot): they are not missing. */
	f->plan.nr = 0;
	item(f, 0, T, 0, 1);
	f->env.dry_run = true;
	run(f);
	assert_in_range(f->mover.ledger.held, T * 9 / 10, T);
	assert_int_equal(f->mover.stats.would_demote + f->mover.ledger.held, T);
	assert_int_equal(f->mover.stats.stale, 0);
	finish(f);
}

/* A process that has the number and addresses of one before it inherits none of its holds. */
static void test_number_used_again(void **state)
{
	struct fix *f = start(1);

	item(f, 0, T, 1, 0);
	run(f);
	assert_int_equal(f->mover.stats.promoted, T);
	f->s.life++;
	f->plan.nr = 0;
	item(f, 0, T, 0, 1);
	f->env.dry_run = true;
	run(f);
	assert_int_equal(f->mover.ledger.held, 0);
	assert_int_equal(f->mover.stats.would_demote, T);
	finish(f);
}

/* Between plan and move pages go, or turn out to be elsewhere. */
static void test_stale(void **state)
{
	struct fix *f = start(4);

	item(f, 0, T, 1, 0);
	item(f, 1, T, 1, 0);
	item(f, 2, T, 0, 1); /* it never was in the fast tier */
	child_do(&f->child, 'g', 1);
	run(f);
	assert_int_equal(f->mover.stats.promoted, T);
	assert_int_equal(f->mover.stats.demoted, 0);
	assert_int_equal(f->mover.stats.stale, 2 * T);
	assert_int_equal(f->mover.stats.failed, 0);
	assert_int_equal(ht_spot_pages(&f->s.spot[1]), 0);
	assert_int_equal(f->s.in_tier[1], 2 * T);
	finish(f);
}

static void test_process_gone(void **state)
{
	struct fix *f = start(4);

	for (int i = 0; i < 4; i++)
		item(f, i, T, 1, 0);
	kill(f->child.pid, SIGKILL);
	waitpid(f->child.pid, NULL, 0);
	f->child.pid = 0;
	run(f);
	assert_int_equal(f->s.error, -ESRCH);
	assert_int_equal(f->mover.stats.promoted, 0);
	run(f);
	finish(f);
	/* It goes between the look and the move. */
	f = start(4);
	for (int i = 0; i < 4; i++)
		item(f, i, T, 1, 0);
	known(f);
	kill(f->child.pid, SIGKILL);
	waitpid(f->child.pid, NULL, 0);
	f->child.pid = 0;
	run(f);
	assert_int_equal(f->s.error, -ESRCH);
	assert_int_equal(f->mover.stats.promoted, 0);
	assert_int_equal(f->mover.stats.failed, 4 * T);
	finish(f);
}

static void test_huge_page(void **state)
{
	struct fix *f = start_with(2, true, false);

	assert_int_equal(ht_space_query(&f->s, &f->s.spot[0], f->env.placement, &f->tiers, 9), 0);
	if (!(f->s.spot[0].flags & HT_SPOT_THP)) {
		print_message("no huge page to be had, or no way to tell\n");
		finish(f);
		skip();
	}
	item(f, 0, T, 1, 0);
	run(f);
	assert_int_equal(f->mover.stats.promoted, T);
	assert_int_equal(f->s.spot[0].in_tier[0], T);
	assert_int_equal(f->s.in_tier[0], T);
	assert_int_equal(ht_migrate_stats(f->mover.migrate)->huge_moved, 1);
	/* It is held whole, and where it is not, that is 512 pages not there. */
	f->plan.nr = 0;
	item(f, 0, T, 0, 1);
	item(f, 1, T, 0, 1);
	run(f);
	assert_int_equal(f->mover.stats.demoted, 0);
	assert_int_equal(f->mover.stats.stale, T);
	/* Planned for by page, and put together since: it does not move for a few of them. */
	f->plan.nr = 0;
	item(f, 1, 100, 1, 0);
	run(f);
	assert_int_equal(f->mover.stats.promoted, T);
	assert_int_equal(f->mover.stats.stale, T + 100);
	finish(f);
}

/* ---- order and failures ---- */

static void test_demotions_come_first(void **state)
{
	struct fix *f = start(TILES);
	int64_t gain = 0, dip = 0, spare = 0;

	model.on = true;
	known(f);
	for (int i = 0; i < TILES; i += 2) {
		ht_space_moved(&f->s, &f->s.spot[i], 0, T, 0);
		item(f, i, T, 0, 1)->serves = f->plan.nr + 1;
		item(f, i + 1, T, 1, 0);
	}
	run(f);
	assert_int_equal(f->mover.stats.promoted, TILES / 2 * T);
	assert_int_equal(f->mover.stats.demoted, TILES / 2 * T);
	for (size_t i = 0; i < model.nr; i++) {
		/* Free memory of the fast tier: never less than before, nor much more. */
		gain += model.call[i].node == SLOW_NODE ? model.call[i].nr : -model.call[i].nr;
		dip = gain < dip ? gain : dip;
		spare = gain > spare ? gain : spare;
	}
	assert_int_equal(gain, 0);
	assert_int_equal(dip, 0);
	assert_in_range(spare, T, 8 * T);
	for (int i = 0; i < TILES; i++)
		assert_int_equal(f->s.spot[i].in_tier[i & 1 ? 0 : 1], T);
	finish(f);
}

/* A plan that takes longer than it may is cut short. */
static void test_deadline(void **state)
{
	struct fix *f = start(TILES);
	struct timespec ts;

	for (int up = 0; up < 2; up++) {
		f->plan.nr = 0;
		for (int i = 0; i < TILES; i++)
			item(f, i, T, 1, up ? 0 : 2);
		clock_gettime(CLOCK_MONOTONIC, &ts);
		f->env.deadline_ns = ts.tv_sec * 1000000000ULL + ts.tv_nsec - 1;
		f->env.dry_run = true;
		run(f);
	}
	/* A batch that was begun may end. */
	assert_true(f->mover.stats.would_promote <= 8 * T);
	assert_true(f->mover.stats.would_demote <= 8 * T);
	finish(f);
}

/* What nobody may move is left alone, longer each time, but not for ever. */
static void test_back_off(void **state)
{
	static const int error[] = { -EACCES, -EFAULT };

	for (int e = 0; e < 2; e++) {
		struct fix *f = start(2);
		uint32_t wait, last = 0;

		model.on = true;
		model.error = error[e];
		for (int i = 0; i < 20; i++) {
			f->plan.nr = 0;
			item(f, 0, T, 1, 0);
			known(f);
			run(f);
			assert_int_equal(f->mover.stats.failed, (i + 1) * T);
			assert_true(f->s.spot[0].hold > f->env.epoch);
			wait = f->s.spot[0].hold - f->env.epoch;
			assert_true(wait >= last && wait <= 10000);
			if (i < 5)
				assert_true(wait > last);
			last = wait;
			f->env.epoch += wait;
		}
		assert_int_equal(f->s.spot[1].hold, 0);
		/* It did move: all is forgotten. */
		model.error = 0;
		known(f);
		run(f);
		assert_int_equal(f->mover.stats.promoted, T);
		assert_int_equal(f->s.spot[0].holds, 0);
		finish(f);
	}
}

/* A page that is busy will not be for long. */
static void test_busy(void **state)
{
	struct fix *f = start(2);

	model.on = true;
	model.error = -EBUSY;
	item(f, 0, 100, 1, 0);
	known(f);
	run(f);
	assert_int_equal(f->mover.stats.failed, 100);
	assert_int_equal(f->mover.stats.promoted, 0);
	assert_int_equal(f->s.spot[0].hold, 0);
	assert_int_equal(f->s.in_tier[0], 0);
	/* Not believed any more: asked again before the next try. */
	assert_int_equal(f->s.spot[0].queried, 0);
	assert_int_equal(f->mover.ledger.held, 0);
	finish(f);
}

/* One that stays busy is pinned: two tries, then longer and longer pauses. */
static void test_pinned(void **state)
{
	struct fix *f = start(3);
	uint32_t wait = 0, last = 0, tries = 0, epoch;

	model.on = true;
	model.error = -EBUSY;
	for (epoch = f->env.epoch; f->env.epoch < epoch + 1000; f->env.epoch++) {
		if (f->s.spot[0].hold > f->env.epoch)
			continue;
		f->plan.nr = 0;
		item(f, 0, 100, 1, 0);
		known(f);
		run(f);
		tries++;
		wait = f->s.spot[0].hold > f->env.epoch ? f->s.spot[0].hold - f->env.epoch : 0;
		assert_int_equal(wait > 0, tries > 1);
		assert_true(wait >= last);
		last = wait;
	}
	assert_in_range(tries, 3, 10);
	assert_int_equal(f->mover.stats.failed, tries * 100);
	assert_int_equal(f->s.spot[1].hold, 0);
	/* Not pinned any more: all is forgotten. */
	model.error = 0;
	known(f);
	run(f);
	assert_int_equal(f->mover.stats.promoted, 100);
	assert_int_equal(f->s.spot[0].holds, 0);
	finish(f);
}

/* Of a tile some pages move: those that were busy are tried again. */
static void test_partly_busy(void **state)
{
	struct fix *f = start(2);

	model.on = true;
	model.error = -EBUSY;
	model.every = 10;
	for (int i = 0; i < 5; i++) {
		item(f, 0, 100, 1, 0);
		known(f);
		run(f);
		f->plan.nr = 0;
		f->env.epoch++;
		assert_int_equal(f->s.spot[0].hold, 0);
	}
	assert_int_equal(f->mover.stats.failed, 5 * 10);
	assert_int_equal(f->mover.stats.promoted, 5 * 90);
	finish(f);
}

/* Without a node to go to nothing happens, and nothing is lost. */
static void test_no_destination(void **state)
{
	struct fix *f = start(2);

	item(f, 0, T, 1, 0);
	f->roots.sys = "/nonexistent";
	run(f);
	assert_int_equal(f->mover.stats.promoted, 0);
	f->roots.sys = f->dir;
	run(f);
	assert_int_equal(f->mover.stats.promoted, T);
	finish(f);
}

/* Pages of a page count only, and no more than asked for. */
static void test_strata(void **state)
{
	struct fix *f = start(1);
	struct ht_tile *t;
	uint32_t fast = 0;

	t = &f->m.mem.tile[tu_sample(&f->m, f->s.tgid, f->s.spot[0].va)];
	memset(t->touched, 0, sizeof(t->touched));
	tu_give_detail(&f->m, t);
	for (unsigned int p = 3; p < T; p += 5)
		for (int n = 0; n < 6; n++)
			tu_sample(&f->m, f->s.tgid, f->s.spot[0].va + p * TU_PAGE);
	assert_int_equal(ht_heatmap_collect(&f->m.hm), 0);
	ht_space_join(&f->s, &f->m.hm);
	item(f, 0, 20, 1, 0)->levels = 1 << 6;
	run(f);
	assert_int_equal(f->mover.stats.promoted, 20);
	f->plan.nr = 0;
	f->env.epoch++;
	known(f);
	item(f, 0, T, 1, 0)->levels = 1 << 6;
	run(f);
	for (unsigned int p = 0; p < T; p++) {
		assert_int_equal(ht_spot_tier(&f->s.spot[0], p), p % 5 == 3 ? 0 : 1);
		fast += p % 5 == 3;
	}
	assert_int_equal(f->mover.stats.promoted, fast);
	finish(f);
}

static void test_simulated(void **state)
{
	struct fix *f = start_with(6, false, true);

	assert_null(f->mover.migrate);
	for (int i = 0; i < 6; i++)
		item(f, i, i ? T : 10, 1, 0);
	run(f);
	assert_int_equal(f->mover.stats.promoted, 5 * T + 10);
	assert_int_equal(f->s.in_tier[0], 5 * T + 10);
	finish(f);
}

/* What goes up is bounded by what is free and what goes down, not by what was planned. */
static void test_room(void **state)
{
	struct fix *f = start_with(4, false, true);

	f->env.room[0] = 100;
	item(f, 0, T, 1, 0);
	run(f);
	assert_int_equal(f->mover.stats.promoted, 100);
	finish(f);

	/* An exchange whose demotion is held back by the ledger: the reserve is not eaten. */
	f = start_with(4, false, true);
	f->env.room[0] = T;
	item(f, 0, T, 1, 0);
	run(f);
	assert_int_equal(f->mover.stats.promoted, T);
	f->plan.nr = 0;
	f->env.room[0] = 0;
	f->env.epoch++;
	item(f, 0, T, 0, 1);
	item(f, 1, T, 1, 0);
	run(f);
	/* All but a few: the ledger forgets a page whose entry another took. */
	assert_true(f->mover.stats.demoted < T / 16);
	assert_int_equal(f->mover.stats.promoted, T + f->mover.stats.demoted);
	assert_int_equal(f->s.in_tier[0], T);
	finish(f);
}

/* A promotion that the ledger holds back: what was to make room for it stays as well. */
static void test_victims_of_held(void **state)
{
	struct fix *f = start_with(4, false, true);
	uint64_t promoted, demoted;

	item(f, 0, T, 1, 0);
	item(f, 1, T, 1, 0);
	item(f, 3, T, 1, 0);
	run(f);
	f->plan.nr = 0;
	f->env.epoch += 100;
	item(f, 0, T, 0, 1);
	run(f);
	promoted = f->mover.stats.promoted;
	demoted = f->mover.stats.demoted;
	assert_int_equal(promoted, 3 * T);
	assert_int_equal(demoted, T);

	f->plan.nr = 0;
	f->env.epoch++;
	f->env.room[0] = 0;
	item(f, 1, T, 0, 1)->serves = 1;
	item(f, 0, T, 1, 0);
	/* The ledger says nothing of these. */
	item(f, 3, T, 0, 1)->serves = 3;
	item(f, 2, T, 1, 0);
	run(f);
	/* All but a few: the ledger forgets a page whose entry another took. */
	assert_in_range(f->s.spot[1].in_tier[0], T - T / 16, T);
	assert_int_equal(f->s.spot[2].in_tier[0], T);
	assert_int_equal(f->s.spot[3].in_tier[0], 0);
	assert_int_equal(f->mover.stats.promoted - promoted, f->mover.stats.demoted - demoted);
	/* Where room is asked for, because memory ran low, it is made. */
	f->plan.nr = 0;
	f->env.room[0] = -T;
	item(f, 1, T, 0, 1)->serves = 1;
	item(f, 0, T, 1, 0);
	run(f);
	assert_in_range(f->s.spot[1].in_tier[0], 0, T / 16);
	finish(f);
}

/* ---- pairs ---- */

static struct fix *start_pairs(size_t tiles)
{
	struct fix *f;

	memset(&helper, 0, sizeof(helper));
	helper.on = true;
	f = start(tiles);
	model.on = true;
	known(f);
	return f;
}

static void finish_pairs(struct fix *f)
{
	finish(f);
	helper.on = false;
}

/* As many go down as up, and two more tiles' worth up: those have no partner. */
static void test_pairs(void **state)
{
	struct ht_move view[8] = {};
	struct fix *f = start_pairs(4);

	ht_space_moved(&f->s, &f->s.spot[0], 0, T, 0);
	item(f, 0, 100, 0, 1);
	item(f, 1, 100, 1, 0);
	item(f, 2, 70, 1, 0);
	for (int i = 0; i < 3; i++)
		view[i].pages = 1000 + i;
	f->env.move = view;
	run(f);
	assert_int_equal(helper.nr, 100);
	assert_int_equal(helper.calls, 1);
	for (size_t i = 0; i < helper.nr; i++) {
		/* The hot page of each is of the promotion, the cold one of the demotion. */
		assert_in_range(helper.pair[i].hot, f->s.spot[1].va,
				f->s.spot[1].va + HT_TILE_SIZE - 1);
		assert_in_range(helper.pair[i].cold, f->s.spot[0].va,
				f->s.spot[0].va + HT_TILE_SIZE - 1);
		assert_int_equal(helper.pair[i].hot_pid, f->child.pid);
		assert_int_equal(helper.span[i], 1001);
		assert_int_equal(helper.huge[i], 0);
		for (size_t j = 0; j < i; j++)
			assert_true(helper.pair[i].hot != helper.pair[j].hot &&
				    helper.pair[i].cold != helper.pair[j].cold);
	}
	/* The rest went alone. */
	assert_int_equal(model.nr, 1);
	assert_int_equal(model.call[0].node, FAST_NODE);
	assert_int_equal(model.call[0].nr, 70);
	assert_int_equal(f->mover.stats.promoted, 170);
	assert_int_equal(f->mover.stats.demoted, 100);
	assert_int_equal(f->mover.stats.failed, 0);
	assert_int_equal(f->s.in_tier[0], T + 70);
	finish_pairs(f);
}

/* What could not be exchanged goes by move_pages, but not what the policy refused. */
static void test_pairs_that_fail(void **state)
{
	struct fix *f = start_pairs(2);

	helper.status[1] = HT_XCHG_BUSY;
	helper.status[2] = HT_XCHG_REFUSED;
	helper.status[3] = HT_XCHG_SHARED;
	ht_space_moved(&f->s, &f->s.spot[0], 0, T, 0);
	item(f, 0, 80, 0, 1);
	item(f, 1, 80, 1, 0);
	run(f);
	/* No pair is tried twice. */
	assert_int_equal(helper.nr, 80);
	assert_int_equal(model.nr, 2);
	assert_int_equal(model.call[0].node, SLOW_NODE);
	assert_int_equal(model.call[0].nr, 20);
	assert_int_equal(model.call[1].node, FAST_NODE);
	assert_int_equal(model.call[1].nr, 20);
	assert_int_equal(f->mover.stats.promoted, 70);
	assert_int_equal(f->mover.stats.demoted, 70);
	assert_int_equal(f->mover.stats.failed, 20);
	assert_int_equal(f->s.in_tier[0], T);
	finish_pairs(f);
}

/* Only what changes places between the same two tiers is a pair. */
static void test_pairs_of_tiers(void **state)
{
	struct fix *f = start_pairs(3);

	f->tiers.nr_tiers = 3;
	f->tiers.tier[2] = f->tiers.tier[1];
	ht_space_moved(&f->s, &f->s.spot[0], 0, T, 0);
	item(f, 0, 50, 0, 2);
	item(f, 1, 50, 1, 0);
	run(f);
	assert_int_equal(helper.nr, 0);
	assert_int_equal(model.nr, 2);
	assert_int_equal(f->mover.stats.promoted, 50);
	assert_int_equal(f->mover.stats.demoted, 50);
	finish_pairs(f);
}

/* Huge pages pair with huge pages. */
static void test_pairs_huge(void **state)
{
	struct fix *f = start_pairs(4);

	for (int i = 0; i < 3; i++)
		f->s.spot[i].flags |= HT_SPOT_THP;
	ht_space_moved(&f->s, &f->s.spot[0], 0, T, 0);
	ht_space_moved(&f->s, &f->s.spot[3], 0, T, 0);
	item(f, 3, T, 0, 1);
	item(f, 0, T, 0, 1);
	item(f, 1, T, 1, 0);
	item(f, 2, T, 1, 0);
	run(f);
	assert_int_equal(helper.nr, 1);
	assert_int_equal(helper.huge[0], 1);
	assert_int_equal(helper.pair[0].hot, f->s.spot[1].va);
	assert_int_equal(helper.pair[0].cold, f->s.spot[0].va);
	/* The other demotion, and its promotion, by move_pages, in that order. */
	assert_int_equal(model.call[0].node, SLOW_NODE);
	assert_int_equal(model.call[0].first, 3);
	assert_int_equal(model.call[model.nr - 1].node, FAST_NODE);
	assert_int_equal(model.call[model.nr - 1].first, 2);
	assert_int_equal(f->mover.stats.promoted, 2 * T);
	assert_int_equal(f->mover.stats.demoted, 2 * T);
	finish_pairs(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_dry_run),
		cmocka_unit_test(test_promote),
		cmocka_unit_test(test_number_used_again),
		cmocka_unit_test(test_stale),
		cmocka_unit_test(test_process_gone),
		cmocka_unit_test(test_huge_page),
		cmocka_unit_test(test_demotions_come_first),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_back_off),
		cmocka_unit_test(test_busy),
		cmocka_unit_test(test_pinned),
		cmocka_unit_test(test_partly_busy),
		cmocka_unit_test(test_no_destination),
		cmocka_unit_test(test_strata),
		cmocka_unit_test(test_simulated),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_victims_of_held),
		cmocka_unit_test(test_pairs),
		cmocka_unit_test(test_pairs_that_fail),
		cmocka_unit_test(test_pairs_of_tiers),
		cmocka_unit_test(test_pairs_huge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
