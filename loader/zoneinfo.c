// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "zoneinfo.h"

int ht_zoneinfo_each(const struct ht_roots *roots, int (*fn)(const struct ht_zone *z, void *arg),
		     void *arg)
{
	struct ht_zone z = { .node = -1 };
	uint64_t count;
	char path[PATH_MAX], line[256];
	int err = 0, node;
	FILE *f;

	snprintf(path, sizeof(path), "%s/zoneinfo", roots->proc);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (!err && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "Node %d, zone", &node) == 1) {
			z = (struct ht_zone){ .node = node };
			continue;
		}
		if (sscanf(line, " low %" SCNu64, &z.low) == 1 ||
		    sscanf(line, " high %" SCNu64, &z.high) == 1 ||
		    sscanf(line, " spanned %" SCNu64, &z.spanned) == 1)
			continue;
		if (sscanf(line, " count: %" SCNu64, &count) == 1) {
			z.cached += count;
			continue;
		}
		/* The last line of a zone, and only of one with memory. */
		if (sscanf(line, " start_pfn: %" SCNu64, &z.start_pfn) == 1 && z.node >= 0) {
			if (z.spanned)
				err = fn(&z, arg);
			z.node = -1;
		}
	}
	if (!err && ferror(f))
		err = -EIO;
	fclose(f);
	return err;
}
