/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Modelled time, in picoseconds. Each node is a server with a latency and a service time per cache
 * line (its bandwidth cap). A miss waits until the node has served the lines before it, so a node
 * asked for more than its bandwidth gets slower by queueing; lines written back take service time
 * but nobody waits for them.
 *
 * The clock is the modelled run time: the time charged to all threads over their number. It runs
 * only while the workload does, and a thread may move between vCPUs without upsetting it, which
 * clocks per vCPU would not stand. mlp is how many misses a thread overlaps on average; it divides
 * the latency, not the queueing.
 */
#ifndef LAB_EMU_MODEL_H
#define LAB_EMU_MODEL_H

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include <hypertier/lab_ring.h>

#define EMU_NODES (HT_RING_MAX_NODES + 1) /* the last stands for addresses outside the map */

struct emu_model {
	uint64_t lat_ps[EMU_NODES];
	uint64_t line_ps[EMU_NODES]; /* service time of a line, 0 = no cap */
	uint64_t free_ps[EMU_NODES]; /* when the node has served all lines asked for so far */
	uint64_t hit_ps;
	uint64_t insn_ps;
	uint64_t mlp;
	uint64_t threads;
	uint64_t now_ps;
};

static inline int emu_model_bandwidth(struct emu_model *m, unsigned int node, unsigned int line,
				      uint64_t mb_per_s)
{
	if (node >= EMU_NODES)
		return -EINVAL;
	m->line_ps[node] = mb_per_s ? (uint64_t)line * 1000000 / mb_per_s : 0;
	return 0;
}

/* A new run: empty queues. The clock goes on, as its readers take differences. */
static inline void emu_model_start(struct emu_model *m, uint64_t threads)
{
	memset(m->free_ps, 0, sizeof(m->free_ps));
	m->threads = threads ? threads : 1;
}

/* Adds time a thread spent; returns its share of the run time. */
static inline uint64_t emu_model_charge(struct emu_model *m, uint64_t ps)
{
	ps /= m->threads;
	__atomic_fetch_add(&m->now_ps, ps, __ATOMIC_RELAXED);
	return ps;
}

/* Puts one line into the node's queue; returns how long it waits there. */
static inline uint64_t emu_model_queue(struct emu_model *m, unsigned int node)
{
	uint64_t now, start, end;

	if (!m->line_ps[node])
		return 0;
	now = __atomic_load_n(&m->now_ps, __ATOMIC_RELAXED);
	end = __atomic_load_n(&m->free_ps[node], __ATOMIC_RELAXED);
	do
		start = end > now ? end : now;
	while (!__atomic_compare_exchange_n(&m->free_ps[node], &end, start + m->line_ps[node], 1,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return start - now;
}

/* Time a thread spends on a miss served by this node. */
static inline uint64_t emu_model_miss(struct emu_model *m, unsigned int node)
{
	return m->lat_ps[node] / m->mlp + emu_model_queue(m, node);
}

#endif
