/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* What the command line asks for, and the exit codes it is answered with. */
#ifndef HT_CONFIG_H
#define HT_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include <hypertier/stats.h>

#include "migrate.h"
#include "pace.h"
#include "source.h"
#include "targets.h"
#include "units.h"

enum ht_exit_code {
	HT_RC_OK = 0,
	HT_RC_ERROR = 1,  /* something failed at run time */
	HT_RC_USAGE = 2,  /* the command line is wrong */
	HT_RC_PERM = 3,	  /* a capability is missing, or lockdown forbids it */
	HT_RC_KERNEL = 4, /* the kernel is too old or lacks BTF or BPF */
	HT_RC_TIERS = 5,  /* there is only one memory tier */
	HT_RC_SOURCE = 6, /* no source of samples can be opened */
	HT_RC_POLICY = 7, /* the policy object is no policy, of another ABI, or was rejected */
	HT_RC_BUSY = 8,	  /* another loader runs */
};

enum ht_command {
	HT_CMD_RUN,
	HT_CMD_FEATURES,
	HT_CMD_STATUS,
	HT_CMD_UNLOAD,
	HT_CMD_LIST,
	HT_CMD_HELP_POLICY,
	HT_CMD_VALIDATE,
};

/* Stages that run in their naive form, to measure what they are worth. */
enum ht_ablate {
	HT_ABLATE_SOURCE = 1,	 /* hint faults instead of sampled accesses */
	HT_ABLATE_RANGES = 2,	 /* each 2 MiB a range, no split, merge or page detail */
	HT_ABLATE_PLANNER = 4,	 /* above the mean goes up in the order of addresses, no budget */
	HT_ABLATE_ADMISSION = 8, /* whatever is planned moves, gain or loss */
	HT_ABLATE_EXCHANGE = 16, /* move_pages(2) even where pages could be exchanged */
};

enum ht_on_eject { HT_EJECT_DEFAULT, HT_EJECT_STOP };

#define HT_PIN_DIR "/sys/fs/bpf/hypertier"
#define HT_EPOCH_MS 500
#define HT_BUDGET_MIB 256 /* MiB/s; a CXL x8 link carries some 17 GiB/s, see docs/design.md */
#define HT_RSS_FLOOR_MIB 64

struct ht_conf_line;

struct ht_config {
	enum ht_command command;
	const char *policy; /* path of the object */
	struct ht_selection sel;
	const char *fast, *slow;  /* node lists, NULL = as the kernel says */
	enum ht_source_id source; /* HT_SRC_NONE = auto */
	struct ht_source_opts source_opts;
	unsigned int burst; /* samples in the place of one, see pace.h */
	unsigned int epoch_ms;
	uint64_t budget_bytes;	 /* per second */
	unsigned int stats_s;	 /* seconds between statistics lines, 0 = none */
	unsigned int duration_s; /* 0 = until a signal */
	uint64_t heat_bytes;	 /* memory to track, 0 = all there is */
	const char *instance;	 /* NULL = the unnamed one */
	char **set;		 /* knobs, "name=value" */
	size_t nr_set;
	enum ht_on_eject on_eject;
	enum ht_backend backend; /* how pages move */
	char run_dir[96], pin_dir_of_instance[128];
	const char *pin_dir;
	const char *record;	/* file to record samples to, NULL = none */
	const char *prometheus; /* file for node_exporter's textfile collector, NULL = none */
	const char *report;	/* port to the host, NULL = none */
	const char *stats_file; /* closing statistics, NULL = none */
	const char *config; /* validate: the file */
	/* While a file is read: the line. Afterwards: its text, and what came from it. */
	const struct ht_conf_line *line;
	char *file_text, *policy_path;
	size_t nr_set_of_file;
	bool policy_of_file, targets_of_file;
	bool start_options; /* the command line has some that matter at a start alone */
	unsigned int ablate; /* enum ht_ablate */
	bool dry_run, json, probe, no_pin, no_split;
	int verbose;
};

/* The defaults. */
void ht_config_init(struct ht_config *c);
/*
 * Takes the options of a configuration file, one "long-option = value" a line; flags take yes or no,
 * "policy" is the policy. 0 or a negative errno, each bad line logged.
 */
int ht_config_file(struct ht_config *c, const char *path);
/* Parses argv, after the file that it names; exits by itself for --help, --version and usage errors. 0 or -ENOMEM. */
int ht_config_parse(struct ht_config *c, int argc, char **argv);
void ht_config_free(struct ht_config *c);

#endif
