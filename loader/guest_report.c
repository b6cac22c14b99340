// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#include "engine.h"
#include "guest_report.h"
#include "log.h"

#define VSOCK_MAX (VMADDR_PORT_ANY - 1)
#define HOT_SHARE 0.5	/* of the average density: what counts as hot */
#define RETRY_EPOCHS 10 /* between attempts to reach a host that does not listen */

struct ht_guest_port {
	const char *where;
	unsigned int vsock_port; /* 0 = a file */
	int fd;
	unsigned int wait; /* epochs until the next attempt */
	uint64_t seq;
	uint64_t refaults, moved, wasted; /* totals at the last report */
	uint32_t *order;
	size_t cap_order;
	char rest[HT_GUEST_LINE]; /* of a line that went out in part: it has to be ended */
	size_t nr_rest;
};

/* ---- the channel */

static int open_vsock(struct ht_guest_port *p)
{
	struct sockaddr_vm sa = { .svm_family = AF_VSOCK,
				  .svm_cid = VMADDR_CID_HOST,
				  .svm_port = p->vsock_port };
	int err;

	p->fd = socket(AF_VSOCK, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return -errno;
	if (!connect(p->fd, (struct sockaddr *)&sa, sizeof(sa)) || errno == EINPROGRESS)
		return 0;
	err = -errno;
	close(p->fd);
	p->fd = -1;
	return err;
}

/* Regular files would fill up: the channel is a port, a pipe or a terminal. */
static int open_file(struct ht_guest_port *p)
{
	struct stat st;

	p->fd = open(p->where, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (p->fd < 0)
		return -errno;
	if (!fstat(p->fd, &st) && (S_ISCHR(st.st_mode) || S_ISFIFO(st.st_mode)))
		return 0;
	close(p->fd);
	p->fd = -1;
	return -ENOTTY;
}

static int open_channel(struct ht_guest_port *p)
{
	p->nr_rest = 0;
	return p->vsock_port ? open_vsock(p) : open_file(p);
}

int ht_guest_port_open(struct ht_guest_port **port, const char *where)
{
	struct ht_guest_port *p = calloc(1, sizeof(*p));
	unsigned long port_nr;
	char *end = NULL;
	int err;

	*port = NULL;
	if (!p)
		return -ENOMEM;
	p->where = where;
	p->fd = -1;
	if (!strncmp(where, "vsock:", 6)) {
		port_nr = strtoul(where + 6, &end, 10);
		p->vsock_port = port_nr;
		if (!isdigit((unsigned char)where[6]) || *end || !port_nr || port_nr > VSOCK_MAX) {
			pr_err("--report vsock:PORT takes a port of the host, 1 to %u, not '%s'",
			       VSOCK_MAX, where);
			free(p);
			return -EINVAL;
		}
	}
	err = open_channel(p);
	/* A port that the host has not opened can be; one that is not there cannot. */
	if (err && err != -ECONNREFUSED && err != -ETIMEDOUT && err != -ECONNRESET &&
	    err != -ENXIO) {
		pr_err("cannot report to %s: %s; give a virtio-serial port such as "
		       "/dev/virtio-ports/NAME, or vsock:PORT",
		       where, err == -ENOTTY ? "it is neither a port nor a pipe" : strerror(-err));
		free(p);
		return err;
	}
	*port = p;
	return 0;
}

void ht_guest_port_close(struct ht_guest_port *p)
{
	if (!p)
		return;
	if (p->fd >= 0)
		close(p->fd);
	free(p->order);
	free(p);
}

/* Until the next attempt. What is left of a line goes with the connection. */
static void hang_up(struct ht_guest_port *p)
{
	close(p->fd);
	p->fd = -1;
	p->wait = RETRY_EPOCHS;
}

/* Not connected yet, or never: a refusal that came later is told by this alone. */
static bool is_connecting(const struct ht_guest_port *p)
{
	socklen_t len = sizeof(int);
	int err = 0;

	return !getsockopt(p->fd, SOL_SOCKET, SO_ERROR, &err, &len) && !err;
}

/* How much went out; 0: nothing does now, or will, and then the port is closed. */
static size_t put(struct ht_guest_port *p, const char *s, size_t len)
{
	ssize_t n = p->vsock_port ? send(p->fd, s, len, MSG_NOSIGNAL | MSG_DONTWAIT)
				  : write(p->fd, s, len);

	if (n >= 0)
		return n;
	if (errno != EAGAIN && errno != EINTR && (errno != ENOTCONN || !is_connecting(p)))
		hang_up(p);
	return 0;
}

/* Sends what is left of a line; true if nothing is. */
static bool finish_line(struct ht_guest_port *p)
{
	size_t n = p->nr_rest ? put(p, p->rest, p->nr_rest) : 0;

	if (n) {
		p->nr_rest -= n;
		memmove(p->rest, p->rest + n, p->nr_rest);
	}
	return !p->nr_rest;
}

int ht_guest_port_write(struct ht_guest_port *p, const char *line, size_t len)
{
	size_t n;

	if (p->fd < 0 && p->wait--)
		return -EAGAIN;
	if (p->fd < 0) {
		p->wait = RETRY_EPOCHS;
		if (open_channel(p))
			return -EAGAIN;
	}
	n = finish_line(p) ? put(p, line, len) : 0;
	if (!n)
		return -EAGAIN;
	p->nr_rest = len - n;
	memcpy(p->rest, line + n, p->nr_rest);
	return 0;
}

/* ---- the content */

static int hotter_first(const void *a, const void *b, void *arg)
{
	const struct ht_ranges *rs = arg;
	uint64_t x = rs->range[*(const uint32_t *)a].density;
	uint64_t y = rs->range[*(const uint32_t *)b].density;

	return (x < y) - (x > y);
}

static void add_point(struct ht_guest_report *r, double pages, double share)
{
	r->curve[r->nr_curve++] =
		(struct ht_guest_point){ (uint64_t)pages << HT_PAGE_SHIFT, share < 1 ? share : 1 };
}

/*
 * The whole curve has a point for each range. Those kept are about evenly spaced along it, where
 * both axes count alike, so that a knee keeps its place.
 */
void ht_guest_curve(const struct ht_ranges *rs, uint32_t *order, struct ht_guest_report *r)
{
	double heat = 0, pages = 0, sum = 0, at = 0, walked = 0;
	size_t i;

	r->nr_curve = 0;
	r->hot = 0;
	for (i = 0; i < rs->nr; i++) {
		order[i] = i;
		heat += rs->range[i].density / 65536.0 * rs->range[i].pages;
		pages += rs->range[i].pages;
	}
	if (heat <= 0 || pages <= 0)
		return;
	qsort_r(order, rs->nr, sizeof(*order), hotter_first, (void *)rs);
	add_point(r, 0, 0);
	for (i = 0; i < rs->nr; i++) {
		const struct ht_range *g = &rs->range[order[i]];
		double part = g->density / 65536.0 * g->pages / heat;

		if (g->density / 65536.0 >= HOT_SHARE * heat / pages)
			r->hot += (uint64_t)g->pages << HT_PAGE_SHIFT;
		sum += part;
		at += g->pages;
		walked += part + g->pages / pages;
		if (walked >= 2.0 * r->nr_curve / (HT_GUEST_CURVE - 1) &&
		    r->nr_curve < HT_GUEST_CURVE - 1 && i + 1 < rs->nr)
			add_point(r, at, sum);
	}
	add_point(r, pages, 1);
}

/* Read anew: it goes with the pages as they are after this epoch's moves. */
static void fill_memory(const struct ht_engine *e, struct ht_guest_report *r)
{
	struct ht_tier_mem mem;
	unsigned int t;
	uint64_t keep;
	size_t i;

	for (t = 0; t < e->nr_tiers; t++) {
		if (ht_tiers_mem(&e->tiers, e->roots, t, &mem))
			continue;
		if (t) {
			r->slow += mem.total_bytes;
			continue;
		}
		keep = e->reserve_pages[0] << HT_PAGE_SHIFT;
		r->fast = mem.total_bytes;
		r->capacity = mem.free_bytes > keep ? mem.free_bytes - keep : 0;
	}
	for (i = 0; i < e->nr_space; i++)
		r->capacity += (uint64_t)e->space[i]->in_tier[0] << HT_PAGE_SHIFT;
}

static double ratio(uint64_t part, uint64_t all)
{
	return !all ? 0 : part < all ? (double)part / all : 1;
}

static void fill(struct ht_guest_port *p, const struct ht_engine *e, struct ht_guest_report *r)
{
	uint64_t refaults = e->vmstat.refaulted, moved, wasted = e->metrics.wasted;
	double epoch_s = e->cfg->epoch_ms / 1000.0;

	moved = e->metrics.promoted + e->metrics.demoted;
	r->epoch_ms = e->cfg->epoch_ms;
	fill_memory(e, r);
	r->share = e->metrics.fast_share < 1 ? e->metrics.fast_share : 1;
	r->accesses = e->source ? e->sample_rate * e->source->period / epoch_s : 0;
	if (!(r->accesses >= 0 && r->accesses <= HT_GUEST_RATE_MAX))
		r->accesses = 0;
	r->refault = refaults > p->refaults && p->seq ? refaults - p->refaults : 0;
	r->waste = ratio(wasted - p->wasted, moved - p->moved);
	p->refaults = refaults;
	p->moved = moved;
	p->wasted = wasted;
	if (e->ranges.nr > p->cap_order) {
		free(p->order);
		p->order = calloc(e->ranges.cap, sizeof(*p->order));
		p->cap_order = p->order ? e->ranges.cap : 0;
	}
	if (e->ranges.nr <= p->cap_order)
		ht_guest_curve(&e->ranges, p->order, r);
}

int ht_guest_line(const struct ht_guest_report *r, char *buf, size_t size)
{
	unsigned int i;
	int n;

	n = snprintf(buf, size,
		     "{\"v\":%d,\"seq\":%" PRIu64 ",\"epoch_ms\":%u,\"capacity\":%" PRIu64
		     ",\"fast\":%" PRIu64 ",\"slow\":%" PRIu64 ",\"hot\":%" PRIu64
		     ",\"share\":%.4f,\"accesses\":%.4g,\"refault\":%" PRIu64
		     ",\"waste\":%.4f,\"curve\":[",
		     HT_GUEST_VERSION, r->seq, r->epoch_ms, r->capacity, r->fast, r->slow, r->hot,
		     r->share, r->accesses, r->refault, r->waste);
	for (i = 0; i < r->nr_curve && n >= 0 && (size_t)n < size; i++)
		n += snprintf(buf + n, size - n, "%s[%" PRIu64 ",%.4f]", i ? "," : "",
			      r->curve[i].bytes, r->curve[i].share);
	if (n >= 0 && (size_t)n < size)
		n += snprintf(buf + n, size - n, "]}\n");
	return n < 0 || (size_t)n >= size ? -EMSGSIZE : n;
}

void ht_guest_port_epoch(struct ht_guest_port *p, const struct ht_engine *e)
{
	struct ht_guest_report r = {};
	char line[HT_GUEST_LINE];
	int n;

	fill(p, e, &r);
	r.seq = ++p->seq;
	n = ht_guest_line(&r, line, sizeof(line));
	if (n < 0 || ht_guest_port_write(p, line, n))
		pr_debug("epoch %u: the host takes no report", e->epoch);
}
