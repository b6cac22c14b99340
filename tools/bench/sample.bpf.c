// SPDX-License-Identifier: GPL-2.0
/*
 * The sampler and its rivals, each as a SYSCALL program that counts the same pregenerated
 * addresses, and as a perf_event program where the whole path is measured. The sampler is the one
 * every policy object carries; the rivals are the usual ways to count pages in BPF.
 */
#include <hypertier/policy.bpf.h>

HT_MMAP_ARRAY(addrs, __u64, 1024); /* sized by the benchmark */

struct line {
	__u64 n[7];
	__u64 next; /* a permutation of the lines */
};
HT_MMAP_ARRAY(lines, struct line, 1024); /* one per 2 MiB */

struct page_key {
	__u64 page;
	__u64 tgid;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct page_key);
	__type(value, __u64);
} flat SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct page_key);
	__type(value, __u64);
} lru SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} ring SEC(".maps");

#define BENCH_BASE 0x7e0000000000ULL /* address of the footprint's first page */

struct bench_args {
	__u32 first, nr, tgid;
	__u32 lines; /* entries of the map, a power of two */
};

static long bench_empty_one(__u32 i, void *arg)
{
	struct bench_args *a = arg;
	__u32 k = a->first + i;
	__u64 *addr = bpf_map_lookup_elem(&addrs, &k);

	return !addr || *addr == ~0ULL;
}

static long bench_tile_one(__u32 i, void *arg)
{
	struct bench_args *a = arg;
	struct ht_sample s = {};
	__u32 k = a->first + i;
	__u64 *addr = bpf_map_lookup_elem(&addrs, &k);

	if (!addr)
		return 1;
	s.addr = *addr;
	s.tgid = a->tgid;
	s.source = HT_SRC_EMULATED;
	s.weight = 1;
	s.node = ~0U;
	ht_sample(&s);
	return 0;
}

/*
 * The floor: one line by the key's hash, another one that the first names, a word written there.
 * This is the memory traffic of any index with state behind it, without the rest of the sampler.
 */
static long bench_line_one(__u32 i, void *arg)
{
	struct bench_args *a = arg;
	__u32 k = a->first + i;
	__u64 *addr = bpf_map_lookup_elem(&addrs, &k);
	struct line *l;

	if (!addr)
		return 1;
	k = ht_hash(HT_KEY(a->tgid, *addr)) & (a->lines - 1);
	l = bpf_map_lookup_elem(&lines, &k);
	if (!l)
		return 1;
	k = l->next;
	l = bpf_map_lookup_elem(&lines, &k);
	if (!l)
		return 1;
	l->n[*addr >> HT_PAGE_SHIFT & 3]++;
	return 0;
}

static __always_inline void bench_count(void *map, __u32 tgid, __u64 addr)
{
	struct page_key key = { .page = addr >> HT_PAGE_SHIFT, .tgid = tgid };
	__u64 one = 1, *n = bpf_map_lookup_elem(map, &key);

	if (n)
		*n += 1; /* racy on purpose, as the sampler is */
	else
		bpf_map_update_elem(map, &key, &one, BPF_NOEXIST);
}

static long bench_flat_one(__u32 i, void *arg)
{
	struct bench_args *a = arg;
	__u32 k = a->first + i;
	__u64 *addr = bpf_map_lookup_elem(&addrs, &k);

	if (!addr)
		return 1;
	bench_count(&flat, a->tgid, *addr);
	return 0;
}

static long bench_lru_one(__u32 i, void *arg)
{
	struct bench_args *a = arg;
	__u32 k = a->first + i;
	__u64 *addr = bpf_map_lookup_elem(&addrs, &k);

	if (!addr)
		return 1;
	bench_count(&lru, a->tgid, *addr);
	return 0;
}

static long bench_ring_one(__u32 i, void *arg)
{
	struct bench_args *a = arg;
	__u32 k = a->first + i;
	__u64 *addr = bpf_map_lookup_elem(&addrs, &k);
	struct page_key *rec;

	if (!addr)
		return 1;
	rec = bpf_ringbuf_reserve(&ring, sizeof(*rec), 0);
	if (!rec)
		return 1;
	rec->page = *addr >> HT_PAGE_SHIFT;
	rec->tgid = a->tgid;
	bpf_ringbuf_submit(rec, BPF_RB_NO_WAKEUP);
	return 0;
}

/* Every page of the footprint has been sampled before: its element exists. */
static long bench_fill_one(__u32 i, void *arg)
{
	struct bench_args *a = arg;
	__u64 addr = BENCH_BASE + ((__u64)(a->first + i) << HT_PAGE_SHIFT);

	bench_count(&flat, a->tgid, addr);
	bench_count(&lru, a->tgid, addr);
	return 0;
}

#define BENCH(name)                                                                                \
	SEC("syscall") int bench_##name(struct bench_args *args)                                   \
	{                                                                                          \
		struct bench_args a = *args;                                                       \
                                                                                                   \
		return bpf_loop(a.nr, bench_##name##_one, &a, 0);                                  \
	}

BENCH(empty)
BENCH(tile)
BENCH(line)
BENCH(flat)
BENCH(lru)
BENCH(ring)
BENCH(fill)

/* The least a perf_event program can cost. */
SEC("perf_event")
int perf_empty(void *ctx)
{
	return 0;
}

/* The usual counter: one hash element per page. */
SEC("perf_event")
int perf_flat(struct bpf_perf_event_data *ctx)
{
	bench_count(&flat, bpf_get_current_pid_tgid() >> 32, ctx->addr);
	return 0;
}

HYPERTIER_OPS_DEFINE(bench);
