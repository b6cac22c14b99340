/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The contract with the kernel migration helper (kmod/, hypertier.ko): the character device
 * /dev/hypertier. Opening it needs CAP_SYS_NICE. Every structure starts with the version its author
 * was built for; another one is refused with EPROTO, so a layout never changes under a number.
 */
#ifndef HYPERTIER_EXCHANGE_H
#define HYPERTIER_EXCHANGE_H

#include <linux/ioctl.h>

#include "ops.h"

#define HT_XCHG_VERSION 2
#define HT_XCHG_DEVICE "/dev/hypertier"
/* Pairs in one call, and of these huge ones: all of them are unmapped at the same time. */
#define HT_XCHG_MAX 1024
#define HT_XCHG_MAX_HUGE 8

enum ht_xchg_status {
	HT_XCHG_DONE, /* hot is where cold was, and the other way round */
	HT_XCHG_BUSY, /* locked, pinned, under writeback, or changed meanwhile: try again later */
	HT_XCHG_ABSENT, /* nothing is mapped at one of the addresses */
	HT_XCHG_SHARED, /* mapped more than once */
	HT_XCHG_KIND, /* not plain anonymous memory: file, KSM, hugetlb, mlocked, swap cache */
	HT_XCHG_SIZE, /* one is huge and the other is not, or a huge one is not mapped whole */
	HT_XCHG_NODE, /* not on the nodes named, or both on one node */
	HT_XCHG_MEMCG, /* charged to different memory cgroups */
	HT_XCHG_CPUSET, /* the process may not use the node its page would go to */
	HT_XCHG_REFUSED, /* the attached policy's admit said no */
	HT_XCHG_GONE, /* no such process */
	HT_XCHG_DENIED, /* no right to trace the process */
	HT_XCHG_RATE, /* over max_pages_per_s */
	HT_XCHG_STATUS_NR,
};

struct ht_xchg_pair {
	__u64 hot; /* address in hot_pid: 4 KiB aligned, 2 MiB aligned for a huge page */
	__u64 cold;
	__u32 hot_pid;
	__u32 cold_pid;
	__u32 move; /* index into moves: what the attached policy is shown */
	__u32 status; /* out: enum ht_xchg_status */
};

struct ht_xchg {
	__u32 version;
	__u32 nr; /* pairs, 1 to HT_XCHG_MAX; HT_XCHG_MAX_HUGE where they are huge */
	__u32 nr_moves; /* at most nr; 0 = the policy sees addresses and processes only */
	__u32 huge; /* 1 = all pairs are huge pages, 0 = none is */
	__s32 hot_node; /* where hot pages are now, -1 = anywhere but where the cold one is */
	__s32 cold_node;
	__u64 pairs; /* struct ht_xchg_pair[nr], status is written back */
	__u64 moves; /* struct ht_move[nr_moves] */
	__u32 done; /* out: pairs exchanged */
	__u32 pad;
};

enum ht_xchg_flags {
	HT_XCHG_F_EXCHANGE = 1 << 0, /* exchange is switched on and possible */
	HT_XCHG_F_HOOK = 1 << 1, /* a policy is attached */
	HT_XCHG_F_EJECTED = 1 << 2, /* the attached policy was ejected */
};

/* Since the module was loaded. */
struct ht_xchg_stats {
	__u64 calls;
	__u64 pairs; /* submitted */
	__u64 pages; /* exchanged, both sides, in 4 KiB pages */
	__u64 status[16]; /* pairs by enum ht_xchg_status */
	__u64 flushes; /* deferred TLB flushes: one a call; of huge pages one a process */
	__u64 locks; /* folio locks taken */
	__u64 drains; /* of the per-CPU LRU caches of all CPUs */
	__u64 ns;
	__u64 admits; /* calls of the attached policy */
	__u64 refused;
	__u64 ejections;
};

struct ht_xchg_info {
	__u32 version; /* in: HT_XCHG_VERSION */
	__u32 flags; /* out from here on: enum ht_xchg_flags */
	__u32 max;
	__u32 max_huge;
	__u64 max_pages_per_s;
	char policy[HT_NAME_LEN]; /* attached, "" = none */
	char why[128]; /* why there is no exchange, or why the policy was ejected */
	struct ht_xchg_stats stats;
};

#define HT_XCHG_IOC_INFO _IOWR('h', 0xe0, struct ht_xchg_info)
#define HT_XCHG_IOC_EXCHANGE _IOWR('h', 0xe1, struct ht_xchg)

#endif
