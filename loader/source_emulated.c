// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The lab's ring: an emulator outside of the guest sees every memory access and writes every N-th
 * into shared memory. Records go to the same sampler as those of a PMU, through the inject program.
 * Everything in the ring is written by somebody else: nothing in it is used as an index or a size
 * before it was checked, and sizes are taken once, at the start.
 */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <hypertier/lab_ring.h>
#include <hypertier/marker.h>

#include "log.h"
#include "record.h"
#include "source.h"
#include "workout.h"

/*
 * A prime, so that it does not lock step with loops. At the emulator's some 20 to 100 million
 * accesses a second this gives 20,000 to 100,000 samples, each of which costs the guest about a
 * microsecond. With its cache model on, an event is a miss: rarer by an order of magnitude.
 */
#define DEFAULT_PERIOD 1009
#define DEFAULT_MISS_PERIOD 101
/* A head this far ahead is no head: at 10^8 records a second it takes a month. */
#define MAX_ADVANCE (1ULL << 48)

struct ring {
	void *base; /* NULL = not open */
	size_t size;
	struct ht_ring_hdr *hdr;
	const struct ht_ring_rec *rec;
	uint64_t nr_slots; /* as checked; the header's copy is not read again */
	char path[PATH_MAX];
};

struct emulated {
	struct ring ring;
	uint64_t tail;
	uint64_t old_period;
	uint64_t base_period; /* at a density of 1 */
	struct ht_record *record; /* not ours; NULL = none */
	uint64_t due, lost;
	int prog_inject;
	struct ht_inject_rec *inject;
	bool warned;
};

/* path of the first ivshmem device's shared memory. */
static int find_pci(const struct ht_roots *roots, char *path, size_t size)
{
	uint64_t vendor, device;
	char dir[PATH_MAX];
	struct dirent *e;
	int err = -ENOENT;
	DIR *d;

	snprintf(dir, sizeof(dir), "%s/bus/pci/devices", roots->sys);
	d = opendir(dir);
	if (!d)
		return -ENOENT;
	while (err && (e = readdir(d))) {
		if (e->d_name[0] == '.' || ht_read_u64(&vendor, "%s/%s/vendor", dir, e->d_name) ||
		    ht_read_u64(&device, "%s/%s/device", dir, e->d_name))
			continue;
		if (vendor != HT_RING_PCI_VENDOR || device != HT_RING_PCI_DEVICE)
			continue;
		err = snprintf(path, size, "%s/%s/resource2", dir, e->d_name) < (int)size
			      ? 0
			      : -ENAMETOOLONG;
	}
	closedir(d);
	return err;
}

static int find_ring(const struct ht_source_opts *opts, char *path, size_t size)
{
	const char *given = opts->ring ? opts->ring : getenv("HT_LAB_RING");

	if (!given || !*given)
		return find_pci(opts->roots, path, size);
	return snprintf(path, size, "%s", given) < (int)size ? 0 : -ENAMETOOLONG;
}

/* Checks a header against the size of its mapping. why gets what is wrong. */
static int check_header(const struct ht_ring_hdr *hdr, size_t map_size, uint64_t *nr_slots,
			char *why, size_t size)
{
	uint64_t slots = __atomic_load_n(&hdr->nr_slots, __ATOMIC_RELAXED);
	uint64_t fit = (map_size - HT_RING_DATA_OFFSET) / sizeof(struct ht_ring_rec);

	if (hdr->magic == ~0ULL)
		snprintf(why, size, "reads as all ones: the device's memory is switched off");
	else if (hdr->magic != HT_RING_MAGIC)
		snprintf(why, size, "no ring in it (magic %#" PRIx64 "): is the emulator loaded?",
			 (uint64_t)hdr->magic);
	else if (hdr->version != HT_RING_VERSION)
		snprintf(why, size, "ring version %u, this loader knows %u: rebuild one of them",
			 hdr->version, HT_RING_VERSION);
	else if (hdr->record_size != sizeof(struct ht_ring_rec))
		snprintf(why, size, "record size %u instead of %zu", hdr->record_size,
			 sizeof(struct ht_ring_rec));
	else if (!slots || slots & (slots - 1) || slots > fit)
		snprintf(why, size, "%" PRIu64 " slots: not a power of two that fits in %zu bytes",
			 slots, map_size);
	else {
		*nr_slots = slots;
		return 0;
	}
	return -EPROTO;
}

static void ring_close(struct ring *r)
{
	if (r->base)
		munmap(r->base, r->size);
	r->base = NULL;
}

static int ring_map(struct ring *r)
{
	int fd = open(r->path, O_RDWR | O_CLOEXEC), err = 0;
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (st.st_size <= HT_RING_DATA_OFFSET)
		err = -EFBIG;
	if (!err) {
		r->size = st.st_size;
		r->base = mmap(NULL, r->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
		if (r->base == MAP_FAILED) {
			err = -errno;
			r->base = NULL;
		}
	}
	close(fd);
	return err ?: r->base ? 0 : -ENODEV;
}

static int ring_open(struct ring *r, const struct ht_source_opts *opts, char *why, size_t size)
{
	char bad[128] = "";
	int err;

	err = find_ring(opts, r->path, sizeof(r->path));
	if (err) {
		snprintf(why, size,
			 "no lab ring: neither $HT_LAB_RING nor a PCI device %04x:%04x (lab only)",
			 HT_RING_PCI_VENDOR, HT_RING_PCI_DEVICE);
		return err;
	}
	err = ring_map(r);
	if (err) {
		snprintf(why, size, "%.120s cannot be mapped: %s", r->path,
			 err == -EFBIG ? "too small for a ring" : strerror(-err));
		return err;
	}
	r->hdr = r->base;
	r->rec = (void *)((char *)r->base + HT_RING_DATA_OFFSET);
	err = check_header(r->hdr, r->size, &r->nr_slots, bad, sizeof(bad));
	if (err) {
		snprintf(why, size, "%.100s: %s", r->path, bad);
		ring_close(r);
	}
	return err;
}

static uint64_t default_period(const struct ring *r)
{
	return r->hdr->model ? DEFAULT_MISS_PERIOD : DEFAULT_PERIOD;
}

static uint64_t ring_head(const struct ring *r)
{
	return __atomic_load_n(&r->hdr->head, __ATOMIC_ACQUIRE);
}

static int emulated_usable(const struct ht_source_opts *opts, char *why, size_t size)
{
	struct ring r = {};
	int err = ring_open(&r, opts, why, size);

	if (err)
		return err;
	snprintf(why, size, "the lab's ring at %.180s", r.path);
	ring_close(&r);
	return 0;
}

static int emulated_open(struct ht_source *src, const struct ht_source_opts *opts,
			 const struct ht_source_bpf *bpf, struct ht_journal *journal)
{
	struct emulated *em = calloc(1, sizeof(*em));
	char why[256] = "";
	uint64_t period;
	int err;

	if (!em)
		return -ENOMEM;
	err = ring_open(&em->ring, opts, why, sizeof(why));
	if (!err && (bpf->prog_inject < 0 || !bpf->inject)) {
		err = -EINVAL;
		snprintf(why, sizeof(why), "the policy object has no ht_inject program");
	}
	if (err) {
		pr_err("source emulated: %s", why);
		ring_close(&em->ring);
		free(em);
		return err;
	}
	em->prog_inject = bpf->prog_inject;
	em->inject = bpf->inject;
	em->tail = ring_head(&em->ring);
	/* A crash leaves the period as it is: the emulator goes on writing into its own memory. */
	em->old_period = em->ring.hdr->period;
	period = opts->period	  ? opts->period
		 : em->old_period ? em->old_period
				  : default_period(&em->ring);
	__atomic_store_n(&em->ring.hdr->period, period, __ATOMIC_RELEASE);
	em->base_period = period;
	src->period = period;
	src->densest = period < UINT_MAX ? period : UINT_MAX;
	src->priv = em;
	em->record = opts->record;
	snprintf(src->detail, sizeof(src->detail),
		 "one of %" PRIu64 " %s, ring of %" PRIu64 " records at %.120s", period,
		 em->ring.hdr->model ? "cache misses" : "accesses", em->ring.nr_slots,
		 em->ring.path);
	return 0;
}

/*
 * Copies up to HT_INJECT_MAX records from the tail. Returns how many of them can be trusted: the
 * emulator does not wait, and what it overwrote while we copied, the oldest ones, is lost.
 */
static uint32_t copy_batch(struct emulated *em, uint64_t nr)
{
	uint64_t mask = em->ring.nr_slots - 1, head, gone, i;
	struct ht_ring_rec rec;

	for (i = 0; i < nr; i++) {
		rec = em->ring.rec[(em->tail + i) & mask];
		em->inject[i] = (struct ht_inject_rec){
			.addr = rec.vaddr,
			.tgid = rec.tgid,
			.write = rec.write != 0,
			.node = rec.node,
		};
	}
	/* The record after head may be half written already, hence + 1. */
	head = ring_head(&em->ring) + 1;
	gone = head - em->tail;
	gone = gone > em->ring.nr_slots && gone < MAX_ADVANCE ? gone - em->ring.nr_slots : 0;
	gone = gone < nr ? gone : nr;
	em->tail += nr;
	em->lost += gone;
	memmove(em->inject, em->inject + gone, (nr - gone) * sizeof(*em->inject));
	return nr - gone;
}

static int inject(struct emulated *em, uint32_t nr)
{
	struct ht_inject_args args = { .nr = nr, .source = HT_SRC_EMULATED };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &args, .ctx_size_in = sizeof(args));

	if (!nr)
		return 0;
	ht_record_add(em->record, em->inject, nr);
	return bpf_prog_test_run_opts(em->prog_inject, &opts) ? -errno : 0;
}

/* Where to read up to; skips what is lost already. */
static uint64_t take_head(struct emulated *em)
{
	uint64_t head = ring_head(&em->ring), ahead = head - em->tail;

	if (ahead >= MAX_ADVANCE) {
		if (!em->warned)
			pr_warn("source emulated: the ring's head went back, starting over");
		em->warned = true;
		em->tail = head;
		return head;
	}
	em->due += ahead;
	if (ahead > em->ring.nr_slots) {
		em->lost += ahead - em->ring.nr_slots;
		em->tail = head - em->ring.nr_slots;
	}
	return head;
}

/* At most one ring's worth: a writer that is faster than we are cannot keep us here. */
static int emulated_epoch(struct ht_source *src, const struct ht_targets *targets)
{
	struct emulated *em = src->priv;
	uint64_t head = take_head(em), nr;
	int err = 0;

	while (em->tail != head && !err) {
		nr = head - em->tail;
		err = inject(em, copy_batch(em, nr < HT_INJECT_MAX ? nr : HT_INJECT_MAX));
	}
	if (err)
		pr_err("source emulated: cannot run ht_inject: %s", strerror(-err));
	return err;
}

static int emulated_stats(struct ht_source *src, struct ht_source_stats *stats)
{
	struct emulated *em = src->priv;

	stats->due = em->due;
	stats->lost = em->lost;
	return 0;
}

static int emulated_set_density(struct ht_source *src, unsigned int density)
{
	struct emulated *em = src->priv;

	src->period = em->base_period / density;
	__atomic_store_n(&em->ring.hdr->period, src->period, __ATOMIC_RELEASE);
	return 0;
}

static void emulated_close(struct ht_source *src)
{
	struct emulated *em = src->priv;

	__atomic_store_n(&em->ring.hdr->period, em->old_period, __ATOMIC_RELEASE);
	ring_close(&em->ring);
	free(em);
}

static void probe_records(const struct ring *r, uint64_t tail, const struct ht_workout *w,
			  struct ht_source_probe *res)
{
	uint64_t head = ring_head(r), addr;

	res->due = head - tail < MAX_ADVANCE ? head - tail : 0;
	if (res->due > r->nr_slots)
		tail = head - r->nr_slots;
	for (; res->due && tail != head; tail++) {
		addr = r->rec[tail & (r->nr_slots - 1)].vaddr;
		res->seen++;
		res->zero_addr += !addr;
		res->in_buffer += ht_workout_has(w, addr);
	}
}

/* The markers make the emulator count this process; outside of the lab they are NOPs. */
static int emulated_probe(const struct ht_source_opts *opts, unsigned int ms,
			  struct ht_source_probe *res)
{
	struct ring r = {};
	struct ht_workout w;
	uint64_t old, tail;
	double start;
	int err;

	err = ring_open(&r, opts, res->verdict, sizeof(res->verdict));
	if (err)
		return err;
	err = ht_workout_open(&w, 16 << 20);
	if (err)
		goto out;
	old = r.hdr->period;
	__atomic_store_n(&r.hdr->period, opts->period ?: default_period(&r), __ATOMIC_RELEASE);
	tail = ring_head(&r);
	start = ht_workout_now();
	ht_marker(HT_MARK_START, getpid(), 0);
	ht_workout_run(&w, ms);
	ht_marker(HT_MARK_STOP, 0, 0);
	res->seconds = ht_workout_now() - start;
	__atomic_store_n(&r.hdr->period, old, __ATOMIC_RELEASE);
	probe_records(&r, tail, &w, res);
	ht_probe_verdict(res, "records");
	ht_workout_close(&w);
out:
	ring_close(&r);
	return err;
}

static int emulated_rebind(struct ht_source *src, const struct ht_source_bpf *bpf, int *old)
{
	struct emulated *em = src->priv;

	if (bpf->prog_inject < 0 || !bpf->inject)
		return -EINVAL;
	em->prog_inject = bpf->prog_inject;
	em->inject = bpf->inject;
	*old = -1;
	return 0;
}

const struct ht_source_ops ht_source_emulated = {
	.id = HT_SRC_EMULATED,
	.name = "emulated",
	.what = "samples of a lab emulator outside of the guest",
	.usable = emulated_usable,
	.open = emulated_open,
	.epoch = emulated_epoch,
	.stats = emulated_stats,
	.close = emulated_close,
	.rebind = emulated_rebind,
	.set_density = emulated_set_density,
	.probe = emulated_probe,
};
