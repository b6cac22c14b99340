/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The heat map's BPF side: find a tile, take a free one, age it, count into it. Everything here
 * runs in NMI context at worst: no allocation, no locks, bounded loops.
 */
#ifndef HYPERTIER_HEAT_BPF_H
#define HYPERTIER_HEAT_BPF_H

#include <hypertier/maps.bpf.h>

#define HT_READ_ONCE(x) (*(volatile typeof(x) *)&(x))
#define HT_WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))
#define HT_POP_TRIES 4 /* attempts against other CPUs before a sample is given up */

static __always_inline struct ht_tile *ht_tile_of_key(__u32 slot, __u64 key)
{
	__u32 id = slot & HT_ID_MASK;
	struct ht_tile *t = bpf_map_lookup_elem(&heat, &id);

	return t && t->key == key ? t : NULL;
}

static __always_inline struct ht_tile *ht_find_in(__u32 bucket, __u64 hash, __u64 key)
{
	struct ht_bucket *b = bpf_map_lookup_elem(&heat_index, &bucket);
	__u32 tag = HT_HASH_TAG(hash), way = HT_HASH_WAY(hash), i, slot;
	struct ht_tile *t;

	if (!b)
		return NULL;
	for (i = 0; i < HT_WAYS; i++) {
		slot = HT_READ_ONCE(b->slot[(way + i) & (HT_WAYS - 1)]);
		if (slot >> HT_TAG_SHIFT != tag)
			continue;
		t = ht_tile_of_key(slot, key);
		if (t)
			return t;
	}
	return NULL;
}

/* Takes one id off a ring of free ids, 0 if there is none (or other CPUs keep winning). */
static __always_inline __u32 ht_pop(void *ring, __u32 *head, const __u32 *tail, __u32 mask)
{
	struct ht_id_line *line;
	__u32 i, h, nr, id;

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

/* Puts the slot into the first empty way of a bucket. */
static __always_inline bool ht_place_in(__u32 bucket, __u32 way, __u32 slot)
{
	struct ht_bucket *b = bpf_map_lookup_elem(&heat_index, &bucket);
	__u32 i, *p;

	if (!b)
		return false;
	for (i = 0; i < HT_WAYS; i++) {
		p = &b->slot[(way + i) & (HT_WAYS - 1)];
		if (!HT_READ_ONCE(*p) && __sync_val_compare_and_swap(p, 0, slot) == 0)
			return true;
	}
	return false;
}

/*
 * A tile for a key that has none. An id whose slot cannot be placed stays with key 0; the loader
 * finds it (taken from the ring, yet empty) and frees it again.
 */
static __noinline __u32 ht_new_tile(struct ht_ctl *c, __u64 key, __u64 hash)
{
	__u32 id, slot, buckets = c->nr_buckets;
	struct ht_tile *t;

	id = ht_pop(&free_tiles, &c->free_head, &c->free_tail, c->free_mask);
	t = bpf_map_lookup_elem(&heat, &id);
	if (!id || !t)
		return 0;
	/* The loader zeroed it before it put the id on the ring. */
	t->tick = c->tick;
	HT_WRITE_ONCE(t->key, key);
	slot = HT_HASH_TAG(hash) << HT_TAG_SHIFT | id;
	if (!ht_place_in(HT_HASH_BUCKET(hash, buckets), HT_HASH_WAY(hash), slot) &&
	    !ht_place_in(HT_HASH_BUCKET2(hash, buckets), HT_HASH_WAY(hash), slot)) {
		HT_WRITE_ONCE(t->key, 0);
		return ~0U;
	}
	return id;
}

/*
 * Repeats that n samples spread uniformly over 512 pages would give: n - 512 (1 - (1 - 1/512)^n),
 * within 5 % of n^2 / (1024 + 3n/4) up to n = 2048.
 */
static __always_inline __u32 ht_uniform_repeats(__u32 n)
{
	return n * n / (1024 + (n * 3 >> 2));
}

/* More than three standard deviations (and three samples) above a uniform spread? */
static __always_inline bool ht_dispersed(const struct ht_tile *t)
{
	__u32 expect = t->acc_e + ht_uniform_repeats(t->win_n);
	__s32 excess = (__s32)(t->acc_r + t->win_r) - (__s32)expect - 3;

	return excess > 0 && (__u32)excess * (__u32)excess > 9 * expect;
}

/* Four counters of 4 bits a hex digit: shifts each by n (at most 3) without borrowing. */
static __always_inline void ht_age_pages(struct ht_detail *d, __u32 ticks)
{
	__u64 keep = ticks == 1 ? 0x7777777777777777ULL :
		     ticks == 2 ? 0x3333333333333333ULL :
		     ticks == 3 ? 0x1111111111111111ULL :
				  0;
	__u32 i;

	for (i = 0; i < HT_TILE_PAGES / 16; i++)
		d->nib[i] = d->nib[i] >> (ticks & 3) & keep;
}

static __always_inline __u32 ht_halve(__u32 v, __u32 ticks)
{
	return ticks < 32 ? v >> ticks : 0;
}

/* A full tile's window ends: what it said about repeats is kept, aged; page bits start anew. */
static __always_inline void ht_roll_window(struct ht_tile *t, __u32 ticks)
{
	__u32 r = t->acc_r + t->win_r, e = t->acc_e + ht_uniform_repeats(t->win_n);
	int i;

	r = ht_halve(r, ticks);
	e = ht_halve(e, ticks);
	t->acc_r = r > 0x7fff ? 0x7fff : r;
	t->acc_e = e > 0x7fff ? 0x7fff : e;
	t->win_n = 0;
	t->win_r = 0;
	for (i = 0; i < HT_TILE_PAGES / 64; i++)
		t->touched[i] = 0;
}

/* The pages seen so far in this window start with a count of one. */
static __always_inline void ht_seed_detail(struct ht_detail *d, const struct ht_tile *t)
{
	__u32 i;

	for (i = 0; i < HT_TILE_PAGES / 16; i++) {
		__u64 bits = t->touched[i >> 2] >> ((i & 3) * 16) & 0xffff, nib = 0;

		/* Spreads 16 bits to the low bit of 16 nibbles (a Morton-like expansion). */
		nib = (bits | bits << 24) & 0x000000ff000000ffULL;
		nib = (nib | nib << 12) & 0x000f000f000f000fULL;
		nib = (nib | nib << 6) & 0x0303030303030303ULL;
		nib = (nib | nib << 3) & 0x1111111111111111ULL;
		d->nib[i] = nib;
	}
}

static __noinline void ht_give_detail(struct ht_ctl *c, struct ht_tile *t,
				      struct ht_cpu_stats *st)
{
	__u32 id = ht_pop(&free_pages, &c->free_pages_head, &c->free_pages_tail,
			  c->free_pages_mask);
	struct ht_detail *d = bpf_map_lookup_elem(&heat_pages, &id);

	if (!id || !d) {
		st->no_detail++;
		return;
	}
	ht_seed_detail(d, t);
	HT_WRITE_ONCE(t->detail, id);
	st->details++;
}

static __always_inline void ht_count_page(struct ht_ctl *c, struct ht_tile *t, __u32 page,
					  struct ht_cpu_stats *st)
{
	__u32 id = t->detail;
	struct ht_detail *d;
	__u64 *word, bit;

	if (id) {
		d = bpf_map_lookup_elem(&heat_pages, &id);
		if (!d)
			return;
		word = &d->nib[page >> 4 & 31];
		if ((*word >> ((page & 15) * 4) & 15) != HT_PAGE_MAX)
			*word += 1ULL << ((page & 15) * 4);
		return;
	}
	word = &t->touched[page >> 6 & 7];
	bit = 1ULL << (page & 63);
	if (t->win_n < 0x3fff)
		t->win_n++;
	if (!(*word & bit)) {
		*word |= bit;
		return;
	}
	if (t->win_r < 0x3fff)
		t->win_r++;
	if (ht_dispersed(t))
		ht_give_detail(c, t, st);
}

#endif
