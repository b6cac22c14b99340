/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Which processes are tiered, and what they have mapped. Selection comes from the command line;
 * /proc is scanned for it about once a second, BPF programs report fork, exec and exit at once.
 */
#ifndef HT_TARGETS_H
#define HT_TARGETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sysfs.h"

/* What the user asked for. Empty (all zero) means every process with RSS of at least rss_floor. */
struct ht_selection {
	pid_t *pid;
	size_t nr_pid;
	char **comm; /* exact match of /proc/PID/comm (15 characters at most are compared) */
	size_t nr_comm;
	char **cgroup; /* cgroup v2 directories, absolute or relative to the mount; with subtrees */
	size_t nr_cgroup;
	uint64_t rss_floor; /* bytes */
};

enum ht_vma_flags {
	HT_VMA_ANON = 1 << 0,
	HT_VMA_FILE = 1 << 1,
	HT_VMA_SHARED = 1 << 2, /* MAP_SHARED: pages of several processes, see sharing.h */
	HT_VMA_STACK = 1 << 3,
	HT_VMA_SPECIAL = 1 << 4, /* vdso, vvar, vsyscall: never touched */
};

struct ht_vma {
	uint64_t start, end;
	uint32_t flags;
};

struct ht_vmas {
	struct ht_vma *vma; /* sorted by address, owned by the struct */
	size_t nr, cap;
};

/*
 * Reads /proc/PID/maps. -ESRCH when the process is gone or has no memory, -E2BIG when it has more
 * than HT_VMAS_MAX. Reuses vmas' memory.
 */
#define HT_VMAS_MAX (1U << 20)
int ht_vmas_read(struct ht_vmas *vmas, const struct ht_roots *roots, pid_t pid);
void ht_vmas_free(struct ht_vmas *vmas);
/* The VMA that holds va, or the first one after it, or NULL. */
const struct ht_vma *ht_vmas_find(const struct ht_vmas *vmas, uint64_t va);

struct ht_proc {
	pid_t tgid;
	pid_t ppid;
	uint64_t start_time; /* clock ticks after boot: tells a reused PID */
	uint64_t rss_bytes;
	bool forked;	   /* joined as the child of a target */
	unsigned int scan; /* the last scan that saw it */
	char comm[16];
	struct ht_vmas vmas; /* as of the last ht_vmas_read() by the owner */
};

struct ht_targets {
	struct ht_proc *proc; /* sorted by tgid */
	size_t nr, cap;
	const struct ht_selection *sel;
	const struct ht_roots *roots;
	pid_t self;    /* never a target */
	char **cgroup; /* sel->cgroup as /proc/PID/cgroup would have it; owned */
	size_t nr_cgroup;
	unsigned int scan; /* scans so far */
	bool full;	   /* HT_TARGETS_MAX was reached, and told */
};

#define HT_TARGETS_MAX 65536

/* Keeps sel and roots. Fails as ht_selection_check() does. */
int ht_targets_init(struct ht_targets *t, const struct ht_selection *sel,
		    const struct ht_roots *roots);
void ht_targets_free(struct ht_targets *t);
/* -ENOENT with a logged message if a --cgroup does not exist or is no cgroup v2 directory. */
int ht_selection_check(const struct ht_selection *sel, const struct ht_roots *roots);

typedef void (*ht_target_event_fn)(void *arg, const struct ht_proc *p);
struct ht_target_events {
	ht_target_event_fn added;
	ht_target_event_fn removed; /* called before p goes */
	void *arg;
};

/*
 * One scan of /proc: adds and removes targets (a reused PID is removed, then looked at anew).
 * Kernel threads and zombies are never targets. A process chosen for its RSS stays until it falls
 * below half the floor, so that one at the floor does not come and go.
 */
int ht_targets_scan(struct ht_targets *t, const struct ht_target_events *ev);
/*
 * A child reported by BPF; added without a selection check (children follow). -ESRCH when it is
 * gone, -EINVAL for a kernel thread or ourselves, -E2BIG above HT_TARGETS_MAX.
 */
int ht_targets_add_child(struct ht_targets *t, pid_t tgid, const struct ht_target_events *ev);
int ht_targets_remove(struct ht_targets *t, pid_t tgid, const struct ht_target_events *ev);
struct ht_proc *ht_targets_find(struct ht_targets *t, pid_t tgid);

#endif
