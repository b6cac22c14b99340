/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * hypertier-heatmap: input.c turns a recording or a running loader into a stream of events that can
 * be read twice; grid.c lays addresses out as rows and time as columns and adds the events up;
 * draw.c draws that on a canvas, of which svg.c and png.c are two.
 */
#ifndef HEATMAP_H
#define HEATMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* ---- input.c ---- */

enum hm_kind { HM_END, HM_HEAT, HM_PLACE, HM_CLEAR, HM_EPOCH };

struct hm_event {
	uint32_t tgid;
	uint64_t start, end; /* HM_HEAT, HM_PLACE: addresses */
	double heat;	     /* HM_HEAT: samples */
	double pages, fast;  /* HM_PLACE: resident from here on, and of these in the fastest tier */
	uint64_t ns;	     /* HM_EPOCH: its length */
};

struct hm_input {
	/* enum hm_kind of the next event, or a negative errno, logged. */
	int (*next)(struct hm_input *in, struct hm_event *ev);
	int (*rewind)(struct hm_input *in);
	/* HT_KEY() of every tile there is anything of, sorted; the caller's. */
	int (*tiles)(struct hm_input *in, uint64_t **key, size_t *nr);
	void (*close)(struct hm_input *in);
	char title[160];
	bool truncated;
};

/* A recording. 0 or a negative errno, logged. */
int hm_open_recording(struct hm_input **in, const char *path);
/* Watches a loader for so long, or until *stop. 0 or a negative errno, logged. */
int hm_open_live(struct hm_input **in, const char *dir, double seconds, double interval,
		 const volatile int *stop);

/* ---- grid.c ---- */

#define HM_REGIONS_MAX 64
#define HM_ROWS_MAX 2048
#define HM_COLS_MAX 2000
/* The hottest row of a column needs so many samples: a count of 16 is off by a quarter. */
#define HM_FEW 16.0

struct hm_region { /* addresses of one process without a large gap */
	uint32_t tgid;
	uint64_t start, end;
	double heat;
	size_t first_tile, nr_tiles; /* of the grid's tiles */
	int first_row, nr_rows;
};

struct hm_cell {
	float heat, pages, fast;
};

struct hm_grid {
	uint64_t *tile; /* HT_KEY(), sorted */
	size_t nr_tiles;
	struct hm_region *region;  /* in the order of processes and addresses */
	int nr_regions, nr_hidden; /* hidden: too cold to be among HM_REGIONS_MAX */
	int rows, cols;
	uint64_t tiles_per_row;
	uint64_t epochs, epochs_per_col;
	double *col_seconds; /* when each column begins */
	double seconds;
	struct hm_cell *cell; /* rows * cols */
	bool *few;	      /* columns with too few samples */
	int nr_few;
	double samples, hottest; /* hottest: of all columns that have enough */
};

/* pid 0 = all. 0 or a negative errno, logged. */
int hm_grid_make(struct hm_grid *g, struct hm_input *in, uint32_t pid, int rows, int cols);
void hm_grid_free(struct hm_grid *g);
static inline struct hm_cell *hm_cell(const struct hm_grid *g, int row, int col)
{
	return &g->cell[(size_t)row * g->cols + col];
}
/* Addresses of a row within its region. */
void hm_row_range(const struct hm_grid *g, const struct hm_region *r, int row, uint64_t *start,
		  uint64_t *end);

/* ---- draw.c ---- */

struct hm_row {
	uint32_t tgid;
	uint64_t start, end;
	double heat,
		fast; /* samples over all columns; share of pages in the fastest tier, at the end
		       */
	int y, height;
};

/* Pixels, from the upper left. Texts are plain ASCII. */
struct hm_canvas {
	void (*rect)(struct hm_canvas *c, int x, int y, int w, int h, uint32_t rgb);
	void (*few)(struct hm_canvas *c, int x, int y, int w, int h);
	void (*text)(struct hm_canvas *c, int x, int y, const char *s); /* y: its upper edge */
	void (*row)(struct hm_canvas *c, const struct hm_row *row);	/* NULL ends it */
};

#define HM_FONT_WIDTH 8
#define HM_FONT_HEIGHT 10

void hm_size(const struct hm_grid *g, int *width, int *height);
void hm_draw(const struct hm_grid *g, const char *title, struct hm_canvas *c);

/* ---- svg.c, png.c: 0 or a negative errno ---- */

int hm_write_svg(FILE *f, const struct hm_grid *g, const char *title);
int hm_write_png(FILE *f, const struct hm_grid *g, const char *title);

#endif
