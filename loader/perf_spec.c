// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "perf_spec.h"

/*
 * Load latency threshold, in core cycles. A hit in a server's last-level cache takes 60 to 100 of
 * them (so 64, a usual choice, lets most hits pass), memory 250 and more, a slower tier more still.
 * 150 leaves what no cache held, whichever tier it came from.
 */
#define DEFAULT_LDLAT 150
/* Primes: loops whose trip count divides the period would otherwise show one access only. */
#define LOAD_PERIOD 4093
#define STORE_PERIOD 65537 /* these are all stores, the loads above slow ones only */
/* Micro-ops. Multiples of 16; the hardware adds a few random low bits of its own. */
#define IBS_PERIOD 0x40000
#define IBS_MISS_PERIOD 0x8000 /* where the hardware drops what hit the cache */

/* Where a CPU does not name its memory events: Nehalem's load latency, Skylake's all stores. */
#define RAW_LOADS 0x1cd
#define RAW_STORES 0x82d0

static void spec_name(struct ht_perf_spec *s, const struct ht_pmu *pmu, const char *event)
{
	snprintf(s->name, sizeof(s->name), "%s/%s", pmu->name, event);
	s->type = pmu->type;
	snprintf(s->cpus, sizeof(s->cpus), "%s", pmu->cpus);
}

/* Atom cores have no threshold on some models: no ldlat term, and the event comes as it is. */
static int set_ldlat(const struct ht_pmu *pmu, struct ht_pmu_config *cfg, uint32_t ldlat)
{
	if (!ht_pmu_has_format(pmu, "ldlat"))
		return 0;
	return ht_pmu_set(pmu, cfg, "ldlat", ldlat);
}

static int loads_spec(const struct ht_pmu *pmu, const struct ht_source_opts *opts,
		      unsigned int precise, struct ht_perf_spec *s)
{
	uint32_t ldlat = opts->ldlat ? opts->ldlat : DEFAULT_LDLAT;
	int err = 0;

	memset(s, 0, sizeof(*s));
	spec_name(s, pmu, "mem-loads");
	if (ht_pmu_has_event(pmu, "mem-loads")) {
		err = ht_pmu_event(pmu, &s->cfg, "mem-loads");
		if (!err)
			err = set_ldlat(pmu, &s->cfg, ldlat);
	} else {
		s->cfg.word[0] = RAW_LOADS;
		s->cfg.word[1] = ldlat;
	}
	if (!err && ht_pmu_has_event(pmu, "mem-loads-aux")) {
		err = ht_pmu_event(pmu, &s->leader, "mem-loads-aux");
		s->has_leader = !err;
	}
	s->period = opts->period ? opts->period : LOAD_PERIOD;
	s->sample_type = PERF_SAMPLE_ADDR | PERF_SAMPLE_DATA_SRC | PERF_SAMPLE_WEIGHT_STRUCT;
	s->precise = precise;
	s->user_only = true;
	return err;
}

static int stores_spec(const struct ht_pmu *pmu, const struct ht_source_opts *opts,
		       unsigned int precise, struct ht_perf_spec *s)
{
	uint64_t period = opts->period;
	int err = 0;

	memset(s, 0, sizeof(*s));
	spec_name(s, pmu, "mem-stores");
	if (ht_pmu_has_event(pmu, "mem-stores"))
		err = ht_pmu_event(pmu, &s->cfg, "mem-stores");
	else
		s->cfg.word[0] = RAW_STORES;
	/* Odd at least, where it cannot be kept prime. */
	s->period =
		period ? (uint64_t)((double)period * STORE_PERIOD / LOAD_PERIOD) | 1 : STORE_PERIOD;
	s->sample_type = PERF_SAMPLE_ADDR | PERF_SAMPLE_DATA_SRC;
	s->precise = precise;
	s->user_only = true;
	return err;
}

/* 0 = none. Absent on kernels that do not say: then the highest is tried. */
static unsigned int max_precise(const struct ht_pmu *pmu)
{
	uint64_t max;

	if (ht_pmu_cap(pmu, "max_precise", &max))
		return 3;
	return max > 3 ? 3 : max;
}

static int no_pmu(const struct ht_cpu_info *cpu, char *why, size_t size)
{
	if (cpu->hypervisor)
		snprintf(why, size,
			 "this virtual machine has no PMU: the host must give it one "
			 "(for KVM: -cpu host,pmu=on)");
	else
		snprintf(why, size,
			 "the kernel has no PMU driver for this CPU (%s, family %u model "
			 "%u)",
			 cpu->model, cpu->family, cpu->model_nr);
	return -ENOENT;
}

static int no_pebs(const struct ht_cpu_info *cpu, char *why, size_t size)
{
	if (cpu->hypervisor)
		snprintf(why, size,
			 "this virtual machine's PMU has no PEBS: needs Ice Lake server "
			 "or later, a KVM host with Linux 6.0, and -cpu host");
	else
		snprintf(why, size,
			 "the kernel reports no PEBS on this CPU (%s, family %u model "
			 "%u)",
			 cpu->model, cpu->family, cpu->model_nr);
	return -EOPNOTSUPP;
}

/* Appends the two events of one core PMU. */
static int pebs_add(const struct ht_pmu *pmu, const struct ht_source_opts *opts,
		    const struct ht_cpu_info *cpu, struct ht_perf_spec *specs, char *why,
		    size_t size)
{
	unsigned int precise = max_precise(pmu);
	int err;

	if (!precise)
		return no_pebs(cpu, why, size);
	err = loads_spec(pmu, opts, precise, &specs[0]);
	if (!err)
		err = stores_spec(pmu, opts, precise, &specs[1]);
	if (err)
		snprintf(why, size, "the memory events of PMU %s make no sense: %s%s", pmu->name,
			 strerror(-err), err == -ERANGE ? " (is --ldlat too large?)" : "");
	return err ? err : 2;
}

static int pebs_specs(const struct ht_source_opts *opts, const struct ht_cpu_info *cpu,
		      struct ht_perf_spec *specs, char *why, size_t size)
{
	/* Hybrid CPUs have one PMU for each kind of core, all others have "cpu". */
	static const char *const pmus[] = { "cpu_core", "cpu_atom", "cpu" };
	struct ht_pmu pmu;
	int nr = 0, n;
	size_t i;

	if (cpu->vendor[0] && strcmp(cpu->vendor, "GenuineIntel")) {
		snprintf(why, size, "PEBS is in Intel CPUs, this one is %s (%s)", cpu->vendor,
			 cpu->model);
		return -ENODEV;
	}
	for (i = 0; i < sizeof(pmus) / sizeof(pmus[0]) && nr + 2 <= HT_PERF_MAX_SPECS; i++) {
		if (ht_pmu_open(&pmu, opts->roots, pmus[i]))
			continue;
		n = pebs_add(&pmu, opts, cpu, specs + nr, why, size);
		if (n < 0)
			return n;
		nr += n;
	}
	return nr ? nr : no_pmu(cpu, why, size);
}

/*
 * IBS samples micro-ops, memory accesses or not: the address of others is 0 and dropped. Zen 4 and
 * later can drop all but misses of the last-level cache in hardware. Kernels that cannot filter by
 * privilege refuse exclude_kernel; kernel addresses are dropped by the sampler then.
 */
static int ibs_specs(const struct ht_source_opts *opts, const struct ht_cpu_info *cpu,
		     struct ht_perf_spec *s, char *why, size_t size)
{
	struct ht_pmu pmu;
	bool misses;
	int err;

	err = ht_pmu_open(&pmu, opts->roots, "ibs_op");
	if (err) {
		if (cpu->vendor[0] && strcmp(cpu->vendor, "AuthenticAMD") &&
		    strcmp(cpu->vendor, "HygonGenuine"))
			snprintf(why, size, "IBS is in AMD CPUs, this one is %s", cpu->vendor);
		else
			snprintf(why, size, "no PMU ibs_op: %s",
				 cpu->hypervisor
					 ? "the host does not give IBS to this virtual "
					   "machine"
					 : "IBS is switched off or not known to the kernel");
		return -ENODEV;
	}
	memset(s, 0, sizeof(*s));
	spec_name(s, &pmu, "");
	snprintf(s->name, sizeof(s->name), "%s", pmu.name);
	misses = ht_pmu_has_format(&pmu, "l3missonly");
	s->user_only = ht_pmu_has_format(&pmu, "swfilt");
	if (ht_pmu_has_format(&pmu, "cnt_ctl")) /* count micro-ops, not cycles */
		err = ht_pmu_set(&pmu, &s->cfg, "cnt_ctl", 1);
	if (!err && misses)
		err = ht_pmu_set(&pmu, &s->cfg, "l3missonly", 1);
	if (!err && s->user_only)
		err = ht_pmu_set(&pmu, &s->cfg, "swfilt", 1);
	if (err)
		snprintf(why, size, "the description of PMU ibs_op makes no sense: %s",
			 strerror(-err));
	s->period = opts->period ? opts->period & ~0xfULL : misses ? IBS_MISS_PERIOD : IBS_PERIOD;
	if (!s->period)
		s->period = 16;
	s->sample_type = PERF_SAMPLE_ADDR | PERF_SAMPLE_DATA_SRC | PERF_SAMPLE_WEIGHT_STRUCT;
	return err ? err : 1;
}

static int fault_specs(const struct ht_source_opts *opts, struct ht_perf_spec *s)
{
	memset(s, 0, sizeof(*s));
	snprintf(s->name, sizeof(s->name), "page-faults");
	s->type = PERF_TYPE_SOFTWARE;
	s->cfg.word[0] = PERF_COUNT_SW_PAGE_FAULTS;
	s->period = opts->period ? opts->period : 1;
	s->sample_type = PERF_SAMPLE_ADDR;
	s->user_only = true;
	return 1;
}

int ht_perf_specs(enum ht_source_id id, const struct ht_source_opts *opts,
		  struct ht_perf_spec specs[HT_PERF_MAX_SPECS], char *why, size_t size)
{
	struct ht_cpu_info cpu;

	ht_cpu_info_read(&cpu, opts->roots);
	switch (id) {
	case HT_SRC_PEBS:
		return pebs_specs(opts, &cpu, specs, why, size);
	case HT_SRC_IBS:
		return ibs_specs(opts, &cpu, specs, why, size);
	case HT_SRC_PAGE_FAULT:
		return fault_specs(opts, specs);
	default:
		return -EINVAL;
	}
}

void ht_perf_explain(int err, const struct ht_source_opts *opts, const struct ht_perf_spec *spec,
		     char *why, size_t size)
{
	char paranoid[16] = "unknown";

	switch (err) {
	case -EACCES:
	case -EPERM:
		ht_read_str(paranoid, sizeof(paranoid), "%s/sys/kernel/perf_event_paranoid",
			    opts->roots->proc);
		snprintf(why, size,
			 "not allowed to open %s (kernel.perf_event_paranoid is %s): "
			 "run as root or with CAP_PERFMON",
			 spec->name, paranoid);
		break;
	case -ENOENT:
	case -ENODEV:
	case -EOPNOTSUPP:
		snprintf(why, size, "%s is not supported by this CPU or virtual machine (%s)",
			 spec->name, strerror(-err));
		break;
	case -EMFILE:
		snprintf(why, size, "too many open files: raise ulimit -n");
		break;
	case -EBUSY:
		snprintf(why, size,
			 "%s is taken by somebody else: stop other profilers, or the "
			 "NMI watchdog (kernel.nmi_watchdog=0)",
			 spec->name);
		break;
	default:
		snprintf(why, size, "the kernel refuses %s: %s", spec->name, strerror(-err));
	}
}
