// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * What the hypervisor leaves to the guest's honesty, its control group enforces: memory that was
 * unplugged is still mapped, and a guest that touches it gets it again. With a limit that follows
 * the devices it meets the host's kernel then, and only its own VM pays.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../loader/log.h"
#include "vm.h"

/* Of version 2 or 1, whichever is there. */
static int open_limit(const char *dir)
{
	static const char *const name[] = { "memory.max", "memory.limit_in_bytes" };
	char path[PV_PATH + 32];
	int fd = -1;

	for (int i = 0; i < 2 && fd < 0; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, name[i]);
		fd = open(path, O_WRONLY | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

static int set_limit(const char *dir, uint64_t bytes)
{
	char text[24];
	int n = snprintf(text, sizeof(text), "%" PRIu64, bytes), fd = open_limit(dir), err;

	if (fd < 0)
		return fd;
	err = write(fd, text, n) == n ? 0 : -errno;
	close(fd);
	return err;
}

void pv_vm_confine(struct pv_vm *v)
{
	uint64_t limit = v->cfg.overhead;
	int err;

	/* Of a VM that was not seen yet nobody knows what it holds. */
	if (!v->cfg.cgroup[0] || !v->known || v->dry_run)
		return;
	for (unsigned int t = 0; t < PV_TIERS; t++)
		limit += pv_held(&v->share[t]);
	if (limit == v->confined)
		return;
	err = set_limit(v->cfg.cgroup, limit);
	if (err && !v->unconfined)
		pr_err("VM %s is not confined: no memory limit in %s: %s", v->cfg.name,
		       v->cfg.cgroup, strerror(-err));
	v->unconfined = err;
	v->confined = err ? 0 : limit;
}
