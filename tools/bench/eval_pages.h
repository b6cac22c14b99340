/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What the evaluation's helpers in the guest share: the pages of the workload, where they are, and
 * the file of access counts per page and phase that a recording run leaves for the oracle.
 */
#ifndef EVAL_PAGES_H
#define EVAL_PAGES_H

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../workload/ring.h"
#include "eval_counts.h"

#define EVAL_PAGE 4096ULL
#define EVAL_MAX_AREAS 64
#define EVAL_MIN_AREA (1ULL << 20)

/* A private anonymous mapping of the workload; its pages are numbered through all areas. */
struct eval_area {
	uint64_t start, nr, first;
};

struct eval_pages {
	pid_t pid;
	unsigned int nr_areas;
	struct eval_area area[EVAL_MAX_AREAS];
	uint64_t nr; /* of pages */
};

/* Anonymous writable memory of at least EVAL_MIN_AREA; small mappings are libraries' and stacks. */
static inline bool eval_area_parse(const char *line, struct eval_area *a)
{
	unsigned long long start, end, off, inode;
	char perm[8], dev[16];
	int at = 0;

	if (sscanf(line, "%llx-%llx %7s %llx %15s %llu %n", &start, &end, perm, &off, dev, &inode,
		   &at) < 6)
		return false;
	if (inode || strncmp(perm, "rw-p", 4) || (at && line[at] == '[' && line[at + 1] != 'h'))
		return false;
	a->start = start;
	a->nr = (end - start) / EVAL_PAGE;
	return end > start && end - start >= EVAL_MIN_AREA;
}

static inline int eval_pages_read(struct eval_pages *p, pid_t pid)
{
	char path[64], line[512];
	FILE *f;

	memset(p, 0, sizeof(*p));
	p->pid = pid;
	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	f = fopen(path, "r");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f) && p->nr_areas < EVAL_MAX_AREAS) {
		struct eval_area *a = &p->area[p->nr_areas];

		if (!eval_area_parse(line, a) || p->nr + a->nr > EVAL_MAX_PAGES)
			continue;
		a->first = p->nr;
		p->nr += a->nr;
		p->nr_areas++;
	}
	fclose(f);
	return p->nr ? 0 : -ENOENT;
}

/* Number of the page that holds an address, -1 for none of them. */
static inline int64_t eval_page_at(const struct eval_pages *p, uint64_t addr)
{
	for (unsigned int i = 0; i < p->nr_areas; i++) {
		const struct eval_area *a = &p->area[i];

		if (addr >= a->start && (addr - a->start) / EVAL_PAGE < a->nr)
			return a->first + (addr - a->start) / EVAL_PAGE;
	}
	return -1;
}

static inline uint64_t eval_page_addr(const struct eval_pages *p, uint64_t page)
{
	for (unsigned int i = 0; i < p->nr_areas; i++)
		if (page - p->area[i].first < p->area[i].nr)
			return p->area[i].start + (page - p->area[i].first) * EVAL_PAGE;
	return 0;
}

/* --- Where pages are -------------------------------------------------------------------------- */

enum { EVAL_NONE = -1, EVAL_FAST = 0, EVAL_SLOW = 1 };

/* Node 0 is the fast tier in the evaluation's guests. */
static inline int8_t eval_tier_of(const struct memmap *map, uint64_t entry)
{
	uint64_t addr = (entry & ((1ULL << 55) - 1)) * EVAL_PAGE;

	if (!(entry >> 63))
		return EVAL_NONE;
	for (unsigned int i = 0; i < map->nr; i++)
		if (addr >= map->mem[i].start && addr < map->mem[i].end)
			return map->mem[i].node ? EVAL_SLOW : EVAL_FAST;
	return EVAL_NONE;
}

/* Fills tier[p->nr] from /proc/PID/pagemap, of which fd is an open descriptor. */
static inline int eval_tiers(const struct eval_pages *p, const struct memmap *map, int fd,
			     int8_t *tier)
{
	static uint64_t buf[8192];

	for (unsigned int i = 0; i < p->nr_areas; i++) {
		const struct eval_area *a = &p->area[i];
		uint64_t done = 0;

		while (done < a->nr) {
			uint64_t want = a->nr - done < 8192 ? a->nr - done : 8192;
			ssize_t got = pread(fd, buf, want * 8, (a->start / EVAL_PAGE + done) * 8);

			if (got <= 0)
				return got ? -errno : -ESRCH;
			for (ssize_t k = 0; k < got / 8; k++)
				tier[a->first + done + k] = eval_tier_of(map, buf[k]);
			done += got / 8;
		}
	}
	return 0;
}

static inline int eval_pagemap_open(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* --- Address x time ----------------------------------------------------------------------------
 */

/* The workload's pages in so many equal pieces; columns of a plot at most. */
#define EVAL_BUCKETS 128
#define EVAL_COLUMNS 128

static inline unsigned int eval_bucket(const struct eval_pages *p, uint64_t page)
{
	return page * EVAL_BUCKETS / p->nr;
}

/* --- Counts ----------------------------------------------------------------------------------- */

/* count[phase * p->nr + page]; pages the file names but the process lacks are left out. */
static inline uint32_t *eval_counts_read(const char *file, const struct eval_pages *p,
					 unsigned int *phases)
{
	struct eval_counts_hdr h;
	uint32_t *count = NULL, row[HT_RING_MAX_PHASES];
	FILE *f = fopen(file, "r");
	uint64_t vpn;

	if (!f)
		return NULL;
	if (eval_counts_begin(f, &h))
		goto out;
	count = calloc(h.nr_phases * p->nr, sizeof(*count));
	for (uint64_t i = 0; count && i < h.nr_pages; i++) {
		int64_t page;

		if (eval_counts_next(f, &h, &vpn, row))
			break;
		page = eval_page_at(p, vpn * EVAL_PAGE);
		for (unsigned int k = 0; page >= 0 && k < h.nr_phases; k++)
			count[k * p->nr + page] = row[k];
	}
	*phases = h.nr_phases;
out:
	fclose(f);
	return count;
}

#endif
