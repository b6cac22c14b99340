// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "space.h"

/* A mapping this much larger than what its process has resident is a reservation. */
#define RESERVATION(vma, rss) ((vma)->end - (vma)->start > 4 * (rss) + (1ULL << 30))

/*
 * Refreshing the shadow placement: everything at first, then this share of the spots each epoch, so
 * that what the kernel moves by itself is noticed within half a minute. Where it is known to have
 * moved pages, more spots in proportion, so that looking costs about what moving did.
 */
#define REFRESH_SHARE 64
#define REFRESH_MAX 65536
#define REFRESH_MOVED 4	   /* pages moved, for another spot */
#define REFRESH_SPACES 256 /* in an epoch, with the least that is due */

void ht_space_init(struct ht_space *s, pid_t tgid)
{
	memset(s, 0, sizeof(*s));
	s->tgid = tgid;
}

void ht_space_free(struct ht_space *s)
{
	size_t i;

	for (i = 0; i < s->nr; i++)
		free(s->spot[i].place);
	free(s->spot);
	memset(s, 0, sizeof(*s));
}

struct spots {
	struct ht_spot *spot;
	size_t nr, cap;
	int err;
};

static void add_spot(struct spots *l, uint64_t va)
{
	struct ht_spot *n;

	if (l->err || (l->nr && l->spot[l->nr - 1].va >= va))
		return; /* two mappings in one tile */
	if (l->nr == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 256;
		n = reallocarray(l->spot, l->cap, sizeof(*n));
		if (!n) {
			l->err = -ENOMEM;
			return;
		}
		l->spot = n;
	}
	memset(&l->spot[l->nr], 0, sizeof(*n));
	l->spot[l->nr++].va = va;
}

static void add_sampled(struct spots *l, const struct ht_vma *v, pid_t tgid,
			const struct ht_heatmap *hm)
{
	size_t first, nr = ht_heatmap_of(hm, tgid, &first), i;

	for (i = first; i < first + nr; i++) {
		uint64_t va = HT_KEY_VA(hm->live[i].key);

		if (va + HT_TILE_SIZE > v->start && va < v->end)
			add_spot(l, va);
	}
}

/* Both lists are sorted: what is known of an address goes over to the new list. */
static void inherit(struct spots *l, struct ht_space *s)
{
	size_t i, j = 0;

	for (i = 0; i < s->nr; i++) {
		while (j < l->nr && l->spot[j].va < s->spot[i].va)
			j++;
		if (j < l->nr && l->spot[j].va == s->spot[i].va)
			l->spot[j] = s->spot[i];
		else
			free(s->spot[i].place);
	}
}

static void sum_up(struct ht_space *s)
{
	size_t i;
	int t;

	memset(s->in_tier, 0, sizeof(s->in_tier));
	for (i = 0; i < s->nr; i++)
		for (t = 0; t < HT_SPACE_TIERS; t++)
			s->in_tier[t] += s->spot[i].in_tier[t];
}

int ht_space_map(struct ht_space *s, const struct ht_vmas *vmas, uint64_t rss_bytes,
		 const struct ht_heatmap *hm)
{
	struct spots l = {};
	uint64_t va;
	size_t i;

	for (i = 0; i < vmas->nr && !l.err; i++) {
		const struct ht_vma *v = &vmas->vma[i];

		if (v->flags & HT_VMA_SPECIAL || v->start >= v->end)
			continue;
		if (RESERVATION(v, rss_bytes)) {
			add_sampled(&l, v, s->tgid, hm);
			continue;
		}
		for (va = v->start & ~(HT_TILE_SIZE - 1); va < v->end; va += HT_TILE_SIZE)
			add_spot(&l, va);
	}
	if (l.err) {
		free(l.spot);
		return l.err;
	}
	inherit(&l, s);
	free(s->spot);
	s->spot = l.spot;
	s->nr = l.nr;
	s->cap = l.cap;
	if (s->cursor >= s->nr)
		s->cursor = 0;
	sum_up(s);
	return 0;
}

void ht_space_join(struct ht_space *s, const struct ht_heatmap *hm)
{
	size_t first, nr = ht_heatmap_of(hm, s->tgid, &first), i, j = first;

	s->orphans = 0;
	for (i = 0; i < s->nr; i++) {
		struct ht_spot *sp = &s->spot[i];

		for (; j < first + nr && HT_KEY_VA(hm->live[j].key) < sp->va; j++)
			s->orphans++;
		sp->tile = 0;
		sp->heat = 0;
		sp->boost = 0;
		sp->share = NULL;
		sp->recent = 0;
		if (j < first + nr && HT_KEY_VA(hm->live[j].key) == sp->va) {
			sp->tile = hm->live[j].id;
			sp->live = j;
			sp->heat = hm->live[j].rate;
			sp->recent = hm->live[j].recent;
			j++;
		}
	}
	s->orphans += first + nr - j;
}

static uint8_t tier_of(const struct ht_tiers *tiers, uint8_t node)
{
	int t = node == HT_NODE_NONE ? -1 : ht_tiers_of_node(tiers, node);

	if (t < 0)
		return HT_ABSENT;
	return t < HT_SPACE_TIERS ? t : HT_SPACE_TIERS - 1;
}

static void add_counts(struct ht_space *s, const struct ht_spot *sp, int sign)
{
	int t;

	for (t = 0; t < HT_SPACE_TIERS; t++)
		s->in_tier[t] += sign * (int)sp->in_tier[t];
}

/* Keeps page detail only where it says more than the counts do. */
static void set_place(struct ht_spot *sp, const uint8_t *tier)
{
	int t, used = 0;

	for (t = 0; t < HT_SPACE_TIERS; t++)
		used += sp->in_tier[t] != 0;
	if (used <= 1) {
		free(sp->place);
		sp->place = NULL;
		return;
	}
	if (!sp->place)
		sp->place = malloc(HT_TILE_PAGES);
	if (sp->place)
		memcpy(sp->place, tier, HT_TILE_PAGES);
}

/* What was not there before, and no one else has: allocated, and not in the fastest tier. */
static void count_spilled(struct ht_space *s, const struct ht_spot *sp, const uint16_t *before)
{
	int t, grown = ht_spot_pages(sp);

	for (t = 0; t < HT_SPACE_TIERS; t++)
		grown -= before[t];
	for (t = HT_SPACE_TIERS - 1; t > 0 && grown > 0; t--) {
		int n = sp->in_tier[t] - before[t];

		if (n <= 0)
			continue;
		s->spilled[t] += n < grown ? n : grown;
		grown -= n < grown ? n : grown;
	}
}

static unsigned int sharers_of(const struct ht_spot *sp)
{
	return sp->flags & HT_SPOT_HOLDS && sp->sharers > 1 ? sp->sharers : 1;
}

int ht_space_query(struct ht_space *s, struct ht_spot *sp, struct ht_placement *pl,
		   const struct ht_tiers *tiers, uint32_t epoch)
{
	struct ht_page_place place[HT_TILE_PAGES];
	uint16_t was[HT_SPACE_TIERS];
	uint8_t tier[HT_TILE_PAGES];
	bool shared = sp->flags & HT_SPOT_SHARES; /* what was another's may have become ours */
	bool tells_sharing = !strcmp(ht_placement_backend(pl), "pagemap");
	unsigned int i, thp = 0, others = 0, before = ht_spot_pages(sp);
	int err;

	err = ht_placement_query(pl, s->tgid, sp->va, HT_TILE_PAGES, sharers_of(sp), place);
	if (err)
		return err;
	sp->flags &= HT_SPOT_HOLDS;
	add_counts(s, sp, -1);
	memcpy(was, sp->in_tier, sizeof(was));
	memset(sp->in_tier, 0, sizeof(sp->in_tier));
	for (i = 0; i < HT_TILE_PAGES; i++) {
		tier[i] = tier_of(tiers, place[i].node);
		if (tier[i] == HT_ABSENT)
			continue;
		if (!(place[i].flags & HT_PAGE_EXCLUSIVE) && tells_sharing)
			sp->flags |= HT_SPOT_SHARES;
		/* Not there, for us: another target holds it, or it is not the targets' alone. */
		if (!(place[i].flags & HT_PAGE_OURS) && tells_sharing) {
			tier[i] = HT_ABSENT;
			others++;
			continue;
		}
		sp->in_tier[tier[i]]++;
		thp += !!(place[i].flags & HT_PAGE_THP);
	}
	add_counts(s, sp, 1);
	if (!shared && !(sp->flags & HT_SPOT_SHARES))
		count_spilled(s, sp, was);
	sp->flags |= thp == HT_TILE_PAGES ? HT_SPOT_THP : 0;
	set_place(sp, tier);
	/* Lost to a process that was not known yet, as a child just born: look again. */
	sp->queried = sharers_of(sp) > 1 && others && ht_spot_pages(sp) < before ? 0 : epoch;
	if (!sp->since)
		sp->since = epoch;
	return 0;
}

size_t ht_space_due(const struct ht_space *s, size_t all, uint64_t moved)
{
	double more = all ? (double)moved / REFRESH_MOVED * s->nr / all : 0;
	size_t due = s->nr / REFRESH_SHARE;

	if (due < HT_SPACE_DUE_MIN)
		due = HT_SPACE_DUE_MIN;
	if (due + more > REFRESH_MAX || (s->nr && !s->spot[s->nr - 1].queried))
		return REFRESH_MAX;
	return due + (size_t)more;
}

bool ht_space_turn(size_t i, size_t nr, uint32_t epoch)
{
	size_t rounds = (nr + REFRESH_SPACES - 1) / REFRESH_SPACES;

	return rounds <= 1 || i % rounds == epoch % rounds;
}

int ht_space_refresh(struct ht_space *s, struct ht_placement *pl, const struct ht_tiers *tiers,
		     uint32_t epoch, size_t max)
{
	size_t i, done = 0;
	int err;

	for (i = 0; i < s->nr && done < max; i++) {
		if (s->spot[i].queried)
			continue;
		err = ht_space_query(s, &s->spot[i], pl, tiers, epoch);
		if (err)
			return err;
		done++;
	}
	for (i = 0; i < s->nr && done < max; i++) {
		struct ht_spot *sp = &s->spot[s->cursor];

		s->cursor = (s->cursor + 1) % s->nr;
		if (sp->queried == epoch)
			continue;
		err = ht_space_query(s, sp, pl, tiers, epoch);
		if (err)
			return err;
		done++;
	}
	return done;
}

struct ht_spot *ht_space_find(struct ht_space *s, uint64_t va)
{
	size_t lo = 0, hi = s->nr, mid;

	va &= ~(HT_TILE_SIZE - 1);
	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (s->spot[mid].va < va)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->nr && s->spot[lo].va == va ? &s->spot[lo] : NULL;
}

static void recount(struct ht_space *s, struct ht_spot *sp, uint8_t from, uint8_t to,
		    unsigned int nr)
{
	sp->in_tier[from] -= nr;
	sp->in_tier[to] += nr;
	s->in_tier[from] -= nr;
	s->in_tier[to] += nr;
}

void ht_space_moved(struct ht_space *s, struct ht_spot *sp, unsigned int page, unsigned int nr,
		    uint8_t to)
{
	unsigned int i;

	/* Where pages are absent the counts do not tell which: look again at the next refresh. */
	if (ht_spot_pages(sp) < HT_TILE_PAGES)
		sp->queried = 0;
	if (nr >= HT_TILE_PAGES && !sp->place) {
		/* All at once: half-way, counts alone would not tell which pages are still to go.
		 */
		uint8_t from = ht_spot_tier(sp, 0);

		if (from != HT_ABSENT && from != to)
			recount(s, sp, from, to, sp->in_tier[from]);
		return;
	}
	for (i = page; i < page + nr && i < HT_TILE_PAGES; i++) {
		uint8_t from = ht_spot_tier(sp, i);

		if (from == HT_ABSENT || from == to || !sp->in_tier[from])
			continue;
		if (!sp->place) {
			/* The first page of several to part: now detail says more than counts. */
			sp->place = malloc(HT_TILE_PAGES);
			if (!sp->place) {
				sp->queried = 0;
				return;
			}
			memset(sp->place, from, HT_TILE_PAGES);
		}
		sp->place[i] = to;
		recount(s, sp, from, to, 1);
	}
}
