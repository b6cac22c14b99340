// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "notify.h"

#define MESSAGE_MAX 512
#define WATCHDOG_MAX_US 86400000000ULL

/* A path, or an abstract name whose @ stands for the zero byte. */
static int set_address(struct ht_notify *n, const char *name)
{
	size_t len = strlen(name);

	if ((*name != '/' && *name != '@') || len < 2 || len >= sizeof(n->to.sun_path))
		return -EINVAL;
	n->to.sun_family = AF_UNIX;
	memcpy(n->to.sun_path, name, len + 1);
	if (*name == '@')
		n->to.sun_path[0] = '\0';
	/* An abstract name is counted, a path ends with a zero byte. */
	n->len = offsetof(struct sockaddr_un, sun_path) + len + (*name == '/');
	return 0;
}

/* Half of what the manager allows, as it recommends. */
static uint64_t watchdog_ns(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	unsigned long long us;
	char *end;

	if (!usec || (pid && strtol(pid, NULL, 10) != getpid()))
		return 0;
	errno = 0;
	us = strtoull(usec, &end, 10);
	if (errno || *end || end == usec || !us || us > WATCHDOG_MAX_US) {
		pr_warn("WATCHDOG_USEC is '%s', not microseconds: ignored", usec);
		return 0;
	}
	return us * 1000 / 2;
}

void ht_notify_open(struct ht_notify *n)
{
	const char *name = getenv("NOTIFY_SOCKET");

	memset(n, 0, sizeof(*n));
	n->fd = -1;
	if (name && set_address(n, name))
		pr_warn("NOTIFY_SOCKET is '%s', neither a path nor an abstract name: ignored",
			name);
	else if (name)
		n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (n->fd >= 0)
		n->watchdog_ns = watchdog_ns();
	unsetenv("NOTIFY_SOCKET");
	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
}

void ht_notify_close(struct ht_notify *n)
{
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
}

int ht_notify(struct ht_notify *n, const char *fmt, ...)
{
	char msg[MESSAGE_MAX];
	va_list ap;
	int len;

	if (n->fd < 0)
		return 0;
	va_start(ap, fmt);
	len = vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	if (len < 0 || len >= (int)sizeof(msg))
		return -EMSGSIZE;
	/* A manager that is stuck must not stop us: it will be asked again. */
	if (sendto(n->fd, msg, len, MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&n->to,
		   n->len) == len)
		return 0;
	pr_debug("cannot tell the service manager '%s': %s", msg, strerror(errno));
	return -errno;
}

void ht_notify_alive(struct ht_notify *n, uint64_t now_ns)
{
	/* Called somewhat more often than needed, it speaks when half of its time is over. */
	if (!n->watchdog_ns || now_ns - n->last_ns < n->watchdog_ns / 2)
		return;
	if (!ht_notify(n, "WATCHDOG=1"))
		n->last_ns = now_ns;
}

int ht_notify_timeout(const struct ht_notify *n)
{
	uint64_t ms = n->watchdog_ns / 2 / 1000000;

	if (!n->watchdog_ns)
		return -1;
	return ms ? (int)ms : 1;
}
