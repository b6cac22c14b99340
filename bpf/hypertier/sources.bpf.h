/* SPDX-License-Identifier: GPL-2.0 */
/*
 * One program per kind of source. Each fills a struct ht_sample and hands it to the sampler. All
 * are in every policy object; the loader attaches those that the chosen source needs.
 */
#ifndef HYPERTIER_SOURCES_BPF_H
#define HYPERTIER_SOURCES_BPF_H

#include <hypertier/sampler.bpf.h>

#define HT_WEIGHT_BITS (PERF_SAMPLE_WEIGHT | PERF_SAMPLE_WEIGHT_STRUCT)

/*
 * Set by the loader before loading: the kernel has the function that gives a perf_event program its
 * context's type (Linux 6.2). Its call is taken out by the verifier where it is not there.
 */
const volatile __u32 ht_typed_ctx SEC(".rodata.ctx") = 0;

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym __weak;

/* sample_flags says what is set; the low 32 bits of either weight format hold the latency. */
static __always_inline void ht_set_weight(struct ht_sample *s, __u64 flags, __u64 weight,
					  __u64 data_src)
{
	if (flags & HT_WEIGHT_BITS)
		s->lat = (__u32)weight;
	if (flags & PERF_SAMPLE_DATA_SRC) {
		s->data_src = data_src;
		/* PERF_MEM_OP_STORE of union perf_mem_data_src.mem_op */
		s->write = data_src >> 2 & 1;
	}
}

/* Through a pointer whose type the verifier knows: plain loads. */
static __always_inline void ht_load_weight(struct ht_sample *s, struct perf_sample_data *data)
{
	if (bpf_core_field_exists(data->sample_flags))
		ht_set_weight(s, data->sample_flags, data->weight.full, data->data_src.val);
}

/* Through any other: a call for each field, some 70 instructions. */
static __always_inline void ht_read_weight(struct ht_sample *s, struct perf_sample_data *data)
{
	__u64 flags = 0, weight = 0, data_src = 0;

	if (bpf_core_field_exists(data->sample_flags))
		bpf_core_read(&flags, sizeof(flags), &data->sample_flags);
	if (flags & HT_WEIGHT_BITS)
		bpf_core_read(&weight, sizeof(weight), &data->weight.full);
	if (flags & PERF_SAMPLE_DATA_SRC)
		bpf_core_read(&data_src, sizeof(data_src), &data->data_src.val);
	ht_set_weight(s, flags, weight, data_src);
}

static __always_inline void ht_current_sample(struct ht_sample *s, const struct ht_ctl *c)
{
	s->tgid = bpf_get_current_pid_tgid() >> 32;
	s->source = c->source;
	s->weight = 1;
	s->node = ~0U;
}

/*
 * Latency and data source of an overflow. The context of its program really is a struct
 * bpf_perf_event_data_kern; where it cannot be cast to that, it is read as kernel memory.
 */
static __always_inline void ht_ctx_weight(struct ht_sample *s, struct bpf_perf_event_data *ctx)
{
	struct bpf_perf_event_data_kern *k = (void *)ctx;
	struct perf_sample_data *data = NULL;

	if (ht_typed_ctx) {
		k = bpf_cast_to_kern_ctx(ctx);
		ht_load_weight(s, k->data);
		return;
	}
	bpf_core_read(&data, sizeof(data), &k->data);
	if (data)
		ht_read_weight(s, data);
}

/* Overflow of a perf event. Software events have neither weight nor data source. */
SEC("perf_event")
int ht_perf(struct bpf_perf_event_data *ctx)
{
	struct ht_cpu_stats *st;
	struct ht_sample s = {};
	struct ht_ctl *c;

	if (!ht_begin(&c, &st))
		return 0;
	ht_current_sample(&s, c);
	s.addr = ctx->addr;
	if (s.source != HT_SRC_PAGE_FAULT)
		ht_ctx_weight(&s, ctx);
	ht_sample_one(c, &s, st);
	return 0;
}

/*
 * Large PEBS: all but the last record of a drain reach perf_event_output() only. The loader points
 * this program at that function (or at perf_event_output_forward for software events) and lists
 * the ids of its events; records of other events pass by.
 */
SEC("?fentry/perf_event_output")
int ht_perf_output(__u64 *ctx)
{
	struct perf_event *event = (void *)ctx[0];
	struct perf_sample_data *data = (void *)ctx[1];
	struct ht_cpu_stats *st;
	struct ht_sample s = {};
	__u64 id = event->id;
	struct ht_ctl *c;

	if (!bpf_map_lookup_elem(&events, &id) || !ht_begin(&c, &st))
		return 0;
	st->fentry++;
	ht_current_sample(&s, c);
	s.addr = data->addr;
	ht_load_weight(&s, data);
	ht_sample_one(c, &s, st);
	return 0;
}

/* NUMA balancing's hint faults (and first touches: accesses as well) with their address. */
SEC("tp/exceptions/page_fault_user")
int ht_page_fault(struct trace_event_page_fault_user *ctx)
{
	struct ht_cpu_stats *st;
	struct ht_sample s = {};
	struct ht_ctl *c;

	if (!ht_begin(&c, &st))
		return 0;
	ht_current_sample(&s, c);
	s.addr = ctx->address;
	s.write = ctx->error_code >> 1 & 1; /* X86_PF_WRITE */
	ht_sample_one(c, &s, st);
	return 0;
}

struct ht_damon_loop {
	struct ht_sample s;
	__u64 end;
};

static long ht_damon_tile(__u32 i, void *arg)
{
	struct ht_damon_loop *l = arg;
	struct ht_sample s = l->s;

	if (l->s.addr >= l->end)
		return 1;
	ht_sample(&s);
	l->s.addr = (l->s.addr & ~(HT_TILE_SIZE - 1)) + HT_TILE_SIZE;
	return 0;
}

/*
 * One region of a DAMON aggregation: each tile it covers gets its access count. DAMON knows
 * regions, not pages: the sampler leaves the page bits alone.
 */
#define HT_DAMON_MAX_TILES 65536 /* 128 GiB per region */
SEC("tp/damon/damon_aggregated")
int ht_damon(struct trace_event_damon_aggregated *ctx)
{
	struct ht_damon_loop l = {};
	__u32 idx = ctx->target_id, *tgid;

	if (!ctx->nr_accesses)
		return 0;
	tgid = bpf_map_lookup_elem(&damon_targets, &idx);
	if (!tgid || !*tgid)
		return 0;
	l.s.addr = ctx->start;
	l.s.tgid = *tgid;
	l.s.source = HT_SRC_DAMON;
	l.s.weight = ctx->nr_accesses;
	l.s.node = ~0U;
	l.end = ctx->end;
	bpf_loop(HT_DAMON_MAX_TILES, ht_damon_tile, &l, 0);
	return 0;
}

static long ht_inject_one(__u32 i, void *arg)
{
	struct ht_inject_args *args = arg;
	struct ht_inject_rec *r = bpf_map_lookup_elem(&inject, &i);
	struct ht_sample s = {};
	__u64 damon; /* all ones if the record is DAMON's */

	if (!r || i >= args->nr)
		return 1;
	s.addr = r->addr;
	s.tgid = r->tgid;
	s.source = args->source;
	/* By arithmetic: a branch would have the verifier walk all that follows twice. */
	damon = -(((__u64)(args->source ^ HT_SRC_DAMON) - 1) >> 63);
	asm volatile("" : "+r"(damon));
	s.weight = 1 + (r->lat & damon);
	s.lat = r->lat & ~damon;
	s.write = r->write;
	s.node = r->node == 0xff ? ~0U : r->node;
	ht_sample(&s);
	return 0;
}

/* Samples that arrive in user space first: the lab's ring, recordings. */
SEC("syscall")
int ht_inject(struct ht_inject_args *args)
{
	struct ht_inject_args a = *args;

	bpf_loop(a.nr < HT_INJECT_MAX ? a.nr : HT_INJECT_MAX, ht_inject_one, &a, 0);
	return 0;
}

#endif
