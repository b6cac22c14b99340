/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The program body alone: the same pregenerated addresses through the sampler and its rivals, an
 * empty loop over them subtracted. Rounds are interleaved, so that a noisy neighbour hits all
 * alike; the sampler runs twice a round, and the difference of the two is the noise.
 */
#ifndef HT_SAMPLE_BODY_H
#define HT_SAMPLE_BODY_H

#include "bench.h"
#include "sample_table.h"
#include "../../tests/bpf/env.h"
#include "heatmap.h"

#define BODY_SLICE (1U << 19)	   /* samples per measurement */
#define BODY_WARM (BODY_SLICE / 8) /* untimed ones before */
#define BODY_SET (BODY_SLICE + BODY_WARM)
#define BODY_ADDRS (2 * BODY_SET)
#define BODY_WARM_ROUNDS 2
#define BODY_ROUNDS 9
#define BODY_TICK_PER_PAGE 4 /* samples per page and aging tick, as in the loader */
#define BODY_CHUNK 65536     /* samples between two drains of the ring */
#define BODY_BASE 0x7e0000000000ULL

enum body_way {
	BODY_EMPTY,
	BODY_TILE,
	BODY_LINE, /* two dependent cache lines and nothing else: the floor of any such map */
	BODY_FLAT,
	BODY_TILE_AGAIN,
	BODY_LRU,
	BODY_RING,
	BODY_NR,
};

static const char *const body_prog[BODY_NR] = {
	[BODY_EMPTY] = "bench_empty",	  [BODY_TILE] = "bench_tile", [BODY_LINE] = "bench_line",
	[BODY_FLAT] = "bench_flat",	  [BODY_LRU] = "bench_lru",   [BODY_RING] = "bench_ring",
	[BODY_TILE_AGAIN] = "bench_tile",
};

struct body_case {
	uint32_t gib;
	bool zipf;
};

/* Nanoseconds per sample, the empty loop taken off; of rounds the median. */
struct body_result {
	double ns[BODY_NR], spread[BODY_NR], empty_ns, noise;
	double tile_kib, used_kib, flat_kib, lru_kib; /* map memory per GiB touched */
	uint32_t tiles, details;
};

struct body_args {
	uint32_t first, nr, tgid, lines;
};

/* As in sample.bpf.c. */
struct body_line {
	uint64_t n[7], next;
};

/*
 * Zipf by inversion of the generalised harmonic numbers' integral form (Gray et al. 1994): rank of
 * one draw among n.
 */
struct zipf {
	double theta, zetan, alpha, eta, half;
	uint64_t n;
};

struct body {
	struct env env;
	uint64_t *addr;
	struct ring_buffer *rb;
	struct page_table table; /* the ring's consumer counts here */
	int fd[BODY_NR];
	uint32_t tgid, lines;
	uint64_t fed, fed_at_tick; /* samples given to the sampler */
	struct zipf zipf;
	uint64_t seed;
};

static double zipf_zeta(uint64_t n, double theta)
{
	double sum = 0, a = 1 - theta;
	uint64_t i, exact = n < 100000 ? n : 100000;

	for (i = 1; i <= exact; i++)
		sum += pow(i, -theta);
	/* The tail is smooth: Euler and Maclaurin to the first term. */
	if (n > exact)
		sum += (pow(n, a) - pow(exact, a)) / a + (pow(n, -theta) - pow(exact, -theta)) / 2;
	return sum;
}

static void zipf_init(struct zipf *z, uint64_t n, double theta)
{
	z->n = n;
	z->theta = theta;
	z->zetan = zipf_zeta(n, theta);
	z->alpha = 1 / (1 - theta);
	z->half = 1 + pow(0.5, theta);
	z->eta = (1 - pow(2.0 / n, 1 - theta)) / (1 - zipf_zeta(2, theta) / z->zetan);
}

static uint64_t zipf_draw(const struct zipf *z, uint64_t *seed)
{
	double u = bench_rand_unit(seed), uz = u * z->zetan;
	uint64_t rank;

	if (uz < 1)
		return 0;
	if (uz < z->half)
		return 1;
	rank = z->n * pow(z->eta * u - z->eta + 1, z->alpha);
	return rank < z->n ? rank : z->n - 1;
}

/* A fixed permutation of n = 2^bits pages: the hottest ranks lie scattered. */
static uint64_t body_scatter(uint64_t rank, unsigned int bits)
{
	uint64_t mask = (1ULL << bits) - 1;

	rank = rank * 0x9e3779b97f4a7c15ULL & mask;
	rank ^= rank >> (bits / 2);
	return rank * 0xbf58476d1ce4e5b9ULL & mask;
}

/* Fresh addresses for a round: two sets, so that the sampler's second run repeats nothing. */
static void body_fill_addrs(struct body *b, const struct body_case *c)
{
	unsigned int bits = 18 + __builtin_ctz(c->gib);
	uint64_t page, i;

	for (i = 0; i < BODY_ADDRS; i++) {
		page = c->zipf ? body_scatter(zipf_draw(&b->zipf, &b->seed), bits)
			       : bench_rand(&b->seed) >> (64 - bits);
		b->addr[i] = BODY_BASE + (page << HT_PAGE_SHIFT) + (bench_rand(&b->seed) & 0xff8);
	}
}

/* A permutation of all lines, in an order no prefetcher guesses. */
static int body_link_lines(struct body *b)
{
	struct body_line *line = env_map(&b->env, "lines");
	unsigned int bits = __builtin_ctz(b->lines);
	uint32_t i;

	if (!line)
		return -ENOMEM;
	for (i = 0; i < b->lines; i++)
		line[i].next = body_scatter(i, bits);
	env_unmap(&b->env, "lines", line);
	return 0;
}

static int body_consume(void *arg, void *data, __attribute__((unused)) size_t len)
{
	const struct {
		uint64_t page, tgid;
	} *rec = data;

	page_table_count(arg, rec->tgid, rec->page);
	return 0;
}

static int body_open(struct body *b, const struct body_case *c)
{
	uint32_t pages = c->gib << 18;
	struct ht_heatmap_size hs;
	struct env_size size;
	int err, i;

	/* As the loader would size them for a machine of that much memory. */
	ht_heatmap_size(&hs, (uint64_t)c->gib << 30);
	size = (struct env_size){ .tiles = hs.nr_tiles - 1, .buckets = hs.nr_buckets };
	err = env_open(&b->env, "build/bench/sample.bpf.o", &size);
	if (err)
		return err;
	err = env_set_size(&b->env, "addrs", BODY_ADDRS) ?:
	      env_set_size(&b->env, "lines", c->gib << 9) ?:
	      env_set_size(&b->env, "flat", pages) ?: env_set_size(&b->env, "lru", pages);
	if (err)
		return err;
	err = env_load(&b->env) ?: page_table_init(&b->table, pages);
	if (err)
		return err;
	b->addr = env_map(&b->env, "addrs");
	b->rb = ring_buffer__new(bpf_object__find_map_fd_by_name(b->env.obj, "ring"), body_consume,
				 &b->table, NULL);
	b->tgid = getpid();
	b->seed = 42;
	b->lines = c->gib << 9;
	zipf_init(&b->zipf, pages, 0.99);
	for (i = 0; i < BODY_NR; i++)
		b->fd[i] = env_prog(&b->env, body_prog[i]);
	if (!b->addr || !b->rb)
		return -ENOMEM;
	return body_link_lines(b) ?: env_target(&b->env, b->tgid, 0);
}

static void body_close(struct body *b)
{
	if (b->addr)
		munmap(b->addr, BODY_ADDRS * sizeof(*b->addr));
	ring_buffer__free(b->rb);
	page_table_free(&b->table);
	env_close(&b->env);
}

/* Samples [first, first + nr) one way. */
static int body_feed(struct body *b, enum body_way way, uint32_t first, uint32_t nr)
{
	uint32_t chunk = way == BODY_RING ? BODY_CHUNK : nr, done;
	struct body_args a = { .tgid = b->tgid, .lines = b->lines };
	int ret;

	for (done = 0; done < nr; done += chunk) {
		a.first = first + done;
		a.nr = chunk;
		if (env_run_fd(b->fd[way], &a, sizeof(a), &ret) || ret != (int)chunk)
			return -EIO;
		if (way == BODY_RING && ring_buffer__consume(b->rb) != (int)chunk)
			return -EIO;
	}
	if (way == BODY_TILE || way == BODY_TILE_AGAIN)
		b->fed += nr;
	return 0;
}

/*
 * One slice one way: nanoseconds per sample, negative on error. Some samples go first, untimed: the
 * way before left its own data in the caches.
 */
static double body_slice(struct body *b, enum body_way way)
{
	uint32_t first = way == BODY_TILE_AGAIN ? BODY_SET : 0;
	uint64_t start;

	if (body_feed(b, way, first, BODY_WARM))
		return -1;
	start = bench_cpu_ns();
	if (body_feed(b, way, first + BODY_WARM, BODY_SLICE))
		return -1;
	return (double)(bench_cpu_ns() - start) / BODY_SLICE;
}

static void body_tick(struct body *b, const struct body_case *c)
{
	uint64_t pages = (uint64_t)c->gib << 18;

	if (b->fed - b->fed_at_tick < BODY_TICK_PER_PAGE * pages)
		return;
	b->env.ctl->tick++;
	b->fed_at_tick = b->fed;
}

/* Memory a map takes in the kernel. */
static double body_map_bytes(struct body *b, const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(b->env.obj, name);
	char path[64], line[128];
	double bytes = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "r");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "memlock: %lf", &bytes) == 1)
			break;
	fclose(f);
	return bytes;
}

static void body_memory(struct body *b, const struct body_case *c, struct body_result *r)
{
	static const char *const maps[] = { "control", "heat", "heat_index", "heat_pages",
					    "free_tiles" };
	double unit = 1024.0 * c->gib, index = b->env.size.buckets * sizeof(struct ht_bucket);
	struct ht_ctl *ctl = b->env.ctl;
	size_t i;

	r->tile_kib = 0;
	for (i = 0; i < sizeof(maps) / sizeof(*maps); i++)
		r->tile_kib += body_map_bytes(b, maps[i]) / unit;
	r->tiles = ctl->free_head;
	for (r->details = 0, i = 1; i <= r->tiles; i++)
		r->details += b->env.heat[i].detail != 0;
	r->used_kib = (r->tiles * (sizeof(struct ht_tile) + 4.0) +
		       r->details * sizeof(struct ht_detail) + index) /
		      unit;
	r->flat_kib = body_map_bytes(b, "flat") / unit;
	r->lru_kib = body_map_bytes(b, "lru") / unit;
}

/* Every sample must have been counted, or the figures are for something else. */
static int body_check(struct body *b)
{
	struct ht_cpu_stats st;
	int err = env_stats(&b->env, &st);

	if (err)
		return err;
	if (st.seen == b->fed && st.counted == b->fed)
		return 0;
	fprintf(stderr, "the sampler saw %llu and counted %llu of %llu samples\n",
		(unsigned long long)st.seen, (unsigned long long)st.counted,
		(unsigned long long)b->fed);
	return -EPROTO;
}

/* All pages of the footprint into the rivals' tables, as after some hours of sampling. */
static int body_fill_tables(struct body *b, const struct body_case *c)
{
	struct body_args a = { .tgid = b->tgid, .nr = 1U << 18 };
	int fd = env_prog(&b->env, "bench_fill"), ret;
	uint64_t i;

	for (i = 0; i < c->gib; i++) {
		a.first = i << 18;
		if (env_run_fd(fd, &a, sizeof(a), &ret) || ret != (int)a.nr)
			return -EIO;
	}
	for (i = 0; i < (uint64_t)c->gib << 18; i++)
		page_table_count(&b->table, b->tgid, (BODY_BASE >> HT_PAGE_SHIFT) + i);
	return 0;
}

static int body_rounds(struct body *b, const struct body_case *c, struct body_result *r)
{
	double v[BODY_NR][BODY_ROUNDS], diff[BODY_ROUNDS], ns;
	int round, k, way;

	for (round = -BODY_WARM_ROUNDS; round < BODY_ROUNDS; round++) {
		body_fill_addrs(b, c);
		for (k = 0; k < BODY_NR; k++) {
			way = (k + round + BODY_NR) % BODY_NR;
			ns = body_slice(b, way);
			if (ns < 0)
				return -EIO;
			if (round >= 0)
				v[way][round] = ns;
		}
		body_tick(b, c);
	}
	for (round = 0; round < BODY_ROUNDS; round++)
		diff[round] = fabs(v[BODY_TILE][round] - v[BODY_TILE_AGAIN][round]);
	r->noise = bench_median(diff, BODY_ROUNDS);
	for (k = 0; k < BODY_NR; k++) {
		r->ns[k] = bench_median(v[k], BODY_ROUNDS);
		r->spread[k] = bench_spread(v[k], BODY_ROUNDS);
	}
	r->empty_ns = r->ns[BODY_EMPTY];
	for (k = 0; k < BODY_NR; k++)
		r->ns[k] -= r->empty_ns;
	return body_check(b);
}

static int body_run(const struct body_case *c, struct body_result *r)
{
	struct body b = { 0 };
	int err;

	bench_progress("%2u GiB, %s: preparing maps", c->gib, c->zipf ? "zipf" : "uniform");
	err = body_open(&b, c);
	if (!err)
		err = body_fill_tables(&b, c);
	if (!err) {
		bench_progress("%2u GiB, %s: measuring", c->gib, c->zipf ? "zipf" : "uniform");
		err = body_rounds(&b, c, r);
	}
	if (!err)
		body_memory(&b, c, r);
	body_close(&b);
	return err;
}

#endif
