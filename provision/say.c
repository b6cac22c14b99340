// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <stdarg.h>
#include <stdio.h>

#include "say.h"

static enum pv_level shown = PV_INFO;

void pv_set_level(enum pv_level level)
{
	shown = level;
}

void pv_say(enum pv_level level, const char *fmt, ...)
{
	static const char *const prefix[] = { "error: ", "warning: ", "", "debug: " };
	va_list ap;

	if (level > shown)
		return;
	flockfile(stderr);
	fprintf(stderr, "hypertier-provision: %s", prefix[level]);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	funlockfile(stderr);
}
