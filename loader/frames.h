/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Page frames to NUMA nodes, by memory blocks and zones. */
#ifndef HT_FRAMES_H
#define HT_FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sysfs.h"
#include "tiers.h"

#define HT_FRAME_UNKNOWN 0xff	/* in no block: device memory, or added since */
#define HT_FRAME_AMBIGUOUS 0xfe /* in a block, and in the span, of several nodes */

struct ht_frames {
	unsigned int block_shift; /* log2 of the frames of a memory block */
	uint8_t *block;		  /* node of each block, or one of the above */
	size_t nr_blocks;
	int only_node; /* no blocks, but just one node with memory: it has every frame; else -1 */
	struct ht_frame_span {
		uint64_t start, end; /* frames */
		int node;
	} * span; /* of zones; loaded where a block is ambiguous */
	size_t nr_spans;
};

/*
 * Reads the blocks of all nodes. -ENOENT when there are none and more than one node has memory.
 * Fills an empty (zeroed) struct or replaces what was there; on error, that stays.
 */
int ht_frames_load(struct ht_frames *f, const struct ht_roots *roots, const struct ht_tiers *tiers);
void ht_frames_free(struct ht_frames *f);
/* Node of a frame that lies in an ambiguous block, by the zones. */
uint8_t ht_frames_by_span(const struct ht_frames *f, uint64_t pfn);

/* Node id, HT_FRAME_UNKNOWN or HT_FRAME_AMBIGUOUS. */
static inline uint8_t ht_frames_node(const struct ht_frames *f, uint64_t pfn)
{
	uint64_t b = pfn >> f->block_shift;
	uint8_t node;

	if (f->only_node >= 0)
		return f->only_node;
	node = b < f->nr_blocks ? f->block[b] : HT_FRAME_UNKNOWN;
	return node == HT_FRAME_AMBIGUOUS ? ht_frames_by_span(f, pfn) : node;
}

#endif
