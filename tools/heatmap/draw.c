// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The picture: a title, one block of rows per region with its addresses on the left, gaps folded
 * between them, time below, a legend. Hue is the tier (blue slow, red fast, grey not known), depth
 * is heat.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "heatmap.h"

#define LEFT 176
#define TOP 30
#define RIGHT 16
#define GAP 14 /* between regions: room for what was left out */
#define BOTTOM 72
#define WIDE 720 /* aims of the size of the cells' area */
#define HIGH 480
#define TEXT_MAX 120

#define INK 0x222222
#define PAPER 0xffffff

static int clamp(int v, int min, int max)
{
	return v < min ? min : v > max ? max : v;
}

static int cell_width(const struct hm_grid *g)
{
	return clamp(WIDE / g->cols, 1, 40);
}

static int cell_height(const struct hm_grid *g)
{
	return clamp(HIGH / g->rows, 2, 24);
}

/* A region with one line of pixels still needs room for its address. */
static int region_height(const struct hm_grid *g, const struct hm_region *r)
{
	int h = r->nr_rows * cell_height(g);

	return h < HM_FONT_HEIGHT ? HM_FONT_HEIGHT : h;
}

static int rows_height(const struct hm_grid *g)
{
	int i, h = 0;

	for (i = 0; i < g->nr_regions; i++)
		h += region_height(g, &g->region[i]) + GAP;
	return h;
}

void hm_size(const struct hm_grid *g, int *width, int *height)
{
	int cells = g->cols * cell_width(g);

	*width = LEFT + (cells < 400 ? 400 : cells) + RIGHT;
	*height = TOP + rows_height(g) + BOTTOM;
}

static uint32_t mix(uint32_t a, uint32_t b, double share)
{
	uint32_t out = 0;
	int shift;

	for (shift = 0; shift < 24; shift += 8) {
		double x = (a >> shift & 255) +
			   share * ((double)(b >> shift & 255) - (a >> shift & 255));

		out |= (uint32_t)(x + 0.5) << shift;
	}
	return out;
}

/* depth: 0 cold .. 1 hottest */
static uint32_t color(double depth, double fast, bool placed)
{
	if (!placed)
		return mix(0xe8e8e8, 0x202020, depth);
	return mix(mix(0xdde8f6, 0xfbe6d8, fast), mix(0x08306b, 0xa50f15, fast), depth);
}

/* Counts span decades. PAPER where nothing is resident and nothing was sampled. */
static uint32_t cell_color(const struct hm_grid *g, const struct hm_cell *c)
{
	double top = g->hottest > 1 ? g->hottest : 1, heat = c->heat < top ? c->heat : top;

	if (c->heat <= 0 && c->pages <= 0)
		return PAPER;
	return color(log1p(heat) / log1p(top), c->pages > 0 ? c->fast / c->pages : 0, c->pages > 0);
}

static void draw_row(const struct hm_grid *g, const struct hm_region *r, int row, int y,
		     struct hm_canvas *c)
{
	const struct hm_cell *last = hm_cell(g, row, g->cols - 1);
	struct hm_row info = { .tgid = r->tgid, .y = y, .height = cell_height(g) };
	int col, from = 0, w = cell_width(g);
	uint32_t rgb, next;

	hm_row_range(g, r, row, &info.start, &info.end);
	for (col = 0; col < g->cols; col++)
		info.heat += hm_cell(g, row, col)->heat;
	info.fast = last->pages > 0 ? last->fast / last->pages : -1;
	c->row(c, &info);
	/* Neighbours of one colour are one rectangle. */
	for (col = 0; col < g->cols; col = from) {
		rgb = g->few[col] ? PAPER : cell_color(g, hm_cell(g, row, col));
		for (from = col + 1; from < g->cols; from++) {
			next = g->few[from] ? PAPER : cell_color(g, hm_cell(g, row, from));
			if (next != rgb)
				break;
		}
		if (rgb != PAPER)
			c->rect(c, LEFT + col * w, y, (from - col) * w, info.height, rgb);
	}
	c->row(c, NULL);
}

static const char *size_text(char buf[16], uint64_t bytes)
{
	static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = bytes;
	int i = 0;

	for (; v >= 1024 && i < 6; i++)
		v /= 1024;
	snprintf(buf, 16, v < 9.95 ? "%.1f %s" : "%.0f %s", v, unit[i]);
	return buf;
}

static void draw_label(const struct hm_grid *g, const struct hm_region *r, int y,
		       struct hm_canvas *c)
{
	char s[TEXT_MAX], size[16];

	snprintf(s, sizeof(s), "%u %" PRIx64, r->tgid, r->start);
	c->text(c, 4, y, s);
	if (region_height(g, r) >= 2 * HM_FONT_HEIGHT + 4) {
		snprintf(s, sizeof(s), "  %s", size_text(size, r->end - r->start));
		c->text(c, 4, y + HM_FONT_HEIGHT + 2, s);
	}
}

/* What lies between a region and the next, which is not drawn. */
static void draw_gap(const struct hm_grid *g, const struct hm_region *r, int y, struct hm_canvas *c)
{
	const struct hm_region *next = r + 1;
	char s[TEXT_MAX], size[16];
	int x;

	for (x = 0; x < g->cols * cell_width(g); x += 8)
		c->rect(c, LEFT + x, y + GAP / 2, 4, 1, 0xaaaaaa);
	if (next->tgid != r->tgid || next->start < r->end)
		return;
	snprintf(s, sizeof(s), "  gap %s", size_text(size, next->start - r->end));
	c->text(c, 4, y + (GAP - HM_FONT_HEIGHT) / 2, s);
}

static void draw_regions(const struct hm_grid *g, struct hm_canvas *c)
{
	int y = TOP, i, row;

	for (i = 0; i < g->nr_regions; i++) {
		const struct hm_region *r = &g->region[i];

		draw_label(g, r, y, c);
		for (row = 0; row < r->nr_rows; row++)
			draw_row(g, r, r->first_row + row, y + row * cell_height(g), c);
		y += region_height(g, r);
		if (i + 1 < g->nr_regions)
			draw_gap(g, r, y, c);
		y += GAP;
	}
}

/* A column of its own grey pattern: there is something, but it says nothing. */
static void draw_few(const struct hm_grid *g, struct hm_canvas *c)
{
	int w = cell_width(g), col, from;

	for (col = 0; col < g->cols; col = from) {
		for (from = col + 1; from < g->cols && g->few[from] == g->few[col]; from++)
			;
		if (g->few[col])
			c->few(c, LEFT + col * w, TOP, (from - col) * w, rows_height(g) - GAP);
	}
}

static void draw_time(const struct hm_grid *g, int y, struct hm_canvas *c)
{
	int w = cell_width(g), every = (80 + w - 1) / w, col;
	char s[TEXT_MAX];

	for (col = 0; col < g->cols; col += every) {
		c->rect(c, LEFT + col * w, y, 1, 4, INK);
		snprintf(s, sizeof(s), "%.1f s", g->col_seconds[col]);
		c->text(c, LEFT + col * w, y + 6, s);
	}
}

static void draw_legend(const struct hm_grid *g, int y, struct hm_canvas *c)
{
	static const struct {
		const char *name;
		double fast;
		bool placed;
	} kind[] = { { "fast tier", 1, true },
		     { "slow tier", 0, true },
		     { "tier not known", 0, false } };
	char s[TEXT_MAX];
	int x = LEFT, i, k;

	for (i = 0; i < 3; i++) {
		for (k = 0; k < 5; k++)
			c->rect(c, x + k * 8, y, 8, HM_FONT_HEIGHT,
				color(k / 4.0, kind[i].fast, kind[i].placed));
		c->text(c, x + 44, y, kind[i].name);
		x += 56 + HM_FONT_WIDTH * strlen(kind[i].name);
	}
	snprintf(s, sizeof(s), "darkest: %.0f samples", g->hottest);
	c->text(c, 4, y, s);
	if (!g->nr_few)
		return;
	c->few(c, LEFT, y + HM_FONT_HEIGHT + 4, 40, HM_FONT_HEIGHT);
	snprintf(s, sizeof(s), "too few samples (%d of %d columns)", g->nr_few, g->cols);
	c->text(c, LEFT + 44, y + HM_FONT_HEIGHT + 4, s);
}

void hm_draw(const struct hm_grid *g, const char *title, struct hm_canvas *c)
{
	char s[TEXT_MAX * 2], row[16];
	int y = TOP + rows_height(g), w, h;

	hm_size(g, &w, &h);
	c->rect(c, 0, 0, w, h, PAPER);
	c->text(c, 4, 4, title);
	snprintf(s, sizeof(s), "a row is %s%s", size_text(row, g->tiles_per_row << 21),
		 g->nr_few == g->cols ? "; TOO FEW SAMPLES to tell hot from cold" : "");
	if (g->nr_hidden)
		snprintf(s + strlen(s), sizeof(s) - strlen(s), "; %d colder regions not shown",
			 g->nr_hidden);
	c->text(c, 4, 16, s);
	draw_regions(g, c);
	draw_few(g, c);
	draw_time(g, y - GAP + 2, c);
	draw_legend(g, y + 14, c);
}
