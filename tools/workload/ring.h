/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The lab's ring as a workload sees it: mapped, checked, and its counters read as a snapshot. */
#ifndef WORKLOAD_RING_H
#define WORKLOAD_RING_H

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "memmap.h"

struct ring {
	volatile struct ht_ring_hdr *hdr; /* NULL outside the lab */
	volatile struct ht_ring_rec *rec;
	volatile struct ht_ring_phase *phase;
	uint64_t nr_slots;
	unsigned int nr_phases;
};

struct ring_count {
	uint64_t loads[HT_RING_MAX_NODES];
	uint64_t stores[HT_RING_MAX_NODES];
	uint64_t misses[HT_RING_MAX_NODES];
	uint64_t unknown, insns, model_ns;
};

struct ring_totals {
	struct ring_count all;
	struct ring_count phase[HT_RING_MAX_PHASES];
	uint64_t hits, l1_hits, records;
};

static inline const char *ring_check(struct ring *r, size_t size)
{
	uint64_t slots = r->hdr->nr_slots, phases = r->hdr->phase_offset;

	if (r->hdr->magic != HT_RING_MAGIC)
		return "no emulator behind the ring";
	if (r->hdr->version != HT_RING_VERSION)
		return "the emulator speaks another version: rebuild both";
	if (!slots || slots & (slots - 1) ||
	    slots > (size - HT_RING_DATA_OFFSET) / sizeof(struct ht_ring_rec) ||
	    r->hdr->nr_phases > HT_RING_MAX_PHASES || phases > size || phases % 8 ||
	    r->hdr->nr_phases * sizeof(struct ht_ring_phase) > size - phases)
		return "the ring's header makes no sense";
	r->nr_slots = slots;
	r->nr_phases = r->hdr->nr_phases;
	r->rec = (volatile void *)((volatile char *)r->hdr + HT_RING_DATA_OFFSET);
	r->phase = (volatile void *)((volatile char *)r->hdr + phases);
	return NULL;
}

/* Maps $HT_LAB_RING. 0 with hdr NULL where it is not set; errors are explained on stderr. */
static inline int ring_open(struct ring *r)
{
	const char *path = getenv("HT_LAB_RING"), *why;
	struct stat st;
	void *mem;
	int fd;

	memset(r, 0, sizeof(*r));
	if (!path || !*path)
		return 0;
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		fprintf(stderr, "HT_LAB_RING: cannot open %s: %m\n", path);
		return -errno;
	}
	mem = MAP_FAILED;
	if (st.st_size > HT_RING_DATA_OFFSET)
		mem = mmap(NULL, st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (mem == MAP_FAILED) {
		fprintf(stderr, "HT_LAB_RING: cannot map %s: %m\n", path);
		return -EINVAL;
	}
	r->hdr = mem;
	why = ring_check(r, st.st_size);
	if (!why)
		return 0;
	/* Without its emulator a lab guest is still a machine to run on. */
	fprintf(stderr, "HT_LAB_RING: nothing will be counted: %s\n", why);
	munmap(mem, st.st_size);
	r->hdr = NULL;
	return 0;
}

static inline void ring_copy(uint64_t *to, const volatile __u64 *from)
{
	for (unsigned int n = 0; n < HT_RING_MAX_NODES; n++)
		to[n] = from[n];
}

static inline void ring_read(const struct ring *r, struct ring_totals *t)
{
	volatile struct ht_ring_hdr *h = r->hdr;

	memset(t, 0, sizeof(*t));
	if (!h)
		return;
	ring_copy(t->all.loads, h->loads);
	ring_copy(t->all.stores, h->stores);
	ring_copy(t->all.misses, h->misses);
	t->all.unknown = h->unknown;
	t->all.insns = h->insns;
	t->all.model_ns = h->model_ns;
	t->l1_hits = h->l1_hits;
	t->records = h->head;
	for (unsigned int n = 0; n < HT_RING_MAX_NODES; n++)
		t->hits += h->hits[n];
	for (unsigned int p = 0; p < r->nr_phases; p++) {
		ring_copy(t->phase[p].loads, r->phase[p].loads);
		ring_copy(t->phase[p].stores, r->phase[p].stores);
		ring_copy(t->phase[p].misses, r->phase[p].misses);
		t->phase[p].unknown = r->phase[p].unknown;
		t->phase[p].insns = r->phase[p].insns;
		t->phase[p].model_ns = r->phase[p].model_ns;
	}
}

/* Totals are nothing but 64-bit counters. */
static inline void ring_diff(struct ring_totals *now, const struct ring_totals *then)
{
	uint64_t *a = (uint64_t *)now;
	const uint64_t *b = (const uint64_t *)then;

	for (size_t i = 0; i < sizeof(*now) / sizeof(*a); i++)
		a[i] -= b[i];
}

/* Share of the accesses (of the misses, where the model counts them) that fast nodes served. */
static inline double ring_fast_share(const struct ring_count *c, unsigned int fast_nodes,
				     bool misses)
{
	uint64_t fast = 0, all = 0;

	for (unsigned int n = 0; n < HT_RING_MAX_NODES; n++) {
		uint64_t x = misses ? c->misses[n] : c->loads[n] + c->stores[n];

		all += x;
		if (fast_nodes & 1u << n)
			fast += x;
	}
	return all ? (double)fast / all : -1;
}

#endif
