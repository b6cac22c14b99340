// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conffile.h"
#include "log.h"

/* Whoever can write it can make root load a BPF object of their choice. */
static int check_file(const char *path, const struct stat *st)
{
	if (!S_ISREG(st->st_mode)) {
		pr_err("%s: not a regular file", path);
		return -EINVAL;
	}
	if (st->st_size > HT_CONF_MAX) {
		pr_err("%s: longer than %d bytes", path, HT_CONF_MAX);
		return -EFBIG;
	}
	if (st->st_mode & S_IWOTH || (st->st_mode & S_IWGRP && st->st_gid) ||
	    (st->st_uid && st->st_uid != geteuid())) {
		pr_err("%s: may be written by others; make it root's: chown root, chmod 644", path);
		return -EACCES;
	}
	return 0;
}

static int read_all(int fd, char *text, size_t *len)
{
	ssize_t n;

	*len = 0;
	do {
		n = read(fd, text + *len, HT_CONF_MAX + 1 - *len);
		if (n < 0 && errno != EINTR)
			return -errno;
		*len += n > 0 ? n : 0;
	} while (n && *len <= HT_CONF_MAX);
	return *len > HT_CONF_MAX ? -EFBIG : 0; /* it grew since it was looked at */
}

int ht_conffile_read(const char *path, char **text, size_t *len)
{
	/* A FIFO must not make it wait for a writer. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), err;
	struct stat st;

	*text = NULL;
	if (fd < 0 || fstat(fd, &st)) {
		err = -errno;
		pr_err("cannot read %s: %s", path, strerror(errno));
		goto out;
	}
	err = check_file(path, &st);
	if (err)
		goto out;
	*text = malloc(HT_CONF_MAX + 2);
	err = *text ? read_all(fd, *text, len) : -ENOMEM;
	if (err) {
		pr_err("cannot read %s: %s", path, strerror(-err));
		free(*text);
		*text = NULL;
		goto out;
	}
	(*text)[*len] = '\0';
out:
	if (fd >= 0)
		close(fd);
	return err;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static char *trim(char *s)
{
	size_t len;

	while (is_blank(*s))
		s++;
	for (len = strlen(s); len && is_blank(s[len - 1]); len--)
		;
	s[len] = '\0';
	return s;
}

/* Bytes above 127 are for file names; what a terminal would obey is for nobody. */
static bool printable(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (((unsigned char)s[i] < ' ' && s[i] != '\t') || s[i] == 0x7f)
			return false;
	return true;
}

void ht_conffile_cut_comment(char *s)
{
	char *p;

	for (p = s; *p; p++) {
		if (*p != '#' || (p > s && !is_blank(p[-1])))
			continue;
		*p = '\0';
		return;
	}
}

static int parse_line(const char *path, unsigned int nr, char *s, size_t len, ht_conf_fn fn,
		      void *arg)
{
	struct ht_conf_line line = { .file = path, .nr = nr };
	char *eq;

	if (len && s[len - 1] == '\r')
		s[--len] = '\0';
	if (!printable(s, len)) {
		pr_err("%s:%u: this line is no text", path, nr);
		return -EINVAL;
	}
	ht_conffile_cut_comment(s);
	s = trim(s);
	if (!*s)
		return 0;
	eq = strchr(s, '=');
	if (!eq || eq == s) {
		pr_err("%s:%u: not 'key = value': '%s'", path, nr, s);
		return -EINVAL;
	}
	*eq = '\0';
	line.key = trim(s);
	line.value = trim(eq + 1);
	if (!*line.value) {
		pr_err("%s:%u: '%s' has no value", path, nr, line.key);
		return -EINVAL;
	}
	return fn(arg, &line);
}

unsigned int ht_conffile_parse(const char *path, char *text, size_t len, ht_conf_fn fn, void *arg)
{
	char *s = text, *end = text + len, *nl;
	unsigned int nr, bad = 0;

	for (nr = 1; s < end; nr++) {
		nl = memchr(s, '\n', end - s) ?: end;
		*nl = '\0';
		if (parse_line(path, nr, s, nl - s, fn, arg))
			bad++;
		s = nl + 1;
	}
	return bad;
}
