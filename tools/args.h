/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What the programs that look at a running loader take on their command lines. */
#ifndef HT_TOOLS_ARGS_H
#define HT_TOOLS_ARGS_H

#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control.h"

static inline double arg_number(struct argp_state *st, const char *what, const char *arg,
				double min, double max)
{
	char *end;
	double v = strtod(arg, &end);

	if (end == arg || *end || !(v >= min && v <= max))
		argp_error(st, "%s is a number from %g to %g, not '%s'", what, min, max, arg);
	return v;
}

static inline const char *arg_instance(struct argp_state *st, const char *arg)
{
	if (!*arg || strlen(arg) > 32 || strchr(arg, '/') || *arg == '.')
		argp_error(st, "'%s' cannot be the name of a loader", arg);
	return arg;
}

/* Where the loader of that name, NULL = the unnamed one, listens. */
static inline void instance_dir(char *dir, size_t size, const char *instance)
{
	snprintf(dir, size, "%s%s%s", HT_RUN_DIR, instance ? "/" : "", instance ?: "");
}

#endif
