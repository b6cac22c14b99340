/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Generated access streams with known truth, for footprints of any size: every generator draws page
 * numbers from a closed form, so nothing is kept per page. But for the rates of real pages, which
 * are read from a file of the evaluation's.
 */
#ifndef GEN_H
#define GEN_H

#include <stdbool.h>
#include <stdint.h>

enum gen_kind { GEN_GUPS, GEN_ZIPF, GEN_UNIFORM, GEN_SCAN, GEN_GRAPH, GEN_RATES };
enum gen_layout { GEN_CONTIG, GEN_SCATTER, GEN_SPARSE };

struct gen {
	enum gen_kind kind;
	enum gen_layout layout;
	uint64_t pages;	      /* footprint */
	uint64_t hot;	      /* gups, scan: pages of the hot set */
	double hot_share;     /* gups: of the accesses */
	double scan_share;    /* scan, graph: of the accesses that are sequential */
	double theta;	      /* zipf, graph: exponent */
	uint64_t shift_every; /* draws after which the hot pages are others, 0 = never */
	/* state */
	uint64_t rnd, phase, drawn, scan_pos, step;
	double zipf_hx0, zipf_hn, zipf_s;
	double *sum, *best; /* rates: of the pages so far, as they lie and hottest first; owned */
};

/* Rates of a workload's first phase (tools/bench/eval_counts.h); sets pages. -EINVAL: no such file.
 */
int gen_load_rates(struct gen *g, const char *file);
void gen_free(struct gen *g);
void gen_init(struct gen *g, uint64_t seed);
uint64_t gen_draw(struct gen *g); /* the next accessed page */
/* Share of the accesses that the best choice of so many pages would serve in this phase. */
double gen_oracle(const struct gen *g, uint64_t pages);
double gen_random(struct gen *g); /* [0, 1) */

#endif
