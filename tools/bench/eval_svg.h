/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Plain SVG plots: lines over one axis in stacked panels, and grouped bars. */
#ifndef EVAL_SVG_H
#define EVAL_SVG_H

#include <stdio.h>

#define SVG_W 760
#define SVG_LEFT 70
#define SVG_RIGHT 150
#define SVG_PANEL 210
#define SVG_GAP 50

static const char *const svg_colors[] = { "#d62728", "#1f77b4", "#2ca02c", "#9467bd", "#ff7f0e",
					  "#17becf", "#8c564b", "#7f7f7f", "#e377c2", "#bcbd22" };
#define SVG_COLORS (sizeof(svg_colors) / sizeof(*svg_colors))

struct svg_panel {
	double top, x_max, y_max;
};

static inline FILE *svg_open(const char *path, int height, const char *title)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return NULL;
	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"font-family=\"sans-serif\" font-size=\"12\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n"
		"<text x=\"%d\" y=\"20\" font-size=\"15\">%s</text>\n",
		SVG_W, height, SVG_LEFT, title);
	return f;
}

static inline int svg_close(FILE *f)
{
	fprintf(f, "</svg>\n");
	return fclose(f) ? -1 : 0;
}

static inline double svg_x(const struct svg_panel *p, double x)
{
	return SVG_LEFT + x / p->x_max * (SVG_W - SVG_LEFT - SVG_RIGHT);
}

static inline double svg_y(const struct svg_panel *p, double y)
{
	return p->top + SVG_PANEL - y / p->y_max * SVG_PANEL;
}

static inline void svg_text(FILE *f, double x, double y, const char *anchor, const char *text)
{
	fprintf(f, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"%s\">%s</text>\n", x, y, anchor,
		text);
}

static inline void svg_axes(FILE *f, const struct svg_panel *p, const char *x, const char *y)
{
	char num[32];

	svg_text(f, SVG_LEFT, p->top - 8, "start", y);
	svg_text(f, svg_x(p, p->x_max), p->top + SVG_PANEL + 32, "end", x);
	for (int i = 0; i <= 4; i++) {
		double v = p->y_max * i / 4, h = p->x_max * i / 4;

		fprintf(f,
			"<line x1=\"%d\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n",
			SVG_LEFT, svg_x(p, p->x_max), svg_y(p, v), svg_y(p, v));
		snprintf(num, sizeof(num), p->y_max < 20 ? "%.2f" : "%.0f", v);
		svg_text(f, SVG_LEFT - 6, svg_y(p, v) + 4, "end", num);
		snprintf(num, sizeof(num), p->x_max < 20 ? "%.2f" : "%.0f", h);
		svg_text(f, svg_x(p, h), p->top + SVG_PANEL + 16, "middle", num);
	}
}

static inline void svg_legend(FILE *f, double top, unsigned int i, const char *name)
{
	double y = top + 16 * i, x = SVG_W - SVG_RIGHT + 12;

	fprintf(f, "<rect x=\"%.1f\" y=\"%.1f\" width=\"12\" height=\"10\" fill=\"%s\"/>\n", x, y,
		svg_colors[i % SVG_COLORS]);
	svg_text(f, x + 18, y + 10, "start", name);
}

static inline void svg_line_begin(FILE *f, unsigned int color)
{
	fprintf(f, "<polyline fill=\"none\" stroke=\"%s\" stroke-width=\"1.6\" points=\"",
		svg_colors[color % SVG_COLORS]);
}

static inline void svg_line_to(FILE *f, const struct svg_panel *p, double x, double y)
{
	fprintf(f, "%.1f,%.1f ", svg_x(p, x), svg_y(p, y < p->y_max ? y : p->y_max));
}

static inline void svg_line_end(FILE *f)
{
	fprintf(f, "\"/>\n");
}

static inline void svg_bar(FILE *f, const struct svg_panel *p, double x, double w, double v,
			   unsigned int color)
{
	double y = svg_y(p, v < p->y_max ? v : p->y_max);

	fprintf(f,
		"<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\">"
		"<title>%.3f</title></rect>\n",
		svg_x(p, x), y, svg_x(p, x + w) - svg_x(p, x), p->top + SVG_PANEL - y,
		svg_colors[color % SVG_COLORS], v);
}

/* A cell of a map, shade from 0 (nothing is drawn) to 1. */
static inline void svg_cell(FILE *f, double x, double y, double w, double h, const char *color,
			    double shade)
{
	fprintf(f,
		"<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\" "
		"fill-opacity=\"%.2f\"/>\n",
		x, y, w, h, color, shade);
}

#endif
