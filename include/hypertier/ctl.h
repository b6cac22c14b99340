/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The control block (map "control", one mmap-able element) and the other small maps by which the
 * loader steers the sampler: targets, event ids, DAMON targets, injected samples.
 */
#ifndef HYPERTIER_CTL_H
#define HYPERTIER_CTL_H

#include "abi.h"

/* The sampler advances the head (compare and swap), the loader the tail; both only grow. */
struct ht_ctl {
	__u32 abi;
	__u32 enabled; /* 0: every sample is dropped as HT_DROP_DISABLED */
	__u32 tick; /* aging clock, advanced by the loader with the volume of samples */
	__u32 nr_buckets; /* a power of two */
	__u32 nr_tiles; /* tiles incl. the unused element 0 */
	__u32 free_mask; /* entries of free_tiles - 1; a power of two - 1 */
	__u32 free_head;
	__u32 free_tail;
	__u32 generation; /* +1 for each policy that took over */
	__u32 source; /* enum ht_source_id in use */
	__u64 heartbeat_ns; /* CLOCK_MONOTONIC of the loader's last epoch */
	struct ht_exit last_exit; /* of the policy before the present one; kind 0 = none yet */
};

/* Map "targets": hash, tgid -> struct ht_target. Filled by the loader, and by BPF at fork. */
enum ht_target_flags {
	HT_TARGET_FORKED = 1 << 0, /* added by the fork program: the loader has not seen it yet */
	HT_TARGET_EXITED = 1 << 1, /* the process is gone: the loader frees its tiles */
	HT_TARGET_EXECED = 1 << 2, /* new address space: the loader frees its tiles, keeps the target */
	HT_TARGET_FOLLOW = 1 << 3, /* children become targets */
};

struct ht_target {
	__u32 tgid;
	__u32 ppid;
	__u32 flags;
	__u32 execs;
	char comm[HT_NAME_LEN];
};

/* Map "events": hash, perf event id -> 1, for the fentry program to tell our events. */
/* Map "damon_targets": array, DAMON target index -> tgid. */

/* Map "inject": mmap-able array of records for the ht_inject program, HT_INJECT_MAX at a time. */
#define HT_INJECT_MAX 4096
struct ht_inject_rec {
	__u64 addr;
	__u32 tgid;
	__u16 lat; /* latency in units of the source, 0 = unknown; DAMON: its weight - 1 */
	__u8 write;
	__u8 node; /* node that served the access, 0xff = unknown */
};

/* Argument of ht_inject. */
struct ht_inject_args {
	__u32 nr; /* records, at most HT_INJECT_MAX */
	__u32 source; /* enum ht_source_id */
};

#endif
