// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "planner.h"

int ht_plan_init(struct ht_plan *p, struct ht_move *move, size_t cap, size_t max_ranges)
{
	memset(p, 0, sizeof(*p));
	p->move = move;
	p->cap = cap;
	p->cap_order = max_ranges;
	p->item = calloc(cap, sizeof(*p->item));
	p->order = calloc(max_ranges, sizeof(*p->order));
	if (p->item && p->order)
		return 0;
	ht_plan_free(p);
	return -ENOMEM;
}

void ht_plan_free(struct ht_plan *p)
{
	free(p->item);
	free(p->order);
	memset(p, 0, sizeof(*p));
}

void ht_plan_clear(struct ht_plan *p)
{
	p->nr = 0;
	p->promote = p->demote = p->hot_in_slow = 0;
	p->misplaced_heat = 0;
	p->cut_score = 0;
}

/* One planning run: what every step below needs. */
struct ctx {
	struct ht_plan *p;
	const struct ht_ranges *rs;
	struct ht_space *const *space;
	const struct ht_heatmap *hm;
	const struct ht_plan_params *par;
	uint64_t budget;
	unsigned int tier;	   /* being filled */
	size_t hot_first, hot_end; /* of order[]: what belongs into this tier */
	uint64_t take;		   /* pages of order[hot_end] that still fit */
	uint64_t taken;		   /* of order[hot_first], by faster tiers */
	bool split; /* pages of order[hot_first] are already on their way to a faster tier */
	uint64_t arrived[HT_SPACE_TIERS]; /* pages planned into each tier */
	uint64_t room;			  /* pages free above the reserve */
	uint64_t surplus;	/* pages that victims free beyond what they were taken for */
	double surplus_density; /* at most, of these victims */
	double surplus_page;	/* the same of one of their pages */
	size_t last_victim;	/* item that the surplus came from */
	uint64_t below;		/* free pages of the next tier */
	double mean;		/* density of all memory */
};

/*
 * Of memory without heat the longest idle is the coldest: what is young has not shown what it will
 * be, and may be gone with its process before it is moved.
 */
static int cmp_idle(const struct ht_range *x, const struct ht_range *y)
{
	if (x->heat || y->heat || x->idle == y->idle)
		return 0;
	return x->idle < y->idle ? -1 : 1;
}

/* Equal scores: what is in the faster tier already goes first, so that it stays. */
static int cmp_order(const void *a, const void *b, void *arg)
{
	const struct ht_ranges *rs = arg;
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	const struct ht_range *x = &rs->range[i], *y = &rs->range[j];
	uint64_t fx, fy;
	int idle;

	if (x->score != y->score)
		return x->score > y->score ? -1 : 1;
	idle = cmp_idle(x, y);
	if (idle)
		return idle;
	fx = (uint64_t)x->fast_pages * y->pages;
	fy = (uint64_t)y->fast_pages * x->pages;
	if (fx != fy)
		return fx > fy ? -1 : 1;
	return i < j ? -1 : i > j;
}

static double mean_density(const struct ht_ranges *rs)
{
	uint64_t pages = 0;
	size_t i;

	for (i = 0; i < rs->nr; i++)
		pages += rs->range[i].pages;
	return pages ? rs->heat * 65536.0 / pages : 0;
}

/* What a planner without scores would do: two classes, first come, first served. */
static void split_by_mean(struct ht_plan *p, const struct ht_ranges *rs)
{
	uint64_t mean = mean_density(rs);
	size_t i, n = 0;
	int hot;

	for (hot = 1; hot >= 0; hot--)
		for (i = 0; i < rs->nr; i++)
			if ((rs->range[i].density > mean) == hot)
				p->order[n++] = i;
}

static void sort_ranges(struct ht_plan *p, const struct ht_ranges *rs)
{
	size_t i;

	for (i = 0; i < rs->nr; i++)
		p->order[i] = i;
	qsort_r(p->order, rs->nr, sizeof(*p->order), cmp_order, (void *)rs);
}

/* Some pages of one spot that belong to one range and are in one tier. */
struct unit {
	uint32_t range, spot;
	uint32_t pages;
	uint8_t from;
};

/* Walks the units of ranges order[pos], order[pos + step], ... */
struct cursor {
	size_t pos, end;
	int step;
	uint32_t spot;	     /* next spot within the range */
	unsigned int tier;   /* next tier to look at within the spot */
	unsigned int lo, hi; /* tiers of interest */
};

static uint32_t pages_in(const struct ctx *c, const struct ht_range_info *info,
			 const struct ht_spot *sp, unsigned int tier)
{
	uint64_t mask[HT_TILE_PAGES / 64], left;
	uint32_t n = 0;
	unsigned int i;

	if (!info->in_tier[tier] || !sp->in_tier[tier] || sp->hold > c->par->epoch)
		return 0;
	/* A huge page that waits for its turn to be split does not move whole before. */
	if (sp->flags & HT_SPOT_THP && sp->split && sp->split + 1 == c->par->epoch)
		return 0;
	if (info->levels == HT_ALL_LEVELS)
		return sp->in_tier[tier];
	ht_ranges_pages(c->hm, sp, info->levels, mask);
	for (i = 0; i < HT_TILE_PAGES / 64; i++) {
		if (!sp->place) {
			n += __builtin_popcountll(mask[i]);
			continue;
		}
		for (left = mask[i]; left; left &= left - 1)
			n += sp->place[i * 64 + __builtin_ctzll(left)] == tier;
	}
	return n < sp->in_tier[tier] ? n : sp->in_tier[tier];
}

static bool range_has(const struct ht_range_info *info, const struct cursor *cur)
{
	unsigned int t;

	for (t = cur->lo; t <= cur->hi; t++)
		if (info->in_tier[t])
			return true;
	return false;
}

static void next_range(struct cursor *cur)
{
	cur->pos += cur->step;
	cur->spot = 0;
	cur->tier = cur->lo;
}

static bool next_unit(const struct ctx *c, struct cursor *cur, struct unit *u)
{
	for (; cur->pos != cur->end; next_range(cur)) {
		uint32_t nr = c->p->order[cur->pos];
		const struct ht_range_info *info = &c->rs->info[nr];

		if (!range_has(info, cur))
			continue;
		for (; cur->spot < info->nr; cur->spot++, cur->tier = cur->lo) {
			uint32_t spot = info->first + cur->spot;

			while (cur->tier <= cur->hi) {
				u->from = cur->tier++;
				u->pages = pages_in(c, info, &c->space[info->space]->spot[spot],
						    u->from);
				u->range = nr;
				u->spot = spot;
				if (u->pages)
					return true;
			}
		}
	}
	return false;
}

static void add_item(struct ctx *c, const struct unit *u, uint32_t pages, uint8_t to,
		     int32_t serves, double gain, double cost, const struct ht_range *victim)
{
	const struct ht_range *r = &c->rs->range[u->range];
	const struct ht_range_info *info = &c->rs->info[u->range];
	const struct ht_spot *sp = &c->space[info->space]->spot[u->spot];
	struct ht_plan *p = c->p;

	p->item[p->nr] = (struct ht_plan_item){
		.range = u->range,
		.space = info->space,
		.spot = u->spot,
		.pages = pages,
		.serves = serves,
		.levels = info->levels,
		.from = u->from,
		.to = to,
		.admitted = true,
	};
	p->move[p->nr] = (struct ht_move){
		.start = sp->va,
		.score = r->score,
		.cut = p->cut_score,
		.density = r->density,
		.victim_density = victim ? victim->density : 0,
		.victim_score = victim ? victim->score : 0,
		.flags = r->flags,
		.margin = c->par->margin * 256,
		.gain_ns = gain > 0 ? gain : 0,
		.cost_ns = cost,
		.tgid = r->tgid,
		.pages = pages,
		.from_tier = u->from,
		.to_tier = to,
		.moved = sp->moved ? c->par->epoch - sp->moved : ~0U,
		.admitted = 1,
	};
	p->nr++;
	if (to > u->from)
		p->demote += pages;
	else
		p->promote += pages;
	c->arrived[to] += pages;
	c->budget -= pages < c->budget ? pages : c->budget;
}

/*
 * Density that a range has at least (sign -1) or at most (+1), two standard deviations of its
 * Poisson count away. Of many ranges the highest count is likely too high by chance and the lowest
 * too low: what is exchanged must differ by more.
 */
#define Z_BOUND 2.0

static double bound(const struct ctx *c, const struct ht_range *r, int sign)
{
	/* What the counts were, not what is expected, tells how sure they are. */
	double was = c->rs->info[r - c->rs->range].evidence;
	double h = was + sign * Z_BOUND * sqrt(was + (sign > 0));

	/* The estimate for a stratum leans on its whole run already. */
	if (r->flags & HT_RANGE_STRATUM)
		return r->density;
	if (h <= 0 || !r->pages)
		return 0;
	return was > 0 ? h / was * r->density : h * 65536 / r->pages;
}

/*
 * Pages that were counted alike are on average as hot as was estimated, so that is what moving them
 * gains. One of them may well be hotter or colder, and goes back when its counts tell: the fewer
 * samples there are the more of them, and the further apart should be what is exchanged. Up to a
 * bound, as what differs much is worth it all the same.
 */
#define Z_PAGE 0.6
#define PAGE_MOST 0.35 /* of the density */

static double page_bound(const struct ctx *c, const struct ht_range *r, int sign)
{
	double evidence = c->rs->info[r - c->rs->range].evidence;

	if (!(r->flags & HT_RANGE_STRATUM))
		return bound(c, r, sign);
	return r->density * (1 + sign * fmin(Z_PAGE / sqrt(fmax(evidence, 1e-9)), PAGE_MOST));
}

/* Modelled nanoseconds that pages of density up save for being in the faster of two tiers. */
static double saving(const struct ctx *c, double density, uint32_t pages, unsigned int slow,
		     unsigned int fast)
{
	double lat = c->par->lat_ns[slow] - c->par->lat_ns[fast];

	/* Unknown latencies: assume what a CXL device adds to local DRAM. */
	if (lat <= 0)
		lat = 100;
	if (!c->rs->heat)
		return 0;
	return density / 65536 * pages / c->rs->heat * c->par->accesses * lat * c->par->horizon;
}

/*
 * That memory is cold is known only when it has been watched for a while: a scan comes back, a
 * program enters its next phase. Until then it counts as so many times as hot as memory is on
 * average, whatever little it was sampled, and only what is clearly hotter takes its place. Pages
 * that were sampled beside others of their run stand out sooner than whole ranges.
 */
#define UNKNOWN_DENSITY 3.5
#define UNKNOWN_KEEP 0.95 /* from one epoch to the next */
#define UNKNOWN_STRATUM 0.62
#define UNKNOWN_EPOCHS 128 /* then there is nothing left of it */
/*
 * What gets samples all the time has its turn all the time: it is as hot as it looks. But what is
 * colder than a part of the mean would gain too little: what is hot takes its place anyway, and
 * what else would is about as cold.
 */
#define STEADY_EPOCHS 4
#define STEADY_SHARE 0.25 /* of the mean tile's rate */

static bool is_steady(const struct ctx *c, const struct ht_spot *sp)
{
	const struct ht_heatmap *hm = c->hm;

	return sp->tile && hm->live[sp->live].steady >= STEADY_EPOCHS &&
	       hm->live[sp->live].rate * hm->nr_live >= hm->rate_total * STEADY_SHARE;
}

static double unknown_density(const struct ctx *c, const struct unit *u, bool stratum)
{
	const struct ht_space *s = c->space[c->rs->info[u->range].space];
	const struct ht_spot *sp = &s->spot[u->spot];
	uint32_t age = c->par->epoch - sp->since;

	if (age > UNKNOWN_EPOCHS || is_steady(c, sp))
		return 0;
	/* Page counts of one run or another tell what they tell. */
	if (stratum && c->rs->range[u->range].flags & HT_RANGE_STRATUM)
		return 0;
	return UNKNOWN_DENSITY * (stratum ? UNKNOWN_STRATUM : 1) * c->mean * pow(UNKNOWN_KEEP, age);
}

/*
 * The bounds of a whole range allow for its noise already; pages that were counted stand for
 * themselves, and what is moved back of them is what page_bound() allowed for.
 */
#define RANGE_MARGIN_SHARE 0.5
#define STRATUM_MARGIN 1.15

static double margin_of(const struct ctx *c, const struct ht_range *r)
{
	if (r->flags & HT_RANGE_STRATUM)
		return STRATUM_MARGIN;
	return 1 + (c->par->margin - 1) * RANGE_MARGIN_SHARE;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* One page each at least: enough for any promotion. */
#define MAX_VICTIMS HT_TILE_PAGES
/* Ranges that do not pay before the plan ends: those that follow are colder. */
#define MAX_LOSSES 32

/* Coldest pages that make room for one promotion. */
struct victims {
	struct unit unit[MAX_VICTIMS];
	unsigned int nr;
	uint32_t pages;
	double heat;	     /* densities times pages, at most */
	double page_heat;    /* densities of single pages times pages, at most */
	struct cursor after; /* where the next search starts */
};

/*
 * Memory that is not known to be cold is passed over for good where this promotion is not hot
 * enough for it: those that follow are less hot. It must not keep what is known from giving way.
 */
static bool find_victims(const struct ctx *c, struct cursor *from, const struct ht_range *hot,
			 uint64_t need, struct victims *v)
{
	double least = bound(c, hot, -1) / margin_of(c, hot);
	bool stratum = hot->flags & HT_RANGE_STRATUM;
	struct unit u;

	memset(v, 0, sizeof(*v));
	v->after = *from;
	while (v->pages < need && v->nr < MAX_VICTIMS && next_unit(c, &v->after, &u)) {
		const struct ht_range *r = &c->rs->range[u.range];
		double unknown;

		if (r->score >= hot->score)
			return false;
		unknown = unknown_density(c, &u, stratum);
		if (unknown > 0 && least < unknown) {
			if (!v->nr)
				*from = v->after;
			continue;
		}
		v->unit[v->nr++] = u;
		v->pages += u.pages;
		v->heat += fmax(bound(c, r, 1), unknown) * u.pages;
		v->page_heat += page_bound(c, r, 1) * u.pages;
	}
	return v->pages >= need;
}

/* Is a range hotter than what makes room for it, as a whole and page by page? */
static bool outweighs(const struct ctx *c, const struct ht_range *hot, double density, double page)
{
	return bound(c, hot, -1) >= margin_of(c, hot) * density && page_bound(c, hot, -1) >= page;
}

enum verdict {
	PROMOTED,
	NO_GAIN, /* nor have the other units of this range */
	FULL,	 /* no budget, no room, or nothing colder to exchange for */
};

static enum verdict promote_unit(struct ctx *c, struct unit *u, struct cursor *cold)
{
	uint64_t from_room = min_u64(u->pages, c->room);
	uint64_t from_surplus = min_u64(u->pages - from_room, c->surplus);
	uint64_t need = u->pages - from_room - from_surplus;
	const struct ht_range *r = &c->rs->range[u->range];
	const struct ht_plan_params *par = c->par;
	double gain, cost, density = c->surplus_density, page = c->surplus_page;
	struct victims v = {};
	unsigned int i;
	int32_t me;

	if (need && !find_victims(c, cold, r, need, &v))
		return FULL;
	if (v.pages > c->below || u->pages + v.pages > c->budget || c->p->nr + v.nr + 1 > c->p->cap)
		return FULL;
	if (v.pages) {
		density = v.heat / v.pages;
		page = v.page_heat / v.pages;
	}
	gain = saving(c, bound(c, r, -1), u->pages, u->from, c->tier) -
	       saving(c, density, need, c->tier + 1, c->tier) -
	       saving(c, c->surplus_density, from_surplus, c->tier + 1, c->tier);
	cost = par->page_ns * (u->pages + need + from_surplus);
	if (par->skip_loss && par->accesses > 0 && gain < cost)
		return NO_GAIN;
	if (par->skip_loss && !from_room && !outweighs(c, r, density, page))
		return NO_GAIN;
	me = c->p->nr + v.nr;
	for (i = 0; i < v.nr; i++)
		add_item(c, &v.unit[i], v.unit[i].pages, c->tier + 1, me, gain, cost, NULL);
	add_item(c, u, u->pages, c->tier, -1, gain, cost,
		 v.nr ? &c->rs->range[v.unit[0].range] : NULL);
	c->room -= from_room;
	/* What goes up makes room below: of an exchange only the difference needs free memory. */
	c->below -= v.pages;
	if (u->from == c->tier + 1)
		c->below += u->pages;
	c->surplus -= from_surplus;
	if (v.nr) {
		c->surplus += v.pages - need;
		c->surplus_density = density;
		c->surplus_page = page;
		c->last_victim = me - 1;
		*cold = v.after;
	}
	return PROMOTED;
}

/* Pages that what was allocated would have needed, of the tier's memory above the reserve. */
static uint64_t missing(const struct ht_plan_params *par, unsigned int tier)
{
	uint64_t free = par->free_pages[tier], keep = par->reserve_pages[tier];

	keep += par->spilled_pages[tier];
	return par->spilled_pages[tier] && keep > free ? keep - free : 0;
}

/*
 * Cold enough to give way to memory of which nothing is known but that it is new: watched for a
 * while, and then half as dense as memory is on average, if that.
 */
#define COLD_SHARE 0.5
#define COLD_EPOCHS 2

static bool is_cold(const struct ctx *c, const struct unit *u)
{
	const struct ht_space *s = c->space[c->rs->info[u->range].space];

	return c->par->epoch - s->spot[u->spot].since >= COLD_EPOCHS &&
	       bound(c, &c->rs->range[u->range], 1) <= COLD_SHARE * c->mean;
}

/*
 * Free memory fell below the reserve: the coldest pages go, whatever they would gain. Where it was
 * too little for what was allocated, so do as many as were missing, if they are cold.
 */
static void refill_reserve(struct ctx *c, struct cursor *cold)
{
	const struct ht_plan_params *par = c->par;
	uint64_t reserve = par->reserve_pages[c->tier], free = par->free_pages[c->tier];
	uint64_t low = free < reserve / 2 ? reserve - free : 0, need = missing(par, c->tier);
	struct unit u;

	need = low > need ? low : need;
	while (need && c->budget && c->p->nr < c->p->cap && next_unit(c, cold, &u)) {
		if (u.pages > c->below || u.pages > c->budget)
			return;
		if (!low && !is_cold(c, &u))
			continue;
		low -= u.pages < low ? u.pages : low;
		add_item(c, &u, u.pages, c->tier + 1, -1, 0, par->page_ns * u.pages, NULL);
		c->below -= u.pages;
		need -= u.pages < need ? u.pages : need;
	}
}

/* Above the cut, but in a slower tier. */
static void count_misplaced(struct ctx *c)
{
	unsigned int t;
	size_t i;

	for (i = c->hot_first; i < c->hot_end; i++)
		for (t = c->tier + 1; t < HT_SPACE_TIERS; t++) {
			uint32_t nr = c->p->order[i], pages = c->rs->info[nr].in_tier[t];

			if (!c->rs->range[nr].heat)
				continue;
			c->p->hot_in_slow += pages;
			c->p->misplaced_heat += c->rs->range[nr].density / 65536.0 * pages;
		}
}

/* Assigns order[hot_first ..) to the tier until it is full. */
static void cut(struct ctx *c)
{
	uint64_t left = c->p->capacity[c->tier];
	size_t i;

	for (i = c->hot_first; i < c->rs->nr; i++) {
		uint64_t pages = c->rs->range[c->p->order[i]].pages;

		pages -= i == c->hot_first ? c->taken : 0;
		if (pages > left)
			break;
		left -= pages;
	}
	c->taken = i > c->hot_first ? 0 : c->taken;
	c->hot_end = i;
	c->take = i < c->rs->nr ? left : 0;
	c->taken += c->take;
}

/* Room that no promotion took: the last victims need not all go. */
static void trim_surplus(struct ctx *c)
{
	struct ht_plan_item *it = &c->p->item[c->last_victim];
	uint64_t keep;

	if (!c->surplus || c->rs->range[it->range].flags & HT_RANGE_THP)
		return;
	keep = min_u64(c->surplus, it->pages - 1);
	it->pages -= keep;
	c->p->move[c->last_victim].pages -= keep;
	c->p->demote -= keep;
	c->surplus = 0;
}

static void fill_tier(struct ctx *c)
{
	const struct ht_plan_params *par = c->par;
	/* The range at this cut was at the last one as well: it waits for the next epoch. */
	bool again = c->split && c->hot_end == c->hot_first;
	struct cursor hot = { .pos = c->hot_first + (c->split && !again),
			      .end = c->hot_end,
			      .step = 1,
			      .lo = c->tier + 1,
			      .hi = par->nr_tiers - 1,
			      .tier = c->tier + 1 };
	struct cursor cold = { .pos = c->rs->nr - 1,
			       .end = c->hot_end - !again,
			       .step = -1,
			       .lo = c->tier,
			       .hi = c->tier,
			       .tier = c->tier };
	unsigned int losses = 0;
	uint64_t straddle = 0;
	enum verdict verdict;
	struct unit u;

	if (!again)
		c->split = false;
	refill_reserve(c, &cold);
	while (c->budget && next_unit(c, &hot, &u)) {
		/* Never sampled: nothing speaks for moving it, not even into free memory. */
		if (!c->rs->range[u.range].heat) {
			next_range(&hot);
			continue;
		}
		verdict = promote_unit(c, &u, &cold);
		if (verdict == FULL)
			return;
		if (verdict == NO_GAIN && ++losses == MAX_LOSSES)
			return;
		if (verdict == NO_GAIN)
			next_range(&hot);
	}
	if (c->hot_end >= c->rs->nr || again)
		return;
	/* The range at the cut: as much of it as fits, against what is colder than it. */
	straddle = c->rs->info[c->p->order[c->hot_end]].in_tier[c->tier];
	straddle = c->take > straddle ? c->take - straddle : 0;
	hot.pos = c->hot_end;
	hot.end = c->hot_end + 1;
	hot.spot = 0;
	hot.tier = hot.lo;
	if (!c->rs->range[c->p->order[c->hot_end]].heat)
		return;
	while (straddle && c->budget && next_unit(c, &hot, &u)) {
		if (u.pages > straddle || promote_unit(c, &u, &cold) != PROMOTED)
			return;
		c->split = true;
		straddle -= u.pages;
	}
}

static void set_capacity(struct ht_plan *p, const struct ht_plan_params *par,
			 struct ht_space *const *space, size_t nr_spaces)
{
	unsigned int t;
	size_t i;

	for (t = 0; t < par->nr_tiers; t++) {
		uint64_t free = par->free_pages[t];
		uint64_t keep = par->reserve_pages[t] + par->spilled_pages[t];

		p->capacity[t] = free > keep ? free - keep : 0;
		for (i = 0; i < nr_spaces; i++)
			p->capacity[t] += space[i]->in_tier[t];
		/* Below the reserve: what is missing has to come from the targets' pages. */
		if (free < keep)
			p->capacity[t] -=
				keep - free < p->capacity[t] ? keep - free : p->capacity[t];
	}
}

void ht_plan_make(struct ht_plan *p, const struct ht_ranges *rs, struct ht_space *const *space,
		  size_t nr_spaces, const struct ht_heatmap *hm, const struct ht_plan_params *par)
{
	struct ctx c = {
		.p = p, .rs = rs, .space = space, .hm = hm, .par = par, .budget = par->budget_pages
	};

	ht_plan_clear(p);
	c.mean = mean_density(rs);
	set_capacity(p, par, space, nr_spaces);
	if (rs->nr > p->cap_order || !rs->nr)
		return;
	if (par->naive)
		split_by_mean(p, rs);
	else
		sort_ranges(p, rs);
	for (c.tier = 0; c.tier + 1 < par->nr_tiers; c.tier++) {
		uint64_t free = par->free_pages[c.tier], keep = par->reserve_pages[c.tier];

		keep += c.arrived[c.tier];
		c.room = free > keep ? free - keep : 0;
		c.below = par->free_pages[c.tier + 1];
		c.surplus = 0;
		cut(&c);
		if (c.tier == 0 && c.hot_end < rs->nr)
			p->cut_score = rs->range[p->order[c.hot_end]].score;
		if (c.tier == 0)
			count_misplaced(&c);
		fill_tier(&c);
		trim_surplus(&c);
		c.hot_first = c.hot_end;
	}
}

void ht_plan_apply_admission(struct ht_plan *p)
{
	size_t i;

	p->promote = p->demote = 0;
	for (i = 0; i < p->nr; i++)
		p->item[i].admitted = p->move[i].admitted;
	/* An exchange is one decision: refusing either side refuses both. */
	for (i = 0; i < p->nr; i++) {
		const struct ht_plan_item *it = &p->item[i];

		if (it->serves >= 0 && (size_t)it->serves < p->nr && !it->admitted)
			p->item[it->serves].admitted = false;
	}
	for (i = 0; i < p->nr; i++) {
		struct ht_plan_item *it = &p->item[i];

		if (it->serves >= 0 && (size_t)it->serves < p->nr)
			it->admitted = p->item[it->serves].admitted;
		if (!it->admitted)
			continue;
		if (it->to > it->from)
			p->demote += it->pages;
		else
			p->promote += it->pages;
	}
}
