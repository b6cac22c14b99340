// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <limits.h>
#include <numaif.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <hypertier/heat.h>

#include "clock.h"
#include "log.h"
#include "migrate.h"

#define CALL_MAX_NS 20000000ULL
#define CHUNK_FLOOR 128
#define CHUNK_FLOOR_HUGE 2
#define CHUNK_MAX 8192
#define CHUNK_START 256
#define CHUNK_START_HUGE 4 /* a huge page takes some hundred times as long as a small one */

/* A status the kernel never writes: it tells pages that a call has not come to. */
#define UNTOUCHED INT_MIN

struct ht_migrate {
	struct ht_migrate_stats stats;
	int device; /* of the kernel helper, -1 = no exchange */
	char why[256];
	bool no_shared;	 /* what several processes map may not be moved */
	size_t chunk[2]; /* addresses per call: small pages, huge pages */
	void *page[CHUNK_MAX];
	int from[CHUNK_MAX];
	int kstatus[CHUNK_MAX]; /* as the kernel gives it: node, or negative errno */
};

static const char *const outcome_names[HT_OUT_NR] = {
	[HT_OUT_MOVED] = "moved",   [HT_OUT_ALREADY] = "already", [HT_OUT_EBUSY] = "ebusy",
	[HT_OUT_EACCES] = "eacces", [HT_OUT_ENOENT] = "enoent",	  [HT_OUT_ENOMEM] = "enomem",
	[HT_OUT_EFAULT] = "efault", [HT_OUT_EIO] = "eio",	  [HT_OUT_ESRCH] = "esrch",
	[HT_OUT_EPERM] = "eperm",   [HT_OUT_OTHER] = "other",
};

const char *ht_migrate_outcome_name(enum ht_outcome o)
{
	return (unsigned int)o < HT_OUT_NR ? outcome_names[o] : "unknown";
}

static enum ht_outcome outcome_of_errno(int err)
{
	switch (err) {
	case -EBUSY:
	case -EAGAIN:
		return HT_OUT_EBUSY;
	case -EACCES:
		return HT_OUT_EACCES;
	case -ENOENT:
		return HT_OUT_ENOENT;
	case -ENOMEM:
		return HT_OUT_ENOMEM;
	case -EFAULT:
		return HT_OUT_EFAULT;
	case -EIO:
		return HT_OUT_EIO;
	case -ESRCH:
		return HT_OUT_ESRCH;
	case -EPERM:
		return HT_OUT_EPERM;
	default:
		return HT_OUT_OTHER;
	}
}

/* Number of pages not moved, or a negative errno. nodes NULL asks where the pages are. */
static long kernel_move(struct ht_migrate *m, const struct ht_migrate_batch *b, size_t first,
			size_t nr, const int *nodes)
{
	int flags = b->shared && !m->no_shared ? MPOL_MF_MOVE_ALL : MPOL_MF_MOVE;
	uint64_t start = ht_now_ns();
	long rc;

	for (size_t i = first; i < first + nr; i++)
		m->kstatus[i] = UNTOUCHED;
	rc = move_pages(b->pid, nr, m->page + first, nodes, m->kstatus + first, flags);
	if (rc < 0 && errno == EPERM && flags == MPOL_MF_MOVE_ALL) {
		m->no_shared = true; /* needs CAP_SYS_NICE here, and not only in a user namespace */
		rc = move_pages(b->pid, nr, m->page + first, nodes, m->kstatus + first,
				MPOL_MF_MOVE);
	}
	if (rc < 0)
		rc = -errno;
	m->stats.calls++;
	m->stats.ns += ht_now_ns() - start;
	/* The process exists but has no memory: a zombie, or a kernel thread. */
	return rc == -EINVAL ? -ESRCH : rc;
}

/* A chunk is the stretch [first, first + nr) of a batch, all to one node. */
struct chunk {
	struct ht_migrate_batch *b;
	size_t first, nr;
	int node;
};

static void set_status(struct ht_migrate *m, const struct chunk *c, size_t i, enum ht_outcome o)
{
	c->b->status[c->first + i] = o;
	m->stats.pages[o]++;
	if (o != HT_OUT_MOVED)
		return;
	m->stats.copied += c->b->huge ? HT_TILE_PAGES : 1;
	m->stats.huge_moved += c->b->huge;
}

static void set_all(struct ht_migrate *m, const struct chunk *c, size_t i, enum ht_outcome o)
{
	for (; i < c->nr; i++)
		set_status(m, c, i, o);
}

/* left is the outcome of a page that is still elsewhere. */
static void set_from_kernel(struct ht_migrate *m, const struct chunk *c, size_t i,
			    enum ht_outcome left)
{
	int st = m->kstatus[i];

	if (st == c->node)
		set_status(m, c, i, m->from[i] == c->node ? HT_OUT_ALREADY : HT_OUT_MOVED);
	else
		set_status(m, c, i, st >= 0 || st == UNTOUCHED ? left : outcome_of_errno(st));
}

/* Fills m->from, asking the kernel if the caller left anything open. */
static int learn_from(struct ht_migrate *m, const struct chunk *c)
{
	const int *from = c->b->from ? c->b->from + c->first : NULL;
	bool known = from;
	long rc;

	for (size_t i = 0; from && i < c->nr; i++) {
		m->from[i] = from[i];
		known = known && from[i] >= 0;
	}
	if (known)
		return 0;
	rc = kernel_move(m, c->b, 0, c->nr, NULL);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < c->nr; i++)
		if (!from || from[i] < 0)
			m->from[i] = m->kstatus[i];
	return 0;
}

/*
 * Where pages resist, the kernel gives up: the pages it was at (from the first one untouched to the
 * next one with a status, or to the end) moved or not, and all behind them were not tried. Asks
 * where the former are now; returns the index of the first page to try again.
 */
static size_t sort_out(struct ht_migrate *m, const struct chunk *c, size_t i, enum ht_outcome left)
{
	size_t end;

	for (; i < c->nr && m->kstatus[i] != UNTOUCHED; i++)
		set_from_kernel(m, c, i, left);
	for (end = i; end < c->nr && m->kstatus[end] == UNTOUCHED; end++)
		;
	if (end < c->nr)
		set_from_kernel(m, c, end, left);
	if (i < end && kernel_move(m, c->b, i, end - i, NULL) < 0)
		left = HT_OUT_OTHER;
	for (; i < end; i++)
		set_from_kernel(m, c, i, left);
	return end < c->nr ? end + 1 : end;
}

/* Also sets the status of pages that a call for the whole process kept from being tried. */
static int move_chunk(struct ht_migrate *m, const struct chunk *c)
{
	const int *nodes = c->b->node + c->first;
	size_t i = 0;
	long rc;

	for (size_t k = 0; k < c->nr; k++)
		m->page[k] = (void *)(uintptr_t)c->b->addr[c->first + k];
	rc = learn_from(m, c);
	while (!rc && i < c->nr) {
		rc = kernel_move(m, c->b, i, c->nr - i, nodes + i);
		if (!rc) {
			for (; i < c->nr; i++)
				set_from_kernel(m, c, i, HT_OUT_EBUSY);
		} else if (rc > 0) {
			i = sort_out(m, c, i, HT_OUT_EBUSY);
			rc = 0;
		} else if (rc == -ENOMEM) {
			/* The node is full: the rest would fare no better. */
			i = sort_out(m, c, i, HT_OUT_ENOMEM);
			set_all(m, c, i, HT_OUT_ENOMEM);
			return 0;
		}
	}
	if (rc)
		set_all(m, c, i,
			rc == -ESRCH || rc == -EPERM || rc == -ENOENT ? outcome_of_errno(rc)
								      : HT_OUT_OTHER);
	return rc == -ENOENT ? 0 : rc;
}

/*
 * Halves what took too long, doubles what will not. Not below a floor: a call has a fixed cost (it
 * drains the per-CPU LRU caches of all CPUs), which on a busy host alone exceeds the aim.
 */
static void adapt(size_t *chunk, size_t nr, uint64_t ns, size_t floor)
{
	if (ns > CALL_MAX_NS)
		*chunk = nr / 2 > floor ? nr / 2 : floor;
	else if (nr == *chunk && 2 * ns < CALL_MAX_NS)
		*chunk = *chunk < CHUNK_MAX / 2 ? *chunk * 2 : CHUNK_MAX;
}

int ht_migrate_move(struct ht_migrate *m, struct ht_migrate_batch *b)
{
	size_t *size = &m->chunk[b->huge];
	struct chunk c = { .b = b };
	int err, first_err = 0;
	uint64_t start;

	for (; c.first < b->nr; c.first += c.nr) {
		c.node = b->node[c.first];
		for (c.nr = 0; c.first + c.nr < b->nr && c.nr < *size; c.nr++)
			if (b->node[c.first + c.nr] != c.node)
				break;
		/* Of pid 0 the kernel would move our own pages. */
		start = ht_now_ns();
		err = b->pid > 0 ? move_chunk(m, &c) : -ESRCH;
		if (b->pid <= 0)
			set_all(m, &c, 0, HT_OUT_ESRCH);
		adapt(size, c.nr, ht_now_ns() - start, b->huge ? CHUNK_FLOOR_HUGE : CHUNK_FLOOR);
		first_err = first_err ?: err;
		if (err == -ESRCH || err == -EPERM) {
			c.first += c.nr;
			c.nr = b->nr - c.first;
			set_all(m, &c, 0, outcome_of_errno(err));
			return err;
		}
	}
	return first_err;
}

/* Where the helper is not there, or not switched on, says so and does without. */
static void open_device(struct ht_migrate *m)
{
	struct ht_xchg_info info;
	char why[192] = "";

	m->device = ht_exchange_open(HT_XCHG_DEVICE, &info, why, sizeof(why));
	if (m->device >= 0 && !(info.flags & HT_XCHG_F_EXCHANGE)) {
		snprintf(why, sizeof(why), "the kernel helper's exchange is %s", info.why);
		close(m->device);
		m->device = -1;
	}
	if (m->device >= 0)
		snprintf(m->why, sizeof(m->why),
			 "the kernel helper swaps pairs in place; what has no partner goes by "
			 "move_pages");
	else
		snprintf(m->why, sizeof(m->why), "pages are allocated, copied and freed: %s", why);
}

int ht_migrate_choose(struct ht_migrate *m, enum ht_backend backend)
{
	if (backend == HT_BACKEND_EXCHANGE && m->device < 0) {
		pr_err("exchange is not possible: %s (docs/kernel-helper.md)", m->why);
		return -ENODEV;
	}
	if (backend != HT_BACKEND_MOVE_PAGES)
		return 0;
	if (m->device >= 0)
		close(m->device);
	m->device = -1;
	snprintf(m->why, sizeof(m->why), "asked for; pages are allocated, copied and freed");
	return 0;
}

bool ht_migrate_pairs(const struct ht_migrate *m)
{
	return m->device >= 0;
}

bool ht_migrate_ejected(const struct ht_migrate *m, char *why, size_t size)
{
	struct ht_xchg_info info;

	if (m->device < 0 || ht_exchange_info(m->device, &info) ||
	    !(info.flags & HT_XCHG_F_EJECTED))
		return false;
	/* Cut short where it does not fit. */
	snprintf(why, size, "%.*s", (int)size - 1, info.why);
	return true;
}

/* Of the largest batches pages are out of reach for about as long as of one call of move_pages. */
size_t ht_migrate_pairs_max(bool huge)
{
	return huge ? HT_XCHG_MAX_HUGE : HT_XCHG_MAX;
}

int ht_migrate_exchange(struct ht_migrate *m, struct ht_xchg_pair *pair, size_t nr, bool huge,
			const struct ht_move *move)
{
	uint64_t start = ht_now_ns();
	size_t i;
	int done;

	for (i = 0; i < nr; i++)
		pair[i].move = i;
	done = ht_exchange_pairs(m->device, pair, nr, huge, -1, -1, move, nr);
	m->stats.calls++;
	m->stats.ns += ht_now_ns() - start;
	if (done < 0) {
		for (i = 0; i < nr; i++)
			pair[i].status = HT_XCHG_BUSY;
		return done;
	}
	for (i = 0; i < nr; i++)
		m->stats.pages[HT_OUT_OTHER] += 2 * (pair[i].status == HT_XCHG_REFUSED);
	m->stats.exchanged += done;
	m->stats.pages[HT_OUT_MOVED] += 2 * done;
	if (huge)
		m->stats.huge_moved += 2 * done;
	return done;
}

int ht_migrate_open(struct ht_migrate **out)
{
	void *page = (void *)((uintptr_t)&out & ~4095UL);
	struct ht_migrate *m;
	int status, err;

	*out = NULL;
	if (move_pages(0, 1, &page, NULL, &status, 0) < 0) {
		err = -errno;
		if (err == -ENOSYS)
			pr_err("move_pages(2) is missing: the kernel needs CONFIG_NUMA and "
			       "CONFIG_MIGRATION");
		else
			pr_err("move_pages(2) is refused: %s; a container needs CAP_SYS_NICE and a "
			       "seccomp profile that allows it",
			       strerror(-err));
		return err;
	}
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	open_device(m);
	m->chunk[0] = CHUNK_START;
	m->chunk[1] = CHUNK_START_HUGE;
	*out = m;
	return 0;
}

void ht_migrate_close(struct ht_migrate *m)
{
	if (m->device >= 0)
		close(m->device);
	free(m);
}

const char *ht_migrate_backend(const struct ht_migrate *m)
{
	return m->device >= 0 ? "exchange" : "move_pages";
}

const char *ht_migrate_why(const struct ht_migrate *m)
{
	return m->why;
}

const struct ht_migrate_stats *ht_migrate_stats(const struct ht_migrate *m)
{
	return &m->stats;
}
