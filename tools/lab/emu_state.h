/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The emulator's state: options, what is counted, the ring. One instance lives in emu.c. */
#ifndef LAB_EMU_STATE_H
#define LAB_EMU_STATE_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include <hypertier/lab_ring.h>

#include "emu_cache.h"
#include "emu_map.h"
#include "emu_model.h"
#include "qemu_plugin_api.h"

#define EMU_MAX_VCPUS 64
#define EMU_MAX_SPACES 256
#define EMU_MAX_RUNS 64
#define EMU_MAX_ROWS 16384
#define EMU_MAPS 4
#define EMU_FLUSH 65536 /* accesses after which a vCPU publishes its counters */
#define EMU_NR_GPR 16

struct emu_options {
	const char *ring;
	const char *out;
	uint64_t ring_size; /* of a ring file that does not exist yet */
	uint64_t period;
	uint64_t series; /* accesses per row of the time series */
	uint64_t llc_size, l1_size;
	uint64_t llc_ways, line;
	uint64_t hit_ns, insn_ps, mlp;
	uint64_t lat_ns[HT_RING_MAX_NODES];
	uint64_t bw_mb[HT_RING_MAX_NODES];
	uint64_t model;
};

struct emu_count {
	uint64_t loads[EMU_NODES];
	uint64_t stores[EMU_NODES];
	uint64_t misses[EMU_NODES];
	uint64_t insns;
	uint64_t ps;
};

/* Written by its own vCPU thread only, but for what is marked. Others read, word by word. */
struct emu_vcpu {
	bool active;   /* in a counted address space, counting on; any thread, under emu.lock */
	uint32_t tgid; /* the same */
	uint64_t cr3;
	uint64_t insns_seen;
	uint64_t countdown;
	uint64_t period;
	uint64_t rng;
	unsigned int map_last;
	unsigned int since_flush;
	uint64_t pending_ps; /* cost of hits not yet charged */
	uint64_t ps;
	uint64_t l1_hits;
	uint64_t hits[EMU_NODES];
	uint64_t writebacks[EMU_NODES];
	struct emu_cache l1;
	struct emu_count phase[HT_RING_MAX_PHASES];
	GByteArray *reg_buf;
	struct qemu_plugin_register *reg_cr3;
	struct qemu_plugin_register *reg_gpr[EMU_NR_GPR]; /* by their number in instructions */
} __attribute__((aligned(128)));

struct emu_space {
	uint64_t cr3;
	uint32_t tgid;
	uint32_t threads; /* 0: joined only */
};

struct emu_totals {
	struct emu_count phase[HT_RING_MAX_PHASES];
	struct emu_count all;
	uint64_t l1_hits;
	uint64_t hits[EMU_NODES];
	uint64_t writebacks[EMU_NODES];
	uint64_t vcpu_ps[EMU_MAX_VCPUS];
	uint64_t records;
};

struct emu_run {
	uint32_t tgid;
	uint32_t threads;
	struct emu_totals totals;
};

struct emu_row {
	uint64_t accesses;
	uint64_t node[EMU_NODES];
	uint64_t ps;
	uint64_t records;
	uint64_t host_ms;
	uint64_t run;
	uint64_t phase;
};

struct emu {
	struct emu_options opt;
	struct ht_ring_hdr *hdr;
	struct ht_ring_rec *rec;
	struct ht_ring_phase *hdr_phase;
	uint64_t nr_slots; /* a copy, as are the next: the guest can write to the header */
	uint64_t head;
	uint64_t markers;
	unsigned int phase;
	unsigned int nr_phases; /* highest phase seen + 1 */
	unsigned char ring_lock;
	bool kernel_seen; /* the firmware and the boot loader are over */

	unsigned int nr_vcpus;
	struct emu_vcpu *vcpu;
	struct qemu_plugin_scoreboard *insns; /* one uint64_t per vCPU */

	struct emu_map *map; /* the current one of maps[] */
	struct emu_map maps[EMU_MAPS];
	unsigned int nr_maps; /* taken over so far */
	uint64_t bad_maps;

	struct emu_cache llc;
	struct emu_model model;

	pthread_mutex_t lock; /* everything below, and publishing */
	unsigned int nr_spaces, nr_started;
	struct emu_space space[EMU_MAX_SPACES];
	uint64_t spaces_dropped;
	struct emu_totals now, at_start;
	unsigned int nr_runs; /* finished */
	uint64_t runs_dropped;
	struct emu_run *run;
	uint64_t row_every;
	unsigned int nr_rows;
	struct emu_row *row;
};

#endif
