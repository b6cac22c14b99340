/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* A policy object loaded into the kernel, and its counters, for tests of sources. */
#ifndef HT_TEST_SOURCE_BPF_H
#define HT_TEST_SOURCE_BPF_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fs.h"
#include "object.h"
#include "workout.h"

#define POLICY "build/policies/range.bpf.o"

/*
 * False, with a line that says why, where BPF cannot be used: not root, or a kernel that refuses
 * fentry programs. An object that is stale or broken is a failure.
 */
FS_UNUSED static bool bpf_setup(struct ht_object *o, enum ht_source_id source,
				const char *fentry_target)
{
	struct ht_object_opts opts = {
		.source = source,
		.fentry_target = fentry_target,
		.generation = 1,
	};
	int err;

	memset(o, 0, sizeof(*o));
	if (geteuid()) {
		print_message("SKIP: loading BPF programs needs root\n");
		return false;
	}
	ht_heatmap_size(&opts.size, 1ULL << 30);
	if (ht_object_open(o, POLICY))
		fail_msg(POLICY " cannot be opened: make policies");
	err = ht_object_load(o, &opts);
	if (err && fentry_target) {
		print_message("SKIP: this kernel refuses fentry programs\n");
		ht_object_close(o);
		return false;
	}
	assert_int_equal(err, 0);
	o->mem.ctl->generation = 1;
	o->mem.ctl->source = source;
	return true;
}

FS_UNUSED static void bpf_stats(const struct ht_object *o, struct ht_cpu_stats *sum)
{
	struct ht_cpu_stats cpu[1024];
	int nr = libbpf_num_possible_cpus(), i, d;
	__u32 zero = 0;

	memset(sum, 0, sizeof(*sum));
	/* The kernel fills it for each CPU; valgrind knows of the first one's only. */
	memset(cpu, 0, sizeof(cpu));
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

/* A process that accesses a buffer (mapped by us, so that we know where it is) until killed. */
struct busy {
	pid_t pid;
	struct ht_workout w;
};

/*
 * DAMON looks at the accessed bits of the page table, which a processor sets when it loads a
 * translation. The emulator's TLB grows until it holds all of a buffer, and a process that has a
 * CPU to itself then never loads one again. To give back more than 33 pages empties it.
 */
static void flush_tlb(void)
{
	size_t size = 128 * 4096;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return;
	memset(p, 1, size);
	munmap(p, size);
}

FS_UNUSED static void busy_start(struct busy *b, size_t size)
{
	if (ht_workout_open(&b->w, size))
		abort();
	b->pid = fork();
	if (b->pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		ht_workout_run(&b->w, 10);
		flush_tlb();
	}
}

FS_UNUSED static void busy_stop(struct busy *b)
{
	kill(b->pid, SIGKILL);
	waitpid(b->pid, NULL, 0);
	ht_workout_close(&b->w);
}

/* Heat of a process within a buffer, as of now. */
FS_UNUSED static uint64_t bpf_heat(struct ht_heatmap *hm, pid_t tgid, const struct ht_workout *w)
{
	uint64_t sum = 0, va;
	size_t i;

	if (ht_heatmap_collect(hm))
		abort();
	for (i = 0; i < hm->nr_live; i++) {
		va = HT_KEY_VA(hm->live[i].key);
		if (HT_KEY_TGID(hm->live[i].key) == (uint32_t)tgid &&
		    va + HT_TILE_SIZE > (uintptr_t)w->buf && va < (uintptr_t)w->buf + w->size)
			sum += hm->live[i].heat;
	}
	return sum;
}

#endif
