// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include "pace.h"

/*
 * Samples a page from which on more of them tell little: with 4 a skew as mild as that of keys
 * under a Zipf distribution is placed nine tenths as well as if rates were known, with 10 it is 97
 * % (docs/evaluation.md, "What samples can tell").
 */
#define ENOUGH 4
/* Memory that comes does not make it dense again before it is as much as there was. */
#define AGAIN (ENOUGH / 2)
#define LOST_SHARE 50 /* one in so many lost is too many */

void ht_pace_init(struct ht_pace *p, unsigned int max)
{
	*p = (struct ht_pace){ .max = max, .limit = max, .density = 1 };
}

unsigned int ht_pace_next(struct ht_pace *p, const struct ht_pace_epoch *e)
{
	unsigned int enough = p->density > 1 ? ENOUGH : AGAIN;

	p->samples += e->samples;
	if (e->shifted) {
		p->samples = 0;
		p->limit = p->max;
		enough = ENOUGH;
	}
	if (p->density > 1 && e->lost > e->due / LOST_SHARE)
		p->limit = p->density / 2;
	p->density = p->samples / enough < e->pages ? p->limit : 1;
	return p->density;
}
