// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * migrate [ROUNDS]: swaps the same pages of two nodes, by exchange and by two calls of
 * move_pages(2) (down, then up), in turns. A second thread keeps the address space in use on
 * another CPU, so that flushes have somebody to interrupt. Most rounds are timed, with the kernel's
 * own counter of TLB flushes (tracepoint tlb:tlb_flush, all CPUs) and nothing else; then two are
 * counted, since probes take time: what this thread allocates (kmem:mm_page_alloc,
 * kmem:kmem_cache_alloc, kmem:kmalloc) and locks (probes on the kernel's lock functions; a folio's
 * lock is a bit taken inline, so its releases by folio_unlock() are counted), and instructions
 * where there is a PMU. What a kernel does not let count is null. Not counted is what the kernel
 * has other threads do: move_pages has each CPU's worker drain its LRU caches. JSON on stdout.
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

enum {
	FLUSHES,
	PAGE_ALLOCS,
	SLAB_ALLOCS,
	FOLIO_LOCKS,
	SPIN_LOCKS,
	SLEEPING_LOCKS,
	INSTRUCTIONS,
	COUNTERS
};
enum { EXCHANGE, MOVE_PAGES, WAYS };

#define MAX_EVENTS 8
#define MAX_ROUNDS 100

/* What adds up to one counter: tracepoints have a slash, the others are functions. */
struct counter {
	const char *key, *event[MAX_EVENTS];
};

static const struct counter counters[COUNTERS] = {
	[FLUSHES] = { "tlb_flushes_per_1000_pages", { "tlb/tlb_flush" } },
	[PAGE_ALLOCS] = { "page_allocs_per_page", { "kmem/mm_page_alloc" } },
	[SLAB_ALLOCS] = { "slab_allocs_per_page", { "kmem/kmem_cache_alloc", "kmem/kmalloc" } },
	[FOLIO_LOCKS] = { "folio_locks_per_page", { "folio_unlock" } },
	[SPIN_LOCKS] = { "spin_locks_per_page",
			 { "_raw_spin_lock", "_raw_spin_lock_irq", "_raw_spin_lock_irqsave",
			   "_raw_spin_lock_bh", "_raw_spin_trylock" } },
	[SLEEPING_LOCKS] = { "sleeping_locks_per_page",
			     { "down_read", "down_read_killable", "down_read_trylock", "down_write",
			       "down_write_killable", "mutex_lock", "mutex_lock_interruptible",
			       "mutex_trylock" } },
	[INSTRUCTIONS] = { "instructions_per_page", { "instructions" } },
};

struct bench {
	int fd, cpus;
	int flush[MAX_CPUS];		 /* the counter of all CPUs */
	int event[COUNTERS][MAX_EVENTS]; /* the others, of this thread */
	bool there[COUNTERS];		 /* all of its events are */
	size_t pairs, size;		 /* of a page */
	char *fast, *slow;
};

struct result {
	double ns, round[MAX_ROUNDS];	   /* all of them; of each */
	uint64_t pages, failed, flushes;   /* of the timed rounds */
	uint64_t counted, count[COUNTERS]; /* of the others: pages, events */
};

static _Atomic bool stop;

static double now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e9 + ts.tv_nsec;
}

static unsigned long read_number(const char *path)
{
	unsigned long n = 0;
	FILE *f = fopen(path, "r");

	if (!f)
		return 0;
	if (fscanf(f, "%lu", &n) != 1)
		n = 0;
	fclose(f);
	return n;
}

static int open_event(const char *name, pid_t pid, int cpu)
{
	struct perf_event_attr a = { .size = sizeof(a), .disabled = pid == 0 };
	char path[128];

	if (strchr(name, '/')) {
		snprintf(path, sizeof(path), "/sys/kernel/tracing/events/%s/id", name);
		a.type = PERF_TYPE_TRACEPOINT;
		a.config = read_number(path);
	} else if (!strcmp(name, "instructions")) {
		a.type = PERF_TYPE_HARDWARE;
		a.config = PERF_COUNT_HW_INSTRUCTIONS;
	} else {
		a.type = read_number("/sys/bus/event_source/devices/kprobe/type");
		a.kprobe_func = (uintptr_t)name;
		a.config = 0;
	}
	if (strcmp(name, "instructions") && !a.type)
		return -1;
	return syscall(__NR_perf_event_open, &a, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC);
}

static void close_events(struct bench *b)
{
	int c, i;

	for (c = 0; c < COUNTERS; c++)
		for (i = 0; i < MAX_EVENTS; i++)
			if (b->event[c][i] > 0)
				close(b->event[c][i]);
	memset(b->event, 0, sizeof(b->event));
}

/* A probe costs even when it does not count, so these are open for the counted rounds only. */
static void open_events(struct bench *b)
{
	int c, i;

	for (c = FLUSHES + 1; c < COUNTERS; c++) {
		b->there[c] = true;
		for (i = 0; i < MAX_EVENTS && counters[c].event[i]; i++) {
			b->event[c][i] = open_event(counters[c].event[i], 0, -1);
			b->there[c] &= b->event[c][i] > 0;
		}
	}
}

static void enable(const struct bench *b, bool on)
{
	int c, i;

	for (c = 0; c < COUNTERS; c++)
		for (i = 0; i < MAX_EVENTS; i++)
			if (b->event[c][i] > 0)
				ioctl(b->event[c][i],
				      on ? PERF_EVENT_IOC_ENABLE : PERF_EVENT_IOC_DISABLE, 0);
}

static uint64_t read_count(int fd)
{
	uint64_t v;

	return fd > 0 && read(fd, &v, sizeof(v)) == sizeof(v) ? v : 0;
}

static uint64_t flushes(const struct bench *b)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < b->cpus; i++)
		sum += read_count(b->flush[i]);
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
	uint32_t pid = getpid(); /* a system call each time */

	for (done = 0; done < b->pairs; done += n) {
		n = b->pairs - done < max ? b->pairs - done : max;
		for (i = 0; i < n; i++)
			pair[i] =
				(struct ht_xchg_pair){ .hot = (uintptr_t)hot + (done + i) * b->size,
						       .cold = (uintptr_t)cold +
							       (done + i) * b->size,
						       .hot_pid = pid,
						       .cold_pid = pid };
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

static void swap_all(struct bench *b, int way, char *hot, char *cold)
{
	if (way == EXCHANGE) {
		by_exchange(b, hot, cold);
	} else {
		move_all(b, cold, 1);
		move_all(b, hot, 0);
	}
}

static uint64_t settle(struct bench *b, char *hot, char *cold)
{
	uint64_t moved = on_node(b, hot, 0) + on_node(b, cold, 1);

	/* What resisted would be counted again in each later turn. */
	move_all(b, cold, 1);
	move_all(b, hot, 0);
	return moved;
}

/* hot is on node 1 and cold on node 0; afterwards it is the other way round. */
static void timed_turn(struct bench *b, int way, char *hot, char *cold, int round, struct result *r)
{
	uint64_t was = flushes(b), moved;
	double ns, start = now_ns();

	swap_all(b, way, hot, cold);
	ns = now_ns() - start;
	r->ns += ns;
	r->round[round] += ns;
	r->flushes += flushes(b) - was;
	moved = settle(b, hot, cold);
	r->pages += moved;
	r->failed += 2 * b->pairs - moved;
}

static void counted_turn(struct bench *b, int way, char *hot, char *cold, struct result *r)
{
	int c, i;

	open_events(b);
	enable(b, true);
	swap_all(b, way, hot, cold);
	enable(b, false);
	for (c = 0; c < COUNTERS; c++)
		for (i = 0; i < MAX_EVENTS; i++)
			r->count[c] += read_count(b->event[c][i]);
	close_events(b);
	r->counted += settle(b, hot, cold);
}

static void print_way(const struct bench *b, const char *name, const struct result *r)
{
	double n = r->pages ? r->pages : 1, counted = r->counted ? r->counted : 1;
	int c;

	printf("    \"%s\": {\n      \"pages_per_s\": %.0f, \"ns_per_page\": %.0f, "
	       "\"pages\": %llu, \"failed\": %llu,\n      \"%s\": %.2f",
	       name, n / (r->ns / 1e9), r->ns / n, (unsigned long long)r->pages,
	       (unsigned long long)r->failed, counters[FLUSHES].key, r->flushes * 1000 / n);
	for (c = FLUSHES + 1; c < COUNTERS; c++) {
		if (b->there[c])
			printf(", \"%s\": %.3f", counters[c].key, r->count[c] / counted);
		else
			printf(", \"%s\": null", counters[c].key);
	}
	printf("\n    },\n");
}

static int by_value(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* How much faster the exchange was in the worst round, the middle one and the best. */
static void print_rounds(const struct result r[WAYS], int rounds)
{
	double ratio[MAX_ROUNDS];
	int i;

	for (i = 0; i < rounds; i++)
		ratio[i] = r[MOVE_PAGES].round[i] / r[EXCHANGE].round[i];
	qsort(ratio, rounds, sizeof(ratio[0]), by_value);
	printf("    \"speedup_of_rounds\": [%.2f, %.2f, %.2f],\n", ratio[0], ratio[rounds / 2],
	       ratio[rounds - 1]);
}

static void print(const struct bench *b, const struct result r[WAYS], int rounds, bool last)
{
	const struct result *x = &r[EXCHANGE], *m = &r[MOVE_PAGES];

	printf("  \"%s\": {\n", b->size == HUGE ? "huge" : "small");
	print_way(b, "exchange", x);
	print_way(b, "move_pages", m);
	print_rounds(r, rounds);
	printf("    \"speedup\": %.2f, \"flush_ratio\": %.3f\n  }%s\n",
	       (x->pages / x->ns) / (m->pages / m->ns),
	       ((double)x->flushes / x->pages) / ((double)m->flushes / m->pages), last ? "" : ",");
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
			int way = (w + i) % WAYS;

			/* There and back, so each way starts from the same place. */
			timed_turn(b, way, b->slow, b->fast, i, &r[way]);
			timed_turn(b, way, b->fast, b->slow, i, &r[way]);
		}
	}
	for (w = 0; w < WAYS; w++) {
		counted_turn(b, w, b->slow, b->fast, &r[w]);
		counted_turn(b, w, b->fast, b->slow, &r[w]);
	}
	stop = true;
	pthread_join(t, NULL);
	print(b, r, rounds, last);
	return r[EXCHANGE].pages && r[MOVE_PAGES].pages ? 0 : -EIO;
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 10, i, err;
	struct ht_xchg_info info;
	struct bench b = {};
	char why[160];

	b.fd = ht_exchange_open(HT_XCHG_DEVICE, &info, why, sizeof(why));
	if (b.fd < 0) {
		fprintf(stderr, "migrate: %s\n", why);
		return 1;
	}
	if (rounds < 1 || rounds > MAX_ROUNDS)
		rounds = 10;
	b.cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (b.cpus > MAX_CPUS)
		b.cpus = MAX_CPUS;
	for (i = 0; i < b.cpus; i++)
		b.flush[i] = open_event(counters[FLUSHES].event[0], -1, i);
	printf("{\n  \"rounds\": %d,\n", rounds);
	err = bench(&b, 2048, PAGE, rounds, false);
	err = err ?: bench(&b, 16, HUGE, rounds, true);
	printf("}\n");
	return err != 0;
}
