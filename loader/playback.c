// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include <hypertier/stats.h>

#include "log.h"
#include "playback.h"

int ht_playback_start(struct ht_playback *p, FILE *f, const char *name)
{
	struct ht_trace_hdr *h = &p->hdr;

	*p = (struct ht_playback){ .f = f, .name = name };
	if (fread(h, sizeof(*h), 1, f) != 1 || h->magic != HT_TRACE_MAGIC) {
		pr_err("%s: not a recording (hypertier-load --record makes them)", name);
		return -EINVAL;
	}
	if (h->version == HT_TRACE_VERSION && h->record_size == sizeof(struct ht_inject_rec) &&
	    h->source < HT_SRC_NR)
		return 0;
	pr_err("%s: a recording of version %u, this program reads version %u: record it again",
	       name, h->version, HT_TRACE_VERSION);
	return -EINVAL;
}

int ht_playback_open(struct ht_playback *p, const char *path)
{
	FILE *f = fopen(path, "re");
	int err;

	if (!f) {
		err = -errno;
		pr_err("%s: %s", path, strerror(-err));
		return err;
	}
	err = ht_playback_start(p, f, path);
	if (err)
		ht_playback_close(p);
	return err;
}

void ht_playback_close(struct ht_playback *p)
{
	if (p->f)
		fclose(p->f);
	p->f = NULL;
}

static int damaged(const struct ht_playback *p, const char *what, uint64_t value)
{
	pr_err("%s: record %" PRIu64 " is damaged: %s %#" PRIx64, p->name, p->nr, what, value);
	return -EBADMSG;
}

static int check(const struct ht_playback *p, const struct ht_inject_rec *rec)
{
	if (!rec->tgid) {
		if (rec->addr > HT_PLAYBACK_EPOCH_NS)
			return damaged(p, "an epoch cannot last, in ns,", rec->addr);
		return HT_PLAY_EPOCH;
	}
	if (rec->tgid >= HT_TRACE_TGIDS)
		return damaged(p, "no process has the number", rec->tgid);
	if (rec->addr >= HT_TRACE_ADDRS)
		return damaged(p, "not a user address:", rec->addr);
	if (rec->write < HT_TRACE_PLACE)
		return HT_PLAY_SAMPLE;
	if (rec->write > HT_TRACE_PLACE)
		return damaged(p, "unknown kind", rec->write);
	if (rec->lat > HT_TILE_PAGES || ht_playback_fast(rec) > rec->lat)
		return damaged(p, "more pages than a tile has:", rec->lat);
	return HT_PLAY_PLACE;
}

int ht_playback_next(struct ht_playback *p, struct ht_inject_rec *rec)
{
	size_t n = fread(rec, 1, sizeof(*rec), p->f);

	if (n < sizeof(*rec)) {
		if (ferror(p->f)) {
			pr_err("%s: cannot be read", p->name);
			return -EIO;
		}
		p->truncated = n > 0;
		return HT_PLAY_END;
	}
	p->nr++;
	return check(p, rec);
}

int ht_playback_rewind(struct ht_playback *p)
{
	if (fseeko(p->f, sizeof(p->hdr), SEEK_SET)) {
		pr_err("%s: not a file that can be read twice", p->name);
		return -ESPIPE;
	}
	p->nr = 0;
	return 0;
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

size_t ht_playback_distinct(uint64_t *key, size_t nr)
{
	size_t i, n = 0;

	if (nr)
		qsort(key, nr, sizeof(*key), by_value);
	for (i = 0; i < nr; i++)
		if (!n || key[i] != key[n - 1])
			key[n++] = key[i];
	return n;
}

size_t ht_playback_find(const uint64_t *tile, size_t nr, uint64_t key)
{
	size_t lo = 0, hi = nr, mid;

	while (lo < hi) {
		mid = (lo + hi) / 2;
		if (tile[mid] < key)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct tiles {
	uint64_t *key;
	size_t nr, cap;
};

/* Duplicates go when the memory is full; it grows where they are not half of it. */
static int make_room(const struct ht_playback *p, struct tiles *t)
{
	size_t cap = t->cap ? t->cap * 2 : 4096;
	uint64_t *n;

	t->nr = ht_playback_distinct(t->key, t->nr);
	if (t->nr > HT_PLAYBACK_TILES) {
		pr_err("%s: more than %u tiles of 2 MiB", p->name, HT_PLAYBACK_TILES);
		return -E2BIG;
	}
	if (t->nr < t->cap / 2)
		return 0;
	n = reallocarray(t->key, cap, sizeof(*n));
	if (!n)
		return -ENOMEM;
	t->key = n;
	t->cap = cap;
	return 0;
}

static int add_tile(const struct ht_playback *p, struct tiles *t, uint64_t key)
{
	int err = 0;

	if (t->nr && t->key[t->nr - 1] == key)
		return 0;
	if (t->nr == t->cap)
		err = make_room(p, t);
	if (!err)
		t->key[t->nr++] = key;
	return err;
}

int ht_playback_tiles(struct ht_playback *p, bool places, uint64_t **key, size_t *nr)
{
	struct ht_inject_rec rec;
	struct tiles t = {};
	int kind, err = 0;

	while (!err && (kind = ht_playback_next(p, &rec)) != HT_PLAY_END) {
		p->epochs += kind == HT_PLAY_EPOCH;
		if (kind < 0)
			err = kind;
		else if (kind == HT_PLAY_SAMPLE || (places && kind == HT_PLAY_PLACE && rec.lat))
			err = add_tile(p, &t, HT_KEY(rec.tgid, rec.addr));
	}
	err = err ?: ht_playback_rewind(p);
	if (err) {
		free(t.key);
		return err;
	}
	*key = t.key;
	*nr = ht_playback_distinct(t.key, t.nr);
	return 0;
}
