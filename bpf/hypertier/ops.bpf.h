/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The ops table of a policy and the defaults of ops it leaves out. The table is a static const
 * defined once per object (HYPERTIER_OPS_DEFINE, at the end of the policy's source); the programs
 * above it call through it, and clang -O2 folds these calls to direct or inlined ones.
 */
#ifndef HYPERTIER_OPS_BPF_H
#define HYPERTIER_OPS_BPF_H

#include <hypertier/ops.h>

struct hypertier_ops {
	/* Weight of a sample, 0 = ignore. Runs for each sample, in NMI context at worst. */
	__u32 (*sample)(const struct ht_sample *s);
	/* A tile's heat after so many aging ticks without a look at it; at least 1 tick. */
	__u32 (*age)(__u32 heat, __u32 ticks);
	/* Score of a range: higher goes to the faster tier. */
	__u64 (*rank)(const struct ht_range *r);
	/* 0 refuses a planned move. */
	__u32 (*admit)(const struct ht_move *m);
	/* Once per epoch, before ranking. */
	void (*tick)(const struct ht_tick *t);
	/* Before the first sample; non-zero keeps the policy out. */
	int (*init)(const struct ht_init *i);
	/* The last call a policy gets. */
	void (*exit)(const struct ht_exit *e);
};

/* Tentative here, defined by HYPERTIER_OPS_DEFINE. */
static const struct hypertier_ops ht_ops;

/* Default: the source's own weight. */
static __always_inline __u32 ht_ops_sample(const struct ht_sample *s)
{
	return ht_ops.sample ? ht_ops.sample(s) : s->weight;
}

/* Default: half-life of one tick. */
static __always_inline __u32 ht_ops_age(__u32 total, __u32 ticks)
{
	if (ht_ops.age)
		return ht_ops.age(total, ticks);
	return ticks < 32 ? total >> ticks : 0;
}

/* Default: heat per page. */
static __always_inline __u64 ht_ops_rank(const struct ht_range *r)
{
	return ht_ops.rank ? ht_ops.rank(r) : r->density;
}

/* Default: admit what the planner found worth its cost. */
static __always_inline __u32 ht_ops_admit(const struct ht_move *m)
{
	return ht_ops.admit ? ht_ops.admit(m) : 1;
}

static __always_inline __u32 ht_ops_present(void)
{
	return (ht_ops.sample ? HT_OP_SAMPLE : 0) | (ht_ops.age ? HT_OP_AGE : 0) |
	       (ht_ops.rank ? HT_OP_RANK : 0) | (ht_ops.admit ? HT_OP_ADMIT : 0) |
	       (ht_ops.tick ? HT_OP_TICK : 0) | (ht_ops.init ? HT_OP_INIT : 0) |
	       (ht_ops.exit ? HT_OP_EXIT : 0);
}

/*
 * Defines the policy: HYPERTIER_OPS_DEFINE(name, .rank = my_rank, ...). name is at most 15
 * characters; every op is optional. HYPERTIER_POLICY_FLAGS may be defined before (ht_policy_flags).
 */
#ifndef HYPERTIER_POLICY_FLAGS
#define HYPERTIER_POLICY_FLAGS 0
#endif
#define HYPERTIER_OPS_DEFINE(policy, ...)                                                          \
	static const struct hypertier_ops ht_ops = { __VA_ARGS__ };                                \
	const volatile struct ht_policy_info policy##_info SEC(".rodata.policy") = {               \
		.magic = HT_ABI_MAGIC,                                                             \
		.abi = HT_ABI_OF(HT_ABI_VERSION, HT_ABI_MINOR),                                    \
		.flags = HYPERTIER_POLICY_FLAGS,                                                   \
		.name = #policy,                                                                   \
	};                                                                                         \
	_Static_assert(sizeof(#policy) <= HT_NAME_LEN, "policy name too long")

#endif
