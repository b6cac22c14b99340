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
#define NR (sizeof(files) / sizeof(*files))

static char sys_root[96], proc_root[96];
static const struct ht_roots roots = { .sys = sys_root, .proc = proc_root };

static void make_files(int *fd)
{
	size_t i;

	for (i = 0; i < NR; i++)
		fd[i] = fuzz_file(files[i]);
	snprintf(sys_root, sizeof(sys_root), "%s/sys", fuzz_dir);
	snprintf(proc_root, sizeof(proc_root), "%s/proc", fuzz_dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size }, piece;
	struct ht_pmu_config cfg = { { 0 } };
	static int fd[NR] = { -1 };
	struct ht_cpu_info cpu;
	struct ht_pmu pmu;
	uint64_t val;
	char *text;
	size_t i;

	if (fd[0] < 0)
		make_files(fd);
	for (i = 0; i < NR; i++) {
		piece = fuzz_cut(&in, 0xff);
		fuzz_put(fd[i], piece.data, piece.size);
	}
	text = fuzz_text(in);
	if (!ht_pmu_open(&pmu, &roots, "cpu")) {
		ht_pmu_cap(&pmu, "max_precise", &val);
		ht_pmu_event(&pmu, &cfg, "mem-loads");
		ht_pmu_set(&pmu, &cfg, "ldlat", 30);
		ht_pmu_parse(&pmu, &cfg, text);
	}
	ht_pmu_open(&pmu, &roots, text);
	ht_cpu_info_read(&cpu, &roots);
	FUZZ_ASSERT(strnlen(cpu.vendor, sizeof(cpu.vendor)) < sizeof(cpu.vendor));
	free(text);
	return 0;
}
