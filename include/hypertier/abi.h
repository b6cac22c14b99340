/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What a policy object says of itself, checked by the loader before anything is loaded. The ABI
 * number covers every header in this directory that BPF and user space share: ops.h, heat.h,
 * ctl.h and stats.h. It is raised whenever a layout or a meaning changes.
 *
 * Its minor number is raised instead where a field was added at the end of struct ht_tick, the one
 * argument that may grow. The kernel runs a program on an argument longer than what it reads, and
 * refuses to on a shorter one (EINVAL, at the call). So an object runs on loaders of the same ABI
 * number with the minor number it was built for, or a higher one; others say so when they open it.
 */
#ifndef HYPERTIER_ABI_H
#define HYPERTIER_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define HT_ABI_VERSION 1
#define HT_ABI_MINOR 1 /* 1: ht_tick.period */
#define HT_ABI_MAGIC 0x48595054 /* "TPYH" */
#define HT_NAME_LEN 16

/* Both numbers in one: loaders that know of no minor one refuse what they cannot run as well. */
#define HT_ABI_OF(version, minor) ((version) | (minor) << 16)
#define HT_ABI_OF_VERSION(abi) ((abi) & 0xffff)
#define HT_ABI_OF_MINOR(abi) ((abi) >> 16)

/* Bits of struct ht_policy_info.ops: which ops the policy fills in. */
enum ht_op {
	HT_OP_SAMPLE = 1 << 0,
	HT_OP_AGE = 1 << 1,
	HT_OP_RANK = 1 << 2,
	HT_OP_ADMIT = 1 << 3,
	HT_OP_TICK = 1 << 4,
	HT_OP_INIT = 1 << 5,
	HT_OP_EXIT = 1 << 6,
};

/* Lives in the object's section ".rodata.policy", as its first and only variable. */
struct ht_policy_info {
	__u32 magic;
	__u32 abi; /* HT_ABI_OF() */
	__u32 ops; /* enum ht_op bits */
	__u32 flags; /* enum ht_policy_flags */
	char name[HT_NAME_LEN];
};

enum ht_policy_flags {
	HT_POLICY_OBSERVE = 1 << 0, /* never migrate, whatever the ranking says */
};

/* How a policy ended: argument of ops.exit, and control.last_exit. */
enum ht_exit_kind {
	HT_EXIT_NONE,
	HT_EXIT_USER, /* unloaded on request */
	HT_EXIT_SWAP, /* another policy took over */
	HT_EXIT_ERROR, /* the policy failed */
	HT_EXIT_STALL, /* it exceeded its time */
	HT_EXIT_THRASH, /* most pages it moved came back */
	HT_EXIT_WORSE, /* the fast share fell against its predecessor's */
};

struct ht_exit {
	__u32 kind; /* enum ht_exit_kind */
	__s32 code;
	char reason[64];
};

#endif
