/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The decision: given ranges with the policy's scores, which pages should change tiers this epoch.
 *
 * Ranges are taken from the highest score down and assigned to the fastest tier until its capacity
 * (what targets hold there plus what is free above the reserve) is used up, then to the next. Pages
 * above the cut in a slower tier are promoted: one way while there is free memory, else in exchange
 * for as many pages from the coldest end. Each exchange must have a higher score going up than
 * coming down, and carries its modelled gain and cost for ops.admit: gain = (least density up -
 * greatest density down) / total heat * accesses per epoch * latency difference * horizon cost =
 * measured time per moved page * pages moved, both ways
 *
 * Where targets' new memory found no room in a tier, as much room is made as was missing, by memory
 * that is known to be cold: what is new is in use, and may be gone before its samples tell so. The
 * kernel's tiering keeps room for allocations as well (Maruf et al., TPP, ASPLOS 2023).
 *
 * Memory first seen a short while ago is not known to be cold, however little it was sampled: the
 * greatest density of what comes down is then a multiple of the mean, which fades.
 */
#ifndef HT_PLANNER_H
#define HT_PLANNER_H

#include <stdbool.h>

#include "ranges.h"

struct ht_plan_params {
	unsigned int nr_tiers; /* at most HT_SPACE_TIERS */
	uint64_t free_pages[HT_SPACE_TIERS];
	uint64_t reserve_pages[HT_SPACE_TIERS]; /* kept free for new allocations */
	uint64_t spilled_pages[HT_SPACE_TIERS]; /* new memory that found no room in the tier */
	double lat_ns[HT_SPACE_TIERS];		/* read latency, 0 = not known */
	uint64_t budget_pages;			/* moved at most, both directions together */
	double accesses; /* accesses per epoch the heat stands for, 0 = not known */
	double page_ns;	 /* measured cost of moving one 4 KiB page */
	double horizon;	 /* epochs a placement is expected to last */
	double margin;	 /* 1.3 or more; half of what is above 1 is asked of whole ranges */
	bool skip_loss;	 /* leave out exchanges that do not pay (the default admit) */
	bool naive;	 /* ablation: denser than the mean goes up, in the order of addresses */
	uint32_t epoch;
};

struct ht_plan_item {
	uint32_t range; /* index into ht_ranges */
	uint32_t space, spot;
	uint32_t pages;	  /* at most so many pages of the spot */
	int32_t serves;	  /* demotion: index of the promotion it makes room for, -1 = the reserve */
	uint16_t levels;  /* which page counts, see struct ht_range_info */
	uint8_t from, to; /* tiers */
	bool admitted;
};

struct ht_plan {
	struct ht_plan_item *item; /* demotions before the promotion they serve */
	struct ht_move *move; /* the policy's view of each item; the "moves" map or plain memory */
	size_t nr, cap;
	uint32_t *order; /* range indexes by score, highest first */
	size_t cap_order;
	uint64_t capacity[HT_SPACE_TIERS]; /* pages that targets may hold */
	uint64_t
		cut_score; /* of the range at which the fastest tier is full, 0 = everything fits */
	uint64_t promote, demote; /* pages planned */
	uint64_t hot_in_slow;	  /* sampled pages above the cut that are not in the fastest tier */
	double misplaced_heat;	  /* their heat */
};

int ht_plan_init(struct ht_plan *p, struct ht_move *move, size_t cap, size_t max_ranges);
void ht_plan_free(struct ht_plan *p);
/* Nothing is planned: what an earlier plan found says nothing of now. */
void ht_plan_clear(struct ht_plan *p);
/* Fills items and moves; every item starts admitted. Never fails: a full plan is a shorter plan. */
void ht_plan_make(struct ht_plan *p, const struct ht_ranges *rs, struct ht_space *const *space,
		  size_t nr_spaces, const struct ht_heatmap *hm,
		  const struct ht_plan_params *params);
/* After ops.admit: drops refused items, and demotions whose promotion was refused. */
void ht_plan_apply_admission(struct ht_plan *p);

#endif
