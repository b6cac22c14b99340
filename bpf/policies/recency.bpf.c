// SPDX-License-Identifier: GPL-2.0
/*
 * recency: memory touched lately, and before that as well.
 *
 * Idea: time is cut into windows of a few epochs. What counts is how densely a range was touched
 * in this window and in the one before it, the lesser of the two: one touch proves nothing, a
 * second one in another window does. Ranges fall into generations by the power of two of that
 * density, and members of one generation never displace each other. Older windows are forgotten
 * altogether, so the policy follows a moving hot set without waiting for old heat to fade.
 *
 * Knobs: window, least.
 *
 * Wrong choice where samples are few: two windows hold fewer of them than the heat map's average,
 * and what is left out comes back as noise. Cyclic sweeps larger than the fast tier defeat it as
 * they defeat every LRU.
 *
 * Source: second chance as in Linux's active list and MGLRU's generations; TPP, Al Maruf et al.,
 * ASPLOS 2023 (a page is promoted on a hint fault only if it is on the active list already).
 */
#include <hypertier/policy.bpf.h>
#include <hypertier/math.bpf.h>

HYPERTIER_KNOB(window, 4, 1, 1000, "epochs of one window");
HYPERTIER_KNOB(least, 1, 0, 40, "generation below which memory counts as untouched");

struct touched {
	__u64 window; /* number of the window that now belongs to */
	__u64 now;    /* densities of the samples taken: in this window so far */
	__u64 before; /* in the one before */
	__u64 epoch;  /* of the last update */
};

struct range_id {
	__u64 start;
	__u32 tgid;
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, HT_RANGES_MAX);
	__type(key, struct range_id);
	__type(value, struct touched);
} history SEC(".maps");

__u64 epoch;

static void recency_tick(const struct ht_tick *t)
{
	epoch = t->epoch;
}

/* A range of a new shape has no history: it starts with the heat map's own average. */
static __u64 first_touch(const struct range_id *id, const struct ht_range *r, __u64 now)
{
	struct touched t = { .window = epoch / window.value, .now = now, .epoch = epoch };

	t.before = r->density < now ? r->density : now;
	bpf_map_update_elem(&history, id, &t, BPF_ANY);
	return t.before;
}

/* Density over the window that touched the range less, both as if they were of full length. */
static __u64 touched_twice(const struct ht_range *r, __u64 now)
{
	struct range_id id = { .start = r->start, .tgid = r->tgid };
	__u64 current = epoch / window.value, passed = epoch % window.value + 1, full;
	struct touched *t = bpf_map_lookup_elem(&history, &id);

	if (!t)
		return first_touch(&id, r, now);
	if (t->window != current) {
		t->before = t->window + 1 == current ? t->now : 0;
		t->now = 0;
		t->window = current;
	}
	if (t->epoch != epoch)
		t->now += now;
	t->epoch = epoch;
	full = ht_mul_div(t->now, window.value, passed);
	return full < t->before ? full : t->before;
}

static __u64 recency_rank(const struct ht_range *r)
{
	__u64 now = ht_density(r->recent, r->pages), twice;
	__u32 generation;

	/* Of a stratum it is known how often each page was touched, of a scan that it was once. */
	if (r->level < 2 || r->flags & HT_RANGE_STREAM)
		return 0;
	twice = r->level == HT_LEVEL_ALL ? touched_twice(r, now) : now * window.value;
	generation = twice ? ht_log2(twice) + 1 : 0;
	return generation >= least.value ? generation : 0;
}

HYPERTIER_OPS_DEFINE(recency, .rank = recency_rank, .tick = recency_tick);
