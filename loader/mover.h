/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Carries a plan out: names the pages of each item by a fresh look at where they are, and hands
 * them to the migration backend in balanced batches, demotions first, so that the fast tier's free
 * memory dips by one batch at most.
 */
#ifndef HT_MOVER_H
#define HT_MOVER_H

#include <stdbool.h>

#include "ledger.h"
#include "migrate.h"
#include "placement.h"
#include "planner.h"
#include "tiers.h"

/* What move_pages(2) takes for 4 KiB on current hardware, measured as 1.15 to 1.24 us. */
#define HT_MOVE_PAGE_NS 1200.0

struct ht_mover_stats { /* pages of 4 KiB */
	uint64_t promoted, demoted;
	uint64_t failed;		      /* tried, not moved */
	uint64_t would_promote, would_demote; /* dry run */
	uint64_t stale;			      /* planned, but not there (any more) */
};

struct ht_mover_env {
	struct ht_space *const *space;
	const struct ht_heatmap *hm;
	const struct ht_move *move; /* the policy's view of each item, for exchanges; may be NULL */
	struct ht_placement *placement;
	const struct ht_tiers *tiers;
	const struct ht_roots *roots;
	uint32_t epoch;
	/* Free 4 KiB pages above the reserve by tier, negative below it: bounds what goes up. */
	int64_t room[HT_SPACE_TIERS];
	uint64_t deadline_ns; /* CLOCK_MONOTONIC, after which no further batch is started */
	bool dry_run;
};

struct ht_mover_op;
struct ht_mover_pairs;

struct ht_mover {
	struct ht_migrate *migrate; /* NULL when simulated */
	struct ht_ledger ledger;
	struct ht_mover_stats stats;
	double page_ns;		   /* moving average of the cost of a 4 KiB page */
	int64_t room[HT_SPACE_TIERS]; /* as it will be after the pages gathered have moved */
	struct ht_mover_op *op[2]; /* demotions, promotions of the batch being gathered */
	size_t nr[2];
	uint32_t item; /* of the plan, being expanded */
	struct ht_mover_pairs *pairs;
	uint64_t *addr;
	int *node, *from, *status;
};

/* Simulated: no page moves, the shadow placement is all there is (tools/replay). */
int ht_mover_init(struct ht_mover *m, bool simulated);
void ht_mover_free(struct ht_mover *m);
/* Failures of pages are counted, not returned; a process that is gone gets space->error. */
int ht_mover_run(struct ht_mover *m, const struct ht_plan *plan, const struct ht_mover_env *env);

#endif
