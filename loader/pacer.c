// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Has the source sample as densely as pace.c says: tells it what an epoch was like, and everything
 * that counts in samples that they mean something else from now on.
 */
#include <string.h>

#include "engine.h"
#include "log.h"

/*
 * Where fewer samples come, whatever is told in samples an epoch is too high by that much. Where
 * more do, tiles' rates rise by themselves, and with them what is known.
 */
void ht_pacer_follow(struct ht_engine *e, double share)
{
	e->sample_rate *= share;
	if (share >= 1)
		return;
	ht_heatmap_thin(&e->heat, share);
	ht_outlook_thin(&e->ranges.outlook, share);
}

/*
 * Samples a second while they are many: a hundredth of a CPU, at the 0.4 us that one costs on
 * hardware, its interrupt's share included (docs/evaluation.md, "with costs"). Where the CPU is an
 * emulated one its clock says nothing of that.
 */
#define DENSE_RATE 25000

static uint64_t dense_most(const struct ht_engine *e)
{
	if (e->source->ops->id == HT_SRC_EMULATED)
		return 0;
	return (uint64_t)DENSE_RATE * e->cfg->epoch_ms / 1000;
}

static void set_density(struct ht_engine *e, unsigned int density)
{
	uint64_t former = e->source->period;
	int err;

	e->throttled_before = e->throttled;
	if (density == e->source->density)
		return;
	err = ht_source_set_density(e->source, density);
	if (err) {
		pr_debug("samples come at one period: %s", strerror(-err));
		ht_pace_init(&e->pace, 1);
		return;
	}
	ht_pacer_follow(e, (double)former / e->source->period);
	pr_debug("epoch %u: %u samples in the place of one", e->epoch, density);
}

/*
 * What there is to be learned, in pages. A huge page is ranked as one, and so many samples as suffice
 * for this many pages tell as well whether its subpages differ (MIN_COUNTS in splitter.c).
 */
#define HUGE_PAGES 32

static uint64_t pages_to_learn(const struct ht_engine *e)
{
	uint64_t pages = 0;
	size_t i, k;

	for (i = 0; i < e->nr_space; i++)
		for (k = 0; k < e->space[i]->nr; k++) {
			const struct ht_spot *sp = &e->space[i]->spot[k];

			if (sp->tile)
				pages += sp->flags & HT_SPOT_THP ? HUGE_PAGES : HT_TILE_PAGES;
		}
	return pages;
}

void ht_pacer_epoch(struct ht_engine *e, uint64_t moved, uint64_t budget, bool shifted)
{
	const struct ht_metrics *m = &e->metrics, *b = &e->before;
	struct ht_pace_epoch epoch = {
		.samples = m->samples_counted - b->samples_counted,
		.due = m->samples_due - b->samples_due,
		.lost = m->samples_lost - b->samples_lost,
		.throttled = e->throttled - e->throttled_before,
		.moved = moved,
		.budget = budget,
		.pages = pages_to_learn(e),
		.most = dense_most(e),
		.shifted = shifted,
	};

	set_density(e, ht_pace_next(&e->pace, &epoch));
}

/*
 * Nothing is known of any memory at first, so the first samples make it dense: by their number in a
 * part of an epoch, as far as they can be afforded.
 */
bool ht_pacer_glimpse(struct ht_engine *e)
{
	uint64_t before = e->metrics.samples_counted;
	struct ht_pace_epoch part = { .most = dense_most(e) / HT_GLIMPSES };

	if (e->pace.max == 1 || e->pace.dense || e->pace.known)
		return true;
	if (ht_source_epoch(e->source, &e->targets) || ht_epoch_read_stats(e))
		return false;
	part.samples = e->metrics.samples_counted - before;
	if (part.samples) {
		part.pages = (e->heat.mem.nr_tiles - 1 - ht_heatmap_free_tiles(&e->heat)) *
			     (uint64_t)HT_TILE_PAGES;
		set_density(e, ht_pace_next(&e->pace, &part));
	}
	return e->pace.dense;
}
