/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The daemon: one thread, one decision per period; publish.c and serve.c show and change it. */
#ifndef HT_PROVISION_DAEMON_H
#define HT_PROVISION_DAEMON_H

#include <stdio.h>

#include "config.h"
#include "vm.h"

enum pv_exit_code {
	PV_RC_OK = 0,
	PV_RC_ERROR = 1,  /* something failed at run time */
	PV_RC_USAGE = 2,  /* the command line is wrong */
	PV_RC_CONFIG = 3, /* the configuration is wrong, or asks for more than there is */
	PV_RC_BUSY = 4,	  /* another daemon runs here */
	PV_RC_NOBODY = 5, /* no daemon runs here */
};

#define PV_RUN_DIR "/run/hypertier-provision"

struct pv_daemon {
	const char *config_path, *run_dir;
	bool dry_run, json;
	struct pv_config cfg;
	struct pv_vm **vm; /* one for each of cfg.vm, in its order */
	struct pv_share **share;
	struct pv_work *work;
	struct pv_pool pool[PV_TIERS];
	int lock_fd, control_fd, signal_fd;
	int vsock_fd; /* listens for guests' connections, -1 = does not */
	unsigned int vsock_port;
	unsigned int accepts; /* connections that may be looked at until the next decision */
	uint64_t started, now, last_tick, next_tick, next_look, billed_at;
	bool paused;
	bool settled; /* every VM has been asked what it holds */
	bool stop;
	bool metrics_failed; /* and told */
	char *state_text;    /* as last written */
	FILE *record;
	uint64_t ticks, late_ticks, reloads, state_errors;
	double decide_ms, decide_max_ms;
};

/* Returns an enum pv_exit_code. */
int pv_daemon_run(const char *config_path, const char *run_dir, bool dry_run);
/* Reads the configuration again; what is wrong with it leaves the old one in force. 0 or -errno. */
int pv_daemon_reload(struct pv_daemon *d, char *why, size_t size);
struct pv_vm *pv_daemon_find(const struct pv_daemon *d, const char *name);

struct json_object;
/* publish.c: VMs from the first-th on, as many as fit into an answer. The caller's. */
struct json_object *pv_status(const struct pv_daemon *d, size_t first);
void pv_write_metrics(struct pv_daemon *d);
int pv_record_open(struct pv_daemon *d);
void pv_record_report(struct pv_daemon *d, struct pv_vm *v);
/* For people. */
void pv_print_pools(FILE *f, struct json_object *status);
void pv_print_vms(FILE *f, struct json_object *status, bool header);
/* vsock.c: (re)opens the port of the configuration; logs what is wrong. 0 or -errno. */
int pv_vsock_listen(struct pv_daemon *d);
/* Gives connections to the VMs that made them. */
void pv_vsock_accept(struct pv_daemon *d);
void pv_vsock_close(struct pv_daemon *d);
/* serve.c: answers one request at the control socket. */
struct json_object *pv_serve(void *daemon, struct json_object *request);

uint64_t pv_now_ms(void); /* CLOCK_MONOTONIC */

#endif
