/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* A policy object loaded into the kernel, and its counters, for tests of sources. */
#ifndef HT_TEST_SOURCE_BPF_H
#define HT_TEST_SOURCE_BPF_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fs.h"
#include "object.h"

#define POLICY "build/policies/range.bpf.o"

/* False, with a line that says why, where BPF cannot be used. */
FS_UNUSED static bool bpf_setup(struct ht_object *o, const char *fentry_target, bool damon,
				bool page_fault)
{
	struct ht_object_opts opts = {
		.fentry_target = fentry_target,
		.load_damon = damon,
		.load_page_fault = page_fault,
	};

	memset(o, 0, sizeof(*o));
	if (geteuid()) {
		print_message("SKIP: loading BPF programs needs root\n");
		return false;
	}
	ht_heatmap_size(&opts.size, 1ULL << 30);
	if (ht_object_open(o, POLICY)) {
		print_message("SKIP: " POLICY " cannot be opened (make policies)\n");
		return false;
	}
	if (ht_object_load(o, &opts)) {
		print_message("SKIP: " POLICY " cannot be loaded here\n");
		ht_object_close(o);
		return false;
	}
	return true;
}

FS_UNUSED static void bpf_stats(const struct ht_object *o, struct ht_cpu_stats *sum)
{
	struct ht_cpu_stats cpu[1024];
	int nr = libbpf_num_possible_cpus(), i, d;
	__u32 zero = 0;

	memset(sum, 0, sizeof(*sum));
	if (nr > 1024 || bpf_map_lookup_elem(o->src.map_stats, &zero, cpu))
		abort();
	for (i = 0; i < nr; i++) {
		sum->seen += cpu[i].seen;
		sum->counted += cpu[i].counted;
		sum->fentry += cpu[i].fentry;
		for (d = 0; d < HT_DROP_NR; d++)
			sum->drop[d] += cpu[i].drop[d];
		for (d = 0; d < HT_SRC_NR; d++)
			sum->by_source[d] += cpu[i].by_source[d];
	}
}

FS_UNUSED static void bpf_add_target(const struct ht_object *o, __u32 tgid)
{
	struct ht_target t = { .tgid = tgid };

	if (bpf_map_update_elem(o->map_targets, &tgid, &t, BPF_ANY))
		abort();
}

#endif
