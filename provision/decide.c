// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* From targets to requests: what is asked of whom now, in which order, and what if it is not done.
 */
#include "work.h"

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t block_down(const struct pv_share *s, uint64_t v)
{
	return s->block ? v / s->block * s->block : v;
}

static uint64_t block_up(const struct pv_share *s, uint64_t v)
{
	return s->block ? (v + s->block - 1) / s->block * s->block : v;
}

/* A VM may hold no more than this, whatever is free. */
static uint64_t top_of(const struct pv_share *s)
{
	return max_u64(min_u64(s->limit, s->max), s->guarantee);
}

/* Rate for the time since the last decision, at least one block, or nothing would ever move. */
static uint64_t step_of(const struct pv_share *s, uint64_t ms)
{
	double step = (double)s->rate * ms / 1000;

	if (step >= 0x1p62)
		return PV_UNKNOWN / 2;
	return max_u64(block_down(s, step), s->block);
}

static void penalise(struct pv_share *s, const struct pv_rules *r, uint64_t now)
{
	unsigned int shift = s->strikes < 6 ? s->strikes : 6;

	s->strikes++;
	s->backoff_until = now + (r->backoff << shift);
	s->progress_at = now;
	s->refused = true;
}

/*
 * A VM that did not do what it was asked in time is left as it is for a while, in which it neither
 * grows nor counts for the pool, and then asked again. One that does as asked has its strikes
 * forgotten, one by one.
 */
static void judge(struct pv_share *s, const struct pv_rules *r, uint64_t now)
{
	uint64_t before = s->last_size;
	bool moved = s->size != before;

	s->refused = false;
	s->next = s->requested;
	s->last_size = s->size;
	if (moved || s->size == s->requested || s->deaf || s->fixed)
		s->progress_at = now;
	/* Growing late is no default: it was booting, or short of what its driver needs. */
	if (moved && s->size == s->requested && s->size > before)
		s->backoff_until = now;
	if (moved && s->size == s->requested && s->strikes && s->backoff_until <= now)
		s->strikes--;
	if (s->size > s->requested && now - s->progress_at >= r->shrink_timeout)
		penalise(s, r, now);
	else if (s->size < s->requested && now - s->progress_at >= r->grow_timeout)
		penalise(s, r, now);
	/* Taking back the request tells its driver to stop trying, and the books what is lost. */
	if (s->refused)
		s->next = max_u64(block_up(s, s->size), s->guarantee);
}

static bool may_ask(const struct pv_share *s, uint64_t now)
{
	return !s->deaf && !s->fixed && s->backoff_until <= now;
}

/* Changes too small to be worth the guest's trouble; bounds are kept to the block. */
static bool is_small(const struct pv_share *s, const struct pv_rules *r)
{
	double band = s->target * r->hysteresis;
	uint64_t diff =
		s->target > s->requested ? s->target - s->requested : s->requested - s->target;

	if (s->requested < s->guarantee || s->requested > top_of(s))
		return false;
	return diff < s->block || diff < band;
}

/* Memory that it wants and does not have, rather than what would merely lie there. */
static uint64_t wants(const struct pv_share *s)
{
	uint64_t useful = min_u64(s->target, max_u64(s->useful, s->guarantee));

	return block_down(s, less(useful, s->requested));
}

/*
 * What it holds above its target, if it has been so for long enough. Whether that is much to it is
 * not asked: somebody lacks what is much to him, or nothing would be taken.
 */
static uint64_t excess(struct pv_share *s, const struct pv_rules *r, uint64_t now)
{
	uint64_t over = less(s->requested, s->target);

	if (!may_ask(s, now) || !over || (over < s->block && s->requested <= top_of(s))) {
		s->above = 0;
		return 0;
	}
	s->above++;
	if (s->above <= r->patience && s->requested <= top_of(s) && !s->drain)
		return 0;
	return min_u64(over, s->step);
}

/* Takes back no more than others want: memory that nobody wants may stay where it is. */
static void shrink(struct pv_work *w, struct pv_share *const *share, size_t nr, uint64_t lack,
		   const struct pv_rules *r, uint64_t now)
{
	uint64_t sum = 0, take;
	size_t i;

	for (i = 0; i < nr; i++) {
		w->cap[i] = excess(share[i], r, now);
		sum += w->cap[i];
	}
	for (i = 0; i < nr; i++) {
		struct pv_share *s = share[i];
		bool must = s->drain || s->requested > top_of(s);

		if (!w->cap[i])
			continue;
		take = must || lack >= sum ? w->cap[i] : (double)lack / sum * w->cap[i];
		take = min_u64(block_up(s, take), w->cap[i]);
		s->next = max_u64(block_up(s, s->requested - take), max_u64(s->guarantee, s->need));
		s->next = min_u64(s->next, s->requested);
	}
}

/*
 * Beyond its guarantee, once it has been asked to take that. Small steps too: what is free costs
 * nobody anything; only taking it from others has to be worth their trouble.
 */
static bool may_grow(const struct pv_share *s, uint64_t now)
{
	return may_ask(s, now) && s->target > s->requested &&
	       max_u64(pv_held(s), s->next) >= s->guarantee;
}

/* Of the memory that is really free, each gets up to its target, the poorest first. */
static void grow(struct pv_work *w, struct pv_share *const *share, size_t nr, uint64_t free,
		 uint64_t now)
{
	uint64_t total = free;
	size_t i;

	for (i = 0; i < nr; i++) {
		const struct pv_share *s = share[i];
		uint64_t held = pv_held(s), to = held;

		if (may_grow(s, now))
			to = min_u64(s->target, s->requested + s->step);
		w->weight[i] = s->weight;
		w->lo[i] = max_u64(held, s->guarantee);
		w->hi[i] = max_u64(to, w->lo[i]);
		total += w->lo[i];
	}
	pv_max_min(w, nr, w->weight, w->lo, w->hi, total, w->out);
	for (i = 0; i < nr; i++) {
		struct pv_share *s = share[i];
		uint64_t to = block_down(s, min_u64(w->out[i], s->target));

		if (may_grow(s, now) && to > s->next)
			s->next = min_u64(to, s->requested + s->step);
	}
}

/* Guarantees come from what is reserved for them, as soon as it is there. */
static void fulfil(struct pv_share *const *share, size_t nr, uint64_t *spare, uint64_t now)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		struct pv_share *s = share[i];
		uint64_t held = max_u64(pv_held(s), s->next), more;

		if (!may_ask(s, now) || s->next >= s->guarantee)
			continue;
		more = block_down(s, min_u64(less(s->guarantee, held), *spare));
		*spare -= more;
		if (more || held > s->next)
			s->next = min_u64(held + more, s->guarantee);
	}
}

static void account(struct pv_share *const *share, size_t nr, struct pv_pool *p, uint64_t now)
{
	size_t i;

	p->held = p->promised = p->stuck = 0;
	for (i = 0; i < nr; i++) {
		const struct pv_share *s = share[i];
		uint64_t held = pv_held(s);

		p->held += held;
		p->promised += max_u64(held, s->guarantee);
		if (!may_ask(s, now))
			p->stuck += less(held, s->guarantee);
	}
	p->free = less(p->capacity, p->promised + p->reserve);
}

/* A lack that lasts is no chance of the reports, however small. */
static bool has_waited(const struct pv_share *s, const struct pv_rules *r)
{
	return r->settle && s->lacks > r->settle;
}

/* What the others lack: to come from those that hold more than their target. */
static uint64_t lacking(struct pv_share *const *share, size_t nr, const struct pv_pool *p,
			const struct pv_rules *r, uint64_t now)
{
	uint64_t want = 0, coming = 0;
	size_t i;

	for (i = 0; i < nr; i++) {
		struct pv_share *s = share[i];

		s->lacks = wants(s) ? s->lacks + 1 : 0;
		if (may_ask(s, now) && (!is_small(s, r) || has_waited(s, r)))
			want += less(s->requested + wants(s), max_u64(pv_held(s), s->guarantee));
		coming += less(s->size, max_u64(s->requested, s->guarantee));
	}
	want += less(p->promised + p->reserve, p->capacity);
	return less(want, coming + p->free);
}

static void allow(struct pv_share *const *share, size_t nr, uint64_t ms)
{
	size_t i;

	for (i = 0; i < nr; i++)
		share[i]->step = step_of(share[i], ms);
}

/* What is asked for now cannot be asked for again until the next decision. */
static void use_up(struct pv_share *const *share, size_t nr)
{
	size_t i;

	for (i = 0; i < nr; i++) {
		struct pv_share *s = share[i];

		s->step = less(s->step, s->next > s->requested ? s->next - s->requested
							       : s->requested - s->next);
	}
}

static void find_targets(struct pv_work *w, struct pv_share *const *share, size_t nr,
			 struct pv_pool *pool, const struct pv_rules *r, uint64_t now)
{
	size_t i;

	for (i = 0; i < nr; i++)
		judge(share[i], r, now);
	account(share, nr, pool, now);
	pv_divide(w, share, nr, pool, r, now);
}

static void give(struct pv_work *w, struct pv_share *const *share, size_t nr,
		 const struct pv_pool *pool, uint64_t now)
{
	uint64_t spare = less(pool->capacity, pool->held);

	fulfil(share, nr, &spare, now);
	grow(w, share, nr, pool->free, now);
	use_up(share, nr);
}

void pv_decide(struct pv_work *w, struct pv_share *const *share, size_t nr, struct pv_pool *pool,
	       const struct pv_rules *r, uint64_t now, uint64_t ms)
{
	find_targets(w, share, nr, pool, r, now);
	allow(share, nr, ms);
	shrink(w, share, nr, lacking(share, nr, pool, r, now), r, now);
	give(w, share, nr, pool, now);
}

void pv_hand_on(struct pv_work *w, struct pv_share *const *share, size_t nr, struct pv_pool *pool,
		const struct pv_rules *r, uint64_t now)
{
	find_targets(w, share, nr, pool, r, now);
	give(w, share, nr, pool, now);
}
