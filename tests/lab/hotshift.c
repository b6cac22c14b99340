// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * hotshift SIZE: updates a table of SIZE MiB, 98 % of them in a hot set, as told on stdin:
 *
 *   hot FROM MIB UPDATES  the hot set from now on. After so many updates a line "phase N NS RATE":
 *                         the emulator's modelled time per update, and updates per second
 *   pin    one page in each 2 MiB of the fast node's physical memory is pinned: the driver cannot
 *          unplug what they lie in
 *   unpin
 *   moves  a line "moves N PAGES": phase, and pages that the kernel has moved so far, for whomever
 *   end    every cell is checked, status 1 if one is wrong; so at the end of stdin
 */
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "../../tools/workload/ring.h"

#define MIB (1UL << 20)
#define LINE 64
#define BATCH 65536
#define BLOCK_PAGES 512 /* of a virtio-mem device */
#define MAX_PINS 256

struct table {
	volatile char *mem;
	size_t size, lines;
	size_t from, hot; /* in lines */
	uint64_t rng, sum, updates;
	struct ring ring;
	unsigned int phase;
	uint64_t todo, done, model;
	double since;
	int pins[2];
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static uint64_t next(uint64_t *rng)
{
	*rng ^= *rng << 13;
	*rng ^= *rng >> 7;
	*rng ^= *rng << 17;
	return *rng;
}

/* A batch of updates; their weighted sum tells whether a cell was lost or mixed up. */
static void update(struct table *t)
{
	for (int i = 0; i < BATCH; i++) {
		uint64_t r = next(&t->rng);
		size_t line =
			r >> 57 < 125 ? t->from + (uint32_t)r % t->hot : (uint32_t)r % t->lines;

		++*(volatile uint64_t *)(t->mem + line * LINE);
		t->sum += line;
	}
	t->updates += BATCH;
}

static int check(const struct table *t)
{
	uint64_t sum = t->sum, updates = t->updates;

	for (size_t i = 0; i < t->lines; i++) {
		uint64_t count = *(volatile uint64_t *)(t->mem + i * LINE);

		sum -= count * i;
		updates -= count;
	}
	return sum || updates;
}

/* The first page of the table in each block of the node's physical memory, into a pipe. */
static void pin(struct table *t)
{
	struct memmap map;
	uint64_t seen[MAX_PINS], entry;
	unsigned int nr = 0, i;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0 || memmap_read(&map) || pipe(t->pins) ||
	    fcntl(t->pins[1], F_SETPIPE_SZ, MAX_PINS * 4096) < 0)
		exit(2);
	for (size_t page = 0; page < t->size / 4096 && nr < MAX_PINS; page++) {
		struct iovec iov = { (void *)(t->mem + page * 4096), 4096 };
		uint64_t pfn;

		if (pread(fd, &entry, 8, (((uintptr_t)iov.iov_base) >> 12) * 8) != 8)
			exit(2);
		pfn = entry & ((1ULL << 55) - 1);
		for (i = 0; i < map.nr; i++)
			if (pfn << 12 >= map.mem[i].start && pfn << 12 < map.mem[i].end)
				break;
		if (!pfn || i == map.nr || map.mem[i].node)
			continue;
		for (i = 0; i < nr && seen[i] != pfn / BLOCK_PAGES; i++)
			;
		if (i < nr || vmsplice(t->pins[1], &iov, 1, SPLICE_F_NONBLOCK) != 4096)
			continue;
		seen[nr++] = pfn / BLOCK_PAGES;
	}
	close(fd);
	printf("pinned %u\n", nr);
}

static void unpin(struct table *t)
{
	close(t->pins[0]);
	close(t->pins[1]);
	printf("unpinned\n");
}

static void tell_moves(const struct table *t)
{
	FILE *f = fopen("/proc/vmstat", "re");
	unsigned long long moved;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "pgmigrate_success %llu", &moved) == 1)
			printf("moves %u %llu\n", t->phase, moved);
	if (f)
		fclose(f);
}

static void begin(struct table *t, unsigned long from, unsigned long mib, unsigned long updates)
{
	t->from = from * MIB / LINE;
	t->hot = mib * MIB / LINE;
	t->todo = updates;
	t->done = 0;
	t->phase++;
	t->since = now();
	/* The device may have been empty before. */
	memmap_send(t->ring.hdr);
	ht_marker(HT_MARK_START, getpid(), 1);
	t->model = t->ring.hdr->model_ns;
}

/* Work, counting and sampling go on: a guest that is done before the others is not to look idle. */
static void finish(struct table *t)
{
	printf("phase %u %.3f %.0f\n", t->phase,
	       (double)(t->ring.hdr->model_ns - t->model) / t->done, t->done / (now() - t->since));
}

static void obey(struct table *t, const char *line)
{
	unsigned long from, mib, updates;

	if (!strcmp(line, "pin\n"))
		pin(t);
	else if (!strcmp(line, "unpin\n"))
		unpin(t);
	else if (!strcmp(line, "moves\n"))
		tell_moves(t);
	else if (sscanf(line, "hot %lu %lu %lu", &from, &mib, &updates) == 3 && mib &&
		 from + mib <= t->size / MIB)
		begin(t, from, mib, updates);
	else
		fprintf(stderr, "hotshift: what is '%s'?\n", line);
}

/* False at the end. Without a hot set there is nothing to do but wait. */
static bool listen_to(struct table *t, FILE *in)
{
	struct pollfd p = { .fd = fileno(in), .events = POLLIN };
	char line[128];

	if (poll(&p, 1, t->hot ? 0 : -1) <= 0)
		return true;
	if (!fgets(line, sizeof(line), in) || !strcmp(line, "end\n"))
		return false;
	obey(t, line);
	return true;
}

int main(int argc, char **argv)
{
	struct table t = { .rng = 88172645463325252ULL };

	t.size = argc == 2 ? atol(argv[1]) * MIB : 0;
	t.lines = t.size / LINE;
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	if (!t.size || ring_open(&t.ring) || !t.ring.hdr)
		return 2;
	t.mem = mmap(NULL, t.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (t.mem == MAP_FAILED || madvise((void *)t.mem, t.size, MADV_NOHUGEPAGE))
		return 2;
	for (size_t i = 0; i < t.size; i += 4096)
		t.mem[i + 8] = 1;
	printf("table is there\n");
	while (listen_to(&t, stdin)) {
		if (!t.hot)
			continue;
		update(&t);
		t.done += BATCH;
		if (t.done - BATCH < t.todo && t.done >= t.todo)
			finish(&t);
	}
	return check(&t);
}
