/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The configuration file: sections in brackets, "key = value" lines, # comments. docs/provision.md
 * describes every key; the table in config.c is what is accepted.
 */
#ifndef HT_PROVISION_CONFIG_H
#define HT_PROVISION_CONFIG_H

#include <stdio.h>

#include "fleet.h"

#define PV_NAME 64
#define PV_PATH 108 /* as long as a UNIX socket's may be */
#define PV_MAX_VMS 16384
#define PV_MAX_CLASSES 64

/* How far a guest's reports count. */
enum pv_trust {
	PV_TRUST_NONE,	/* not at all */
	PV_TRUST_SHAPE, /* the curve's shape: what it wants, not how much it would gain */
	PV_TRUST_RATE,	/* its rate of accesses as well */
};

struct pv_vm_tier {
	char device[PV_NAME]; /* id of the virtio-mem device, "" = this tier is not managed */
	char class[PV_NAME];
	uint64_t guarantee, limit, loan, rate;
	double weight;
};

struct pv_vm_config {
	char name[PV_NAME];
	char qmp[PV_PATH];
	char report[PV_PATH]; /* "" = none */
	unsigned int cid;     /* or it connects to the vsock port, from here; 0 = it does not */
	char pidfile[PV_PATH];
	char cgroup[PV_PATH]; /* directory of the VM's own control group, "" = none */
	uint64_t overhead;    /* what it may take there beside the devices */
	uint64_t total;	      /* of both devices together, kept up by the slow one; 0 = not bound */
	enum pv_trust trust;
	struct pv_vm_tier tier[PV_TIERS];
	unsigned int line;
};

struct pv_config {
	unsigned int period_ms;
	unsigned int qmp_timeout_ms;
	char state[PV_PATH];
	char metrics[PV_PATH];	 /* Prometheus text file, "" = none */
	unsigned int vsock_port; /* for guests' reports, 0 = none */
	char record[PV_PATH];	 /* fleet and reports for simulate, "" = none */
	unsigned int evict;	 /* strikes after which a VM is told to quit, 0 = never */
	struct pv_rules rules;
	struct {
		uint64_t capacity, reserve;
	} tier[PV_TIERS];
	struct {
		char name[PV_NAME];
		double price;
	} class[PV_MAX_CLASSES];
	size_t nr_class;
	struct pv_vm_config *vm;
	size_t nr_vm;
};

extern const char *const pv_tier_name[PV_TIERS];

void pv_config_init(struct pv_config *c);
void pv_config_free(struct pv_config *c);
/* -EINVAL with a message that names file and line; else an errno. */
int pv_config_read(struct pv_config *c, const char *path);
/* The same from an open file. */
int pv_config_parse(struct pv_config *c, FILE *f, const char *name);
/* One key of a VM, as in the file: for "set". -EINVAL with the reason in why. */
int pv_config_set(const struct pv_config *c, struct pv_vm_config *vm, const char *key,
		  const char *value, char *why, size_t size);
/* A [rules] key, or period. -EINVAL with the reason in why. */
int pv_config_rule(struct pv_config *c, const char *key, const char *value, char *why, size_t size);
struct pv_vm_config *pv_config_find(const struct pv_config *c, const char *name);
/*
 * Does this VM fit beside those of the list (itself left out)? -ENOSPC with the reason: guarantees,
 * also those of the total, must fit into what there is.
 */
int pv_config_admit(const struct pv_config *c, const struct pv_vm_config *newcomer, char *why,
		    size_t size);
double pv_config_price(const struct pv_config *c, const char *class);
/* Policy fields of the share of a VM; device fields stay. Guarantees are rounded up to blocks. */
void pv_config_share(const struct pv_config *c, const struct pv_vm_config *vm, unsigned int tier,
		     struct pv_share *s);
/* "512M", "1.5G", bytes; -EINVAL. */
int pv_parse_size(const char *s, uint64_t *bytes);

#endif
