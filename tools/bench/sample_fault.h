/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The whole path on real perf events: every page fault is a sample (software event, period 1), so
 * what a fault costs more than without an event is the cost of a sample, from the overflow to where
 * a policy can read it. A BPF program leaves it in the heat map; the usual collector takes it from
 * a ring and counts it in user space.
 */
#ifndef HT_SAMPLE_FAULT_H
#define HT_SAMPLE_FAULT_H

#include <linux/perf_event.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "bench.h"
#include "sample_table.h"
#include "../../tests/bpf/env.h"

#define FAULT_PAGES 65536U /* per round: 256 MiB, a power of two */
#define FAULT_DRAIN 16384U /* faults between two drains of a ring */
#define FAULT_ROUNDS 25
#define FAULT_ROUNDS_INSNS 3 /* where time is counted in instructions nothing else changes it */
#define FAULT_RING_PAGES 512 /* 2 MiB */

enum fault_way {
	FAULT_NONE,
	FAULT_NONE_AGAIN,
	FAULT_EMPTY, /* a BPF program that does nothing: the floor */
	FAULT_TILE,
	FAULT_TILE_HW, /* as for a hardware event: latency and data source looked for */
	FAULT_FLAT,
	FAULT_RING,	 /* IP | TID | ADDR | WEIGHT, what tiering systems record */
	FAULT_RING_ADDR, /* ADDR alone, the least that tells a page */
	FAULT_NR,
};

struct fault_result {
	double ns[FAULT_NR]; /* more than a fault alone takes; that itself for FAULT_NONE */
	double spread[FAULT_NR], noise;
};

struct fault {
	struct env env;
	struct page_table table;
	char *mem;
	struct {
		int fd;
		struct perf_event_mmap_page *ring;
	} way[FAULT_NR];
	uint32_t tgid;
	uint64_t consumed; /* records taken from rings */
	uint64_t read;	   /* heat read from tiles, so that reading is not optimised away */
};

static const char *const fault_prog[FAULT_NR] = {
	[FAULT_EMPTY] = "perf_empty",
	[FAULT_TILE] = "ht_perf",
	[FAULT_TILE_HW] = "ht_perf",
	[FAULT_FLAT] = "perf_flat",
};

static const uint64_t fault_sample_type[FAULT_NR] = {
	[FAULT_RING] = PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_ADDR | PERF_SAMPLE_WEIGHT,
	[FAULT_RING_ADDR] = PERF_SAMPLE_ADDR,
};

static bool fault_has_ring(enum fault_way way)
{
	return way == FAULT_RING || way == FAULT_RING_ADDR;
}

static int fault_event(struct fault *f, enum fault_way way)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_PAGE_FAULTS,
		.sample_period = 1,
		.sample_type = fault_sample_type[way] ?: PERF_SAMPLE_ADDR,
		.disabled = 1,
		.exclude_kernel = 1,
		.watermark = 1,
		.wakeup_watermark = FAULT_RING_PAGES * 4096 / 2,
	};
	size_t len = (FAULT_RING_PAGES + 1) * sysconf(_SC_PAGESIZE);
	int fd = syscall(SYS_perf_event_open, &attr, 0, -1, -1, PERF_FLAG_FD_CLOEXEC);

	f->way[way].fd = fd;
	if (fd < 0)
		return -errno;
	if (!fault_has_ring(way))
		return ioctl(fd, PERF_EVENT_IOC_SET_BPF, env_prog(&f->env, fault_prog[way]))
			       ? -errno
			       : 0;
	f->way[way].ring = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (f->way[way].ring == MAP_FAILED) {
		f->way[way].ring = NULL;
		return -errno;
	}
	return 0;
}

/* Copies n bytes at a ring position out, as a record may wrap. */
static void fault_ring_copy(const struct perf_event_mmap_page *ring, uint64_t pos, void *to,
			    size_t n)
{
	const char *data = (const char *)ring + ring->data_offset;
	uint64_t off = pos & (ring->data_size - 1), left = ring->data_size - off;

	if (n <= left) {
		memcpy(to, data + off, n);
		return;
	}
	memcpy(to, data + off, left);
	memcpy((char *)to + left, data, n - left);
}

/* Takes every record and counts its page: what a collector thread does. */
static void fault_drain(struct fault *f, enum fault_way way)
{
	struct perf_event_mmap_page *ring = f->way[way].ring;
	uint64_t head = __atomic_load_n(&ring->data_head, __ATOMIC_ACQUIRE);
	uint64_t pos = ring->data_tail, addr;
	struct {
		struct perf_event_header hdr;
		uint64_t body[4]; /* IP, PID and TID, ADDR, WEIGHT, or ADDR alone */
	} rec;
	uint32_t tgid = f->tgid;

	while (pos < head) {
		fault_ring_copy(ring, pos, &rec.hdr, sizeof(rec.hdr));
		if (rec.hdr.type == PERF_RECORD_SAMPLE && rec.hdr.size <= sizeof(rec)) {
			fault_ring_copy(ring, pos, &rec, rec.hdr.size);
			addr = way == FAULT_RING ? rec.body[2] : rec.body[0];
			if (way == FAULT_RING)
				tgid = (uint32_t)rec.body[1];
			page_table_count(&f->table, tgid, addr >> HT_PAGE_SHIFT);
			f->consumed++;
		}
		pos += rec.hdr.size;
	}
	__atomic_store_n(&ring->data_tail, head, __ATOMIC_RELEASE);
}

/* What stands for a consumer of the heat map: each tile in use read once. */
static void fault_read_tiles(struct fault *f)
{
	uint32_t i, used = f->env.ctl->free_head;

	for (i = 1; i <= used; i++)
		f->read += f->env.heat[i].total;
}

static int fault_open(struct fault *f)
{
	static const struct env_size size = { .tiles = 1023, .buckets = 128 };
	size_t len = (size_t)FAULT_PAGES << HT_PAGE_SHIFT;
	enum fault_way way;
	int err;

	err = env_open(&f->env, "build/bench/sample.bpf.o", &size);
	err = err ?: env_set_size(&f->env, "flat", FAULT_PAGES * 4);
	err = err ?: env_type_ctx(&f->env);
	err = err ?: env_load(&f->env) ?: page_table_init(&f->table, FAULT_PAGES * 4);
	if (err)
		return err;
	f->tgid = getpid();
	f->mem = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (f->mem == MAP_FAILED) {
		f->mem = NULL;
		return -ENOMEM;
	}
	madvise(f->mem, len, MADV_NOHUGEPAGE);
	for (way = FAULT_EMPTY; way < FAULT_NR && !err; way++)
		err = fault_event(f, way);
	if (err)
		fprintf(stderr, "cannot sample page faults: %s (needs CAP_PERFMON)\n",
			strerror(-err));
	return err ?: env_target(&f->env, f->tgid, 0);
}

static void fault_close(struct fault *f)
{
	size_t len = (FAULT_RING_PAGES + 1) * sysconf(_SC_PAGESIZE);
	enum fault_way way;

	for (way = FAULT_EMPTY; way < FAULT_NR; way++) {
		if (f->way[way].ring)
			munmap(f->way[way].ring, len);
		if (f->way[way].fd > 0)
			close(f->way[way].fd);
	}
	if (f->mem)
		munmap(f->mem, (size_t)FAULT_PAGES << HT_PAGE_SHIFT);
	page_table_free(&f->table);
	env_close(&f->env);
}

/* All pages once, in a permuted order; ns per fault. */
static double fault_pass(struct fault *f, enum fault_way way)
{
	int fd = f->way[way].fd;
	volatile char *mem = f->mem;
	uint64_t start;
	uint32_t i;

	madvise(f->mem, (size_t)FAULT_PAGES << HT_PAGE_SHIFT, MADV_DONTNEED);
	f->env.ctl->tick++;
	f->env.ctl->source = way == FAULT_TILE_HW ? HT_SRC_PEBS : HT_SRC_PAGE_FAULT;
	if (fd > 0)
		ioctl(fd, PERF_EVENT_IOC_ENABLE, 0);
	start = bench_cpu_ns();
	for (i = 0; i < FAULT_PAGES; i++) {
		(void)mem[(size_t)(i * 40503U & (FAULT_PAGES - 1)) << HT_PAGE_SHIFT];
		if ((i + 1) % FAULT_DRAIN == 0 && fault_has_ring(way))
			fault_drain(f, way);
	}
	if (way == FAULT_TILE || way == FAULT_TILE_HW)
		fault_read_tiles(f);
	start = bench_cpu_ns() - start;
	if (fd > 0)
		ioctl(fd, PERF_EVENT_IOC_DISABLE, 0);
	return (double)start / FAULT_PAGES;
}

/* Nothing may have been lost on any way: the costs would be of fewer samples. */
static int fault_check(struct fault *f, uint64_t passes)
{
	uint64_t due = passes * FAULT_PAGES; /* of each way */
	struct ht_cpu_stats st;
	int err = env_stats(&f->env, &st);

	if (err)
		return err;
	if (st.counted >= 2 * due && f->consumed >= 2 * due)
		return 0;
	fprintf(stderr, "of %llu faults the heat map counted %llu, the two rings had %llu in all\n",
		(unsigned long long)due, (unsigned long long)st.counted,
		(unsigned long long)f->consumed);
	return -EPROTO;
}

static int fault_rounds(struct fault *f, struct fault_result *r, int rounds)
{
	double v[FAULT_NR][FAULT_ROUNDS], diff[FAULT_ROUNDS], base;
	int round, k;

	for (round = -1; round < rounds; round++) { /* the first warms up */
		double ns[FAULT_NR];

		for (k = 0; k < FAULT_NR; k++)
			ns[(k + round + 1) % FAULT_NR] = fault_pass(f, (k + round + 1) % FAULT_NR);
		if (round < 0)
			continue;
		/* Differences within a round: slow drift of the machine cancels. */
		base = (ns[FAULT_NONE] + ns[FAULT_NONE_AGAIN]) / 2;
		diff[round] = fabs(ns[FAULT_NONE] - ns[FAULT_NONE_AGAIN]);
		for (k = 0; k < FAULT_NR; k++)
			v[k][round] = k == FAULT_NONE ? base : ns[k] - base;
	}
	r->noise = bench_median(diff, rounds);
	for (k = 0; k < FAULT_NR; k++) {
		r->ns[k] = bench_median(v[k], rounds);
		r->spread[k] = bench_spread(v[k], rounds);
	}
	return fault_check(f, rounds + 1);
}

static int fault_run(struct fault_result *r, int rounds)
{
	struct fault f = { 0 };
	int err;

	bench_progress("page faults as samples: measuring");
	err = fault_open(&f) ?: fault_rounds(&f, r, rounds);
	fault_close(&f);
	return err;
}

#endif
