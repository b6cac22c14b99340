/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Every map of a policy object. Sizes written here are placeholders: the loader sizes the heat maps
 * by the machine's memory before loading, and pins all of them so that the next policy object
 * reuses them. Key and value types are named for `bpftool map dump`.
 */
#ifndef HYPERTIER_MAPS_BPF_H
#define HYPERTIER_MAPS_BPF_H

#include <hypertier/heat.h>
#include <hypertier/ctl.h>
#include <hypertier/ops.h>

#define HT_MMAP_ARRAY(name, val, nr)                                                               \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(map_flags, BPF_F_MMAPABLE);                                                 \
		__uint(max_entries, nr);                                                           \
		__type(key, __u32);                                                                \
		__type(value, val);                                                                \
	} name SEC(".maps")

HT_MMAP_ARRAY(control, struct ht_ctl, 1);
HT_MMAP_ARRAY(heat, struct ht_tile, 4096);
HT_MMAP_ARRAY(heat_index, struct ht_bucket, 512);
HT_MMAP_ARRAY(heat_pages, struct ht_detail, 4096);
HT_MMAP_ARRAY(free_tiles, struct ht_id_line, 256);
HT_MMAP_ARRAY(inject, struct ht_inject_rec, HT_INJECT_MAX);
HT_MMAP_ARRAY(ranges, struct ht_range, HT_RANGES_MAX);
HT_MMAP_ARRAY(moves, struct ht_move, HT_MOVES_MAX);

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct ht_cpu_stats);
} stats SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u32);
	__type(value, struct ht_target);
} targets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u32);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u32);
} damon_targets SEC(".maps");

/*
 * Samples of targets on their way to a recording (struct ht_inject_rec). The loader makes this map
 * only for a run that records.
 */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} recording SEC(".maps");

#endif
