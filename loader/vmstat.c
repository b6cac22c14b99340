// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "vmstat.h"

static const struct counter {
	const char *name;
	size_t at; /* where it is added, in struct ht_vmstat */
} counters[] = {
	{ "pgmigrate_success", offsetof(struct ht_vmstat, migrated) },
	{ "workingset_refault_anon", offsetof(struct ht_vmstat, refaulted) },
	{ "workingset_refault_file", offsetof(struct ht_vmstat, refaulted) },
	{ "numa_hint_faults", offsetof(struct ht_vmstat, hint_faults) },
};

static void add(struct ht_vmstat *v, const char *key, uint64_t val)
{
	size_t i;

	for (i = 0; i < sizeof(counters) / sizeof(counters[0]); i++)
		if (!strcmp(counters[i].name, key))
			*(uint64_t *)((char *)v + counters[i].at) += val;
}

int ht_vmstat_read(const struct ht_roots *roots, struct ht_vmstat *v)
{
	char path[PATH_MAX], line[128], key[64];
	struct ht_vmstat new = {};
	uint64_t val;
	int err = 0;
	FILE *f;

	snprintf(path, sizeof(path), "%s/vmstat", roots->proc);
	f = fopen(path, "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %" SCNu64, key, &val) == 2)
			add(&new, key, val);
	if (ferror(f))
		err = -EIO;
	else
		*v = new;
	fclose(f);
	return err;
}

uint64_t ht_kernel_moves(struct ht_kernel_moves *k, uint64_t all, uint64_t own)
{
	struct ht_kernel_moves last = *k;

	*k = (struct ht_kernel_moves){ .known = true, .all = all, .own = own };
	all -= last.all;
	own -= last.own;
	return last.known && all > own ? all - own : 0;
}
