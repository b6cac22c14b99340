// SPDX-License-Identifier: GPL-2.0
/*
 * all: every op, each counting its calls and giving results that no default gives. For tests.
 */
#include <hypertier/policy.bpf.h>
#include "policy_all.h"

struct policy_all_calls calls;
struct policy_all_knobs knobs;

static __u32 all_sample(const struct ht_sample *s)
{
	calls.sample++;
	/* Weighs by latency; an access of 0xdead cycles is to be ignored. */
	return s->lat == 0xdead ? 0 : s->weight + s->lat;
}

/* A quarter is lost per tick; with keep set, nothing. */
static __u32 all_age(__u32 heat, __u32 ticks)
{
	__u32 i;

	calls.age++;
	for (i = 0; i < 8 && i < ticks && !knobs.keep; i++)
		heat -= heat / 4;
	return heat;
}

static __u64 all_rank(const struct ht_range *r)
{
	calls.rank++;
	return r->density * 3 + r->age;
}

static __u32 all_admit(const struct ht_move *m)
{
	calls.admit++;
	return m->pages & 1 ? 7 : 0;
}

static void all_tick(const struct ht_tick *t)
{
	calls.tick++;
	calls.tick_epoch = t->epoch;
}

static int all_init(const struct ht_init *i)
{
	calls.init++;
	calls.init_period = i->period;
	return knobs.init_result;
}

static void all_exit(const struct ht_exit *e)
{
	calls.exit++;
	calls.exit_kind = e->kind;
	calls.exit_reason0 = e->reason[0];
}

HYPERTIER_OPS_DEFINE(all, .sample = all_sample, .age = all_age, .rank = all_rank,
		     .admit = all_admit, .tick = all_tick, .init = all_init, .exit = all_exit);
