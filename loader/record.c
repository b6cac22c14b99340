// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "log.h"
#include "record.h"

/* Samples taken from the ring at once: a producer that is faster than the disk cannot keep us. */
#define DRAIN_MAX (2 * HT_RECORD_RING / 24)

struct spot {
	uint64_t key; /* HT_KEY() */
	uint16_t pages, fast;
};

struct spots {
	struct spot *spot;
	size_t nr, cap;
};

struct ht_record {
	FILE *f;
	uint32_t source;
	bool failed;
	struct ring_buffer *ring; /* NULL = samples are added by the source */
	uint64_t samples, drained;
	struct spots last, now; /* placement as written, and as it is */
};

static void put(struct ht_record *r, const void *data, size_t size, size_t nr)
{
	if (r->failed || !nr || fwrite(data, size, nr, r->f) == nr)
		return;
	r->failed = true;
	pr_warn("the recording ends here: %s", strerror(errno));
}

int ht_record_open(struct ht_record **out, const char *path, uint32_t source)
{
	struct ht_record *r = calloc(1, sizeof(*r));
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600), err;

	if (r && fd >= 0)
		r->f = fdopen(fd, "w");
	if (r && r->f) {
		r->source = source;
		*out = r;
		return 0;
	}
	err = r ? -errno : -ENOMEM;
	pr_err("cannot record to %s: %s", path, strerror(-err));
	if (fd >= 0)
		close(fd);
	free(r);
	return err;
}

void ht_record_start(struct ht_record *r, uint64_t period)
{
	struct ht_trace_hdr hdr = { .magic = HT_TRACE_MAGIC,
				    .version = HT_TRACE_VERSION,
				    .record_size = sizeof(struct ht_inject_rec),
				    .period = period };

	if (!r)
		return;
	hdr.source = r->source;
	put(r, &hdr, sizeof(hdr), 1);
}

static int on_sample(void *arg, void *data, size_t size)
{
	struct ht_record *r = arg;

	if (size < sizeof(struct ht_inject_rec))
		return 0;
	ht_record_add(r, data, 1);
	return ++r->drained < DRAIN_MAX ? 0 : -E2BIG;
}

int ht_record_ring(struct ht_record *r, int ring_fd)
{
	int err;

	r->ring = ring_buffer__new(ring_fd, on_sample, r, NULL);
	if (r->ring)
		return 0;
	err = -errno;
	pr_err("the ring of samples to record cannot be mapped: %s", strerror(-err));
	return err;
}

void ht_record_add(struct ht_record *r, const struct ht_inject_rec *rec, uint32_t nr)
{
	uint32_t i;

	for (i = 0; r && i < nr; i++) {
		/* What no process has would read as another kind of record. */
		if (!rec[i].tgid || rec[i].tgid >= HT_TRACE_TGIDS ||
		    rec[i].addr >= HT_TRACE_ADDRS || rec[i].write >= HT_TRACE_PLACE)
			continue;
		put(r, &rec[i], sizeof(*rec), 1);
		r->samples++;
	}
}

static void drain(struct ht_record *r)
{
	r->drained = 0;
	if (r->ring)
		ring_buffer__consume(r->ring);
}

void ht_record_epoch(struct ht_record *r, uint64_t epoch_ns)
{
	struct ht_inject_rec end = { .addr = epoch_ns };

	if (!r)
		return;
	drain(r);
	put(r, &end, sizeof(end), 1);
}

static bool add_spot(struct spots *s, uint64_t key, const struct ht_spot *sp)
{
	size_t cap = s->cap ? s->cap * 2 : 1024;
	struct spot *n;

	if (s->nr == s->cap) {
		n = reallocarray(s->spot, cap, sizeof(*n));
		if (!n)
			return false;
		s->spot = n;
		s->cap = cap;
	}
	s->spot[s->nr++] = (struct spot){
		.key = key,
		.pages = ht_spot_pages(sp),
		.fast = sp->in_tier[0],
	};
	return true;
}

static void put_spot(struct ht_record *r, const struct spot *s)
{
	struct ht_inject_rec rec = {
		.addr = HT_KEY_VA(s->key) | s->fast,
		.tgid = HT_KEY_TGID(s->key),
		.lat = s->pages,
		.write = HT_TRACE_PLACE,
		.node = 0xff,
	};

	put(r, &rec, sizeof(rec), 1);
}

/* Both lists are sorted. What is no longer there has no resident pages. */
static void put_changes(struct ht_record *r)
{
	const struct spot *a = r->last.spot, *a_end = a + r->last.nr;
	const struct spot *b = r->now.spot, *b_end = b + r->now.nr;
	struct spot none;

	while (a < a_end || b < b_end) {
		if (b == b_end || (a < a_end && a->key < b->key)) {
			none = (struct spot){ .key = a++->key };
			put_spot(r, &none);
		} else if (a == a_end || b->key < a->key) {
			put_spot(r, b++);
		} else {
			if (a->pages != b->pages || a->fast != b->fast)
				put_spot(r, b);
			a++;
			b++;
		}
	}
}

void ht_record_placement(struct ht_record *r, struct ht_space *const *space, size_t nr)
{
	struct spots old;
	size_t i, k;

	if (!r || r->failed)
		return;
	r->now.nr = 0;
	for (i = 0; i < nr; i++) {
		for (k = 0; k < space[i]->nr; k++) {
			const struct ht_spot *sp = &space[i]->spot[k];

			if (ht_spot_pages(sp) &&
			    !add_spot(&r->now, HT_KEY(space[i]->tgid, sp->va), sp))
				return; /* no memory now: the next epoch has it */
		}
	}
	put_changes(r);
	old = r->last;
	r->last = r->now;
	r->now = old;
}

uint64_t ht_record_samples(const struct ht_record *r)
{
	return r ? r->samples : 0;
}

void ht_record_close(struct ht_record *r)
{
	if (!r)
		return;
	drain(r);
	ring_buffer__free(r->ring);
	if (fclose(r->f) && !r->failed)
		pr_warn("the recording may be incomplete: %s", strerror(errno));
	free(r->last.spot);
	free(r->now.spot);
	free(r);
}
