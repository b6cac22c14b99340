// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bpf/libbpf.h>

#include "bpflog.h"
#include "log.h"

#define KEEP 65536

static struct {
	char buf[KEEP];
	size_t len;
} kept;

static void keep(const char *s, size_t n)
{
	if (n >= KEEP) {
		s += n - KEEP + 1;
		n = KEEP - 1;
	}
	if (kept.len + n >= KEEP) {
		size_t drop = kept.len + n - KEEP + 1;

		memmove(kept.buf, kept.buf + drop, kept.len - drop);
		kept.len -= drop;
	}
	memcpy(kept.buf + kept.len, s, n);
	kept.len += n;
	kept.buf[kept.len] = '\0';
}

static int print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char *line;
	int n;

	n = vasprintf(&line, fmt, ap);
	if (n < 0)
		return 0;
	if (level != LIBBPF_DEBUG)
		keep(line, n);
	if (n && line[n - 1] == '\n')
		line[n - 1] = '\0';
	pr_trace("%s", line);
	free(line);
	return n;
}

void ht_bpflog_start(void)
{
	libbpf_set_print(print);
}

void ht_bpflog_clear(void)
{
	kept.len = 0;
	kept.buf[0] = '\0';
}

void ht_bpflog_tail(int nr)
{
	char *p = kept.buf + kept.len, *line, *save = NULL;

	while (p > kept.buf && nr > 0) {
		p--;
		if (p > kept.buf && p[-1] == '\n')
			nr--;
	}
	for (line = strtok_r(p, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		pr_err("  %s", line);
	ht_bpflog_clear();
}
