/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A policy object loaded the way the loader does it, with sizes the caller picks: maps mapped, free
 * ids on the rings, sampling enabled. For tests and benchmarks that want the real BPF programs
 * without the loader around them.
 */
#ifndef HT_TEST_ENV_H
#define HT_TEST_ENV_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include <hypertier/ctl.h>
#include <hypertier/heat.h>
#include <hypertier/ops.h>
#include <hypertier/stats.h>

struct env_size {
	uint32_t tiles;	  /* usable ones: the map has one more */
	uint32_t buckets; /* a power of two */
};

struct env {
	struct bpf_object *obj;
	struct ht_ctl *ctl;
	struct ht_tile *heat;
	struct ht_bucket *index;
	struct ht_detail *pages;
	struct ht_id_line *free_tiles;
	struct ht_inject_rec *inject;
	struct ht_range *ranges;
	struct ht_move *moves;
	struct env_size size;
	int stats_fd, targets_fd;
	int nr_cpus;
};

static inline uint32_t env_pow2(uint32_t n)
{
	uint32_t p = HT_IDS_PER_LINE;

	while (p < n)
		p <<= 1;
	return p;
}

static inline size_t env_map_len(const struct bpf_map *map)
{
	size_t len = (size_t)bpf_map__value_size(map) * bpf_map__max_entries(map);
	size_t page = sysconf(_SC_PAGESIZE);

	return (len + page - 1) / page * page;
}

static inline void *env_map(struct env *e, const char *name)
{
	struct bpf_map *map = bpf_object__find_map_by_name(e->obj, name);
	void *p = MAP_FAILED;

	if (map)
		p = mmap(NULL, env_map_len(map), PROT_READ | PROT_WRITE, MAP_SHARED,
			 bpf_map__fd(map), 0);
	if (p != MAP_FAILED)
		return p;
	fprintf(stderr, "cannot map \"%s\": %s\n", name, strerror(errno));
	return NULL;
}

static inline void env_fill_ring(struct ht_id_line *ring, uint32_t *head, uint32_t *tail,
				 uint32_t nr)
{
	uint32_t i;

	for (i = 0; i < nr; i++)
		ring[i / HT_IDS_PER_LINE].id[i % HT_IDS_PER_LINE] = i + 1;
	*head = 0;
	*tail = nr;
}

/* Empties the heat map; targets and statistics stay. */
static inline void env_reset(struct env *e)
{
	struct ht_ctl *c = e->ctl;

	memset(c, 0, sizeof(*c));
	memset(e->heat, 0, (e->size.tiles + 1) * sizeof(*e->heat));
	memset(e->pages, 0, (e->size.tiles + 1) * sizeof(*e->pages));
	memset(e->index, 0, e->size.buckets * sizeof(*e->index));
	c->abi = HT_ABI_VERSION;
	c->nr_buckets = e->size.buckets;
	c->nr_tiles = e->size.tiles + 1;
	c->free_mask = env_pow2(e->size.tiles + 1) - 1;
	env_fill_ring(e->free_tiles, &c->free_head, &c->free_tail, e->size.tiles);
	c->source = HT_SRC_EMULATED;
	c->enabled = 1;
}

static inline int env_set_size(struct env *e, const char *name, uint32_t nr)
{
	struct bpf_map *map = bpf_object__find_map_by_name(e->obj, name);

	return map ? bpf_map__set_max_entries(map, nr) : -ENOENT;
}

static inline int env_set_sizes(struct env *e)
{
	const struct env_size *s = &e->size;

	return env_set_size(e, "heat", s->tiles + 1) ?:
	       env_set_size(e, "heat_index", s->buckets) ?:
	       env_set_size(e, "heat_pages", s->tiles + 1) ?:
	       env_set_size(e, "free_tiles", env_pow2(s->tiles + 1) / HT_IDS_PER_LINE);
}

static inline int env_map_all(struct env *e)
{
	e->ctl = env_map(e, "control");
	e->heat = env_map(e, "heat");
	e->index = env_map(e, "heat_index");
	e->pages = env_map(e, "heat_pages");
	e->free_tiles = env_map(e, "free_tiles");
	e->inject = env_map(e, "inject");
	e->ranges = env_map(e, "ranges");
	e->moves = env_map(e, "moves");
	return e->ctl && e->heat && e->index && e->pages && e->free_tiles && e->inject &&
			       e->ranges && e->moves
		       ? 0
		       : -ENOMEM;
}

/* Opens and sizes; the caller may still change the object before env_load(). */
static inline int env_open(struct env *e, const char *path, const struct env_size *size)
{
	memset(e, 0, sizeof(*e));
	e->size = *size;
	e->nr_cpus = libbpf_num_possible_cpus();
	e->obj = bpf_object__open_file(path, NULL);
	if (!e->obj) {
		fprintf(stderr, "cannot open %s: %s (build it: make policies)\n", path,
			strerror(errno));
		return -errno;
	}
	return env_set_sizes(e);
}

/* As the loader does for hardware events where the kernel has what it takes (Linux 6.2). */
static inline int env_type_ctx(struct env *e)
{
	struct btf *vmlinux = btf__load_vmlinux_btf();
	bool has = vmlinux &&
		   btf__find_by_name_kind(vmlinux, "bpf_cast_to_kern_ctx", BTF_KIND_FUNC) > 0;
	struct bpf_map *m = bpf_object__find_map_by_name(e->obj, ".rodata.ctx");
	uint32_t one = 1;

	btf__free(vmlinux);
	if (!m)
		return -ENOENT;
	return has ? bpf_map__set_initial_value(m, &one, sizeof(one)) : 0;
}

static inline int env_load(struct env *e)
{
	int err = bpf_object__load(e->obj);

	if (err) {
		fprintf(stderr, "cannot load the BPF object: %s (are you root?)\n", strerror(-err));
		return err;
	}
	e->stats_fd = bpf_object__find_map_fd_by_name(e->obj, "stats");
	e->targets_fd = bpf_object__find_map_fd_by_name(e->obj, "targets");
	err = env_map_all(e);
	if (!err)
		env_reset(e);
	return err;
}

static inline void env_unmap(struct env *e, const char *name, void *p)
{
	if (p)
		munmap(p, env_map_len(bpf_object__find_map_by_name(e->obj, name)));
}

static inline void env_close(struct env *e)
{
	if (!e->obj)
		return;
	env_unmap(e, "control", e->ctl);
	env_unmap(e, "heat", e->heat);
	env_unmap(e, "heat_index", e->index);
	env_unmap(e, "heat_pages", e->pages);
	env_unmap(e, "free_tiles", e->free_tiles);
	env_unmap(e, "inject", e->inject);
	env_unmap(e, "ranges", e->ranges);
	env_unmap(e, "moves", e->moves);
	bpf_object__close(e->obj);
	memset(e, 0, sizeof(*e));
}

static inline int env_prog(struct env *e, const char *name)
{
	struct bpf_program *p = bpf_object__find_program_by_name(e->obj, name);

	return p ? bpf_program__fd(p) : -ENOENT;
}

/* Runs a SYSCALL program; its return value goes to *ret where given. */
static inline int env_run_fd(int fd, void *ctx, size_t len, int *ret)
{
	LIBBPF_OPTS(bpf_test_run_opts, o, .ctx_in = ctx, .ctx_size_in = len);
	int err = bpf_prog_test_run_opts(fd, &o);

	if (ret)
		*ret = (int)o.retval;
	return err;
}

static inline int env_run(struct env *e, const char *name, void *ctx, size_t len, int *ret)
{
	return env_run_fd(env_prog(e, name), ctx, len, ret);
}

static inline int env_target(struct env *e, uint32_t tgid, uint32_t flags)
{
	struct ht_target t = { .tgid = tgid, .flags = flags };

	return bpf_map_update_elem(e->targets_fd, &tgid, &t, BPF_ANY);
}

/* All CPUs' counters added up. */
static inline int env_stats(struct env *e, struct ht_cpu_stats *sum)
{
	size_t words = sizeof(*sum) / sizeof(__u64), i;
	__u64 *cpu = calloc(e->nr_cpus, sizeof(*sum)), *out = (__u64 *)sum;
	uint32_t zero = 0;
	int err = -ENOMEM, c;

	memset(sum, 0, sizeof(*sum));
	if (!cpu)
		return err;
	err = bpf_map_lookup_elem(e->stats_fd, &zero, cpu);
	for (c = 0; !err && c < e->nr_cpus; c++)
		for (i = 0; i < words; i++)
			out[i] += cpu[c * words + i];
	free(cpu);
	return err;
}

/* The first tile in use for an address, NULL if there is none. */
static inline struct ht_tile *env_tile(struct env *e, uint32_t tgid, uint64_t va)
{
	uint32_t i;

	for (i = 1; i <= e->size.tiles; i++)
		if (e->heat[i].key == HT_KEY(tgid, va))
			return &e->heat[i];
	return NULL;
}

#endif
