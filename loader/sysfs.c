// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sysfs.h"

const struct ht_roots ht_host_roots = { .sys = "/sys", .proc = "/proc" };

static int open_v(int flags, const char *fmt, va_list ap)
{
	char path[PATH_MAX];
	int n, fd;

	n = vsnprintf(path, sizeof(path), fmt, ap);
	if (n < 0 || (size_t)n >= sizeof(path))
		return -ENAMETOOLONG;
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static ssize_t read_v(char *buf, size_t size, const char *fmt, va_list ap)
{
	size_t len = 0;
	ssize_t n;
	int fd;

	fd = open_v(O_RDONLY, fmt, ap);
	if (fd < 0)
		return fd;
	while (len < size - 1) {
		n = read(fd, buf + len, size - 1 - len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			n = -errno;
			close(fd);
			return n;
		}
		if (n == 0)
			break;
		len += n;
	}
	close(fd);
	while (len && isspace((unsigned char)buf[len - 1]))
		len--;
	buf[len] = '\0';
	return len;
}

ssize_t ht_read_str(char *buf, size_t size, const char *fmt, ...)
{
	va_list ap;
	ssize_t n;

	va_start(ap, fmt);
	n = read_v(buf, size, fmt, ap);
	va_end(ap);
	return n;
}

int ht_read_u64(uint64_t *val, const char *fmt, ...)
{
	char buf[64], *end;
	va_list ap;
	ssize_t n;

	va_start(ap, fmt);
	n = read_v(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	if (n < 0)
		return n;
	/* strtoull() would take a sign, and make -1 the largest number there is. */
	if (!isdigit((unsigned char)buf[0]))
		return -EINVAL;
	errno = 0;
	*val = strtoull(buf, &end, 0);
	return end == buf || *end || errno ? -EINVAL : 0;
}

int ht_write_str(const char *val, const char *fmt, ...)
{
	size_t len = strlen(val);
	va_list ap;
	ssize_t n;
	int fd, err;

	va_start(ap, fmt);
	fd = open_v(O_WRONLY, fmt, ap);
	va_end(ap);
	if (fd < 0)
		return fd;
	n = write(fd, val, len);
	err = n < 0 ? -errno : (size_t)n != len ? -EIO : 0;
	if (close(fd) && !err)
		err = -errno;
	return err;
}

int ht_parse_list(const char *list, unsigned int max, int (*fn)(unsigned int n, void *arg),
		  void *arg)
{
	unsigned long lo, hi;
	const char *p = list;
	char *end;
	int err;

	while (*p) {
		if (!isdigit((unsigned char)*p))
			return -EINVAL;
		lo = hi = strtoul(p, &end, 10);
		if (*end == '-') {
			if (!isdigit((unsigned char)end[1]))
				return -EINVAL;
			hi = strtoul(end + 1, &end, 10);
		}
		if (hi < lo)
			return -EINVAL;
		if (hi >= max)
			return -ERANGE;
		for (; lo <= hi; lo++) {
			err = fn(lo, arg);
			if (err)
				return err;
		}
		if (*end == ',' && end[1])
			end++;
		else if (*end)
			return -EINVAL;
		p = end;
	}
	return 0;
}

static int add_to_mask(unsigned int n, void *mask)
{
	((bool *)mask)[n] = true;
	return 0;
}

int ht_parse_mask(const char *list, unsigned int max, bool *mask)
{
	return ht_parse_list(list, max, add_to_mask, mask);
}
