// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* SVG: each row is a group that says what it shows, for people who point at it and for programs. */
#include <errno.h>
#include <inttypes.h>

#include "heatmap.h"

struct svg {
	struct hm_canvas c; /* first */
	FILE *f;
};

static void escaped(FILE *f, const char *s)
{
	for (; *s; s++) {
		if (*s == '<')
			fputs("&lt;", f);
		else if (*s == '>')
			fputs("&gt;", f);
		else if (*s == '&')
			fputs("&amp;", f);
		else
			fputc(*s < ' ' || *s > '~' ? '?' : *s, f);
	}
}

static void svg_rect(struct hm_canvas *c, int x, int y, int w, int h, uint32_t rgb)
{
	fprintf(((struct svg *)c)->f,
		"<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" fill=\"#%06x\"/>\n", x, y, w, h,
		rgb);
}

static void svg_few(struct hm_canvas *c, int x, int y, int w, int h)
{
	fprintf(((struct svg *)c)->f,
		"<rect class=\"few\" x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" "
		"fill=\"url(#few)\">"
		"<title>too few samples</title></rect>\n",
		x, y, w, h);
}

static void svg_text(struct hm_canvas *c, int x, int y, const char *s)
{
	FILE *f = ((struct svg *)c)->f;

	fprintf(f, "<text x=\"%d\" y=\"%d\">", x, y + HM_FONT_HEIGHT - 1);
	escaped(f, s);
	fputs("</text>\n", f);
}

static void svg_row(struct hm_canvas *c, const struct hm_row *r)
{
	FILE *f = ((struct svg *)c)->f;
	char tier[48] = "tier not known";

	if (!r) {
		fputs("</g>\n", f);
		return;
	}
	if (r->fast >= 0)
		snprintf(tier, sizeof(tier), "%.0f %% in the fast tier at the end", r->fast * 100);
	fprintf(f,
		"<g class=\"row\" data-pid=\"%u\" data-start=\"0x%" PRIx64
		"\" data-end=\"0x%" PRIx64
		"\" data-heat=\"%.0f\" data-fast=\"%.3f\"><title>%u: %" PRIx64 "-%" PRIx64
		", %.0f samples, %s</title>\n",
		r->tgid, r->start, r->end, r->heat, r->fast, r->tgid, r->start, r->end, r->heat,
		tier);
}

int hm_write_svg(FILE *f, const struct hm_grid *g, const char *title)
{
	struct svg s = {
		.c = { .rect = svg_rect, .few = svg_few, .text = svg_text, .row = svg_row },
		.f = f,
	};
	int w, h;

	hm_size(g, &w, &h);
	fprintf(f,
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
		"viewBox=\"0 0 %d %d\" shape-rendering=\"crispEdges\" "
		"font-family=\"monospace\" font-size=\"%d\">\n<title>",
		w, h, w, h, HM_FONT_HEIGHT);
	escaped(f, title);
	fputs("</title>\n<defs><pattern id=\"few\" width=\"6\" height=\"6\" "
	      "patternUnits=\"userSpaceOnUse\"><rect width=\"6\" height=\"6\" fill=\"#eeeeee\"/>"
	      "<path d=\"M0 6L6 0\" stroke=\"#bbbbbb\"/></pattern></defs>\n",
	      f);
	hm_draw(g, title, &s.c);
	fputs("</svg>\n", f);
	return ferror(f) ? -EIO : 0;
}
