/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The heat map, shared by the sampler (BPF, any context including NMI) and the loader (mmap).
 *
 * Memory is seen in tiles of 2 MiB of one process's virtual addresses. A tile is one cache line:
 * its aged sample count, and one bit per pair of pages that tells "sampled in this window". Whether
 * page detail is worth having is a property of the samples: if they repeat on few pages (the
 * repeats exceed what a uniform spread would give), the tile is dispersed and uses its block of 512
 * four-bit page counters. A tile with many samples uses it as well: a mild skew shows in counts
 * only. The loader drops the detail of memory that has gone cold.
 *
 * All maps are mmap-able arrays, preallocated and direct-indexed, so the sampler never allocates
 * and user space reads without system calls:
 *   heat        array of struct ht_tile, element 0 unused (id 0 means "none")
 *   heat_index  array of struct ht_bucket: key -> tile id, a 16-way set of two choices
 *   heat_pages  array of struct ht_detail: that of tile n is element n
 *   free_tiles  ring of free ids: the loader produces, the sampler consumes
 * Counters are racy by intent: a lost increment is a sampling error, an atomic one costs 4 ns.
 */
#ifndef HYPERTIER_HEAT_H
#define HYPERTIER_HEAT_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define HT_PAGE_SHIFT 12
#define HT_TILE_SHIFT 21
#define HT_TILE_PAGES 512
#define HT_TILE_SIZE (1ULL << HT_TILE_SHIFT)
#define HT_PAGE_MAX 15 /* a page counter saturates here */

/* 22 bits of tgid (PID_MAX_LIMIT is 2^22) over 36 bits of va >> 21 (57-bit addresses). */
#define HT_KEY_VA_BITS 36
#define HT_KEY(tgid, va) (((__u64)(tgid) << HT_KEY_VA_BITS) | ((__u64)(va) >> HT_TILE_SHIFT))
#define HT_KEY_TGID(key) ((__u32)((key) >> HT_KEY_VA_BITS))
#define HT_KEY_VA(key) (((key) & ((1ULL << HT_KEY_VA_BITS) - 1)) << HT_TILE_SHIFT)

/*
 * The two pages of a cell are half a tile apart: a sequential scan then comes to a cell again only
 * when it has been to half of them, as late as a uniform spread on average. What this cannot see is
 * one half of a tile hotter than the other, page by page alike.
 */
#define HT_TILE_CELLS 256
#define HT_CELL(page) ((page) & (HT_TILE_CELLS - 1))

struct ht_tile {
	__u64 key;    /* HT_KEY(), 0 = free */
	__u32 total;  /* weight sampled, aged */
	__u32 tick;   /* aging tick up to which this tile has been aged */
	__u32 detail; /* its element of heat_pages is in use: the tile's own id, else 0 */
	__u16 win_n;  /* samples in this window (one aging tick), at most HT_WIN_MAX */
	__u16 win_r;  /* of these, samples that hit a cell already sampled in the window */
	__u16 acc_r;  /* repeats of earlier windows, aged */
	__u16 acc_e;  /* 1/8 repeats a uniform spread would have given there, aged */
	__u32 writes; /* sampled stores, aged */
	__u64 touched[HT_TILE_CELLS / 64]; /* cells sampled in this window */
};
_Static_assert(sizeof(struct ht_tile) == 64, "a tile is a cache line");

#define HT_WIN_MAX 4095 /* enough for any test, and acc_e never overflows */
/* A tile with so many samples in a window is counted by page whatever its repeats say. */
#define HT_LOOK 256

#define HT_TILE_WORDS (HT_TILE_PAGES / 16)

/* Page p is bits 4 * (p % 16) .. + 3 of word p / 16. */
struct ht_detail {
	__u64 nib[HT_TILE_WORDS];
};

#define HT_WAYS 16
#define HT_TAG_SHIFT 22
#define HT_ID_MASK ((1U << HT_TAG_SHIFT) - 1) /* 4 Mi tiles: 8 TiB */

/* A slot is tag << HT_TAG_SHIFT | tile id, 0 = empty. The tag only filters: the tile's key decides.
 */
struct ht_bucket {
	__u32 slot[HT_WAYS];
};

/* 64-bit finaliser of MurmurHash3 (Appleby, public domain), good enough in both halves. */
static inline __u64 ht_hash(__u64 key)
{
	key ^= key >> 33;
	key *= 0xff51afd7ed558ccdULL;
	key ^= key >> 33;
	key *= 0xc4ceb9fe1a85ec53ULL;
	return key ^ (key >> 33);
}

/* First and second choice of bucket, first way to try, tag. nr_buckets is a power of two. */
#define HT_HASH_BUCKET(h, nr_buckets) ((__u32)(h) & ((nr_buckets)-1))
#define HT_HASH_BUCKET2(h, nr_buckets) ((__u32)((h) >> 20) & ((nr_buckets)-1))
#define HT_HASH_WAY(h) ((__u32)((h) >> 48) & (HT_WAYS - 1))
#define HT_HASH_TAG(h) ((__u32)((h) >> 54))

#define HT_IDS_PER_LINE 16
/* One cache line of a ring of free ids. */
struct ht_id_line {
	__u32 id[HT_IDS_PER_LINE];
};

/*
 * Repeats, in 1/8, that n samples spread uniformly over the cells of a tile would give:
 * n - 256 (1 - (1 - 1/256)^n), within 7 % of n^2 / (512 + 7n/8).
 */
static inline __u32 ht_uniform_repeats8(__u32 n)
{
	return n * n * 8 / (512 + (n * 7 >> 3));
}

/* What a tile without detail has seen of late: repeats, and those of a uniform spread in 1/8. */
static inline __u32 ht_tile_repeats(const struct ht_tile *t)
{
	return t->acc_r + t->win_r;
}

static inline __u32 ht_tile_expected8(const struct ht_tile *t)
{
	return t->acc_e + ht_uniform_repeats8(t->win_n);
}

/*
 * Sixteen page counters, halved at a tick. Odd ticks round up and even ones down: rounding down
 * alone would forget at every tick the pages sampled once a tick, rounding up alone would never
 * forget a page.
 */
static inline __u64 ht_halve_nibbles(__u64 w, __u32 tick)
{
	return (w >> 1 & 0x7777777777777777ULL) + (w & 0x1111111111111111ULL * (tick & 1));
}

#define HT_AGE_MAX 6 /* halvings after which the fullest page counter is empty */

/* The same for each of so many ticks up to and including tick. */
static inline __u64 ht_age_nibbles(__u64 w, __u32 tick, __u32 ticks)
{
	if (ticks >= HT_AGE_MAX)
		return 0;
	for (; ticks; ticks--)
		w = ht_halve_nibbles(w, tick - ticks + 1);
	return w;
}

static inline unsigned int ht_detail_get(const struct ht_detail *d, unsigned int page)
{
	return (d->nib[(page >> 4) & 31] >> ((page & 15) * 4)) & 15;
}

#endif
