// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * A PMU as sysfs describes it, and /proc/cpuinfo. Input: the files' contents in the order below,
 * separated by bytes of 0xff, then a text of terms.
 */
#include "fuzz.h"

#include "pmu.h"

#define PMU "sys/bus/event_source/devices/cpu/"

static const char *const files[] = {
	PMU "type",	    PMU "cpus",		PMU "caps/max_precise", PMU "events/mem-loads",
	PMU "format/event", PMU "format/umask", PMU "format/ldlat",	PMU "format/edge",
	"proc/cpuinfo",
};

static struct fuzz_tree tree = FUZZ_TREE(files);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct ht_pmu_config cfg = { { 0 } };
	struct ht_cpu_info cpu;
	struct ht_pmu pmu;
	uint64_t val;
	char *text;

	fuzz_tree_put(&tree, &in);
	text = fuzz_text(in);
	if (!ht_pmu_open(&pmu, &tree.roots, "cpu")) {
		ht_pmu_cap(&pmu, "max_precise", &val);
		ht_pmu_event(&pmu, &cfg, "mem-loads");
		ht_pmu_set(&pmu, &cfg, "ldlat", 30);
		ht_pmu_parse(&pmu, &cfg, text);
	}
	ht_pmu_open(&pmu, &tree.roots, text);
	ht_cpu_info_read(&cpu, &tree.roots);
	FUZZ_ASSERT(strnlen(cpu.vendor, sizeof(cpu.vendor)) < sizeof(cpu.vendor));
	free(text);
	return 0;
}
