// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "perf_event.h"
#include "tracepoint.h"

/* fsmount() gives a mount that is in no directory tree: nothing to unmount, nothing to find. */
static int detached_tracefs(void)
{
	int fs = fsopen("tracefs", FSOPEN_CLOEXEC), mnt;

	if (fs < 0)
		return -errno;
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0))
		mnt = -errno;
	else if ((mnt = fsmount(fs, FSMOUNT_CLOEXEC, 0)) < 0)
		mnt = -errno;
	close(fs);
	return mnt;
}

static int open_detached(const char *path)
{
	int mnt = detached_tracefs(), fd;

	if (mnt < 0)
		return mnt;
	fd = openat(mnt, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fd = -errno;
	close(mnt);
	return fd;
}

/* path is relative to tracefs' root. */
static int open_tracefs(const struct ht_roots *roots, const char *path)
{
	static const char *const mounts[] = { "kernel/tracing", "kernel/debug/tracing" };
	char full[PATH_MAX];
	size_t i;
	int fd;

	for (i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		snprintf(full, sizeof(full), "%s/%s/events", roots->sys, mounts[i]);
		if (access(full, F_OK))
			continue;
		snprintf(full, sizeof(full), "%s/%s/%s", roots->sys, mounts[i], path);
		fd = open(full, O_RDONLY | O_CLOEXEC);
		return fd < 0 ? -errno : fd;
	}
	/* Another root than the host's is a picture of a machine: the host's tracefs is not it. */
	return strcmp(roots->sys, ht_host_roots.sys) ? -ENOENT : open_detached(path);
}

static ssize_t read_tracefs(const struct ht_roots *roots, char *buf, size_t size, const char *path)
{
	size_t len = 0;
	ssize_t n = 0;
	int fd = open_tracefs(roots, path);

	if (fd < 0)
		return fd;
	while (len < size - 1 && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += n;
	n = n < 0 ? -errno : 0;
	close(fd);
	buf[len] = '\0';
	return n ? n : (ssize_t)len;
}

int ht_tracepoint_id(const struct ht_roots *roots, const char *name, uint64_t *id)
{
	char path[256], buf[32], *end;
	ssize_t len;

	snprintf(path, sizeof(path), "events/%s/id", name);
	len = read_tracefs(roots, buf, sizeof(buf), path);
	if (len < 0)
		return len;
	errno = 0;
	*id = strtoull(buf, &end, 10);
	return end == buf || (*end && *end != '\n') || errno ? -EINVAL : 0;
}

/* "\tfield:unsigned long start;\toffset:16;\tsize:8;\tsigned:0;" */
static int parse_field(char *line, const char *field, unsigned int *offset, unsigned int *size)
{
	char *semi = strchr(line, ';'), *name;

	if (!semi || strncmp(line, "\tfield:", 7))
		return -ENOENT;
	*semi = '\0';
	name = strrchr(line, ' ');
	if (!name || strcmp(name + 1, field))
		return -ENOENT;
	if (sscanf(semi + 1, "\toffset:%u;\tsize:%u;", offset, size) != 2)
		return -EINVAL;
	return *size && *size <= 8 && *offset < 4096 ? 0 : -EINVAL;
}

int ht_tracepoint_field(const struct ht_roots *roots, const char *name, const char *field,
			unsigned int *offset, unsigned int *size)
{
	char path[256], buf[4096], *save = NULL, *line;
	ssize_t len;
	int err;

	snprintf(path, sizeof(path), "events/%s/format", name);
	len = read_tracefs(roots, buf, sizeof(buf), path);
	if (len < 0)
		return len;
	for (line = strtok_r(buf, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		err = parse_field(line, field, offset, size);
		if (err != -ENOENT)
			return err;
	}
	return -ENOENT;
}

/*
 * A tracepoint's BPF programs run at every hit, on every CPU and for every task, whichever CPU and
 * task the event that carries them was opened for. The event itself counts nothing.
 */
int ht_tracepoint_attach(const struct ht_roots *roots, const char *name, int prog_fd)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .size = sizeof(attr) };
	uint64_t id;
	int err, fd;

	err = ht_tracepoint_id(roots, name, &id);
	if (err)
		return err;
	attr.config = id;
	attr.sample_period = 1;
	fd = ht_perf_open(&attr, -1, 0, -1);
	if (fd < 0)
		return fd;
	if (ioctl(fd, PERF_EVENT_IOC_SET_BPF, prog_fd) || ioctl(fd, PERF_EVENT_IOC_ENABLE, 0)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}
