// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Looks at hypertier-heatmap's pictures with nothing of its code: PNGs are decoded here, SVGs are
 * read as text. picture record FILE       writes a recording of which it is known what its picture
 * shows picture info PNG          width, height and number of colours, as JSON picture pixel PNG X
 * Y     a pixel's colour picture compare PNG SVG   every rectangle of the SVG, looked up in the
 * PNG, as JSON
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include <hypertier/trace.h>

#define SIDE_MAX 20000
#define FILE_MAX (64 << 20)

/* ---- a PNG: 8 bits of red, green and blue, not interlaced ---- */

struct picture {
	uint32_t width, height;
	uint8_t *pixel;
};

static uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

static uint8_t *read_file(const char *path, size_t *len)
{
	FILE *f = fopen(path, "r");
	uint8_t *buf = malloc(FILE_MAX + 1);

	*len = f && buf ? fread(buf, 1, FILE_MAX, f) : 0;
	if (f)
		fclose(f);
	if (buf)
		buf[*len] = '\0';
	return buf;
}

static int nearest(int a, int b, int c)
{
	int p = a + b - c, pa = abs(p - a), pb = abs(p - b), pc = abs(p - c);

	return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

/* Lines are stored as differences to what is left and above of them. */
static bool unfilter(struct picture *p, const uint8_t *raw)
{
	size_t stride = (size_t)p->width * 3, i;
	uint32_t y;

	for (y = 0; y < p->height; y++, raw += stride + 1) {
		uint8_t *line = p->pixel + y * stride, kind = raw[0];

		for (i = 0; i < stride; i++) {
			int left = i >= 3 ? line[i - 3] : 0, up = y ? line[i - stride] : 0;
			int corner = i >= 3 && y ? line[i - stride - 3] : 0;
			int from[] = { 0, left, up, (left + up) / 2, nearest(left, up, corner) };

			if (kind > 4)
				return false;
			line[i] = raw[1 + i] + from[kind];
		}
	}
	return true;
}

/* The chunks' checksums are checked, and their data inflated. */
static bool chunks(const uint8_t *buf, size_t len, struct picture *p, z_stream *z)
{
	size_t at = 8, n;
	bool head = false;

	while (at + 12 <= len) {
		const uint8_t *data = buf + at + 8;

		n = be32(buf + at);
		if (n > len - at - 12 || be32(data + n) != crc32(0, buf + at + 4, n + 4))
			return false;
		if (!memcmp(buf + at + 4, "IHDR", 4) && n == 13) {
			p->width = be32(data);
			p->height = be32(data + 4);
			head = data[8] == 8 && data[9] == 2 && !data[12] && p->width <= SIDE_MAX &&
			       p->height <= SIDE_MAX;
			if (!head)
				return false;
			z->avail_out = ((size_t)p->width * 3 + 1) * p->height;
			z->next_out = calloc(1, z->avail_out + 1);
		} else if (!memcmp(buf + at + 4, "IDAT", 4) && head) {
			z->next_in = (uint8_t *)data;
			z->avail_in = n;
			if (inflate(z, Z_SYNC_FLUSH) < 0)
				return false;
		} else if (!memcmp(buf + at + 4, "IEND", 4)) {
			return head && !z->avail_out;
		}
		at += n + 12;
	}
	return false;
}

static bool load(struct picture *p, const char *path)
{
	size_t len;
	uint8_t *buf = read_file(path, &len);
	z_stream z = { 0 };
	bool good;

	good = buf && len > 8 && !memcmp(buf, "\211PNG\r\n\032\n", 8) && inflateInit(&z) == Z_OK &&
	       chunks(buf, len, p, &z);
	if (good) {
		p->pixel = calloc((size_t)p->width * p->height, 3);
		good = p->pixel && unfilter(p, z.next_out - ((size_t)p->width * 3 + 1) * p->height);
	}
	if (!good)
		fprintf(stderr, "picture: %s is no PNG of 8-bit RGB\n", path);
	inflateEnd(&z);
	free(buf);
	return good;
}

static uint32_t pixel(const struct picture *p, uint32_t x, uint32_t y)
{
	const uint8_t *c = &p->pixel[((size_t)y * p->width + x) * 3];

	return x < p->width && y < p->height ? (uint32_t)c[0] << 16 | c[1] << 8 | c[2] : UINT32_MAX;
}

static int info(const struct picture *p)
{
	uint8_t *seen = calloc(1, 1 << 24);
	unsigned long colors = 0;
	uint32_t x, y;

	for (y = 0; seen && y < p->height; y++)
		for (x = 0; x < p->width; x++)
			seen[pixel(p, x, y)] = 1;
	for (x = 0; seen && x < 1 << 24; x++)
		colors += seen[x];
	printf("{\"width\":%u,\"height\":%u,\"colors\":%lu}\n", p->width, p->height, colors);
	free(seen);
	return 0;
}

/* ---- the SVG beside it ---- */

/* Its rectangles within rows are of one colour; columns with too few samples are hatched. */
static int compare(const struct picture *p, const char *path)
{
	unsigned int x, y, w, h, rgb, cells = 0, same = 0, few = 0, hatched = 0;
	unsigned int width = 0, height = 0;
	size_t len;
	char *buf = (char *)read_file(path, &len), *line, *save;
	bool row = false;

	for (line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!strncmp(line, "<g class=\"row\"", 14))
			row = true;
		else if (!strncmp(line, "</g>", 4))
			row = false;
		else if (sscanf(line, "<svg xmlns=%*s width=\"%u\" height=\"%u\"", &width,
				&height) == 2)
			continue;
		else if (row &&
			 sscanf(line,
				"<rect x=\"%u\" y=\"%u\" width=\"%u\" height=\"%u\" fill=\"#%x\"",
				&x, &y, &w, &h, &rgb) == 5) {
			cells++;
			same += pixel(p, x, y) == rgb && pixel(p, x + w - 1, y + h - 1) == rgb &&
				pixel(p, x + w / 2, y + h / 2) == rgb;
		} else if (sscanf(line,
				  "<rect class=\"few\" x=\"%u\" y=\"%u\" width=\"%u\" "
				  "height=\"%u\"",
				  &x, &y, &w, &h) == 4) {
			few++;
			for (w = h = 0; w < 6; w++)
				h |= pixel(p, x + w, y) == 0xbbbbbb   ? 1
				     : pixel(p, x + w, y) == 0xeeeeee ? 2
								      : 4;
			hatched += h == 3;
		}
	}
	printf("{\"cells\":%u,\"same\":%u,\"few\":%u,\"hatched\":%u,\"size_same\":%s}\n", cells,
	       same, few, hatched, width == p->width && height == p->height ? "true" : "false");
	free(buf);
	return 0;
}

/* ---- a recording ---- */

#define PID 4711
#define HOT_ADDR 0x7f0000000000ULL
#define COLD_ADDR 0x7f8000000000ULL /* half a terabyte on */

static void put(FILE *f, uint32_t tgid, uint64_t addr, uint8_t write, uint16_t lat)
{
	struct ht_inject_rec r = {
		.addr = addr, .tgid = tgid, .lat = lat, .write = write, .node = 0xff
	};

	fwrite(&r, sizeof(r), 1, f);
}

/* Eight tiles in the fast tier, hot; eight far away in the slow one, a hundredth as hot. */
static void epoch(FILE *f, unsigned int samples)
{
	unsigned int t, i;

	for (t = 0; t < 8; t++) {
		put(f, PID, (HOT_ADDR + t * HT_TILE_SIZE) | 512, HT_TRACE_PLACE, 512);
		put(f, PID, COLD_ADDR + t * HT_TILE_SIZE, HT_TRACE_PLACE, 512);
		for (i = 0; i < samples; i++)
			put(f, PID, HOT_ADDR + t * HT_TILE_SIZE + (i % 512) * 4096, 0, 0);
		for (i = 0; i < samples / 100; i++)
			put(f, PID, COLD_ADDR + t * HT_TILE_SIZE, 0, 0);
	}
	put(f, 0, 500000000, 0, 0);
}

/* Ten epochs, in the last two of which hardly anything is sampled. */
static int record(const char *path)
{
	struct ht_trace_hdr hdr = { .magic = HT_TRACE_MAGIC,
				    .version = HT_TRACE_VERSION,
				    .record_size = sizeof(struct ht_inject_rec),
				    .period = 1000 };
	FILE *f = fopen(path, "w");
	int i;

	if (!f)
		return 1;
	fwrite(&hdr, sizeof(hdr), 1, f);
	for (i = 0; i < 10; i++)
		epoch(f, i < 8 ? 1000 : 2);
	return fclose(f) != 0;
}

int main(int argc, char **argv)
{
	struct picture p = { 0 };
	int rc = 2;

	if (argc == 3 && !strcmp(argv[1], "record"))
		return record(argv[2]);
	if (argc < 3 || !load(&p, argv[2]))
		return 1;
	if (argc == 3 && !strcmp(argv[1], "info"))
		rc = info(&p);
	else if (argc == 5 && !strcmp(argv[1], "pixel"))
		rc = printf("%06x\n", pixel(&p, atoi(argv[3]), atoi(argv[4]))) < 0;
	else if (argc == 4 && !strcmp(argv[1], "compare"))
		rc = compare(&p, argv[3]);
	free(p.pixel);
	return rc;
}
