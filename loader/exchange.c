// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "exchange.h"

static const char *const names[HT_XCHG_STATUS_NR] = {
	[HT_XCHG_DONE] = "done",       [HT_XCHG_BUSY] = "busy",	  [HT_XCHG_ABSENT] = "absent",
	[HT_XCHG_SHARED] = "shared",   [HT_XCHG_KIND] = "kind",	  [HT_XCHG_SIZE] = "size",
	[HT_XCHG_NODE] = "node",       [HT_XCHG_MEMCG] = "memcg", [HT_XCHG_CPUSET] = "cpuset",
	[HT_XCHG_REFUSED] = "refused", [HT_XCHG_GONE] = "gone",	  [HT_XCHG_DENIED] = "denied",
	[HT_XCHG_RATE] = "rate",
};

const char *ht_exchange_status_name(unsigned int status)
{
	return status < HT_XCHG_STATUS_NR ? names[status] : "unknown";
}

int ht_exchange_info(int fd, struct ht_xchg_info *info)
{
	memset(info, 0, sizeof(*info));
	info->version = HT_XCHG_VERSION;
	if (ioctl(fd, HT_XCHG_IOC_INFO, info) < 0)
		return -errno;
	/* Text from outside this program. */
	info->policy[sizeof(info->policy) - 1] = '\0';
	info->why[sizeof(info->why) - 1] = '\0';
	return 0;
}

int ht_exchange_open(const char *path, struct ht_xchg_info *info, char *why, size_t size)
{
	struct stat st;
	int fd, err;

	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		err = -errno;
		if (err == -ENOENT)
			snprintf(why, size, "the kernel helper is not loaded (no %s)", path);
		else
			snprintf(why, size, "%s: %s", path, strerror(-err));
		return err;
	}
	err = fstat(fd, &st) ? -errno : S_ISCHR(st.st_mode) ? 0 : -ENODEV;
	err = err ?: ht_exchange_info(fd, info);
	if (!err)
		return fd;
	close(fd);
	if (err == -EPROTO)
		snprintf(why, size, "the kernel helper speaks another version than %d: rebuild it",
			 HT_XCHG_VERSION);
	else
		snprintf(why, size, "%s is not the kernel helper's device: %s", path,
			 strerror(-err));
	return err;
}

int ht_exchange_pairs(int fd, struct ht_xchg_pair *pair, size_t nr, bool huge, int hot_node,
		      int cold_node, const struct ht_move *move, size_t nr_moves)
{
	struct ht_xchg x = { .version = HT_XCHG_VERSION,
			     .nr = nr,
			     .nr_moves = nr_moves,
			     .huge = huge,
			     .hot_node = hot_node,
			     .cold_node = cold_node,
			     .pairs = (uintptr_t)pair,
			     .moves = (uintptr_t)move };

	if (nr > (huge ? HT_XCHG_MAX_HUGE : HT_XCHG_MAX))
		return -E2BIG;
	if (ioctl(fd, HT_XCHG_IOC_EXCHANGE, &x) < 0)
		return -errno;
	return x.done <= nr ? (int)x.done : -EPROTO;
}
