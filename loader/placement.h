/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Where pages are now, from the kernel. The fast way reads /proc/PID/pagemap (page frame numbers,
 * needs CAP_SYS_ADMIN) and maps frames to nodes through the memory blocks of
 * /sys/devices/system/node/nodeN/memoryM, and through the zones' spans in /proc/zoneinfo where a
 * block straddles nodes; /proc/kpageflags tells transparent huge pages, at one read of 8 bytes for
 * each, /proc/kpagecount how many processes map what one does not have for itself. Where frame
 * numbers are hidden, or memory blocks do not exist on a machine with several nodes, move_pages(2)
 * is asked instead (no knowledge of THP and sharing then). Memory added at run time is noticed: an
 * unknown frame reloads the blocks.
 */
#ifndef HT_PLACEMENT_H
#define HT_PLACEMENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tiers.h"

/*
 * Not resident, swapped out, or not memory that could move: the kernel's zero pages, which every
 * untouched page read shows, and device memory.
 */
#define HT_NODE_NONE 0xff

enum ht_page_flags {
	HT_PAGE_THP =
		1 << 0, /* part of a huge page of 2 MiB (or more), however mapped: moves whole */
	HT_PAGE_SHARED = 1 << 1,    /* file-backed or shared anonymous */
	HT_PAGE_EXCLUSIVE = 1 << 2, /* mapped by this process alone */
	HT_PAGE_OURS = 1 << 3,	    /* mapped by no more processes than the caller knows of */
};

struct ht_page_place {
	uint8_t node;  /* node id, HT_NODE_NONE if not resident */
	uint8_t flags; /* enum ht_page_flags */
};

struct ht_placement;

int ht_placement_open(struct ht_placement **pl, const struct ht_roots *roots,
		      const struct ht_tiers *tiers);
void ht_placement_close(struct ht_placement *pl);
/* "pagemap" or "move_pages": which way is in use; and one clause why. */
const char *ht_placement_backend(const struct ht_placement *pl);
const char *ht_placement_why(const struct ht_placement *pl);
/*
 * Fills place[0 .. nr_pages) for the pages from va (4 KiB aligned) of the process, of which the
 * caller knows as many processes as sharers, at least 1, that may map them. -ESRCH when it is gone.
 * nr_pages may be large; reads are chunked. Keeps the last process's file open, so calls sorted by
 * process are cheap; a process that execed needs ht_placement_forget first.
 */
int ht_placement_query(struct ht_placement *pl, pid_t pid, uint64_t va, size_t nr_pages,
		       unsigned int sharers, struct ht_page_place *place);
void ht_placement_forget(struct ht_placement *pl, pid_t pid);

#endif
