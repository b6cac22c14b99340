/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The file of access counts per page and phase that a recording run of the evaluation leaves for
 * the oracle: a header, then for each of nr_pages pages, in ascending order, its address over 4096
 * (64 bits) and its count in each phase (32 bits each).
 */
#ifndef EVAL_COUNTS_H
#define EVAL_COUNTS_H

#include <stdint.h>

#define EVAL_MAGIC "HTEVCNT1"
#define EVAL_MAX_PAGES (1ULL << 24)

struct eval_counts_hdr {
	char magic[8];
	uint32_t nr_phases;
	uint32_t period;
	uint64_t nr_pages, records, lost, other;
};

#endif
