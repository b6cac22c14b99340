// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <hypertier/heat.h>

#include "split.h"

#define PAGE_SIZE (1UL << HT_PAGE_SHIFT)

/* By number: the C library of Debian 12 has no wrapper for either. */
static int advise_cold(pid_t pid, uint64_t va)
{
	struct iovec v = { .iov_base = (void *)(uintptr_t)va, .iov_len = PAGE_SIZE };
	int fd = syscall(SYS_pidfd_open, pid, 0), err = 0;

	if (fd < 0)
		return -errno;
	if (syscall(SYS_process_madvise, fd, &v, 1, MADV_COLD, 0) < 0)
		err = -errno;
	close(fd);
	return err;
}

int ht_split_ask(pid_t pid, uint64_t va)
{
	return advise_cold(pid, va & ~(PAGE_SIZE - 1));
}

int ht_split_probe(char *why, size_t size)
{
	void *p = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int err = p == MAP_FAILED ? -errno : advise_cold(getpid(), (uintptr_t)p);

	if (p != MAP_FAILED)
		munmap(p, PAGE_SIZE);
	if (!err)
		snprintf(why, size, "process_madvise with MADV_COLD");
	else
		snprintf(why, size, "process_madvise with MADV_COLD: %s%s", strerror(-err),
			 err == -ENOSYS	 ? " (CONFIG_ADVISE_SYSCALLS)"
			 : err == -EPERM ? " (CAP_SYS_NICE, or a seccomp profile)"
					 : "");
	return err;
}
