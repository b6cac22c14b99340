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

static __always_inline void ht_age_tile(struct ht_tile *t, __u32 now, struct ht_cpu_stats *st)
{
	__u32 ticks = now - t->tick, id = t->detail;
	struct ht_detail *d;

	/* First the tick: another CPU that sees it will not age the tile a second time. */
	HT_WRITE_ONCE(t->tick, now);
	t->total = ht_ops_age(t->total, ticks);
	t->writes = ht_halve(t->writes, ticks);
	ht_roll_window(t, ticks);
	d = id ? bpf_map_lookup_elem(&heat_pages, &id) : NULL;
	if (d)
		ht_age_pages(d, ticks);
	st->aged++;
}

/* A tile for a key not in the index, if its process is a target. */
static __always_inline struct ht_tile *ht_miss(struct ht_ctl *c, __u32 tgid, __u64 key, __u64 hash,
					       struct ht_cpu_stats *st)
{
	struct ht_target *target = bpf_map_lookup_elem(&targets, &tgid);
	__u32 id;

	if (!target || target->flags & HT_TARGET_EXITED) {
		st->drop[HT_DROP_NOT_TARGET]++;
		return NULL;
	}
	id = ht_new_tile(c, key, hash);
	if (!id || id == ~0U) {
		st->drop[id ? HT_DROP_NO_SLOT : HT_DROP_NO_TILE]++;
		return NULL;
	}
	st->tiles++;
	return bpf_map_lookup_elem(&heat, &id);
}

static __always_inline struct ht_tile *ht_get_tile(struct ht_ctl *c, const struct ht_sample *s,
						   struct ht_cpu_stats *st)
{
	__u64 key = HT_KEY(s->tgid, s->addr), hash = ht_hash(key);
	__u32 buckets = c->nr_buckets;
	struct ht_tile *t;

	t = ht_find_in(HT_HASH_BUCKET(hash, buckets), hash, key);
	if (!t)
		t = ht_find_in(HT_HASH_BUCKET2(hash, buckets), hash, key);
	return t ?: ht_miss(c, s->tgid, key, hash, st);
}

static __always_inline void ht_sample_one(struct ht_ctl *c, struct ht_sample *s,
					  struct ht_cpu_stats *st)
{
	struct ht_tile *t;
	__u32 weight, total;

	st->seen++;
	st->by_source[s->source & 7]++;
	if (!c->enabled) {
		st->drop[HT_DROP_DISABLED]++;
		return;
	}
	if (!s->addr || s->addr >= HT_USER_END) {
		st->drop[s->addr ? HT_DROP_KERNEL_ADDR : HT_DROP_NO_ADDR]++;
		return;
	}
	t = ht_get_tile(c, s, st);
	if (!t)
		return;
	weight = ht_ops_sample(s);
	if (!weight) {
		st->drop[HT_DROP_POLICY]++;
		return;
	}
	if (t->tick != c->tick)
		ht_age_tile(t, c->tick, st);
	total = t->total + weight;
	t->total = total < weight ? ~0U : total;
	if (s->write)
		t->writes++;
	ht_count_page(c, t, s->addr >> HT_PAGE_SHIFT & (HT_TILE_PAGES - 1), st);
	st->counted++;
}

static __always_inline void ht_sample(struct ht_sample *s)
{
	__u32 zero = 0;
	struct ht_cpu_stats *st = bpf_map_lookup_elem(&stats, &zero);
	struct ht_ctl *c = bpf_map_lookup_elem(&control, &zero);

	if (st && c)
		ht_sample_one(c, s, st);
}

#endif
