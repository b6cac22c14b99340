/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where a sample goes: every source's program ends in ht_sample(). It finds the tile of the
 * address, ages it if its tick is old, lets the policy weigh the sample, and counts it. Each sample
 * seen is either counted or dropped for a counted reason.
 */
#ifndef HYPERTIER_SAMPLER_BPF_H
#define HYPERTIER_SAMPLER_BPF_H

#include <hypertier/heat.bpf.h>
#include <hypertier/ops.bpf.h>

#define HT_USER_END (1ULL << 56) /* x86-64 with five page-table levels */

/*
 * Set by the loader before loading. While two policies are attached at once (a swap), the one whose
 * number is in control.generation counts; storing that word is the moment of the swap.
 */
const volatile __u32 ht_generation SEC(".rodata.gen") = 0;

/* Set by the loader before loading; while it is 0 the verifier takes the call of ht_record() out.
 */
const volatile __u32 ht_recording SEC(".rodata.record") = 0;

/*
 * Where the ring is full, or another context of this CPU is at it, the sample is counted but not
 * recorded: the loader knows how many were counted.
 */
static __noinline int ht_record(const struct ht_sample *s)
{
	struct ht_inject_rec r = {};

	if (!s)
		return 0;
	r.addr = s->addr;
	r.tgid = s->tgid;
	/* DAMON's samples have a weight, others may have a latency. */
	r.lat = s->source == HT_SRC_DAMON ? s->weight - 1 : s->lat;
	if (s->source != HT_SRC_DAMON && s->lat > 0xffff)
		r.lat = 0xffff;
	r.write = s->write != 0;
	r.node = s->node < 0xff ? s->node : 0xff;
	return bpf_ringbuf_output(&recording, &r, sizeof(r), BPF_RB_NO_WAKEUP);
}

static __always_inline bool ht_is_target(__u32 tgid)
{
	struct ht_target *target = bpf_map_lookup_elem(&targets, &tgid);

	return target && !(HT_READ_ONCE(target->flags) & HT_TARGET_EXITED);
}

/*
 * The way of a sample whose tile is not in the index: of a process that is no target, or the first
 * one of its tile. A sample the policy ignores makes no tile.
 */
static __always_inline struct ht_tile *ht_miss(__u64 key, __u32 *id, struct ht_cpu_stats *st)
{
	__u32 drop = ht_new_tile(key);

	/* The compiler may know what it can return, the verifier never does. */
	asm volatile("" : "+r"(drop));
	if (drop) {
		st->drop[drop < HT_DROP_NR ? drop : 0]++;
		return NULL;
	}
	return ht_tile_of_key(ht_find_slow(key), key, id);
}

static __always_inline void ht_sample_one(struct ht_ctl *c, struct ht_sample *s,
					  struct ht_cpu_stats *st)
{
	__u64 key = HT_KEY(s->tgid, s->addr);
	struct ht_tile *t;
	__u32 weight, id = 0;
	__u64 total;

	st->seen++;
	st->by_source[s->source & 7]++;
	if (ht_unlikely(!c->enabled)) {
		st->drop[HT_DROP_DISABLED]++;
		return;
	}
	if (ht_unlikely(s->addr - 1 >= HT_USER_END - 1)) {
		st->drop[s->addr ? HT_DROP_KERNEL_ADDR : HT_DROP_NO_ADDR]++;
		return;
	}
	/* tgid 0 has no user memory, and its lowest key would be that of a free tile. */
	t = s->tgid ? ht_find_tile(c, key, &id) : NULL;
	if (ht_unlikely(!t) && !ht_is_target(s->tgid)) {
		st->drop[HT_DROP_NOT_TARGET]++;
		return;
	}
	if (ht_recording)
		ht_record(s);
	weight = ht_ops_sample(s);
	if (ht_unlikely(!weight)) {
		st->drop[HT_DROP_POLICY]++;
		return;
	}
	if (ht_unlikely(!t)) {
		t = ht_miss(key, &id, st);
		if (!t)
			return;
	}
	if (ht_unlikely(t->tick != c->tick))
		ht_age_tile(id);
	total = (__u64)t->total + weight;
	t->total = total | -(total >> 32); /* saturates */
	if (s->write)
		t->writes++;
	/* DAMON names regions: the page of its sample is only where a tile begins. */
	if (s->source != HT_SRC_DAMON)
		ht_count_page(t, id, s->addr >> HT_PAGE_SHIFT & (HT_TILE_PAGES - 1), st);
	st->counted++;
}

/* What every sample needs, looked up once; false if this object is not the one that counts. */
static __always_inline bool ht_begin(struct ht_ctl **c, struct ht_cpu_stats **st)
{
	__u32 zero = 0;

	*c = bpf_map_lookup_elem(&control, &zero);
	*st = bpf_map_lookup_elem(&stats, &zero);
	return ht_likely(*c && *st && (*c)->generation == ht_generation);
}

static __always_inline void ht_sample(struct ht_sample *s)
{
	struct ht_cpu_stats *st;
	struct ht_ctl *c;

	if (ht_begin(&c, &st))
		ht_sample_one(c, s, st);
}

#endif
