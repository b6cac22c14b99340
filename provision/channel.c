// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "channel.h"
#include "demand.h"

#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 5000

int pv_channel_init(struct pv_channel *c, const char *path)
{
	memset(c, 0, sizeof(*c));
	c->path = path;
	c->fd = -1;
	c->retry_ms = RETRY_MIN_MS;
	c->budget = PV_CHANNEL_RATE;
	return strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path) ? -ENAMETOOLONG : 0;
}

void pv_channel_free(struct pv_channel *c)
{
	if (c->fd >= 0)
		close(c->fd);
	c->fd = -1;
}

static void drop(struct pv_channel *c, uint64_t now)
{
	pv_channel_free(c);
	c->retry_at = now + c->retry_ms;
	c->retry_ms = c->retry_ms * 2 < RETRY_MAX_MS ? c->retry_ms * 2 : RETRY_MAX_MS;
}

bool pv_channel_adopt(struct pv_channel *c, int fd, uint64_t now)
{
	if (now < c->retry_at)
		return false;
	pv_channel_free(c);
	c->fd = fd;
	c->len = 0;
	c->skip = false;
	c->retry_at = now + PV_CHANNEL_ADOPT_MS;
	return true;
}

/* Whoever listened before us may have taken half a line: the first one may be its rest. */
static void open_channel(struct pv_channel *c, uint64_t now)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0) {
		c->retry_at = now + c->retry_ms;
		return;
	}
	strcpy(sa.sun_path, c->path);
	c->len = 0;
	c->skip = false;
	if (connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)))
		drop(c, now);
}

static void offend(struct pv_channel *c, uint64_t now)
{
	if (++c->offences < PV_CHANNEL_OFFENCES)
		return;
	c->offences = PV_CHANNEL_OFFENCES;
	c->abuse_until = now + PV_CHANNEL_ABUSE_MS;
}

static void take_line(struct pv_channel *c, uint64_t now)
{
	struct ht_guest_report r;

	if (!c->len)
		return;
	if (pv_report_parse(c->line, c->len, &r)) {
		c->bad++;
		offend(c, now);
		return;
	}
	if (c->good && r.seq > c->report.seq + 1)
		c->lost += r.seq - c->report.seq - 1;
	c->report = r;
	c->report_at = now;
	c->fresh = true;
	c->good++;
}

void pv_channel_feed(struct pv_channel *c, const char *data, size_t len, uint64_t now)
{
	for (; len; data++, len--) {
		if (*data == '\n') {
			if (!c->skip)
				take_line(c, now);
			c->len = 0;
			c->skip = false;
		} else if (c->skip) {
			continue;
		} else if (c->len + 1 >= HT_GUEST_LINE) {
			c->bad++;
			offend(c, now);
			c->skip = true;
		} else {
			c->line[c->len++] = *data;
		}
	}
}

static void refill(struct pv_channel *c, uint64_t now)
{
	c->budget += (double)PV_CHANNEL_RATE * (now - c->refilled_at) / 1000;
	if (c->budget > PV_CHANNEL_RATE)
		c->budget = PV_CHANNEL_RATE;
	c->offences -= (now - c->refilled_at) / 1000.0;
	if (c->offences < 0)
		c->offences = 0;
	c->refilled_at = now;
	/* In handfuls: waking up for each byte would be what a flood is after. */
	if (c->budget >= HT_GUEST_LINE)
		c->throttled = false;
}

static int read_some(struct pv_channel *c, uint64_t now)
{
	char buf[HT_GUEST_LINE];
	size_t max;
	ssize_t n;

	while (c->budget >= 1) {
		max = c->budget < sizeof(buf) ? (size_t)c->budget : sizeof(buf);
		n = recv(c->fd, buf, max, MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		if (!n)
			return -ECONNRESET;
		c->retry_ms = RETRY_MIN_MS;
		c->budget -= n;
		pv_channel_feed(c, buf, n, now);
	}
	c->throttled = true;
	c->throttles++;
	offend(c, now);
	return 0;
}

short pv_channel_events(const struct pv_channel *c)
{
	return c->fd >= 0 && !c->throttled ? POLLIN : 0;
}

uint64_t pv_channel_wake(const struct pv_channel *c)
{
	if (c->fd < 0)
		return *c->path ? c->retry_at : UINT64_MAX;
	return c->throttled ? c->refilled_at + 1000 * HT_GUEST_LINE / PV_CHANNEL_RATE : UINT64_MAX;
}

void pv_channel_io(struct pv_channel *c, short revents, uint64_t now)
{
	refill(c, now);
	if (*c->path && c->fd < 0 && now >= c->retry_at)
		open_channel(c, now);
	if (c->fd < 0 || c->throttled || !(revents & (POLLIN | POLLHUP | POLLERR)))
		return;
	if (read_some(c, now))
		drop(c, now);
}
