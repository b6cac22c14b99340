// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "targets.h"

/* Longer than the fields before a path can be; of the path, its beginning is enough. */
#define LINE_MAX_KEPT 256

/* Digits in base 10 or 16; NULL if there is none or the number does not fit. */
static const char *parse_num(const char *p, unsigned int base, uint64_t *val)
{
	const char *start = p;

	for (*val = 0;; p++) {
		unsigned int d;

		if (*p >= '0' && *p <= '9')
			d = *p - '0';
		else if (base == 16 && *p >= 'a' && *p <= 'f')
			d = *p - 'a' + 10;
		else
			break;
		if (*val > (UINT64_MAX - d) / base)
			return NULL;
		*val = *val * base + d;
	}
	return p == start ? NULL : p;
}

static const char *skip_field(const char *p)
{
	while (*p && *p != ' ')
		p++;
	while (*p == ' ')
		p++;
	return p;
}

static uint32_t kind_of(const char *perms, uint64_t inode, const char *name)
{
	uint32_t flags = perms[3] == 's' ? HT_VMA_SHARED : 0;

	if (!strncmp(name, "[stack", 6))
		return flags | HT_VMA_ANON | HT_VMA_STACK;
	if (*name == '[' && strncmp(name, "[heap]", 6) && strncmp(name, "[anon", 5))
		return flags | HT_VMA_SPECIAL;
	/* System V segments may have inode 0. */
	return flags | (inode || *name == '/' ? HT_VMA_FILE : HT_VMA_ANON);
}

/* start-end perms offset dev inode [path] */
static int parse_vma(struct ht_vma *v, const char *line)
{
	const char *p, *perms;
	uint64_t inode;

	p = parse_num(line, 16, &v->start);
	if (!p || *p != '-')
		return -EINVAL;
	p = parse_num(p + 1, 16, &v->end);
	if (!p || *p != ' ' || v->start >= v->end || (v->start | v->end) & 4095)
		return -EINVAL;
	perms = p + 1;
	if (strnlen(perms, 5) < 5 || perms[4] != ' ')
		return -EINVAL;
	p = skip_field(skip_field(skip_field(perms)));
	p = parse_num(p, 10, &inode);
	if (!p || (*p && *p != ' '))
		return -EINVAL;
	v->flags = kind_of(perms, inode, skip_field(p));
	return 0;
}

/* A list being read while it changes may repeat an address: only what lies behind the last VMA. */
static int add_line(struct ht_vmas *vmas, const char *line)
{
	uint64_t last = vmas->nr ? vmas->vma[vmas->nr - 1].end : 0;
	struct ht_vma v, *vma;
	size_t cap;

	if (parse_vma(&v, line) || v.end <= last)
		return 0;
	if (v.start < last)
		v.start = last;
	if (vmas->nr == HT_VMAS_MAX)
		return -E2BIG;
	if (vmas->nr == vmas->cap) {
		cap = vmas->cap ? 2 * vmas->cap : 64;
		vma = reallocarray(vmas->vma, cap, sizeof(*vma));
		if (!vma)
			return -ENOMEM;
		vmas->vma = vma;
		vmas->cap = cap;
	}
	vmas->vma[vmas->nr++] = v;
	return 0;
}

struct line {
	char text[LINE_MAX_KEPT];
	size_t len;
};

/* Cuts a piece of the file into lines; the last one may go on in the next piece. */
static int add_piece(struct ht_vmas *vmas, struct line *l, const char *buf, size_t n)
{
	const char *end = buf + n, *nl;
	size_t part, room;
	int err;

	while (buf < end) {
		nl = memchr(buf, '\n', end - buf);
		part = (nl ?: end) - buf;
		room = sizeof(l->text) - 1 - l->len;
		memcpy(l->text + l->len, buf, part < room ? part : room);
		l->len += part < room ? part : room;
		if (!nl)
			break;
		l->text[l->len] = '\0';
		l->len = 0;
		err = add_line(vmas, l->text);
		if (err)
			return err;
		buf = nl + 1;
	}
	return 0;
}

int ht_vmas_read(struct ht_vmas *vmas, const struct ht_roots *roots, pid_t pid)
{
	char path[PATH_MAX], buf[16384];
	struct line line = { .len = 0 };
	ssize_t n;
	int fd, err = 0;

	vmas->nr = 0;
	snprintf(path, sizeof(path), "%s/%d/maps", roots->proc, pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	while (!err) {
		n = read(fd, buf, sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			err = n < 0 ? -errno : 0;
			break;
		}
		err = add_piece(vmas, &line, buf, n);
	}
	close(fd);
	return err ?: vmas->nr ? 0 : -ESRCH;
}

void ht_vmas_free(struct ht_vmas *vmas)
{
	free(vmas->vma);
	*vmas = (struct ht_vmas){ 0 };
}

const struct ht_vma *ht_vmas_find(const struct ht_vmas *vmas, uint64_t va)
{
	size_t lo = 0, hi = vmas->nr, mid;

	while (lo < hi) {
		mid = lo + (hi - lo) / 2;
		if (vmas->vma[mid].end <= va)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < vmas->nr ? &vmas->vma[lo] : NULL;
}
