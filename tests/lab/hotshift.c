// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * hotshift SIZE START SECONDS HOT...: updates a table of SIZE MiB, 98 % of them in a hot set of HOT
 * MiB, another one every SECONDS from START (seconds since 1970) on, so that the hot sets of
 * several guests change at the same time. For each phase a line "phase N START NS", NS being the
 * emulator's modelled time per update. In the end every cell is checked.
 */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "../../tools/workload/ring.h"

#define MIB (1UL << 20)
#define LINE 64
#define BATCH 65536

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
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
static uint64_t update(volatile char *table, size_t lines, size_t from, size_t hot, uint64_t *rng)
{
	uint64_t sum = 0;

	for (int i = 0; i < BATCH; i++) {
		uint64_t r = next(rng);
		size_t line = r >> 57 < 125 ? from + (uint32_t)r % hot : (uint32_t)r % lines;

		++*(volatile uint64_t *)(table + line * LINE);
		sum += line;
	}
	return sum;
}

static int check(const char *table, size_t lines, uint64_t sum, uint64_t updates)
{
	for (size_t i = 0; i < lines; i++) {
		uint64_t count = *(const uint64_t *)(table + i * LINE);

		sum -= count * i;
		updates -= count;
	}
	return sum || updates;
}

int main(int argc, char **argv)
{
	uint64_t rng = 88172645463325252ULL, sum = 0, updates = 0, in_phase;
	size_t size = argc > 4 ? atol(argv[1]) * MIB : 0, lines = size / LINE, hot;
	double start = argc > 4 ? atof(argv[2]) : 0, seconds = argc > 4 ? atof(argv[3]) : 0, end;
	uint64_t model;
	struct ring ring;
	char *table;

	if (!size || ring_open(&ring) || !ring.hdr)
		return 2;
	table = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (table == MAP_FAILED || madvise(table, size, MADV_NOHUGEPAGE))
		return 2;
	for (size_t i = 0; i < size; i += 4096)
		table[i + 8] = 1;
	while (now() < start)
		usleep(10000);
	memmap_send(ring.hdr);
	for (int n = 4; n < argc; n++, start = end) {
		hot = atol(argv[n]) * MIB / LINE;
		end = start + seconds;
		in_phase = 0;
		ht_marker(HT_MARK_START, getpid(), 1);
		model = ring.hdr->model_ns;
		for (; now() < end; in_phase += BATCH)
			sum += update(table, lines, n % 2 ? 0 : lines - hot, hot, &rng);
		ht_marker(HT_MARK_STOP, 0, 0);
		model = ring.hdr->model_ns - model;
		updates += in_phase;
		printf("phase %d %.0f %.3f\n", n - 3, start, (double)model / in_phase);
		fflush(stdout);
	}
	return check(table, lines, sum, updates);
}
