// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Processes that come and go, as build jobs, functions as a service or a preforking server: a
 * parent with much idle memory keeps a number of children running, each of which allocates a small
 * heap, works on a hot part of it for a while, checks it and exits. With --exec every second child
 * is a new program, so the same process number changes its whole address space. A tiering system
 * has to drop what it knew of dead processes, must not trip over processes that vanish while it
 * looks at them, and gains nothing from most of them, as they are gone before it has learned
 * anything.
 *
 * An op is a child. A child that finds its data wrong exits with 3, and so does the parent.
 */
#include <sys/wait.h>

#include "workload.h"

#define LINE 64

struct churn {
	struct wl w;
	uint64_t children, procs, heap_mib, work;
	bool exec;
	uint64_t child; /* number + 1 in a child that was started anew */
	char *idle;
	uint64_t started, done, bad, failed;
};

/* Allocates 1/4 to all of the heap size, works on a quarter of that, checks. Returns exit status.
 */
static int live(struct churn *c, uint64_t number)
{
	uint64_t rng = wl_seed(c->w.seed, number), lines, hot, bad = 0, sum = 0;
	char *heap;

	lines = (c->heap_mib * WL_MIB / 4 + wl_below(&rng, c->heap_mib * WL_MIB * 3 / 4)) / LINE;
	hot = lines / 4;
	heap = wl_alloc(&c->w, lines * LINE);
	for (uint64_t i = 0; i < lines; i++)
		*(uint64_t *)(heap + i * LINE) = wl_mix(i + number);
	for (uint64_t n = 0; n < c->work; n++)
		*(volatile uint64_t *)(heap + wl_below(&rng, hot) * LINE) += 1;
	for (uint64_t i = 0; i < lines; i++) {
		uint64_t count = *(uint64_t *)(heap + i * LINE) - wl_mix(i + number);

		bad += i < hot ? count > c->work : count != 0;
		sum += count;
	}
	return bad || sum != c->work ? WL_EXIT_DATA : 0;
}

static void child(struct churn *c, uint64_t number)
{
	int status;

	ht_marker(HT_MARK_JOIN, getpid(), 0);
	status = live(c, number);
	ht_marker(HT_MARK_LEAVE, 0, 0);
	_exit(status);
}

/* The options that matter to a child, once more, and its number. */
static void start_anew(const struct churn *c, uint64_t number)
{
	char seed[48], heap[48], work[48], nr[48];

	snprintf(seed, sizeof(seed), "--seed=%" PRIu64, c->w.seed);
	snprintf(heap, sizeof(heap), "--heap=%" PRIu64, c->heap_mib);
	snprintf(work, sizeof(work), "--work=%" PRIu64, c->work);
	snprintf(nr, sizeof(nr), "--child=%" PRIu64, number + 1);
	execl("/proc/self/exe", "churn", seed, heap, work, nr, NULL);
	_exit(127);
}

static void start_child(struct churn *c)
{
	pid_t pid = fork();

	if (pid < 0) {
		c->failed++;
		return;
	}
	if (!pid && c->exec && c->started % 2)
		start_anew(c, c->started);
	if (!pid)
		child(c, c->started);
	c->started++;
}

static void reap(struct churn *c)
{
	int status;

	if (wait(&status) < 0)
		return;
	c->done++;
	if (WIFEXITED(status) && WEXITSTATUS(status) == WL_EXIT_DATA)
		c->bad++;
	else if (!WIFEXITED(status) || WEXITSTATUS(status))
		c->failed++;
}

static void run(struct churn *c)
{
	bool more = true;

	wl_start(&c->w);
	while (more && (c->w.seconds || c->started < c->children) && c->failed < 100) {
		while (c->started - c->done < c->procs &&
		       (c->w.seconds || c->started < c->children) && c->failed < 100)
			start_child(c);
		reap(c);
		more = wl_tick(&c->w, c->done);
	}
	while (c->done < c->started)
		reap(c);
	wl_stop(&c->w, c->done);
	wl_extra(&c->w, "\"children_failed\":%" PRIu64 ",", c->failed);
}

static const struct opt options[] = {
	OPT_NUMBER(struct churn, children, "children", 'n', "N", 1, 1e12, "children in all (200)"),
	OPT_NUMBER(struct churn, procs, "procs", 0, "N", 1, 128, "children at a time (4)"),
	OPT_NUMBER(struct churn, heap_mib, "heap", 0, "MIB", 1, 4096,
		   "largest heap of a child (16)"),
	OPT_NUMBER(struct churn, work, "work", 0, "N", 1, 1e12, "updates a child makes (200000)"),
	OPT_SETS(struct churn, exec, "exec", true, "every second child is a new program"),
	{ .name = "child",
	  .arg = "N",
	  .flags = OPTION_HIDDEN,
	  OPT_OF(struct churn, child),
	  .max = 1e12 },
	{}
};

static const char doc[] = "Short-lived processes beside idle memory of --size.";

int main(int argc, char **argv)
{
	static struct churn c = { .w = { .name = "churn", .size_mib = 450 },
				  .children = 200,
				  .procs = 4,
				  .heap_mib = 16,
				  .work = 200000 };
	uint64_t bytes, bad = 0;

	wl_parse(&c.w, argc, argv, options, &c, doc);
	if (c.child)
		child(&c, c.child - 1);
	bytes = c.w.size_mib * WL_MIB;
	c.idle = wl_alloc(&c.w, bytes);
	for (uint64_t i = 0; i < bytes; i += LINE)
		*(uint64_t *)(c.idle + i) = wl_mix(i);
	wl_placement(&c.w, "idle", wl_fast_range(&c.w, c.idle, bytes));
	run(&c);
	for (uint64_t i = 0; i < bytes; i += LINE)
		bad += *(uint64_t *)(c.idle + i) != wl_mix(i);
	if (bad || c.bad || c.failed)
		fprintf(stderr,
			"churn: %" PRIu64 " wrong lines, %" PRIu64 " children with wrong data, "
			"%" PRIu64 " failed\n",
			bad, c.bad, c.failed);
	if (!bad && !c.bad && c.failed) {
		wl_finish(&c.w, true);
		return 1;
	}
	return wl_finish(&c.w, !bad && !c.bad);
}
