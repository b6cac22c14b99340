/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A policy object: opened, checked, sized, loaded, pinned, and called. The ops run as programs of
 * type "syscall" over shared arrays (hypertier/ops.h), once per epoch; nothing here is called per
 * sample.
 */
#ifndef HT_OBJECT_H
#define HT_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hypertier/ops.h>

#include "heatmap.h"
#include "journal.h"
#include "source.h"

struct bpf_object;

enum ht_prog {
	HT_PROG_RANK,
	HT_PROG_ADMIT,
	HT_PROG_TICK,
	HT_PROG_INIT,
	HT_PROG_EXIT,
	HT_PROG_AGE,
	HT_PROG_NR,
};

#define HT_FOLLOW_NR 3

struct ht_object {
	struct bpf_object *obj;
	char path[256];
	struct ht_policy_info
		info; /* as the object says; ops is filled in by ht_object_init_policy() */
	struct ht_heatmap_mem mem; /* the shared heat map */
	struct ht_source_bpf src;  /* what a source attaches */
	struct ht_range *ranges;   /* HT_RANGES_MAX */
	struct ht_move *moves;	   /* HT_MOVES_MAX */
	int map_targets;
	int map_recording;	     /* ring of samples to record, -1 = none */
	int follow_fd[HT_FOLLOW_NR]; /* attachments of fork, exec, exit; 0 = none */
	int prog[HT_PROG_NR];
	uint64_t map_bytes;	   /* memory of all maps */
	struct ht_object_mapping { /* what to unmap */
		void *addr;
		size_t len;
	} mapping[12];
	size_t nr_mapping;
};

struct ht_object_opts {
	struct ht_heatmap_size size;
	enum ht_source_id source;  /* only its programs are loaded: verifying takes time */
	const char *fentry_target; /* kernel function for the perf output program, NULL = leave it
				      out */
	const struct ht_object *heat_of; /* share the maps of this object, NULL = new maps */
	bool record; /* samples go to the recording ring as well; follows heat_of where that is
			given */
	uint32_t generation; /* number by which control.generation selects this object's sampler */
	/* 1 + node for the tables of ranges and moves, which no sample touches; 0 = any. Their
	 * pages come from elsewhere where it has no kernel memory. */
	unsigned int table_node;
};

/*
 * Opens the file and checks that it is a policy of our ABI; nothing is loaded. -EINVAL, -ENOEXEC or
 * -EPROTO with a logged line that says what is wrong.
 */
int ht_object_open(struct ht_object *o, const char *path);
/* Its last step, for bytes that were checked and tried; o is zero but for the path. */
struct ht_object_bytes {
	const void *bytes;
	size_t len;
};
int ht_object_open_bytes(struct ht_object *o, const struct ht_object_bytes *b);
/* The same for the built-in policy. */
int ht_object_open_builtin(struct ht_object *o);
/* Loads; on a verifier's rejection the last lines of its log are logged (-EACCES, -EINVAL, ...). */
int ht_object_load(struct ht_object *o, const struct ht_object_opts *opts);
/*
 * Attaches the programs that follow targets through fork, exec and exit; the object keeps them
 * until it is closed. 0 or a negative errno, logged.
 */
int ht_object_follow(struct ht_object *o);
/* Pins the maps a person may want to read into dir, each noted in the journal first. */
int ht_object_pin(struct ht_object *o, const char *dir, struct ht_journal *journal);
void ht_object_close(struct ht_object *o);

/* The ops. Each returns 0 or a negative errno of the call itself. */
int ht_object_init_policy(struct ht_object *o, const struct ht_init *init, int *result);
int ht_object_tick(struct ht_object *o, const struct ht_tick *t);
/* After an aging tick: lets the policy's ops.age see every tile. Does nothing without that op. */
int ht_object_age(struct ht_object *o);
int ht_object_rank(struct ht_object *o, size_t nr);
int ht_object_admit(struct ht_object *o, size_t nr);
int ht_object_exit_policy(struct ht_object *o, const struct ht_exit *e);

/* Run time of all programs so far, from the kernel's statistics (0 unless they are switched on). */
uint64_t ht_object_run_ns(const struct ht_object *o);

#endif
