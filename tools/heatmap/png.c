// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* PNG: the picture as pixels in memory, then through libpng. */
#include <errno.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "heatmap.h"

struct raster {
	struct hm_canvas c; /* first */
	int width, height;
	uint8_t *pixel; /* RGB */
};

static void set(struct raster *r, int x, int y, uint32_t rgb)
{
	uint8_t *p = &r->pixel[((size_t)y * r->width + x) * 3];

	if (x < 0 || y < 0 || x >= r->width || y >= r->height)
		return;
	p[0] = rgb >> 16;
	p[1] = rgb >> 8;
	p[2] = rgb;
}

static void png_box(struct hm_canvas *c, int x, int y, int w, int h, uint32_t rgb)
{
	int i, k;

	for (k = y; k < y + h; k++)
		for (i = x; i < x + w; i++)
			set((struct raster *)c, i, k, rgb);
}

static void png_few(struct hm_canvas *c, int x, int y, int w, int h)
{
	int i, k;

	for (k = y; k < y + h; k++)
		for (i = x; i < x + w; i++)
			set((struct raster *)c, i, k, (i + k) % 6 ? 0xeeeeee : 0xbbbbbb);
}

/* Three by five dots, an octal digit a line; upper case stands for lower case as well. */
static unsigned int glyph(char ch)
{
	static const char mark[] = ".-:/%,()+=_;";
	static const unsigned short marks[] = { 000002, 000700, 002020, 011244, 051245, 000024,
						012221, 042224, 002720, 007070, 000007, 002024 };
	static const unsigned short digit[] = { 075557, 026227, 071747, 071717, 055711,
						074717, 074757, 071122, 075757, 075717 };
	static const unsigned short letter[] = {
		025755, 065656, 034443, 065556, 074647, 074644, 034553, 055755, 072227,
		011152, 055655, 044447, 057755, 065555, 025552, 065644, 025563, 065655,
		034216, 072222, 055557, 055552, 055775, 055255, 055222, 071247,
	};
	const char *m;

	if (ch >= '0' && ch <= '9')
		return digit[ch - '0'];
	if ((ch | 0x20) >= 'a' && (ch | 0x20) <= 'z')
		return letter[(ch | 0x20) - 'a'];
	m = ch && ch != ' ' ? strchr(mark, ch) : NULL;
	return m ? marks[m - mark] : 0;
}

/* Each dot is two by two pixels. */
static void png_string(struct hm_canvas *c, int x, int y, const char *s)
{
	int dot;

	for (; *s; s++, x += HM_FONT_WIDTH)
		for (dot = 0; dot < 15; dot++)
			if (glyph(*s) >> (14 - dot) & 1)
				png_box(c, x + dot % 3 * 2, y + dot / 3 * 2, 2, 2, 0x222222);
}

static void png_no_row(struct hm_canvas *c, const struct hm_row *row)
{
}

/* libpng leaves by longjmp() where it fails: nothing here changes after setjmp(). */
static int encode(FILE *f, const struct raster *r)
{
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png ? png_create_info_struct(png) : NULL;
	volatile int y, err = -EIO;

	if (!info) {
		png_destroy_write_struct(&png, NULL);
		return -ENOMEM;
	}
	if (!setjmp(png_jmpbuf(png))) {
		png_init_io(png, f);
		png_set_IHDR(png, info, r->width, r->height, 8, PNG_COLOR_TYPE_RGB,
			     PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
			     PNG_FILTER_TYPE_DEFAULT);
		png_write_info(png, info);
		for (y = 0; y < r->height; y++)
			png_write_row(png, &r->pixel[(size_t)y * r->width * 3]);
		png_write_end(png, NULL);
		err = 0;
	}
	png_destroy_write_struct(&png, &info);
	return err;
}

int hm_write_png(FILE *f, const struct hm_grid *g, const char *title)
{
	struct raster r = {
		.c = { .rect = png_box, .few = png_few, .text = png_string, .row = png_no_row },
	};
	int err;

	hm_size(g, &r.width, &r.height);
	r.pixel = calloc((size_t)r.width * r.height, 3);
	if (!r.pixel)
		return -ENOMEM;
	hm_draw(g, title, &r.c);
	err = encode(f, &r);
	free(r.pixel);
	return err;
}
