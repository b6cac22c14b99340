// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "vmstat.h"

static bool is_named(const char *const *name, const char *key)
{
	for (; *name; name++)
		if (!strcmp(*name, key))
			return true;
	return false;
}

int ht_vmstat_sum(const struct ht_roots *roots, const char *const *name, uint64_t *sum)
{
	char path[PATH_MAX], line[128], key[64];
	int err = -ENOENT;
	uint64_t val;
	FILE *f;

	snprintf(path, sizeof(path), "%s/vmstat", roots->proc);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	*sum = 0;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%63s %" SCNu64, key, &val) != 2 || !is_named(name, key))
			continue;
		*sum += val;
		err = 0;
	}
	fclose(f);
	return err;
}

uint64_t ht_kernel_moves(struct ht_kernel_moves *k, const struct ht_roots *roots, uint64_t own)
{
	static const char *const name[] = { "pgmigrate_success", NULL };
	struct ht_kernel_moves last = *k;
	uint64_t all = 0;

	if (ht_vmstat_sum(roots, name, &all))
		return 0;
	*k = (struct ht_kernel_moves){ .known = true, .all = all, .own = own };
	all -= last.all;
	own -= last.own;
	return last.known && all > own ? all - own : 0;
}
