/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What a policy sees: the arguments of its ops. Plain structs of fixed-width fields, the same in
 * BPF and in the loader. Fields marked "out" are written by the op's caller from its result.
 *
 * Rates and densities: heat is the aged number of weighted samples; density is heat per 4 KiB page,
 * times 2^16 (so that it survives integer arithmetic).
 */
#ifndef HYPERTIER_OPS_H
#define HYPERTIER_OPS_H

#include "abi.h"
#include "stats.h"

/* One sample, before it is counted. ops.sample returns the weight to add, 0 to ignore it. */
struct ht_sample {
	__u64 addr; /* user virtual address */
	__u32 tgid;
	__u32 source; /* enum ht_source_id */
	__u32 weight; /* the source's own weight: 1, or DAMON's nr_accesses */
	__u32 lat; /* load latency in core cycles (PEBS, IBS) where known, else 0 */
	__u64 data_src; /* union perf_mem_data_src where known, else 0 */
	__u32 write; /* 1 = store */
	__u32 node; /* node that served it where known, else ~0 */
};

enum ht_range_flags {
	HT_RANGE_STRATUM = 1 << 0, /* some pages of one dispersed tile: those with one count */
	HT_RANGE_THP = 1 << 1, /* a transparent huge page: moved whole */
	HT_RANGE_STREAM = 1 << 2, /* touched about once a page: a sequential scan */
	HT_RANGE_COLD = 1 << 3, /* mapped, never sampled */
	HT_RANGE_SKEWED = 1 << 4, /* a THP whose subpages differ much in heat */
};

/*
 * A range of guest virtual addresses whose pages are about equally hot. ops.rank returns its score:
 * higher stays in (or goes to) the faster tier. Ranges with equal scores keep their place.
 */
struct ht_range {
	__u64 start;
	__u64 end; /* exclusive */
	__u64 heat; /* aged weighted samples in the range */
	__u64 density; /* heat per page << 16 */
	__u64 recent; /* heat gained since the last epoch */
	__u32 tgid;
	__u32 flags; /* enum ht_range_flags */
	__u32 pages; /* 4 KiB pages resident */
	__u32 fast_pages; /* of these, pages in the fastest tier */
	__u32 writes; /* aged sampled stores */
	__u32 age; /* epochs since the range took its shape */
	__u32 idle; /* epochs since it was last sampled */
	__u32 moved; /* epochs since pages of it last moved, ~0 = never */
	__u32 level; /* stratum: the page count its pages share; HT_LEVEL_ALL = a whole range */
	__u32 pad;
	__u64 score; /* out: what ops.rank returned */
};

#define HT_LEVEL_ALL (~0U)

/* A planned move. ops.admit returns 0 to refuse it. */
struct ht_move {
	__u64 start; /* first page */
	__u64 score; /* of the range it belongs to */
	__u64 cut; /* score at which the destination's capacity ends */
	__u64 density;
	__u64 victim_density; /* of the coldest pages that make room for it, 0 = free memory */
	__u64 victim_score; /* their score */
	__u64 gain_ns; /* modelled latency saved in the next 40 epochs at the present rates */
	__u64 cost_ns; /* modelled cost of the move, both directions where paired */
	__u32 tgid;
	__u32 pages;
	__s32 from_tier;
	__s32 to_tier; /* smaller is faster */
	__u32 moved; /* epochs since the same pages last moved, ~0 = never */
	__u32 flags; /* enum ht_range_flags of its range */
	__u32 margin; /* density up over density down that waste so far asks for, times 256 */
	__u32 admitted; /* out */
	__u32 pad;
};

/* Once per epoch, before ranking. Grows at its end only, see HT_ABI_MINOR. */
struct ht_tick {
	__u64 epoch; /* counted from the loader's start */
	__u64 epoch_ns; /* its nominal length */
	__u64 samples; /* counted in the last epoch */
	__u64 dropped;
	__u64 fast_free; /* 4 KiB pages */
	__u64 fast_capacity; /* 4 KiB pages that targets may occupy in the fastest tier */
	__u64 promoted; /* pages, last epoch */
	__u64 demoted;
	__u64 failed;
	__u64 fast_heat; /* heat in pages that are in the fastest tier */
	__u64 total_heat;
	__u32 nr_ranges;
	__u32 nr_targets;
	__u64 period; /* accesses (or events) per sample in the last epoch */
};

/* Argument of ops.init; a non-zero result keeps the policy out. */
struct ht_init {
	__u32 abi;
	__u32 nr_tiers;
	__u32 nr_cpus;
	__u32 source; /* enum ht_source_id */
	__u64 period; /* accesses (or events) per sample to begin with, 0 = not applicable */
	__u64 epoch_ns;
	__u64 fast_pages; /* size of the fastest tier */
	__u64 slow_pages; /* size of all others */
	__u64 fast_nodes; /* bit n: node n belongs to the fastest tier */
	__u32 fast_lat_ns; /* read latency, 0 = not known */
	__u32 slow_lat_ns;
	__u32 fast_bw_mbps; /* read bandwidth of the tier in MiB/s, 0 = not known */
	__u32 slow_bw_mbps;
};

/* Argument of the ht_init program, which returns what ops.init returned. */
struct ht_init_args {
	struct ht_init init;
	__u32 ops; /* out: enum ht_op bits the policy fills in */
	__u32 pad;
};

/* Batches: the loader fills these maps and runs one program over them, once per epoch. */
#define HT_RANGES_MAX 65536 /* map "ranges" */
#define HT_MOVES_MAX 16384 /* map "moves" */

/* Argument of the ht_age program: tiles [first, first + nr). */
struct ht_age_args {
	__u32 first;
	__u32 nr;
};

/* Argument of the ht_rank and ht_admit programs. */
struct ht_batch_args {
	__u32 first;
	__u32 nr;
};

#endif
