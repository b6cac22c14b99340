// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

#include "log.h"

static enum ht_log_level log_level = HT_LOG_INFO;

void ht_log_set_level(enum ht_log_level level)
{
	log_level = level;
}

enum ht_log_level ht_log_get_level(void)
{
	return log_level;
}

void ht_log(enum ht_log_level level, const char *fmt, ...)
{
	static const char *const prefix[] = { "error: ", "warning: ", "", "debug: ", "trace: " };
	int saved = errno;
	va_list ap;

	if (level > log_level)
		return;
	flockfile(stderr);
	fprintf(stderr, "%s: %s", program_invocation_short_name, prefix[level]);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	funlockfile(stderr);
	errno = saved;
}
