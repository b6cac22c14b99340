// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * migrate [ROUNDS]: swaps the same pages of two nodes, by exchange and by two calls of
 * move_pages(2) (down, then up), in turns, and compares pages per second, TLB flushes (tracepoint
 * tlb:tlb_flush, all CPUs), page allocations (kmem:mm_page_alloc) and folio locks. A second thread
 * keeps the address space in use on another CPU, so that flushes have somebody to interrupt. JSON
 * on stdout.
 */
#include <errno.h>
#include <linux/perf_event.h>
#include <numaif.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "exchange.h"

#define PAGE 4096UL
#define HUGE (2UL << 20)
#define MAX_PAIRS 2048
#define MAX_CPUS 64

enum { FLUSHES, ALLOCS, COUNTERS };
enum { EXCHANGE, MOVE_PAGES, WAYS };

static const char *const event[COUNTERS] = { "tlb/tlb_flush", "kmem/mm_page_alloc" };

struct bench {
	int fd, counter[COUNTERS][MAX_CPUS], cpus;
	size_t pairs, size; /* of a page */
	char *fast, *slow;
};

struct result {
	double ns;
	uint64_t pages, failed, count[COUNTERS], locks;
};

static _Atomic bool stop;

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static int open_counter(const char *name, int cpu)
{
	struct perf_event_attr a = { .type = PERF_TYPE_TRACEPOINT,
				     .size = sizeof(a),
				     .disabled = 0 };
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/kernel/tracing/events/%s/id", name);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%llu", (unsigned long long *)&a.config) != 1) {
		if (f)
			fclose(f);
		return -1;
	}
	fclose(f);
	return syscall(__NR_perf_event_open, &a, -1, cpu, -1, 0);
}

static uint64_t count(const struct bench *b, int c)
{
	uint64_t sum = 0, v;
	int i;

	for (i = 0; i < b->cpus; i++)
		if (b->counter[c][i] >= 0 && read(b->counter[c][i], &v, sizeof(v)) == sizeof(v))
			sum += v;
	return sum;
}

static char *make(size_t pairs, size_t size, int node)
{
	unsigned long mask = 1UL << node;
	size_t len = pairs * size;
	char *p =
		mmap(NULL, len + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
	madvise(p, len, size == HUGE ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (mbind(p, len, MPOL_BIND, &mask, 64, 0))
		return NULL;
	memset(p, 1 + node, len);
	mbind(p, len, MPOL_DEFAULT, NULL, 0, 0);
	return p;
}

static void *neighbour(void *arg)
{
	struct bench *b = arg;
	size_t i = 0;

	while (!stop) {
		(void)*(volatile char *)(b->fast + i % b->pairs * b->size);
		i += 97;
	}
	return NULL;
}

static uint64_t on_node(const struct bench *b, char *base, int node)
{
	static void *page[MAX_PAIRS];
	static int status[MAX_PAIRS];
	uint64_t n = 0;
	size_t i;

	for (i = 0; i < b->pairs; i++)
		page[i] = base + i * b->size;
	if (move_pages(0, b->pairs, page, NULL, status, 0))
		return 0;
	for (i = 0; i < b->pairs; i++)
		n += status[i] == node;
	return n;
}

static void by_exchange(struct bench *b, char *hot, char *cold)
{
	static struct ht_xchg_pair pair[HT_XCHG_MAX];
	size_t max = b->size == HUGE ? HT_XCHG_MAX_HUGE : HT_XCHG_MAX, done, i, n;

	for (done = 0; done < b->pairs; done += n) {
		n = b->pairs - done < max ? b->pairs - done : max;
		for (i = 0; i < n; i++)
			pair[i] =
				(struct ht_xchg_pair){ .hot = (uintptr_t)hot + (done + i) * b->size,
						       .cold = (uintptr_t)cold +
							       (done + i) * b->size,
						       .hot_pid = getpid(),
						       .cold_pid = getpid() };
		ht_exchange_pairs(b->fd, pair, n, b->size == HUGE, -1, -1, NULL, 0);
	}
}

static void move_all(struct bench *b, char *base, int to)
{
	static void *page[MAX_PAIRS];
	static int node[MAX_PAIRS], status[MAX_PAIRS];
	size_t i;

	for (i = 0; i < b->pairs; i++) {
		page[i] = base + i * b->size;
		node[i] = to;
	}
	if (move_pages(0, b->pairs, page, node, status, MPOL_MF_MOVE) < 0)
		perror("move_pages");
}

/* hot is on node 1 and cold on node 0; afterwards it is the other way round. */
static void turn(struct bench *b, int way, char *hot, char *cold, struct result *r)
{
	struct ht_xchg_info info;
	uint64_t was[COUNTERS], locks, moved;
	double start;
	int c;

	ht_exchange_info(b->fd, &info);
	locks = info.stats.locks;
	for (c = 0; c < COUNTERS; c++)
		was[c] = count(b, c);
	start = now_ns();
	if (way == EXCHANGE) {
		by_exchange(b, hot, cold);
	} else {
		move_all(b, cold, 1);
		move_all(b, hot, 0);
	}
	r->ns += now_ns() - start;
	for (c = 0; c < COUNTERS; c++)
		r->count[c] += count(b, c) - was[c];
	ht_exchange_info(b->fd, &info);
	r->locks += info.stats.locks - locks;
	moved = on_node(b, hot, 0) + on_node(b, cold, 1);
	r->pages += moved;
	r->failed += 2 * b->pairs - moved;
	/* What resisted would be counted again in each later turn. */
	move_all(b, cold, 1);
	move_all(b, hot, 0);
}

static void print(const struct bench *b, const struct result r[WAYS], bool last)
{
	static const char *const name[WAYS] = { "exchange", "move_pages" };
	int w;

	printf("  \"%s\": {\n", b->size == HUGE ? "huge" : "small");
	for (w = 0; w < WAYS; w++) {
		double n = r[w].pages ? r[w].pages : 1;

		printf("    \"%s\": { \"pages_per_s\": %.0f, \"ns_per_page\": %.0f, "
		       "\"tlb_flushes_per_1000_pages\": %.2f, "
		       "\"page_allocs_per_page\": %.3f, ",
		       name[w], n / (r[w].ns / 1e9), r[w].ns / n, r[w].count[FLUSHES] * 1000 / n,
		       r[w].count[ALLOCS] / n);
		/* move_pages locks source and destination of each page. */
		printf("\"folio_locks_per_page\": %.2f, \"pages\": %llu, \"failed\": %llu },\n",
		       w == EXCHANGE ? r[w].locks / n : 2.0, (unsigned long long)r[w].pages,
		       (unsigned long long)r[w].failed);
	}
	printf("    \"speedup\": %.2f, \"flush_ratio\": %.3f\n  }%s\n",
	       (r[EXCHANGE].pages / r[EXCHANGE].ns) / (r[MOVE_PAGES].pages / r[MOVE_PAGES].ns),
	       ((double)r[EXCHANGE].count[FLUSHES] / r[EXCHANGE].pages) /
		       ((double)r[MOVE_PAGES].count[FLUSHES] / r[MOVE_PAGES].pages),
	       last ? "" : ",");
}

static int bench(struct bench *b, size_t pairs, size_t size, int rounds, bool last)
{
	struct result r[WAYS] = {};
	pthread_t t;
	int i, w;

	b->pairs = pairs;
	b->size = size;
	b->fast = make(pairs, size, 0);
	b->slow = make(pairs, size, 1);
	if (!b->fast || !b->slow)
		return -ENOMEM;
	stop = false;
	pthread_create(&t, NULL, neighbour, b);
	for (i = 0; i < rounds; i++) {
		for (w = 0; w < WAYS; w++) {
			/* There and back, so each way starts from the same place. */
			turn(b, (w + i) % WAYS, b->slow, b->fast, &r[(w + i) % WAYS]);
			turn(b, (w + i) % WAYS, b->fast, b->slow, &r[(w + i) % WAYS]);
		}
	}
	stop = true;
	pthread_join(t, NULL);
	print(b, r, last);
	return r[EXCHANGE].pages && r[MOVE_PAGES].pages ? 0 : -EIO;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 10, i, c, err;
	struct ht_xchg_info info;
	struct bench b = {};
	char why[160];

	b.fd = ht_exchange_open(HT_XCHG_DEVICE, &info, why, sizeof(why));
	if (b.fd < 0) {
		fprintf(stderr, "migrate: %s\n", why);
		return 1;
	}
	b.cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (b.cpus > MAX_CPUS)
		b.cpus = MAX_CPUS;
	for (c = 0; c < COUNTERS; c++)
		for (i = 0; i < b.cpus; i++)
			b.counter[c][i] = open_counter(event[c], i);
	printf("{\n  \"rounds\": %d,\n", rounds);
	err = bench(&b, 2048, PAGE, rounds, false);
	err = err ?: bench(&b, 16, HUGE, rounds, true);
	printf("}\n");
	return err != 0;
}
