// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * eval_place oracle PID UNIT FILE	places the workload's pages by the access counts in FILE
 * eval_place random PID UNIT SEED	places them at random, once
 *
 * The bounds of the evaluation. The oracle knows each phase's access rates, as a recording run
 * counted them, and at the start of each phase fills the fast tier with the pages of the highest
 * rates. The workload stands still meanwhile, so moving costs it nothing: what a tiering system
 * could reach at best without knowing single accesses in advance. UNIT is the number of 4 KiB pages
 * that move together: 1, or 512 for huge pages.
 */
#include <numaif.h>
#include <signal.h>
#include <time.h>

#include "eval_pages.h"

#define BATCH 4096

struct placer {
	struct ring ring;
	struct eval_pages pages;
	struct memmap map;
	int pagemap;
	unsigned int unit, nr_phases;
	uint32_t *count; /* [phase][page] */
	int8_t *tier;
	uint64_t up, down, failed, placed, capacity;
};

struct rank {
	uint64_t count;
	uint32_t page;
	int8_t tier;
};

/* Hottest first; among equals those that are in the fast tier already. */
static int by_count(const void *a, const void *b)
{
	const struct rank *x = a, *y = b;

	if (x->count != y->count)
		return x->count < y->count ? 1 : -1;
	if (x->tier != y->tier)
		return x->tier - y->tier;
	return x->page < y->page ? -1 : x->page > y->page;
}

/* Free pages of node 0 above its high watermarks, which the kernel wants to keep. */
static int64_t free_fast(void)
{
	FILE *f = fopen("/proc/zoneinfo", "r");
	unsigned long long free = 0, high = 0;
	unsigned int node = ~0u;
	int64_t sum = 0;
	char line[256];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %u, zone", &node) == 1)
			continue;
		if (sscanf(line, " pages free %llu", &free) == 1)
			continue;
		if (sscanf(line, " high %llu", &high) == 1 && !node)
			sum += free > high ? free - high : 0;
	}
	if (f)
		fclose(f);
	return sum;
}

static void move(struct placer *p, const struct rank *r, uint64_t nr, int node)
{
	static void *addr[BATCH];
	static int nodes[BATCH], status[BATCH];
	uint64_t *moved = node ? &p->down : &p->up;

	for (uint64_t done = 0; done < nr;) {
		unsigned int n = 0;

		for (; done < nr && n < BATCH; done++) {
			if (r[done].tier == EVAL_NONE || (r[done].tier == EVAL_FAST) == !node)
				continue;
			addr[n] = (void *)eval_page_addr(&p->pages, r[done].page);
			nodes[n] = node;
			status[n++] = -ENOENT;
		}
		if (!n)
			continue;
		if (move_pages(p->pages.pid, n, addr, nodes, status, MPOL_MF_MOVE) < 0)
			fprintf(stderr, "eval_place: move_pages: %m\n");
		for (unsigned int i = 0; i < n; i++) {
			if (status[i] == node)
				*moved += p->unit;
			else
				p->failed += p->unit;
		}
	}
}

/* Units by their sums; an area's units start at the 2 MiB boundaries below its pages. */
static uint64_t rank_units(struct placer *p, const uint32_t *count, struct rank *rank)
{
	uint64_t nr = 0, last = ~0ULL;

	for (uint64_t i = 0; i < p->pages.nr; i++) {
		uint64_t key = eval_page_addr(&p->pages, i) / EVAL_PAGE / p->unit;

		if (p->tier[i] == EVAL_NONE)
			continue;
		if (key != last)
			rank[nr++] = (struct rank){ .page = i, .tier = p->tier[i] };
		rank[nr - 1].count += count[i];
		last = key;
	}
	return nr;
}

static int place(struct placer *p, const uint32_t *count)
{
	struct rank *rank = calloc(p->pages.nr, sizeof(*rank));
	uint64_t nr, keep = 0, fast = 0, i;
	int err = rank ? eval_tiers(&p->pages, &p->map, p->pagemap, p->tier) : -ENOMEM;

	if (err)
		goto out;
	nr = rank_units(p, count, rank);
	for (i = 0; i < nr; i++)
		fast += rank[i].tier == EVAL_FAST;
	p->capacity = fast + free_fast() / p->unit;
	qsort(rank, nr, sizeof(*rank), by_count);
	while (keep < nr && keep < p->capacity && rank[keep].count)
		keep++;
	/* What nobody was seen to touch goes too: others, as children, may need the room. */
	move(p, rank + keep, nr - keep, 1);
	move(p, rank, keep, 0);
	p->placed++;
out:
	free(rank);
	return err;
}

static int place_frozen(struct placer *p, const uint32_t *count)
{
	int err;

	if (kill(p->pages.pid, SIGSTOP))
		return -errno;
	err = place(p, count);
	kill(p->pages.pid, SIGCONT);
	return err;
}

/* Phases are told by the emulator; a phase nobody recorded leaves everything as it is. */
static int follow(struct placer *p)
{
	struct timespec nap = { .tv_nsec = 300000 };
	unsigned int phase = 0, now;
	bool started = false;
	int err = 0;

	while (!err && !kill(p->pages.pid, 0)) {
		bool counting = p->ring.hdr->counting;

		if (started && !counting)
			break;
		started = started || counting;
		now = p->ring.hdr->phase;
		if (started && now != phase && now < p->nr_phases)
			err = place_frozen(p, p->count + now * p->pages.nr);
		phase = now;
		nanosleep(&nap, NULL);
	}
	return err == -ESRCH ? 0 : err;
}

static void shuffle(struct placer *p, uint64_t seed)
{
	uint64_t x = seed * 2 + 1;

	for (uint64_t i = 0; i < p->pages.nr; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		p->count[i] = 1 + (uint32_t)(x >> 40);
	}
}

static int setup(struct placer *p, char **argv)
{
	bool oracle = !strcmp(argv[1], "oracle");
	int err = eval_pages_read(&p->pages, atoi(argv[2]));

	if (!err)
		err = memmap_read(&p->map);
	if (err)
		return err;
	p->unit = atoi(argv[3]);
	p->pagemap = eval_pagemap_open(p->pages.pid);
	p->tier = malloc(p->pages.nr);
	p->nr_phases = 1;
	p->count = oracle ? eval_counts_read(argv[4], &p->pages, &p->nr_phases)
			  : calloc(p->pages.nr, sizeof(*p->count));
	if (p->pagemap < 0)
		return p->pagemap;
	if (!p->tier || !p->count)
		return -ENODATA;
	if (!oracle)
		shuffle(p, atoi(argv[4]));
	return 0;
}

int main(int argc, char **argv)
{
	static struct placer p;
	int err;

	if (argc != 5 || atoi(argv[3]) < 1) {
		fprintf(stderr, "usage: eval_place oracle|random PID UNIT FILE|SEED\n");
		return 2;
	}
	if (ring_open(&p.ring) || !p.ring.hdr) {
		fprintf(stderr, "eval_place: no emulator: HT_LAB_RING must name the ring\n");
		return 1;
	}
	err = setup(&p, argv);
	if (!err)
		err = place_frozen(&p, p.count);
	printf("placed\n"); /* whoever waits for the first placement goes on */
	fflush(stdout);
	if (!err && !strcmp(argv[1], "oracle"))
		err = follow(&p);
	if (err)
		fprintf(stderr, "eval_place: %s\n", strerror(-err));
	printf("{\"placements\":%" PRIu64 ",\"promoted\":%" PRIu64 ",\"demoted\":%" PRIu64
	       ",\"failed\":%" PRIu64 ",\"capacity\":%" PRIu64 "}\n",
	       p.placed, p.up, p.down, p.failed, p.capacity * p.unit);
	return err ? 1 : 0;
}
