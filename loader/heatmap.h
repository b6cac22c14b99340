/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The loader's side of the heat map (hypertier/heat.h): it produces free tiles, reads what the
 * sampler counted, and takes back what is cold or gone. Reading is plain memory access; a counter
 * may change while it is read, which costs an error of one sample.
 *
 * When memory runs out: the sampler drops a sample that finds no free tile (counted as
 * HT_DROP_NO_TILE); each epoch the loader frees the coldest tiles until one sixteenth is free again
 * (counted in ht_heatmap_stats.evicted).
 */
#ifndef HT_HEATMAP_H
#define HT_HEATMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <hypertier/ctl.h>
#include <hypertier/heat.h>

#define HT_BURST_MAX 1.0

/* The mapped maps; owned by the policy object. Sizes are those given to the kernel. */
struct ht_heatmap_mem {
	struct ht_ctl *ctl;
	struct ht_tile *tile;
	struct ht_bucket *bucket;
	struct ht_detail *detail;
	struct ht_id_line *free_tiles;
	uint32_t nr_tiles;   /* elements of tile and of detail, the unused element 0 included */
	uint32_t nr_buckets; /* a power of two */
};

/* Number of elements the maps need for so many bytes of tracked memory. */
struct ht_heatmap_size {
	uint32_t nr_tiles; /* of heat and of heat_pages */
	uint32_t nr_buckets;
	uint32_t tile_lines; /* elements of free_tiles */
	uint64_t bytes;
};
void ht_heatmap_size(struct ht_heatmap_size *s, uint64_t tracked_bytes);

struct ht_heatmap_stats {
	uint64_t evicted;	/* tiles freed because memory ran low */
	uint64_t released;	/* tiles freed because their memory or process is gone */
	uint64_t merged;	/* duplicate tiles folded into one */
	uint64_t details_freed; /* times a tile's page detail was taken back */
	uint32_t live;		/* tiles in use */
	uint32_t details;	/* of these, with page detail */
};

struct ht_live {
	uint64_t key; /* HT_KEY() */
	uint32_t id;
	uint32_t heat;	 /* tile total as of the last collect, aged to now */
	uint32_t recent; /* heat gained since the collect before */
	float rate;	 /* moving sum of recent, bursts capped: see ht_heatmap_collect() */
	uint32_t writes; /* aged sampled stores */
	uint16_t repeats, expected8; /* see ht_tile_repeats(), ht_tile_expected8() */
	uint16_t win_n, win_r;	     /* samples in this window, and repeats among them */
	uint8_t steady;		     /* epochs in which its rate held, aged when not */
	bool detail;		     /* the tile has page detail */
};

struct ht_heatmap {
	struct ht_heatmap_mem mem;
	struct ht_live *live; /* sorted by key, as of the last collect */
	size_t nr_live, cap_live;
	uint32_t tiles_seen; /* ring position up to which pops have been noticed */
	uint32_t last_tick;  /* aging tick of the last collect */
	uint32_t *pending;   /* popped, but without a key yet */
	size_t nr_pending, cap_pending;
	uint32_t *limbo; /* released this epoch, free from the next one on */
	size_t nr_limbo, cap_limbo;
	double rate_total; /* sum of the rates */
	double burst;	   /* HT_BURST_MAX at first */
	struct ht_heatmap_stats stats;
};

/* Empty maps: puts every tile on the free ring. Returns 0 or -ENOMEM. */
int ht_heatmap_init(struct ht_heatmap *hm, const struct ht_heatmap_mem *mem);
void ht_heatmap_free(struct ht_heatmap *hm);

/*
 * Once per epoch: notices new tiles, folds duplicates, ages what is read. After it live[] is
 * complete and sorted, until the next call that releases tiles. Returns 0 or -ENOMEM.
 *
 * The map's own totals are a long memory, for page counts need many samples. A tile's rate is a
 * short one: it decays with the volume of samples (to 1/e in some 8 per live tile, and 8 epochs at
 * least; at once where what was steadily hot stops), and takes no
 * more from one epoch than twice what it has plus burst times the average tile's share. A scan,
 * which loads a tile once and leaves, hence stays below memory in steady use; what is new and stays
 * hot passes it within a few epochs. The caller lowers burst while bursts mislead it.
 */
int ht_heatmap_collect(struct ht_heatmap *hm);
/*
 * Samples will come at this share of their rate so far, below 1: so do the tiles' rates. Else many
 * would count as stopped, which of them by chance.
 */
void ht_heatmap_thin(struct ht_heatmap *hm, double share);
/* Frees tiles of a process, all or within [start, end). Returns how many. */
size_t ht_heatmap_release(struct ht_heatmap *hm, pid_t tgid, uint64_t start, uint64_t end);
/* Frees those for whose address gone() is true, in one pass: one by one, each would cost a pass. */
size_t ht_heatmap_release_if(struct ht_heatmap *hm, pid_t tgid,
			     bool (*gone)(uint64_t va, void *arg), void *arg);
/* Frees the coldest tiles until enough are free. Returns how many. */
size_t ht_heatmap_evict(struct ht_heatmap *hm);
/*
 * Gives a tile page detail before its own samples ask for it, all counts 0: which page of a cell
 * was sampled is not known.
 */
void ht_heatmap_give_detail(struct ht_heatmap *hm, uint32_t id);
/* Takes a tile's page detail back (its pages stopped differing). */
void ht_heatmap_drop_detail(struct ht_heatmap *hm, uint32_t id);
/* The detail block of a tile, aged to now in *copy, or NULL. */
const struct ht_detail *ht_heatmap_detail(const struct ht_heatmap *hm, uint32_t id,
					  struct ht_detail *copy);
/* Tiles of a process: indexes [*first, *first + returned) of live[]. */
size_t ht_heatmap_of(const struct ht_heatmap *hm, pid_t tgid, size_t *first);
uint32_t ht_heatmap_free_tiles(const struct ht_heatmap *hm);

#endif
