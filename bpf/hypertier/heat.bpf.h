/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The heat map's BPF side: find a tile, take a free one, age it, count into it. Everything here
 * runs in NMI context at worst: no allocation, no locks, bounded loops.
 *
 * The common path is laid out for cache misses and mispredicted branches, which are all it costs:
 * one line of the index, one of the tile, one of its detail if it has any, and no branch that
 * depends on a counter's value where arithmetic does. The index alone says where both the tile and
 * its detail are, so that the processor fetches the two at once: whoever has a tile's id passes it
 * on beside the tile.
 *
 * What is off the common path is in global functions, loops in callbacks of bpf_loop(): the
 * verifier looks at each once per program, not once per call, state and iteration. Global functions
 * take and return numbers and find the maps' elements themselves, as pointers lose what is known of
 * them.
 */
#ifndef HYPERTIER_HEAT_BPF_H
#define HYPERTIER_HEAT_BPF_H

#include <hypertier/maps.bpf.h>
#include <hypertier/math.bpf.h>
#include <hypertier/ops.bpf.h>

#define HT_READ_ONCE(x) (*(volatile typeof(x) *)&(x))
#define HT_WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))
#define ht_likely(x) __builtin_expect(!!(x), 1)
#define ht_unlikely(x) __builtin_expect(!!(x), 0)
#define HT_POP_TRIES 4	/* attempts against other CPUs before a sample is given up */
#define HT_WAYS_EASY 12 /* ways taken from which on a bucket counts as rather full */
#define HT_TEST_EVERY 8 /* samples between two tests for dispersion, a power of two */
#define HT_FIRST_WAY(hash) (HT_HASH_WAY(hash) & ~1U)

static __always_inline struct ht_tile *ht_tile_of_key(__u32 slot, __u64 key, __u32 *id)
{
	__u32 nr = slot & HT_ID_MASK;
	struct ht_tile *t = bpf_map_lookup_elem(&heat, &nr);

	*id = nr;
	return ht_likely(t && t->key == key) ? t : NULL;
}

/*
 * Nearly every tile sits in its first two ways. Which of them is chosen by arithmetic: as a branch
 * it would be mispredicted for every fifth sample, each time at the cost of the cache misses that
 * could have been under way. A wrong choice (both tags match) is put right by ht_find_slow().
 */
static __always_inline struct ht_tile *ht_find_fast(struct ht_ctl *c, __u64 hash, __u64 key,
						    __u32 *id)
{
	__u32 bucket = HT_HASH_BUCKET(hash, c->nr_buckets), way = HT_FIRST_WAY(hash);
	struct ht_bucket *b = bpf_map_lookup_elem(&heat_index, &bucket);
	__u64 tag_diff, first, slot0, slot1;

	if (!b)
		return NULL;
	slot0 = HT_READ_ONCE(b->slot[way]);
	slot1 = HT_READ_ONCE(b->slot[way + 1]);
	tag_diff = slot0 >> HT_TAG_SHIFT ^ HT_HASH_TAG(hash);
	first = (tag_diff - 1) >> 63;	/* 1 if the tags are equal */
	asm volatile("" : "+r"(first)); /* or the compiler makes it the branch again */
	return ht_tile_of_key(slot1 ^ ((slot0 ^ slot1) & -first), key, id);
}

/* A walk over the ways of one bucket, from the first way of the key on. */
struct ht_way_walk {
	__u64 key;
	__u32 bucket, first_way, tag;
	__u32 id; /* found, or to be placed */
	enum ht_place { HT_PLACE_FULL, HT_PLACE_DONE, HT_PLACE_OTHER } place;
};

static __always_inline struct ht_way_walk ht_walk_bucket(__u32 bucket, __u64 hash, __u64 key,
							 __u32 id)
{
	return (struct ht_way_walk){ .key = key,
				     .bucket = bucket,
				     .first_way = HT_FIRST_WAY(hash),
				     .tag = HT_HASH_TAG(hash),
				     .id = id };
}

static __always_inline __u32 *ht_walk_way(const struct ht_way_walk *w, __u32 i)
{
	struct ht_bucket *b = bpf_map_lookup_elem(&heat_index, &w->bucket);

	return b ? &b->slot[(w->first_way + i) & (HT_WAYS - 1)] : NULL;
}

static long ht_find_way(__u32 i, void *arg)
{
	struct ht_way_walk *w = arg;
	__u32 *p = ht_walk_way(w, i), slot = p ? HT_READ_ONCE(*p) : 0, id;

	if (slot >> HT_TAG_SHIFT != w->tag || !ht_tile_of_key(slot, w->key, &id))
		return 0;
	w->id = id;
	return 1;
}

/* Is the tag in any way of the bucket? For most buckets this spares the walk. No branches. */
static __always_inline bool ht_has_tag(const struct ht_bucket *b, __u32 tag)
{
	__u64 hit = 0;
	__u32 i;

	for (i = 0; i < HT_WAYS; i++)
		hit |= (__u64)(HT_READ_ONCE(b->slot[i]) >> HT_TAG_SHIFT ^ tag) - 1;
	return hit >> 63;
}

/* The id of the key's tile if it is in this bucket, else 0. */
__noinline int ht_find_in(__u32 bucket, __u64 hash, __u64 key)
{
	struct ht_bucket *b = bpf_map_lookup_elem(&heat_index, &bucket);
	struct ht_way_walk w;

	if (!b || !ht_has_tag(b, HT_HASH_TAG(hash)))
		return 0;
	w = ht_walk_bucket(bucket, hash, key, 0);
	bpf_loop(HT_WAYS, ht_find_way, &w, 0);
	return w.id;
}

/* The id of the key's tile wherever it is, 0 if there is none. */
__noinline int ht_find_slow(__u64 key)
{
	__u64 hash = ht_hash(key);
	__u32 zero = 0;
	struct ht_ctl *c = bpf_map_lookup_elem(&control, &zero);
	int id;

	if (!c)
		return 0;
	id = ht_find_in(HT_HASH_BUCKET(hash, c->nr_buckets), hash, key);
	return id ?: ht_find_in(HT_HASH_BUCKET2(hash, c->nr_buckets), hash, key);
}

static __always_inline struct ht_tile *ht_find_tile(struct ht_ctl *c, __u64 key, __u32 *id)
{
	struct ht_tile *t = ht_find_fast(c, ht_hash(key), key, id);

	return t ?: ht_tile_of_key(ht_find_slow(key), key, id);
}

/*
 * Takes one id off a ring of free ids, 0 if there is none (or other CPUs keep winning). An id
 * cannot be taken twice: the loader overwrites an entry only after head has passed it, and head,
 * which never goes back, would have to wrap within one attempt.
 */
static __always_inline __u32 ht_pop(void *ring, __u32 *head, const __u32 *tail, __u32 mask)
{
	struct ht_id_line *line;
	__u32 i, h, nr, id;

#pragma clang loop unroll(disable)
	for (i = 0; i < HT_POP_TRIES; i++) {
		h = HT_READ_ONCE(*head);
		if (h == HT_READ_ONCE(*tail))
			return 0;
		nr = (h & mask) / HT_IDS_PER_LINE;
		line = bpf_map_lookup_elem(ring, &nr);
		if (!line)
			return 0;
		id = HT_READ_ONCE(line->id[h % HT_IDS_PER_LINE]);
		if (__sync_val_compare_and_swap(head, h, h + 1) == h)
			return id;
	}
	return 0;
}

static long ht_place_way(__u32 i, void *arg)
{
	struct ht_way_walk *w = arg;
	__u32 *p = ht_walk_way(w, i), slot = w->tag << HT_TAG_SHIFT | w->id, old, id;

	if (!p)
		return 1;
	old = HT_READ_ONCE(*p);
	if (!old)
		old = __sync_val_compare_and_swap(p, 0, slot);
	if (!old)
		w->place = HT_PLACE_DONE;
	else if (old >> HT_TAG_SHIFT == w->tag && ht_tile_of_key(old, w->key, &id))
		w->place = HT_PLACE_OTHER;
	return w->place != HT_PLACE_FULL;
}

/*
 * Puts the id into the first empty way of a bucket. Two CPUs that miss the same key at once walk
 * the same ways in the same order: the second one meets the first one's slot (HT_PLACE_OTHER). Only
 * a slot the loader empties in between lets a duplicate through.
 */
__noinline int ht_place_in(__u32 bucket, __u64 hash, __u64 key, __u32 id)
{
	struct ht_way_walk w = ht_walk_bucket(bucket, hash, key, id);

	bpf_loop(HT_WAYS, ht_place_way, &w, 0);
	return w.place;
}

__noinline int ht_ways_used(__u32 bucket)
{
	struct ht_bucket *b = bpf_map_lookup_elem(&heat_index, &bucket);
	__u32 i, used = 0;

	if (!b)
		return HT_WAYS;
	/* An id of at least 1 carries into bit 22: a branch would give the verifier 2^16 paths. */
	for (i = 0; i < HT_WAYS; i++)
		used += ((HT_READ_ONCE(b->slot[i]) & HT_ID_MASK) + HT_ID_MASK) >> HT_TAG_SHIFT;
	return used;
}

/*
 * A tile for a key that has none: 0, or why there is none. The first choice of bucket is taken
 * until it is rather full: few look-ups then need the second. Room is looked for before an id is
 * taken, or a full bucket would use up the ring sample by sample. An id that loses a race all the
 * same stays with key 0; the loader finds it (taken from the ring, yet empty) and frees it again.
 */
static __always_inline int ht_new_tile_of(struct ht_ctl *c, struct ht_cpu_stats *st, __u64 key)
{
	__u64 hash = ht_hash(key);
	__u32 b1 = HT_HASH_BUCKET(hash, c->nr_buckets), b2 = HT_HASH_BUCKET2(hash, c->nr_buckets);
	__u32 used1 = ht_ways_used(b1), used2 = ht_ways_used(b2), id;
	bool second = used1 > HT_WAYS_EASY && used2 < used1;
	struct ht_tile *t;
	int place;

	if (used1 == HT_WAYS && used2 == HT_WAYS)
		return HT_DROP_NO_SLOT;
	id = ht_pop(&free_tiles, &c->free_head, &c->free_tail, c->free_mask);
	t = bpf_map_lookup_elem(&heat, &id);
	if (!id || !t)
		return HT_DROP_NO_TILE;
	/* The loader zeroed it before it put the id on the ring. */
	t->tick = c->tick;
	HT_WRITE_ONCE(t->key, key);
	place = ht_place_in(second ? b2 : b1, hash, key, id);
	if (place == HT_PLACE_FULL)
		place = ht_place_in(second ? b1 : b2, hash, key, id);
	if (place != HT_PLACE_DONE)
		HT_WRITE_ONCE(t->key, 0);
	if (place == HT_PLACE_FULL)
		return HT_DROP_NO_SLOT;
	if (place == HT_PLACE_DONE)
		st->tiles++;
	return 0;
}

__noinline int ht_new_tile(__u64 key)
{
	__u32 zero = 0;
	struct ht_cpu_stats *st = bpf_map_lookup_elem(&stats, &zero);
	struct ht_ctl *c = bpf_map_lookup_elem(&control, &zero);

	return c && st ? ht_new_tile_of(c, st, key) : HT_DROP_NO_TILE;
}

/* More than four standard deviations (and three samples) above a uniform spread? */
static __always_inline bool ht_dispersed(const struct ht_tile *t)
{
	__u32 expect = ht_tile_expected8(t);
	__s32 excess = (__s32)(ht_tile_repeats(t) * 8) - (__s32)expect - 3 * 8;

	/* In 1/8 on the left, hence 8 * 8 / 8 times 16 variances on the right. */
	return excess > 0 && (__u32)excess * (__u32)excess > 16 * 8 * expect;
}

/* A tile's page counters, word by word. */
struct ht_page_walk {
	struct ht_detail *d;
	struct ht_tile *t;
	__u32 tick, halvings;
};

/* The pages of cells seen so far in this window start with a count of one. */
static long ht_seed_word(__u32 i, void *arg)
{
	struct ht_page_walk *w = arg;
	__u32 cell = HT_CELL(i * 16);
	__u64 nib = w->t->touched[cell / 64] >> cell % 64 & 0xffff;

	/* Spreads 16 bits to the low bits of 16 nibbles. */
	nib = (nib | nib << 24) & 0x000000ff000000ffULL;
	nib = (nib | nib << 12) & 0x000f000f000f000fULL;
	nib = (nib | nib << 6) & 0x0303030303030303ULL;
	nib = (nib | nib << 3) & 0x1111111111111111ULL;
	w->d->nib[i & (HT_TILE_WORDS - 1)] = nib;
	return 0;
}

/*
 * Each tile has a block of its own, with old counts in it. Two CPUs may prepare it at once, to the
 * same end; what one counts before the other is done may be lost. The evidence is used up: a tile
 * whose detail the loader takes back has to show it anew.
 */
static __always_inline void ht_give_detail(struct ht_tile *t, __u32 id)
{
	__u32 zero = 0;
	struct ht_cpu_stats *st = bpf_map_lookup_elem(&stats, &zero);
	struct ht_page_walk w = { .t = t };

	w.d = bpf_map_lookup_elem(&heat_pages, &id);
	if (!w.d || !st || HT_READ_ONCE(t->detail))
		return;
	bpf_loop(HT_TILE_WORDS, ht_seed_word, &w, 0);
	t->win_n = 0;
	t->win_r = 0;
	t->acc_r = 0;
	t->acc_e = 0;
	if (!__sync_val_compare_and_swap(&t->detail, 0, id))
		st->details++;
}

/*
 * Gives detail to a tile whose samples are dispersed, or are enough. A mild skew does not show in
 * bits: a tile with enough samples is counted by page as well. The loader drops the detail of
 * memory that has gone cold.
 */
__noinline int ht_test_tile(__u32 id, __u32 enough)
{
	struct ht_tile *t = bpf_map_lookup_elem(&heat, &id);

	if (t && (t->win_n >= enough || ht_dispersed(t)))
		ht_give_detail(t, id);
	return 0;
}

/* The tile says whether there is detail, its id where: see the top of this file. */
static __always_inline void ht_count_page(struct ht_tile *t, __u32 id, __u32 page,
					  struct ht_cpu_stats *st)
{
	__u32 nib, n = t->win_n, cell = HT_CELL(page);
	struct ht_detail *d;
	__u64 *word;

	if (HT_READ_ONCE(t->detail)) {
		d = bpf_map_lookup_elem(&heat_pages, &id);
		if (!d)
			return;
		word = &d->nib[page >> 4 & 31];
		nib = *word >> (page & 15) * 4 & 15;
		st->page_hits++;
		st->page_prior += nib;
		/* + 1 below HT_PAGE_MAX, + 0 there. */
		*word += (__u64)((nib + 1) >> 4 ^ 1) << (page & 15) * 4;
		return;
	}
	if (ht_unlikely(n >= HT_WIN_MAX))
		return;
	word = &t->touched[cell >> 6 & 3];
	t->win_n = n + 1;
	t->win_r += *word >> (cell & 63) & 1;
	*word |= 1ULL << (cell & 63);
	/* By the CPU's count, not the tile's: a branch the processor can foresee. */
	if (ht_unlikely(!(st->counted & (HT_TEST_EVERY - 1))))
		ht_test_tile(id, HT_LOOK);
}

static __always_inline __u32 ht_halve(__u32 v, __u32 ticks)
{
	return ticks < 32 ? v >> ticks : 0;
}

/* A window ends: what it said about repeats is kept, aged; page bits start anew. */
static __always_inline void ht_roll_window(struct ht_tile *t, __u32 ticks)
{
	int i;

	t->acc_e = ht_halve(ht_tile_expected8(t), ticks);
	t->acc_r = ht_halve(ht_tile_repeats(t), ticks);
	t->win_n = 0;
	t->win_r = 0;
	for (i = 0; i < HT_TILE_CELLS / 64; i++)
		t->touched[i] = 0;
}

/*
 * Pages age as often as the policy's op halves a heat of 2^16: for the default op once a tick. In
 * 1/256; a ratio between two powers of two is taken as linear.
 */
static __always_inline __u32 ht_page_halvings(__u32 tick, __u32 ticks)
{
	__u32 left = ht_ops_age(1U << 16, 1), rate = 0, whole;

	if (left < 1U << 16) {
		whole = 15 - ht_log2(left);
		rate = (whole << 8) + ((0x10000 - (left << whole)) >> 7);
	}
	if (ticks > 16)
		return rate ? 16 : 0;
	/* Halvings due by the tick's number, so that a part of one is not lost at each touch. */
	tick = (tick & 0xffff) + 0x10000;
	return (tick * rate >> 8) - ((tick - ticks) * rate >> 8);
}

static long ht_age_word(__u32 i, void *arg)
{
	struct ht_page_walk *w = arg;
	__u64 *word = &w->d->nib[i & (HT_TILE_WORDS - 1)], nib = *word;
	__u32 n;

	/* ht_age_nibbles(), in a form whose bound the verifier sees. */
	for (n = 0; n < HT_AGE_MAX && n < w->halvings; n++)
		nib = ht_halve_nibbles(nib, w->tick - w->halvings + 1 + n);
	*word = nib;
	return 0;
}

__noinline int ht_age_pages(__u32 id, __u32 tick, __u32 ticks)
{
	struct ht_page_walk w = { .tick = tick, .halvings = ht_page_halvings(tick, ticks) };

	w.d = bpf_map_lookup_elem(&heat_pages, &id);
	if (w.halvings > HT_AGE_MAX)
		w.halvings = HT_AGE_MAX;
	if (w.d && w.halvings)
		bpf_loop(HT_TILE_WORDS, ht_age_word, &w, 0);
	return 0;
}

/*
 * One CPU ages a tile: the one that moves its tick. A tick that is ahead of ours (the loader moved
 * the clock after we read it) is left alone.
 */
static __always_inline void ht_age_tile_to(struct ht_tile *t, __u32 id, __u32 now,
					   struct ht_cpu_stats *st)
{
	__u32 old = HT_READ_ONCE(t->tick), ticks = now - old;
	bool detail;

	if ((__s32)ticks <= 0 || __sync_val_compare_and_swap(&t->tick, old, now) != old)
		return;
	detail = HT_READ_ONCE(t->detail);
	t->total = ht_ops_age(t->total, ticks);
	t->writes = ht_halve(t->writes, ticks);
	/* Few samples a window never come to a test: their last one is here. */
	if (!detail)
		ht_test_tile(id, ~0U);
	ht_roll_window(t, ticks);
	if (detail)
		ht_age_pages(id, now, ticks);
	st->aged++;
}

__noinline int ht_age_tile(__u32 id)
{
	__u32 zero = 0;
	struct ht_cpu_stats *st = bpf_map_lookup_elem(&stats, &zero);
	struct ht_ctl *c = bpf_map_lookup_elem(&control, &zero);
	struct ht_tile *t = bpf_map_lookup_elem(&heat, &id);

	if (t && c && st)
		ht_age_tile_to(t, id, HT_READ_ONCE(c->tick), st);
	return 0;
}

#endif
