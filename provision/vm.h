/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * One VM as the daemon knows it: its monitor, its reports, its devices. Sizes are only ever
 * believed as the hypervisor tells them.
 */
#ifndef HT_PROVISION_VM_H
#define HT_PROVISION_VM_H

#include "channel.h"
#include "config.h"
#include "qmp.h"

#define PV_OVERRIDES 32

enum pv_vm_state {
	PV_VM_ABSENT, /* never seen, or its process ended: it holds nothing */
	PV_VM_DEAF,   /* does not answer, and may hold what it held */
	PV_VM_HALTED, /* answers, but its CPUs stand still */
	PV_VM_READY,
};

struct pv_vm {
	struct pv_vm_config cfg;	  /* the file's, with what was set since */
	char override[PV_OVERRIDES][128]; /* "key=value" as set */
	unsigned int nr_override;
	struct pv_qmp qmp;
	struct pv_channel chan;
	struct pv_share share[PV_TIERS];
	bool managed[PV_TIERS], seen[PV_TIERS]; /* has a device; the monitor told of it */
	bool known;    /* was seen at some time, here or by the state file */
	bool halted;   /* its CPUs stand still */
	bool answered; /* told its sizes since the connection was made */
	bool polled;   /* a query is under way */
	bool ending;   /* the hypervisor said that it ends */
	bool paused, drain;
	bool dry_run, evicted, warned, abuse;
	bool recorded; /* the recording has its line */
	pid_t pid; /* of the hypervisor, 0 = not known */
	uint64_t pid_start;
	uint64_t asked[PV_TIERS]; /* last asked for */
	bool setting[PV_TIERS];	  /* and not confirmed yet */
	int64_t base;		  /* of the guest's fast tier, beside the device */
	bool base_known;
	uint64_t moved_at; /* when the fast device was last seen to change */
	uint64_t now;	   /* of the call we are in, for callbacks */
	uint64_t asks, refusals, failures;
	uint64_t confined;	       /* limit that its control group has, 0 = not set yet */
	bool unconfined;	       /* that could not be set, and it was said */
	double byte_seconds[PV_TIERS]; /* held so far, for the bill */
	double billed[PV_TIERS];       /* as last written to the state file */
};

struct pv_vm *pv_vm_new(const struct pv_config *c, const struct pv_vm_config *cfg);
void pv_vm_free(struct pv_vm *v);
/* After its cfg changed, or the rules: renews the policy fields of its shares. */
void pv_vm_policy(struct pv_vm *v, const struct pv_config *c);
enum pv_vm_state pv_vm_state(const struct pv_vm *v);
const char *pv_vm_state_name(const struct pv_vm *v, uint64_t now);
/* Sockets. */
void pv_vm_io(struct pv_vm *v, short qmp, short chan, uint64_t now);
uint64_t pv_vm_wake(const struct pv_vm *v);
/* Before a decision: what is known of it into its shares. */
void pv_vm_prepare(struct pv_vm *v, const struct pv_config *c, bool all_paused, uint64_t now);
/* Between the tiers' decisions: what the fast one's means for the slow one. */
void pv_vm_couple(struct pv_vm *v);
/* After it: asks for share.next where that is something else. */
void pv_vm_ask(struct pv_vm *v, unsigned int tier, const struct pv_config *c, uint64_t now);
/* After all tiers were asked: its control group may take what it holds, and no more. */
void pv_vm_confine(struct pv_vm *v);
/* Asks how it is; answers come with pv_vm_io. */
void pv_vm_query(struct pv_vm *v, uint64_t now);
/* Looks whether a hypervisor that does not answer is there at all. */
void pv_vm_look(struct pv_vm *v);
/* Start time of a process in clock ticks since boot, 0 = there is none. */
uint64_t pv_process_start(pid_t pid);

#endif
