// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Rows are addresses, columns time. Tiles next to each other form a region; a gap that would take
 * more than a few rows ends it, so that the picture shows memory, not the distances between.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <hypertier/heat.h>

#include "heatmap.h"
#include "playback.h"
#include "log.h"

#define GAP_SHARE 64 /* gaps below one part in so many of all tiles are drawn */
#define GAP_MIN 2

static void forget_others(struct hm_grid *g, uint32_t pid)
{
	size_t i, n = 0;

	for (i = 0; i < g->nr_tiles; i++)
		if (HT_KEY_TGID(g->tile[i]) == pid)
			g->tile[n++] = g->tile[i];
	g->nr_tiles = n;
}

/* ---- first reading: heat of each tile, number of epochs ---- */

static int measure(struct hm_grid *g, struct hm_input *in, float *heat)
{
	bool open = false;
	struct hm_event ev;
	size_t i, first, end;
	int kind;

	while ((kind = in->next(in, &ev)) > HM_END) {
		if (kind == HM_EPOCH) {
			g->epochs++;
			open = false;
		}
		if (kind != HM_HEAT)
			continue;
		open = true;
		first = ht_playback_find(g->tile, g->nr_tiles, HT_KEY(ev.tgid, ev.start));
		end = ht_playback_find(g->tile, g->nr_tiles, HT_KEY(ev.tgid, ev.end - 1) + 1);
		for (i = first; i < end; i++)
			heat[i] += ev.heat / (end - first);
	}
	if (kind < 0)
		return kind;
	/* Cut off within an epoch: what there is of it is one as well. */
	g->epochs += open || !g->epochs;
	return in->rewind(in);
}

/* ---- regions ---- */

static int add_region(struct hm_grid *g, size_t *cap, size_t first, size_t end, const float *heat)
{
	struct hm_region *r;
	size_t i;

	if ((size_t)g->nr_regions == *cap) {
		*cap = *cap ? *cap * 2 : 64;
		r = reallocarray(g->region, *cap, sizeof(*r));
		if (!r)
			return -ENOMEM;
		g->region = r;
	}
	r = &g->region[g->nr_regions++];
	*r = (struct hm_region){ .tgid = HT_KEY_TGID(g->tile[first]),
				 .start = HT_KEY_VA(g->tile[first]),
				 .end = HT_KEY_VA(g->tile[end - 1]) + HT_TILE_SIZE,
				 .first_tile = first,
				 .nr_tiles = end - first };
	for (i = first; i < end; i++)
		r->heat += heat[i];
	return 0;
}

static int find_regions(struct hm_grid *g, const float *heat)
{
	uint64_t gap = g->nr_tiles / GAP_SHARE > GAP_MIN ? g->nr_tiles / GAP_SHARE : GAP_MIN;
	size_t first = 0, i, cap = 0;
	int err = 0;

	for (i = 1; i <= g->nr_tiles && !err; i++) {
		if (i < g->nr_tiles && HT_KEY_TGID(g->tile[i]) == HT_KEY_TGID(g->tile[i - 1]) &&
		    g->tile[i] - g->tile[i - 1] <= gap)
			continue;
		err = add_region(g, &cap, first, i, heat);
		first = i;
	}
	return err;
}

static int hotter(const void *a, const void *b)
{
	const struct hm_region *x = a, *y = b;

	if (x->heat != y->heat)
		return x->heat < y->heat ? 1 : -1;
	return x->first_tile < y->first_tile ? -1 : 1;
}

static int lower(const void *a, const void *b)
{
	const struct hm_region *x = a, *y = b;

	return x->first_tile < y->first_tile ? -1 : x->first_tile > y->first_tile;
}

static void keep_hottest(struct hm_grid *g)
{
	if (g->nr_regions <= HM_REGIONS_MAX)
		return;
	qsort(g->region, g->nr_regions, sizeof(*g->region), hotter);
	g->nr_hidden = g->nr_regions - HM_REGIONS_MAX;
	g->nr_regions = HM_REGIONS_MAX;
	qsort(g->region, g->nr_regions, sizeof(*g->region), lower);
}

static void give_rows(struct hm_grid *g, int rows)
{
	uint64_t all = 0, n;
	int i;

	for (i = 0; i < g->nr_regions; i++)
		all += (g->region[i].end - g->region[i].start) >> HT_TILE_SHIFT;
	g->tiles_per_row = all > (uint64_t)rows ? (all + rows - 1) / rows : 1;
	for (i = 0; i < g->nr_regions; i++) {
		struct hm_region *r = &g->region[i];

		n = (r->end - r->start) >> HT_TILE_SHIFT;
		r->first_row = g->rows;
		r->nr_rows = (n + g->tiles_per_row - 1) / g->tiles_per_row;
		g->rows += r->nr_rows;
	}
}

void hm_row_range(const struct hm_grid *g, const struct hm_region *r, int row, uint64_t *start,
		  uint64_t *end)
{
	uint64_t size = g->tiles_per_row << HT_TILE_SHIFT;

	*start = r->start + size * (row - r->first_row);
	*end = *start + size < r->end ? *start + size : r->end;
}

/* ---- second reading: the cells ---- */

struct place {
	float pages, fast;
};

struct filling {
	struct hm_grid *g;
	int *row_of;	     /* of each tile, -1 = hidden */
	struct place *place; /* of each tile */
	struct place *sum;   /* of each row */
	int col;
	uint64_t epoch;
	double seconds;
};

static void map_rows(struct filling *f)
{
	struct hm_grid *g = f->g;
	size_t t;
	int i;

	for (t = 0; t < g->nr_tiles; t++)
		f->row_of[t] = -1;
	for (i = 0; i < g->nr_regions; i++) {
		const struct hm_region *r = &g->region[i];

		for (t = r->first_tile; t < r->first_tile + r->nr_tiles; t++)
			f->row_of[t] = r->first_row +
				       ((HT_KEY_VA(g->tile[t]) - r->start) >> HT_TILE_SHIFT) /
					       g->tiles_per_row;
	}
}

static void add_place(struct filling *f, size_t t, float pages, float fast)
{
	int row = f->row_of[t];

	if (row >= 0) {
		f->sum[row].pages += pages - f->place[t].pages;
		f->sum[row].fast += fast - f->place[t].fast;
	}
	f->place[t] = (struct place){ pages, fast };
}

static void clear_places(struct filling *f)
{
	memset(f->place, 0, f->g->nr_tiles * sizeof(*f->place));
	memset(f->sum, 0, f->g->rows * sizeof(*f->sum));
}

/* Where pages are at the end of the column is what it shows. */
static void end_column(struct filling *f)
{
	int row;

	for (row = 0; row < f->g->rows; row++) {
		struct hm_cell *c = hm_cell(f->g, row, f->col);

		c->pages = f->sum[row].pages > 0 ? f->sum[row].pages : 0;
		c->fast = f->sum[row].fast > 0 ? f->sum[row].fast : 0;
	}
}

static void end_epoch(struct filling *f, uint64_t ns)
{
	struct hm_grid *g = f->g;

	f->seconds += ns / 1e9;
	end_column(f);
	if (++f->epoch % g->epochs_per_col || f->col + 1 >= g->cols)
		return;
	f->col++;
	g->col_seconds[f->col] = f->seconds;
}

static void add_heat(struct filling *f, const struct hm_event *ev, size_t first, size_t end)
{
	double heat = ev->heat / (end - first);
	size_t t;

	for (t = first; t < end; t++) {
		if (f->row_of[t] < 0)
			continue;
		hm_cell(f->g, f->row_of[t], f->col)->heat += heat;
		f->g->samples += heat;
	}
}

static int fill(struct filling *f, struct hm_input *in)
{
	struct hm_grid *g = f->g;
	struct hm_event ev;
	size_t first, end, t;
	int kind;

	while ((kind = in->next(in, &ev)) > HM_END) {
		if (kind == HM_CLEAR) {
			clear_places(f);
		} else if (kind == HM_EPOCH) {
			end_epoch(f, ev.ns);
		} else {
			first = ht_playback_find(g->tile, g->nr_tiles, HT_KEY(ev.tgid, ev.start));
			end = ht_playback_find(g->tile, g->nr_tiles,
					       HT_KEY(ev.tgid, ev.end - 1) + 1);
			if (kind == HM_HEAT && end > first)
				add_heat(f, &ev, first, end);
			for (t = first; kind == HM_PLACE && t < end; t++)
				add_place(f, t, ev.pages / (end - first), ev.fast / (end - first));
		}
	}
	end_column(f);
	g->seconds = f->seconds;
	return kind;
}

static int fill_cells(struct hm_grid *g, struct hm_input *in)
{
	struct filling f = { .g = g };
	int err = -ENOMEM;

	f.row_of = calloc(g->nr_tiles, sizeof(*f.row_of));
	f.place = calloc(g->nr_tiles, sizeof(*f.place));
	f.sum = calloc(g->rows, sizeof(*f.sum));
	if (f.row_of && f.place && f.sum) {
		map_rows(&f);
		err = fill(&f, in);
	}
	free(f.row_of);
	free(f.place);
	free(f.sum);
	return err;
}

/* A count of n is off by its square root: where even the hottest row has few, none says anything.
 */
static void judge_columns(struct hm_grid *g)
{
	int row, col;

	for (col = 0; col < g->cols; col++) {
		double most = 0;

		for (row = 0; row < g->rows; row++)
			if (hm_cell(g, row, col)->heat > most)
				most = hm_cell(g, row, col)->heat;
		g->few[col] = most < HM_FEW;
		g->nr_few += g->few[col];
		if (!g->few[col] && most > g->hottest)
			g->hottest = most;
	}
}

static int lay_out(struct hm_grid *g, struct hm_input *in, int rows, int cols)
{
	float *heat = calloc(g->nr_tiles, sizeof(*heat));
	int err;

	if (!heat)
		return -ENOMEM;
	err = measure(g, in, heat);
	err = err ?: find_regions(g, heat);
	free(heat);
	if (err)
		return err;
	keep_hottest(g);
	give_rows(g, rows);
	g->epochs_per_col = (g->epochs + cols - 1) / cols;
	g->cols = (g->epochs + g->epochs_per_col - 1) / g->epochs_per_col;
	g->cell = calloc((size_t)g->rows * g->cols, sizeof(*g->cell));
	g->few = calloc(g->cols, sizeof(*g->few));
	g->col_seconds = calloc(g->cols, sizeof(*g->col_seconds));
	return g->cell && g->few && g->col_seconds ? 0 : -ENOMEM;
}

int hm_grid_make(struct hm_grid *g, struct hm_input *in, uint32_t pid, int rows, int cols)
{
	int err;

	memset(g, 0, sizeof(*g));
	err = in->tiles(in, &g->tile, &g->nr_tiles);
	if (err)
		return err;
	if (pid)
		forget_others(g, pid);
	if (!g->nr_tiles) {
		pr_err("nothing to draw: no samples%s", pid ? " of this process" : "");
		return -ENODATA;
	}
	err = lay_out(g, in, rows, cols);
	err = err ?: fill_cells(g, in);
	if (!err)
		judge_columns(g);
	return err;
}

void hm_grid_free(struct hm_grid *g)
{
	free(g->tile);
	free(g->region);
	free(g->col_seconds);
	free(g->cell);
	free(g->few);
	memset(g, 0, sizeof(*g));
}
