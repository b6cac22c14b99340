// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "heatmap.h"

#define LOAD(x) __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define STORE(x, v) __atomic_store_n(&(x), v, __ATOMIC_RELEASE)

/* One tile in this many is kept free for new memory. */
#define FREE_SHARE 16
/* Samples per live tile in which a tile's rate decays to 1/e, and at least so many in all. */
#define RATE_VOLUME 8
#define RATE_VOLUME_MIN 4096
/*
 * And in no fewer epochs. With many samples an epoch the volume alone would forget a scan before it
 * comes round: what was read last would look hotter than what was read before, and be moved.
 */
#define RATE_EPOCHS 8
/* Epochs at its rate after which a tile counts as steady: scans visit a tile for one or two. */
#define STEADY_MIN 4
#define STEADY_MAX 64
/* Expected samples of which a quarter or less is no chance (Poisson: 4 in 10,000). */
#define STOPPED_MIN 16

static uint32_t pow2_at_least(uint64_t n)
{
	uint32_t p = 16;

	while (p < n && p < 1U << 31)
		p <<= 1;
	return p;
}

void ht_heatmap_size(struct ht_heatmap_size *s, uint64_t tracked_bytes)
{
	uint64_t tiles = tracked_bytes >> HT_TILE_SHIFT;

	/* Edges of mappings fall into tiles of their own: a quarter more, and a floor. */
	tiles += tiles / 4 + 1024;
	if (tiles > HT_ID_MASK)
		tiles = HT_ID_MASK;
	s->nr_tiles = tiles + 1;
	/* Load factor at most one half: a bucket of 16 ways with two choices then never fills. */
	s->nr_buckets = pow2_at_least(tiles * 2 / HT_WAYS);
	s->tile_lines = pow2_at_least(s->nr_tiles) / HT_IDS_PER_LINE;
	s->bytes = s->nr_tiles * (sizeof(struct ht_tile) + sizeof(struct ht_detail)) +
		   s->nr_buckets * sizeof(struct ht_bucket) +
		   s->tile_lines * sizeof(struct ht_id_line);
}

static int grow(void *arr, size_t *cap, size_t want, size_t elem)
{
	void **p = arr, *n;
	size_t c = *cap ? *cap : 256;

	if (want <= *cap)
		return 0;
	while (c < want)
		c *= 2;
	n = reallocarray(*p, c, elem);
	if (!n)
		return -ENOMEM;
	*p = n;
	*cap = c;
	return 0;
}

/* The ring holds every id at once, so a push never finds it full. */
static void push_tile(struct ht_heatmap *hm, uint32_t id)
{
	struct ht_ctl *c = hm->mem.ctl;
	uint32_t t = c->free_tail, line = (t & c->free_mask) / HT_IDS_PER_LINE;

	STORE(hm->mem.free_tiles[line].id[t % HT_IDS_PER_LINE], id);
	STORE(c->free_tail, t + 1);
}

int ht_heatmap_init(struct ht_heatmap *hm, const struct ht_heatmap_mem *mem)
{
	struct ht_ctl *c = mem->ctl;
	uint32_t i;

	memset(hm, 0, sizeof(*hm));
	hm->mem = *mem;
	hm->burst = HT_BURST_MAX;
	c->nr_buckets = mem->nr_buckets;
	c->nr_tiles = mem->nr_tiles;
	c->free_mask = pow2_at_least(mem->nr_tiles) - 1;
	c->free_head = c->free_tail = 0;
	for (i = 1; i < mem->nr_tiles; i++)
		push_tile(hm, i);
	return 0;
}

void ht_heatmap_free(struct ht_heatmap *hm)
{
	free(hm->live);
	free(hm->pending);
	free(hm->limbo);
	memset(hm, 0, sizeof(*hm));
}

uint32_t ht_heatmap_free_tiles(const struct ht_heatmap *hm)
{
	return LOAD(hm->mem.ctl->free_tail) - LOAD(hm->mem.ctl->free_head);
}

static bool clear_slot(struct ht_heatmap *hm, uint32_t bucket, uint32_t slot)
{
	uint32_t i, *s = hm->mem.bucket[bucket].slot;

	for (i = 0; i < HT_WAYS; i++) {
		if (LOAD(s[i]) == slot) {
			STORE(s[i], 0);
			return true;
		}
	}
	return false;
}

static void unlink_tile(struct ht_heatmap *hm, uint64_t key, uint32_t id)
{
	uint64_t h = ht_hash(key);
	uint32_t slot = HT_HASH_TAG(h) << HT_TAG_SHIFT | id, n = hm->mem.nr_buckets;

	if (!clear_slot(hm, HT_HASH_BUCKET(h, n), slot))
		clear_slot(hm, HT_HASH_BUCKET2(h, n), slot);
}

void ht_heatmap_drop_detail(struct ht_heatmap *hm, uint32_t id)
{
	struct ht_tile *t = &hm->mem.tile[id];

	if (!t->detail)
		return;
	/* What was seen before the tile had detail is no evidence of repeats from now on. */
	memset(t->touched, 0, sizeof(t->touched));
	STORE(t->detail, 0);
	hm->stats.details_freed++;
}

void ht_heatmap_give_detail(struct ht_heatmap *hm, uint32_t id)
{
	struct ht_tile *t = &hm->mem.tile[id];

	/* The sampler may do so at the same time: what its block then starts with may be lost. */
	if (LOAD(t->detail))
		return;
	memset(&hm->mem.detail[id], 0, sizeof(struct ht_detail));
	t->win_n = t->win_r = t->acc_r = t->acc_e = 0;
	STORE(t->detail, id);
}

/*
 * Out of the index at once, back on the ring at the next collect only: a sampler that found the
 * tile just before may still count into it.
 */
static int release_tile(struct ht_heatmap *hm, uint32_t id)
{
	struct ht_tile *t = &hm->mem.tile[id];

	if (grow(&hm->limbo, &hm->cap_limbo, hm->nr_limbo + 1, sizeof(uint32_t)))
		return -ENOMEM;
	ht_heatmap_drop_detail(hm, id);
	unlink_tile(hm, t->key, id);
	STORE(t->key, 0);
	hm->limbo[hm->nr_limbo++] = id;
	return 0;
}

static void empty_limbo(struct ht_heatmap *hm)
{
	size_t i;

	for (i = 0; i < hm->nr_limbo; i++) {
		/* A late sample may even have brought it page detail. */
		ht_heatmap_drop_detail(hm, hm->limbo[i]);
		memset(&hm->mem.tile[hm->limbo[i]], 0, sizeof(struct ht_tile));
		push_tile(hm, hm->limbo[i]);
	}
	hm->nr_limbo = 0;
}

/* Ids the sampler took off the ring since the last look. */
static int notice_pops(struct ht_heatmap *hm)
{
	struct ht_ctl *c = hm->mem.ctl;
	uint32_t head = LOAD(c->free_head), pos, size = c->free_mask + 1;
	int err;

	/* More than the ring holds: somebody else wrote the head. */
	if (head - hm->tiles_seen > size)
		hm->tiles_seen = head - size;
	for (pos = hm->tiles_seen; pos != head; pos++) {
		uint32_t id = hm->mem.free_tiles[(pos & c->free_mask) / HT_IDS_PER_LINE]
				      .id[pos % HT_IDS_PER_LINE];

		if (!id || id >= hm->mem.nr_tiles)
			continue; /* somebody else wrote into the ring */
		err = grow(&hm->pending, &hm->cap_pending, hm->nr_pending + 1, sizeof(uint32_t));
		if (err)
			return err;
		hm->pending[hm->nr_pending++] = id;
	}
	hm->tiles_seen = head;
	return 0;
}

static int cmp_live(const void *a, const void *b)
{
	const struct ht_live *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

/*
 * Pending ids with a key go live. Those still without one either are just being filled in, or their
 * sampler found no room in the index: the second look tells (bit 31 marks the first).
 */
static int take_pending(struct ht_heatmap *hm, size_t *fresh)
{
	size_t i, left = 0;
	uint64_t key;
	uint32_t id;
	int err;

	*fresh = 0;
	err = grow(&hm->live, &hm->cap_live, hm->nr_live + hm->nr_pending, sizeof(struct ht_live));
	if (err)
		return err;
	for (i = 0; i < hm->nr_pending; i++) {
		id = hm->pending[i] & ~(1U << 31);
		key = LOAD(hm->mem.tile[id].key);
		if (key) {
			hm->live[hm->nr_live + (*fresh)++] =
				(struct ht_live){ .key = key, .id = id };
		} else if (hm->pending[i] >> 31) {
			memset(&hm->mem.tile[id], 0, sizeof(struct ht_tile));
			push_tile(hm, id);
		} else {
			hm->pending[left++] = id | 1U << 31;
		}
	}
	hm->nr_pending = left;
	return 0;
}

/* live[0 .. nr_live) and the fresh ones behind it are each sorted: merge from the back. */
static int merge_fresh(struct ht_heatmap *hm, size_t fresh)
{
	size_t i = hm->nr_live, j = fresh, k = hm->nr_live + fresh;
	struct ht_live *tmp;

	if (!fresh)
		return 0;
	qsort(hm->live + hm->nr_live, fresh, sizeof(*hm->live), cmp_live);
	tmp = malloc(fresh * sizeof(*tmp));
	if (!tmp)
		return -ENOMEM;
	memcpy(tmp, hm->live + hm->nr_live, fresh * sizeof(*tmp));
	while (j) {
		if (i && cmp_live(&hm->live[i - 1], &tmp[j - 1]) > 0)
			hm->live[--k] = hm->live[--i];
		else
			hm->live[--k] = tmp[--j];
	}
	free(tmp);
	hm->nr_live += fresh;
	return 0;
}

static uint32_t aged(const struct ht_heatmap *hm, const struct ht_tile *t)
{
	uint32_t ticks = hm->mem.ctl->tick - t->tick;

	return ticks < 32 ? t->total >> ticks : 0;
}

static uint32_t index_of(const struct ht_heatmap *hm, uint64_t key)
{
	uint64_t h = ht_hash(key);
	uint32_t n = hm->mem.nr_buckets, choice[2], i, c, slot, id;

	choice[0] = HT_HASH_BUCKET(h, n);
	choice[1] = HT_HASH_BUCKET2(h, n);
	for (c = 0; c < 2; c++) {
		for (i = 0; i < HT_WAYS; i++) {
			slot = LOAD(hm->mem.bucket[choice[c]]
					    .slot[(HT_HASH_WAY(h) + i) & (HT_WAYS - 1)]);
			id = slot & HT_ID_MASK;
			if (slot >> HT_TAG_SHIFT == HT_HASH_TAG(h) && id && id < hm->mem.nr_tiles &&
			    hm->mem.tile[id].key == key)
				return id;
		}
	}
	return 0;
}

/* Heat as of now goes into a tile that may not have been aged for some ticks. */
static void add_heat(struct ht_heatmap *hm, uint32_t id, uint32_t heat)
{
	struct ht_tile *t = &hm->mem.tile[id];
	uint32_t ticks = hm->mem.ctl->tick - t->tick;
	uint64_t sum;

	if (ticks >= 32)
		return;
	sum = t->total + ((uint64_t)heat << ticks);
	t->total = sum < UINT32_MAX ? sum : UINT32_MAX;
}

/*
 * Two CPUs that meet a new key at once make a tile each. The index finds one of them; the other's
 * counts are added to it.
 */
static void fold_duplicates(struct ht_heatmap *hm)
{
	size_t i, out = 0;

	for (i = 0; i < hm->nr_live; i++) {
		struct ht_live *l = &hm->live[i], *prev = out ? &hm->live[out - 1] : NULL;
		uint32_t keep;

		if (!prev || prev->key != l->key) {
			/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): there are nr_live */
			hm->live[out++] = *l;
			continue;
		}
		if (prev->id == l->id)
			continue; /* its id was on the ring twice */
		keep = index_of(hm, l->key);
		if (keep == l->id) {
			struct ht_live t = *prev;

			*prev = *l;
			*l = t;
		}
		add_heat(hm, prev->id, aged(hm, &hm->mem.tile[l->id]));
		if (!release_tile(hm, l->id))
			hm->stats.merged++;
	}
	hm->nr_live = out;
}

static double sum_recent(struct ht_heatmap *hm)
{
	uint32_t tick = hm->mem.ctl->tick, ticks = tick - hm->last_tick;
	double sum = 0;
	size_t i;

	hm->last_tick = tick;
	hm->stats.details = 0;
	for (i = 0; i < hm->nr_live; i++) {
		struct ht_live *l = &hm->live[i];
		const struct ht_tile *t = &hm->mem.tile[l->id];
		/* What was there at the last collect has aged as well. */
		uint32_t now = aged(hm, t), before = ticks < 32 ? l->heat >> ticks : 0;

		l->recent = now > before ? now - before : 0;
		l->heat = now;
		/* All that is needed of the tile: it is in no cache, and looked at once. */
		l->writes = t->writes;
		l->repeats = ht_tile_repeats(t);
		l->expected8 = ht_tile_expected8(t);
		l->win_n = t->win_n;
		l->win_r = t->win_r;
		l->detail = t->detail != 0;
		sum += l->recent;
		hm->stats.details += l->detail;
	}
	hm->stats.live = hm->nr_live;
	return sum;
}

/*
 * What was steadily hot and stops is over: its rate goes at once, not with the memory, and sooner
 * the shorter it lasted. A scan's tile was never steady, and its next visit is as far as the last
 * one.
 */
static void forget(struct ht_live *l, double expected)
{
	if (l->recent * 2 >= expected) {
		l->steady += l->steady < STEADY_MAX;
	} else if (l->recent * 4 < expected && expected >= STOPPED_MIN) {
		if (l->steady >= STEADY_MIN)
			l->rate /= 4;
		l->steady /= 2;
	}
}

static void read_heat(struct ht_heatmap *hm)
{
	double recent = sum_recent(hm), volume = RATE_VOLUME * hm->nr_live, keep, fair;
	size_t i;

	if (volume < RATE_VOLUME_MIN)
		volume = RATE_VOLUME_MIN;
	keep = fmax(exp(-recent / volume), exp(-1.0 / RATE_EPOCHS));
	fair = hm->nr_live ? recent / hm->nr_live : 0;
	hm->rate_total = 0;
	for (i = 0; i < hm->nr_live; i++) {
		struct ht_live *l = &hm->live[i];
		double most = 2 * l->rate + hm->burst * (fair + 1);

		/* An epoch without any samples says nothing of any tile. */
		if (recent > 0)
			forget(l, l->rate * (1 - keep));
		l->rate = l->rate * keep + (l->recent < most ? l->recent : most);
		hm->rate_total += l->rate;
	}
}

int ht_heatmap_collect(struct ht_heatmap *hm)
{
	size_t fresh;
	int err;

	empty_limbo(hm);
	err = notice_pops(hm);
	if (err)
		return err;
	err = take_pending(hm, &fresh);
	if (err)
		return err;
	err = merge_fresh(hm, fresh);
	if (err)
		return err;
	fold_duplicates(hm);
	read_heat(hm);
	return 0;
}

void ht_heatmap_thin(struct ht_heatmap *hm, double share)
{
	size_t i;

	for (i = 0; i < hm->nr_live; i++)
		hm->live[i].rate *= share;
	hm->rate_total *= share;
}

size_t ht_heatmap_of(const struct ht_heatmap *hm, pid_t tgid, size_t *first)
{
	uint64_t lo_key = HT_KEY(tgid, 0), hi_key = HT_KEY(tgid + 1U, 0);
	size_t lo = 0, hi = hm->nr_live, mid, end;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (hm->live[mid].key < lo_key)
			lo = mid + 1;
		else
			hi = mid;
	}
	*first = lo;
	for (hi = hm->nr_live; lo < hi;) {
		mid = (lo + hi) / 2;
		if (hm->live[mid].key < hi_key)
			lo = mid + 1;
		else
			hi = mid;
	}
	end = lo;
	return end - *first;
}

size_t ht_heatmap_release_if(struct ht_heatmap *hm, pid_t tgid,
			     bool (*gone)(uint64_t va, void *arg), void *arg)
{
	size_t first, nr = ht_heatmap_of(hm, tgid, &first), i, out = first, freed = 0;

	for (i = first; i < first + nr; i++) {
		if (gone(HT_KEY_VA(hm->live[i].key), arg) && !release_tile(hm, hm->live[i].id)) {
			freed++;
			continue;
		}
		hm->live[out++] = hm->live[i];
	}
	memmove(hm->live + out, hm->live + first + nr,
		(hm->nr_live - first - nr) * sizeof(*hm->live));
	hm->nr_live -= freed;
	hm->stats.released += freed;
	return freed;
}

struct stretch {
	uint64_t start, end;
};

static bool is_within(uint64_t va, void *arg)
{
	const struct stretch *s = arg;

	return va >= s->start && va < s->end;
}

size_t ht_heatmap_release(struct ht_heatmap *hm, pid_t tgid, uint64_t start, uint64_t end)
{
	struct stretch s = { start, end };

	return ht_heatmap_release_if(hm, tgid, is_within, &s);
}

static int cmp_u32(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The heat below which the n coldest tiles lie. */
static uint32_t heat_of_nth(const struct ht_heatmap *hm, size_t n)
{
	uint32_t *heat = malloc(hm->nr_live * sizeof(*heat)), cut;
	size_t i;

	if (!heat)
		return 0;
	for (i = 0; i < hm->nr_live; i++)
		heat[i] = hm->live[i].heat;
	qsort(heat, hm->nr_live, sizeof(*heat), cmp_u32);
	cut = heat[n - 1];
	free(heat);
	return cut;
}

size_t ht_heatmap_evict(struct ht_heatmap *hm)
{
	size_t want = hm->mem.nr_tiles / FREE_SHARE, have = ht_heatmap_free_tiles(hm), i, out = 0;
	size_t n, below = 0, freed = 0;
	uint32_t cut;

	have += hm->nr_limbo;
	if (have >= want || !hm->nr_live)
		return 0;
	n = want - have < hm->nr_live ? want - have : hm->nr_live;
	cut = heat_of_nth(hm, n);
	for (i = 0; i < hm->nr_live; i++)
		below += hm->live[i].heat < cut;
	for (i = 0; i < hm->nr_live; i++) {
		uint32_t heat = hm->live[i].heat;
		bool goes = heat < cut || (heat == cut && below < n);

		below += goes && heat == cut;
		if (goes && !release_tile(hm, hm->live[i].id))
			freed++;
		else
			hm->live[out++] = hm->live[i];
	}
	hm->nr_live = out;
	hm->stats.evicted += freed;
	return freed;
}

const struct ht_detail *ht_heatmap_detail(const struct ht_heatmap *hm, uint32_t id,
					  struct ht_detail *copy)
{
	const struct ht_tile *t = &hm->mem.tile[id];
	uint32_t tick = hm->mem.ctl->tick, i;

	if (!LOAD(t->detail))
		return NULL;
	for (i = 0; i < HT_TILE_WORDS; i++)
		copy->nib[i] = ht_age_nibbles(hm->mem.detail[id].nib[i], tick, tick - t->tick);
	return copy;
}
