/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The address space of one target as the planner sees it: a sorted list of spots, one for each 2
 * MiB of mapped memory, each with its heat (from the heat map) and the tiers its pages are in (from
 * the kernel). Placement is a shadow: exact when queried, kept up by the outcome of moves, and
 * refreshed in turn, because the kernel moves pages as well. Before a page is moved its tile is
 * always queried again.
 */
#ifndef HT_SPACE_H
#define HT_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "heatmap.h"
#include "placement.h"
#include "targets.h"
#include "tiers.h"

#define HT_SPACE_TIERS 4 /* tiers told apart; further ones count as the last */
#define HT_ABSENT 0xff

enum ht_spot_flags {
	HT_SPOT_THP = 1 << 0,	 /* one transparent huge page fills it: moves whole */
	HT_SPOT_SHARES = 1 << 1, /* other processes map some of its pages as well */
	HT_SPOT_HOLDS = 1 << 2,	 /* of the targets that do, this one answers for them: sharing.h */
};

struct ht_share;

struct ht_spot {
	uint64_t va;   /* multiple of HT_TILE_SIZE */
	uint32_t tile; /* id in the heat map, 0 = never sampled */
	float heat;  /* the tile's rate, see struct ht_live; with the other targets' it holds for */
	float boost; /* so many times the tile's own, 0 = 1 */
	uint32_t recent;
	uint32_t live;	  /* index into the heat map's live[], if tile is not 0 */
	uint32_t queried; /* epoch of the last placement query, 0 = never */
	uint32_t since;	  /* epoch of the first one */
	uint32_t moved;	  /* epoch pages of it last moved, 0 = never */
	uint16_t sharers; /* HT_SPOT_HOLDS: targets that map the address */
	uint32_t split;	  /* epoch in which it last should have been split, 0 = never */
	uint32_t hold;	  /* epoch before which it is left alone (back-off), 0 = none */
	uint16_t in_tier[HT_SPACE_TIERS]; /* resident 4 KiB pages by tier */
	uint8_t flags;			  /* enum ht_spot_flags */
	uint8_t moved_to;		  /* tier its pages were last moved to */
	uint8_t holds;			  /* back-offs in a row; 1: busy once, no back-off yet */
	const struct ht_share *share; /* whose heat and counts it has as well; NULL; for an epoch */
	uint8_t *place; /* 512 tier indexes or HT_ABSENT; NULL when all resident pages share a tier
			 */
};

struct ht_space {
	pid_t tgid;
	uint32_t life;	      /* the caller's: differs between address spaces of the same tgid */
	struct ht_spot *spot; /* sorted by va */
	size_t nr, cap;
	size_t cursor;			  /* where the refresh in turn goes on */
	uint64_t in_tier[HT_SPACE_TIERS]; /* resident pages, sum over the spots */
	/* New pages in each tier but the fastest, since the caller last set it to 0. */
	uint64_t spilled[HT_SPACE_TIERS];
	int error;	  /* -ESRCH, -EPERM: its pages cannot be queried or moved any more */
	uint32_t orphans; /* live tiles without a spot at the last join: the map is out of date */
};

void ht_space_init(struct ht_space *s, pid_t tgid);
void ht_space_free(struct ht_space *s);
/*
 * Takes over a fresh list of mappings, keeping what is known of spots that stay. Mappings much
 * larger than the process (reservations) get spots where they were sampled only. Returns 0 or
 * -ENOMEM.
 */
int ht_space_map(struct ht_space *s, const struct ht_vmas *vmas, uint64_t rss_bytes,
		 const struct ht_heatmap *hm);
/* Brings the heat of this epoch in; counts tiles that have no spot in s->orphans. */
void ht_space_join(struct ht_space *s, const struct ht_heatmap *hm);
/* Asks the kernel where the pages of one spot are. -ESRCH when the process is gone. */
int ht_space_query(struct ht_space *s, struct ht_spot *spot, struct ht_placement *pl,
		   const struct ht_tiers *tiers, uint32_t epoch);
/*
 * How many spots to refresh in an epoch, where all target spaces together have all of them, and the
 * kernel has moved so many pages of whomever unasked.
 */
size_t ht_space_due(const struct ht_space *s, size_t all, uint64_t moved);
/*
 * Of very many spaces, those for which the least is due take turns: to open the pagemap of each in
 * each epoch would take longer than that. Is it the turn of number i of nr?
 */
bool ht_space_turn(size_t i, size_t nr, uint32_t epoch);
#define HT_SPACE_DUE_MIN 4
/*
 * Queries spots never queried, then goes on in turn, at most max spots. Returns how many, or
 * -ESRCH.
 */
int ht_space_refresh(struct ht_space *s, struct ht_placement *pl, const struct ht_tiers *tiers,
		     uint32_t epoch, size_t max);
/* For the ledger: whose pages they are, after exec and when process numbers come back as well. */
static inline uint32_t ht_space_id(const struct ht_space *s)
{
	return s->tgid + s->life * 2654435761U;
}
struct ht_spot *ht_space_find(struct ht_space *s, uint64_t va);
/* Tier of page 0 .. 511 of a spot, HT_ABSENT if not resident. */
static inline uint8_t ht_spot_tier(const struct ht_spot *sp, unsigned int page)
{
	unsigned int t;

	if (sp->place)
		return sp->place[page];
	for (t = 0; t < HT_SPACE_TIERS; t++)
		if (sp->in_tier[t])
			return t;
	return HT_ABSENT;
}

static inline uint32_t ht_spot_pages(const struct ht_spot *sp)
{
	uint32_t t, n = 0;

	for (t = 0; t < HT_SPACE_TIERS; t++)
		n += sp->in_tier[t];
	return n;
}

/* Notes that a page was moved, so that the shadow stays right without a query. */
void ht_space_moved(struct ht_space *s, struct ht_spot *sp, unsigned int page, unsigned int nr,
		    uint8_t to);

#endif
