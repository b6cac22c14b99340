/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The decision code on a recorded or made-up fleet. A trace is JSON, one object a line: first
 *   {"version":1,"period_ms":500,"mode":"fair","tiers":{"fast":{"capacity":N,"reserve":N}}}
 * (with "lag_ms" after how long a guest sees a change of what follows, "noise" by how much its
 * sizes are wrong; default 0), then the VMs, with what they do (honest, silent, liar, refuser;
 * default honest),
 *   {"vm":"a","habit":"honest","fast":{"guarantee":N,"limit":N,"weight":X,"rate":N}}
 * then what they reported and when: curve over the capacity for tiered memory, base = what of it is
 * not the device's.
 *   {"t":1500,"vm":"a","base":N,"curve":[[N,X],...],"hot":N}
 * This is what the daemon records; the line of a VM that joined later is before its first report.
 */
#ifndef HT_PROVISION_SIM_H
#define HT_PROVISION_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "fleet.h"

#define PV_SIM_RULES 16

struct pv_sim_opts {
	const char *rule[PV_SIM_RULES]; /* KEY=VALUE: a [rules] key, or period */
	unsigned int nr_rule;
	const char *trace;	 /* file, or NULL: generate */
	const char *write;	 /* the generated fleet goes there as well */
	unsigned int vms, steps; /* steps 0: as long as the trace, or 60 */
	uint64_t seed;
	int mode; /* enum pv_mode, -1: the trace's */
	bool json;
};

struct pv_sim_result {
	size_t vms, steps;
	double decide_ms, decide_max_ms;	 /* per decision */
	double share, share_static, share_ideal; /* mean fast share of accesses */
	double ns, ns_static, ns_ideal;		 /* modelled latency of an access */
	double moved_gib, jain; /* fairness of share against demand among honest VMs */
	double used;		/* mean part of the capacity given out */
	uint64_t below_guarantee, over_capacity; /* must be 0 */
};

/* Returns an enum pv_exit_code; messages go to stderr, results into r. */
int pv_simulate(const struct pv_sim_opts *o, struct pv_sim_result *r);
/* The same, with the result on stdout. */
int pv_simulate_command(const struct pv_sim_opts *o);

#endif
