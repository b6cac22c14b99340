// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "units.h"

/* What follows the number goes to *end. */
static int parse_number(const char *s, double *v, char **end)
{
	errno = 0;
	*v = strtod(s, end);
	return *end == s || errno || !isfinite(*v) || *v < 0 ? -EINVAL : 0;
}

int ht_parse_size(const char *s, uint64_t unit, uint64_t *bytes)
{
	static const char suffix[] = "KMGT";
	const char *p;
	char *end;
	double v;

	if (parse_number(s, &v, &end))
		return -EINVAL;
	if (*end) {
		p = strchr(suffix, toupper((unsigned char)*end));
		if (!p)
			return -EINVAL;
		unit = 1ULL << (10 * (p - suffix + 1));
		end++;
		if (!strcmp(end, "iB") || !strcmp(end, "B"))
			end += strlen(end);
	}
	if (*end || v * unit > (double)(1ULL << 60))
		return -EINVAL;
	*bytes = v * unit;
	return 0;
}

int ht_parse_ms(const char *s, unsigned int *ms)
{
	char *end;
	double v;

	if (parse_number(s, &v, &end))
		return -EINVAL;
	if (!strcmp(end, "s"))
		v *= 1000;
	else if (*end && strcmp(end, "ms"))
		return -EINVAL;
	if (v > 3600000)
		return -EINVAL;
	*ms = v + 0.5;
	return 0;
}
