/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Contract between the lab's emulator (a QEMU plugin on the host), the guest kernel's view of it
 * (the BAR of an ivshmem-plain device, 1af4:1110, resource2) and the readers in the guest.
 *
 * The shared memory starts with struct ht_ring_hdr (one page); nr_slots records follow, and behind
 * them, at phase_offset, the counters per phase. The emulator is the only writer of records and
 * counters; the guest writes period and the memory map. All counters are totals since power-on and
 * only grow: a reader takes differences.
 *
 * The ring overwrites: a reader keeps its own tail, and head - tail > nr_slots means that
 * head - tail - nr_slots records were lost, to be counted by the reader. A record copied out is
 * good if head, read again afterwards, is still less than nr_slots ahead of it.
 */
#ifndef HYPERTIER_LAB_RING_H
#define HYPERTIER_LAB_RING_H

#include <linux/types.h>

#define HT_RING_MAGIC 0x31474e4952544848ULL /* "HHTRING1", little endian */
#define HT_RING_VERSION 2
#define HT_RING_MAX_NODES 8
#define HT_RING_MAX_MEM 64
#define HT_RING_MAX_VCPUS 8   /* of which the header keeps the modelled time */
#define HT_RING_MAX_PHASES 32 /* later phases are added to the last one */
#define HT_RING_DATA_OFFSET 4096
#define HT_RING_NODE_UNKNOWN 0xff
#define HT_RING_PCI_VENDOR 0x1af4
#define HT_RING_PCI_DEVICE 0x1110

/* One range of guest physical memory, [start, end), and the NUMA node it belongs to. */
struct ht_ring_mem {
	__u64 start;
	__u64 end;
	__u32 node;
	__u32 pad;
};

struct ht_ring_hdr {
	__u64 magic;
	__u32 version;
	__u32 record_size; /* sizeof(struct ht_ring_rec) */
	__u64 nr_slots;	   /* a power of two */
	__u64 head;	   /* records ever written; slot = head & (nr_slots - 1) */
	__u64 period;	   /* guest-writable: one record per this many events, 0 = none */
	__u64 counting;	   /* 1 between the START and STOP markers */
	__u64 phase;	   /* argument of the last PHASE marker */
	__u64 markers;	   /* markers seen so far */
	__u64 loads[HT_RING_MAX_NODES];	 /* user loads counted, by node */
	__u64 stores[HT_RING_MAX_NODES]; /* user stores counted, by node */
	__u64 unknown;			 /* counted accesses outside the memory map */
	__u64 phase_offset;		 /* of struct ht_ring_phase[nr_phases] */
	__u32 nr_phases;
	__u32 model;   /* 1: the cache model is on, and an event is an LLC miss, else an access */
	__u64 insns;   /* user instructions counted */
	__u64 l1_hits; /* model: hits in the vCPUs' first-level caches */
	__u64 hits[HT_RING_MAX_NODES];	     /* model: LLC hits, by node of the memory behind */
	__u64 misses[HT_RING_MAX_NODES];     /* model: LLC misses, by the node that served them */
	__u64 writebacks[HT_RING_MAX_NODES]; /* model: dirty lines evicted to this node */
	__u64 model_ns; /* model: run time, the threads' modelled time over their number */
	__u64 vcpu_ns[HT_RING_MAX_VCPUS]; /* model: time the workload's threads spent on a vCPU */
	__u32 threads;			  /* as given with the last START */
	__u32 nr_mem; /* guest-writable with mem[]; read by the emulator at a MEMMAP marker */
	struct ht_ring_mem mem[HT_RING_MAX_MEM];
};

struct ht_ring_phase {
	__u64 loads[HT_RING_MAX_NODES];
	__u64 stores[HT_RING_MAX_NODES];
	__u64 misses[HT_RING_MAX_NODES];
	__u64 unknown;
	__u64 insns;
	__u64 model_ns;
	__u64 pad;
};

struct ht_ring_rec {
	__u64 vaddr;
	__u32 tgid; /* as given by the workload with its START or JOIN marker */
	__u8 write; /* 1 = store */
	__u8 node;  /* the node that served it, HT_RING_NODE_UNKNOWN = outside the memory map */
	__u8 vcpu;
	__u8 pad;
};

_Static_assert(sizeof(struct ht_ring_hdr) <= HT_RING_DATA_OFFSET, "header fits its page");
_Static_assert(sizeof(struct ht_ring_rec) == 16, "records do not straddle pages");

#endif
