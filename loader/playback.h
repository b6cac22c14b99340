/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Reads a recording (hypertier/trace.h). The file may be anything: each record is checked, and what
 * it says is bounded before anybody sees it.
 */
#ifndef HT_PLAYBACK_H
#define HT_PLAYBACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <hypertier/trace.h>

/* 8 TiB, as many as a heat map can have. */
#define HT_PLAYBACK_TILES (1U << HT_TAG_SHIFT)
/* An epoch of a recording is no longer than this. */
#define HT_PLAYBACK_EPOCH_NS (3600ULL * 1000000000)

struct ht_playback {
	FILE *f;
	const char *name;
	struct ht_trace_hdr hdr;
	uint64_t nr;	 /* records read */
	uint64_t epochs; /* in all of it, after ht_playback_tiles() */
	bool truncated;	 /* the file ends in the middle of a record */
};

enum ht_playback_kind { HT_PLAY_END, HT_PLAY_SAMPLE, HT_PLAY_PLACE, HT_PLAY_EPOCH };

/* name is for messages and is kept. f must be seekable for what rewinds. -EINVAL, logged. */
int ht_playback_start(struct ht_playback *p, FILE *f, const char *name);
/* The same for a path; ht_playback_close() closes it. */
int ht_playback_open(struct ht_playback *p, const char *path);
void ht_playback_close(struct ht_playback *p);
/* The next record and its enum ht_playback_kind, or a negative errno, logged. */
int ht_playback_next(struct ht_playback *p, struct ht_inject_rec *rec);
int ht_playback_rewind(struct ht_playback *p);

/* Pages of a placement record. */
static inline unsigned int ht_playback_fast(const struct ht_inject_rec *rec)
{
	return rec->addr & (HT_TILE_SIZE - 1);
}

/*
 * Reads all of it and rewinds: the HT_KEY() of every tile with a sample (with places: or with
 * resident pages), sorted. *key is the caller's. -E2BIG above HT_PLAYBACK_TILES, logged.
 */
int ht_playback_tiles(struct ht_playback *p, bool places, uint64_t **key, size_t *nr);
/* Sorts keys and drops what repeats; the number that is left. */
size_t ht_playback_distinct(uint64_t *key, size_t nr);
/* Index of the first of these sorted tiles whose key is not smaller. */
size_t ht_playback_find(const uint64_t *tile, size_t nr, uint64_t key);

#endif
