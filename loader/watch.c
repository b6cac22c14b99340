// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <stdio.h>
#include <string.h>

#include "watch.h"

void ht_watch_start(struct ht_watch *w, double predecessor_share)
{
	memset(w, 0, sizeof(*w));
	w->predecessor = predecessor_share;
}

static enum ht_exit_kind out(struct ht_exit *e, enum ht_exit_kind kind)
{
	e->kind = kind;
	return kind;
}

static bool thrashes(struct ht_watch *w, const struct ht_watch_sample *s)
{
	bool own = w->epochs > HT_WATCH_GRACE;

	/* Until then, a move that undoes one of the predecessor's counts as wasted too. */
	if (own && s->moved >= w->seen_moved && s->wasted >= w->seen_wasted) {
		w->moved += s->moved - w->seen_moved;
		w->wasted += s->wasted - w->seen_wasted;
	}
	w->seen_moved = s->moved;
	w->seen_wasted = s->wasted;
	if (w->moved >= HT_WATCH_WASTE_HISTORY) {
		w->moved /= 2;
		w->wasted /= 2;
	}
	return w->moved >= HT_WATCH_WASTE_PAGES && w->wasted > w->moved * HT_WATCH_WASTE;
}

enum ht_exit_kind ht_watch_epoch(struct ht_watch *w, const struct ht_watch_sample *s,
				 struct ht_exit *e)
{
	memset(e, 0, sizeof(*e));
	w->epochs++;
	w->slow = s->ops_ns > s->epoch_ns * HT_WATCH_TIME_SHARE ? w->slow + 1 : 0;
	if (w->slow >= HT_WATCH_SLOW_EPOCHS) {
		snprintf(e->reason, sizeof(e->reason),
			 "too slow: ops took %.0f ms of %.0f ms epochs", s->ops_ns / 1e6,
			 s->epoch_ns / 1e6);
		return out(e, HT_EXIT_STALL);
	}
	if (thrashes(w, s)) {
		snprintf(e->reason, sizeof(e->reason), "thrashing: %.0f %% of %.0f pages came back",
			 100.0 * w->wasted / w->moved, w->moved);
		return out(e, HT_EXIT_THRASH);
	}
	if (w->predecessor <= 0 || w->epochs <= HT_WATCH_GRACE || !s->share_known)
		return HT_EXIT_NONE;
	w->low = s->fast_share < w->predecessor * HT_WATCH_SHARE ? w->low + 1 : 0;
	if (w->low < HT_WATCH_SHARE_EPOCHS)
		return HT_EXIT_NONE;
	snprintf(e->reason, sizeof(e->reason), "fast share %.0f %%, predecessor's %.0f %%",
		 s->fast_share * 100, w->predecessor * 100);
	return out(e, HT_EXIT_WORSE);
}

static struct ht_ban *find(const struct ht_ban_list *l, const char *name)
{
	unsigned int i;

	for (i = 0; i < HT_WATCH_NAMES; i++)
		if (l->ban[i].ejections && !strncmp(l->ban[i].name, name, HT_NAME_LEN))
			return (struct ht_ban *)&l->ban[i];
	return NULL;
}

/* A place that is free, or the one that would be free first; for good is last. */
static struct ht_ban *make_room(struct ht_ban_list *l)
{
	struct ht_ban *first = &l->ban[0];
	unsigned int i;

	for (i = 0; i < HT_WATCH_NAMES; i++) {
		if (!l->ban[i].ejections)
			return &l->ban[i];
		if (l->ban[i].until_ns < first->until_ns)
			first = &l->ban[i];
	}
	memset(first, 0, sizeof(*first));
	return first;
}

void ht_ban(struct ht_ban_list *l, const char *name, uint64_t now_ns)
{
	struct ht_ban *b = find(l, name);

	if (!b) {
		b = make_room(l);
		snprintf(b->name, sizeof(b->name), "%s", name);
	}
	b->until_ns = now_ns + ((uint64_t)HT_WATCH_BACKOFF_S * 1000000000ULL << b->ejections);
	if (++b->ejections >= HT_WATCH_EJECTIONS)
		b->until_ns = UINT64_MAX;
}

uint64_t ht_ban_wait_s(const struct ht_ban_list *l, const char *name, uint64_t now_ns)
{
	const struct ht_ban *b = find(l, name);

	if (!b || b->until_ns <= now_ns)
		return 0;
	if (b->until_ns == UINT64_MAX)
		return UINT64_MAX;
	return (b->until_ns - now_ns) / 1000000000ULL + 1;
}
