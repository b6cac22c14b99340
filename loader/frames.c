// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"
#include "log.h"
#include "zoneinfo.h"

#define BLOCKS_MAX (1U << 20) /* 128 TiB in blocks of 128 MiB */
#define SPANS_MAX (HT_MAX_NODES * 8)
#define PAGE_SHIFT 12

/* The block size is a power of two, written in hex without a prefix. */
static int read_block_shift(unsigned int *shift, const struct ht_roots *roots)
{
	char buf[32], *end;
	uint64_t size;
	ssize_t n;

	n = ht_read_str(buf, sizeof(buf), "%s/devices/system/memory/block_size_bytes", roots->sys);
	if (n < 0)
		return n;
	size = strtoull(buf, &end, 16);
	if (end == buf || *end || size < (1 << 20) || size & (size - 1))
		return -EINVAL;
	*shift = __builtin_ctzll(size) - PAGE_SHIFT;
	return 0;
}

static int set_block(struct ht_frames *f, unsigned long b, int node)
{
	uint8_t *block;
	size_t nr;

	if (b >= BLOCKS_MAX)
		return -ERANGE;
	if (b >= f->nr_blocks) {
		nr = (b + 256) & ~255UL;
		block = realloc(f->block, nr);
		if (!block)
			return -ENOMEM;
		memset(block + f->nr_blocks, HT_FRAME_UNKNOWN, nr - f->nr_blocks);
		f->block = block;
		f->nr_blocks = nr;
	}
	/* A block with memory of two nodes has a link in both directories. */
	f->block[b] =
		f->block[b] == HT_FRAME_UNKNOWN || f->block[b] == node ? node : HT_FRAME_AMBIGUOUS;
	return 0;
}

/* True with the number of an entry such as "memory12". */
static bool numbered(const char *name, const char *prefix, unsigned long *n)
{
	size_t len = strlen(prefix);
	char *end;

	if (strncmp(name, prefix, len) || !isdigit((unsigned char)name[len]))
		return false;
	errno = 0;
	*n = strtoul(name + len, &end, 10);
	return !*end && !errno;
}

static int load_node(struct ht_frames *f, const struct ht_roots *roots, int node)
{
	char path[PATH_MAX];
	struct dirent *d;
	unsigned long b;
	int err = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/devices/system/node/node%d", roots->sys, node);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno; /* gone meanwhile */
	while (!err && (d = readdir(dir)))
		if (numbered(d->d_name, "memory", &b))
			err = set_block(f, b, node);
	closedir(dir);
	return err;
}

/* Of all nodes there are now, which may be more than the tiers knew at the start. */
static int load_blocks(struct ht_frames *f, const struct ht_roots *roots)
{
	char path[PATH_MAX];
	struct dirent *d;
	unsigned long n;
	DIR *dir;
	int err;

	err = read_block_shift(&f->block_shift, roots);
	if (err)
		return err;
	snprintf(path, sizeof(path), "%s/devices/system/node", roots->sys);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while (!err && (d = readdir(dir)))
		if (numbered(d->d_name, "node", &n) && n < HT_MAX_NODES)
			err = load_node(f, roots, n);
	closedir(dir);
	return err ?: f->nr_blocks ? 0 : -ENOENT;
}

static int add_span(const struct ht_zone *z, void *arg)
{
	struct ht_frames *f = arg;
	struct ht_frame_span *span;

	if (f->nr_spans == SPANS_MAX || z->start_pfn + z->spanned < z->start_pfn)
		return -ERANGE;
	span = reallocarray(f->span, f->nr_spans + 1, sizeof(*span));
	if (!span)
		return -ENOMEM;
	f->span = span;
	f->span[f->nr_spans++] = (struct ht_frame_span){ .start = z->start_pfn,
							 .end = z->start_pfn + z->spanned,
							 .node = z->node };
	return 0;
}

int ht_frames_load(struct ht_frames *f, const struct ht_roots *roots, const struct ht_tiers *tiers)
{
	struct ht_frames new = { .only_node = -1 };
	int err;

	err = load_blocks(&new, roots);
	if (err && err != -ENOMEM && tiers->nr_nodes == 1) {
		free(new.block);
		new = (struct ht_frames){ .only_node = tiers->node[0].id };
		err = 0;
	}
	if (!err && new.nr_blocks && memchr(new.block, HT_FRAME_AMBIGUOUS, new.nr_blocks)) {
		/* Without spans, the frames of these blocks stay ambiguous. */
		if (ht_zoneinfo_each(roots, add_span, &new))
			pr_debug("cannot read the zones of memory blocks that straddle nodes");
	}
	if (err) {
		ht_frames_free(&new);
		return err;
	}
	ht_frames_free(f);
	*f = new;
	return 0;
}

void ht_frames_free(struct ht_frames *f)
{
	free(f->block);
	free(f->span);
	*f = (struct ht_frames){ .only_node = -1 };
}

uint8_t ht_frames_by_span(const struct ht_frames *f, uint64_t pfn)
{
	uint8_t node = HT_FRAME_AMBIGUOUS;

	for (size_t i = 0; i < f->nr_spans; i++) {
		if (pfn < f->span[i].start || pfn >= f->span[i].end)
			continue;
		if (node != HT_FRAME_AMBIGUOUS && node != f->span[i].node)
			return HT_FRAME_AMBIGUOUS;
		node = f->span[i].node;
	}
	return node;
}
