/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The kernel types the BPF programs touch, and of each only the fields they read. Offsets are
 * relocated against the running kernel's BTF at load time (CO-RE), so this file does not depend on
 * a kernel version; `vmlinux/check` compares it with a kernel's BTF.
 */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

typedef signed char __s8;
typedef unsigned char __u8;
typedef short __s16;
typedef unsigned short __u16;
typedef int __s32;
typedef unsigned int __u32;
typedef long long __s64;
typedef unsigned long long __u64;

typedef __s8 s8;
typedef __u8 u8;
typedef __s16 s16;
typedef __u16 u16;
typedef __s32 s32;
typedef __u32 u32;
typedef __s64 s64;
typedef __u64 u64;
typedef _Bool bool;

/* bpf_helper_defs.h declares helpers with these. */
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;

#ifndef NULL
#define NULL ((void *)0)
#endif
#define true 1
#define false 0

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_RINGBUF = 27,
};

enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_EXIST = 2,
};

enum {
	BPF_F_MMAPABLE = 1 << 10,
};

enum {
	BPF_RB_NO_WAKEUP = 1,
};

enum perf_event_sample_format {
	PERF_SAMPLE_ADDR = 1 << 3,
	PERF_SAMPLE_WEIGHT = 1 << 14,
	PERF_SAMPLE_DATA_SRC = 1 << 15,
	PERF_SAMPLE_WEIGHT_STRUCT = 1 << 24,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live;
};

struct task_struct {
	int pid;
	int tgid;
	struct signal_struct *signal;
	char comm[16];
};

union perf_sample_weight {
	__u64 full;
};

union perf_mem_data_src {
	__u64 val;
};

struct perf_sample_data {
	__u64 sample_flags; /* Linux 6.0 */
	__u64 addr;
	union perf_sample_weight weight;
	union perf_mem_data_src data_src;
};

struct perf_event {
	__u64 id;
};

struct bpf_perf_event_data_kern {
	struct perf_sample_data *data;
	struct perf_event *event;
};

#pragma clang attribute pop

/*
 * The context of a perf_event program as the UAPI has it: fields at fixed places, which the verifier
 * turns into reads of the kernel's own structures.
 */
struct bpf_perf_event_data {
	__u64 regs[21]; /* struct pt_regs of x86-64 */
	__u64 sample_period;
	__u64 addr;
};

/* Tracepoint records, as /sys/kernel/tracing/events/.../format lays them out. */
struct trace_event_page_fault_user {
	__u64 common;
	unsigned long address;
	unsigned long ip;
	unsigned long error_code;
};

struct trace_event_damon_aggregated {
	__u64 common;
	unsigned long target_id;
	unsigned int nr_regions;
	unsigned long start;
	unsigned long end;
	unsigned int nr_accesses;
	unsigned int age;
};

#endif
