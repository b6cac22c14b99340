// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "pace.h"

/*
 * Samples a page from which on more of them tell little: with 4 a skew as mild as that of keys
 * under a Zipf distribution is placed 92 % as well as if rates were known, with 8 95 to 96 %, with
 * 16 97 % (docs/evaluation.md, "What samples can tell").
 */
#define ENOUGH 8
/* With so many a page, and nothing to move meanwhile, there is nothing to be found. */
#define STILL 2
#define STILL_SHARE 1000 /* of the pages, one in so many moved is next to nothing */
#define STILL_BUDGET 8	 /* and of those that may move: of much memory they are few */
/* Memory that comes makes it dense again when there is so many times as much as was known. */
#define AGAIN 2
#define MARGIN 1.25
#define LOST_SHARE 50 /* one in so many lost is too many */

void ht_pace_init(struct ht_pace *p, unsigned int max)
{
	*p = (struct ht_pace){ .max = max, .limit = max, .now = 1 };
}

void ht_pace_bound(struct ht_pace *p, unsigned int max)
{
	if (max < p->max)
		ht_pace_init(p, max);
}

static void begin(struct ht_pace *p)
{
	p->dense = true;
	p->limit = p->max;
	p->samples = 0;
	p->still = 0;
}

static bool is_known(const struct ht_pace *p, uint64_t pages)
{
	return p->samples / ENOUGH >= pages || p->still / STILL >= pages;
}

static bool is_still(const struct ht_pace_epoch *e)
{
	return e->moved <= e->pages / STILL_SHARE && e->moved <= e->budget / STILL_BUDGET;
}

static void count(struct ht_pace *p, const struct ht_pace_epoch *e)
{
	p->samples += e->samples;
	p->still = is_still(e) ? p->still + e->samples : 0;
	/* The kernel throttles an event above kernel.perf_event_max_sample_rate. */
	if (p->limit > 1 && (e->throttled || e->lost > e->due / LOST_SHARE))
		p->limit /= 2;
	if (!is_known(p, e->pages))
		return;
	p->dense = false;
	p->known = e->pages;
}

/* Halves what would be too many, by those that came; more are tried only well below that. */
static unsigned int affordable(const struct ht_pace *p, const struct ht_pace_epoch *e)
{
	double each = (double)e->samples / p->now;
	unsigned int d = p->limit;

	while (e->most && d > 1 && each * d * (d > p->now ? MARGIN : 1) > e->most)
		d /= 2;
	return d;
}

unsigned int ht_pace_next(struct ht_pace *p, const struct ht_pace_epoch *e)
{
	/* Of memory that has gone, nothing is known; nor of any, if it is used in another way. */
	if (e->pages < p->known)
		p->known = e->pages;
	if (e->shifted)
		p->known = 0;
	if (e->shifted || (!p->dense && e->pages > p->known * AGAIN))
		begin(p);
	else if (p->dense)
		count(p, e);
	p->now = p->dense ? affordable(p, e) : 1;
	return p->now;
}
