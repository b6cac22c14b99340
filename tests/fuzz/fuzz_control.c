// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * Requests at the loader's control socket: whole connections, through the socket, answered by an
 * engine at rest. Policies that are asked for are never there.
 */
#include "fuzz.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "control.h"
#include "engine.h"
#include "swap.h"

static struct ht_ctl ctl;
static struct ht_range range[3] = {
	{ .start = 1 << 21, .end = 2 << 21, .tgid = 7, .heat = 5, .pages = 512, .fast_pages = 1 },
	{ .start = 2 << 21, .end = 3 << 21, .tgid = 7, .heat = 9, .pages = 512 },
	{ .start = 5 << 21, .end = 6 << 21, .tgid = 8, .heat = 1 },
};
static struct ht_range_info info[3];
static struct ht_space space[2] = { { .tgid = 7 }, { .tgid = 8 } };

int ht_object_open(struct ht_object *o, const char *path)
{
	FUZZ_ASSERT(path[0] == '/');
	memset(o, 0, sizeof(*o));
	return -ENOENT;
}

static void make_engine(struct ht_engine *e)
{
	static struct ht_space *list[2] = { &space[0], &space[1] };
	static struct ht_source src;
	static struct ht_config cfg;
	static struct ht_object policy;

	ht_config_init(&cfg);
	src = (struct ht_source){ .ops = &ht_source_emulated };
	policy.mem.ctl = &ctl;
	info[2].space = 1;
	*e = (struct ht_engine){ .cfg = &cfg,
				 .policy = &policy,
				 .source = &src,
				 .nr_tiers = 2,
				 .space = list,
				 .nr_space = 2 };
	e->ranges.range = range;
	e->ranges.info = info;
	e->ranges.nr = 3;
}

static int listen_once(struct sockaddr_un *sa)
{
	int fd;

	fuzz_make_dir();
	fd = ht_control_listen(fuzz_dir);
	if (fd < 0)
		abort();
	sa->sun_family = AF_UNIX;
	snprintf(sa->sun_path, sizeof(sa->sun_path), "%s/control", fuzz_dir);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct sockaddr_un sa;
	static char answer[2 * HT_CONTROL_MAX];
	static int listen_fd = -1;
	struct ht_engine e;
	size_t len = 0;
	ssize_t n;
	int fd;

	if (listen_fd < 0)
		listen_fd = listen_once(&sa);
	make_engine(&e);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		abort();
	if (size && send(fd, data, size, MSG_NOSIGNAL) < 0)
		abort();
	shutdown(fd, SHUT_WR);
	FUZZ_ASSERT(!ht_control_serve(listen_fd, ht_swap_control, &e));
	while (len < sizeof(answer) && (n = read(fd, answer + len, sizeof(answer) - len)) > 0)
		len += n;
	/* One line, always. */
	FUZZ_ASSERT(len && len <= HT_CONTROL_MAX && memchr(answer, '\n', len) == answer + len - 1);
	close(fd);
	return 0;
}
