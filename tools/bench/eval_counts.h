/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The file of access counts per page and phase that a recording run of the evaluation leaves for
 * the oracle: a header, then for each of nr_pages pages, in ascending order, its address over 4096
 * (64 bits) and its count in each phase (32 bits each).
 */
#ifndef EVAL_COUNTS_H
#define EVAL_COUNTS_H

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <hypertier/lab_ring.h>

#define EVAL_MAGIC "HTEVCNT1"
#define EVAL_MAX_PAGES (1ULL << 24)

struct eval_counts_hdr {
	char magic[8];
	uint32_t nr_phases;
	uint32_t period;
	uint64_t nr_pages, records, lost, other;
};

/* What the file begins with; -EINVAL where it is no such file. */
static inline int eval_counts_begin(FILE *f, struct eval_counts_hdr *h)
{
	if (fread(h, sizeof(*h), 1, f) != 1 || memcmp(h->magic, EVAL_MAGIC, sizeof(h->magic)) ||
	    !h->nr_phases || h->nr_phases > HT_RING_MAX_PHASES)
		return -EINVAL;
	return 0;
}

/* The next page's counts, of which there are nr_phases. */
static inline int eval_counts_next(FILE *f, const struct eval_counts_hdr *h, uint64_t *vpn,
				   uint32_t row[HT_RING_MAX_PHASES])
{
	if (fread(vpn, sizeof(*vpn), 1, f) != 1 ||
	    fread(row, sizeof(*row), h->nr_phases, f) != h->nr_phases)
		return -EINVAL;
	return 0;
}

#endif
