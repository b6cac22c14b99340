/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The emulator's totals: summed over the vCPUs, published in the ring's header, kept as a time
 * series and as one record per run, and written out as JSON. Called with emu.lock held.
 */
#ifndef LAB_EMU_REPORT_H
#define LAB_EMU_REPORT_H

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "emu_state.h"

/* Counters are words, and nothing but words: structs of them add and subtract as arrays. */
static inline void emu_words_add(void *sum, const void *add, size_t size, bool negative)
{
	const uint64_t *b = add;
	uint64_t *a = sum;

	for (size_t i = 0; i < size / sizeof(*a); i++) {
		uint64_t x = __atomic_load_n(&b[i], __ATOMIC_RELAXED);

		a[i] += negative ? -x : x;
	}
}

static inline void emu_sum(struct emu *e, struct emu_totals *t)
{
	memset(t, 0, sizeof(*t));
	for (unsigned int i = 0; i < e->nr_vcpus; i++) {
		struct emu_vcpu *v = &e->vcpu[i];

		emu_words_add(t->phase, v->phase, e->nr_phases * sizeof(*t->phase), false);
		emu_words_add(t->hits, v->hits, sizeof(t->hits), false);
		emu_words_add(t->writebacks, v->writebacks, sizeof(t->writebacks), false);
		t->l1_hits += v->l1_hits;
		t->vcpu_ps[i] = v->ps;
	}
	for (unsigned int p = 0; p < e->nr_phases; p++)
		emu_words_add(&t->all, &t->phase[p], sizeof(t->all), false);
	t->records = e->head;
}

static inline uint64_t emu_accesses(const struct emu_count *c)
{
	uint64_t sum = 0;

	for (unsigned int n = 0; n < EMU_NODES; n++)
		sum += c->loads[n] + c->stores[n];
	return sum;
}

static inline uint64_t emu_host_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

/* When the table is full every other row goes, and rows come half as often from then on. */
static inline void emu_row_add(struct emu *e)
{
	const struct emu_count *all = &e->now.all;
	struct emu_row *r;

	if (e->nr_rows == EMU_MAX_ROWS) {
		for (unsigned int i = 0; i < EMU_MAX_ROWS / 2; i++)
			e->row[i] = e->row[2 * i + 1];
		e->nr_rows = EMU_MAX_ROWS / 2;
		e->row_every *= 2;
	}
	r = &e->row[e->nr_rows++];
	r->accesses = emu_accesses(all);
	for (unsigned int n = 0; n < EMU_NODES; n++)
		r->node[n] = all->loads[n] + all->stores[n];
	r->ps = all->ps;
	r->records = e->head;
	r->host_ms = emu_host_ms();
	r->run = e->nr_runs;
	r->phase = e->phase;
}

static inline void emu_publish_phase(struct ht_ring_phase *to, const struct emu_count *c)
{
	memcpy(to->loads, c->loads, sizeof(to->loads));
	memcpy(to->stores, c->stores, sizeof(to->stores));
	memcpy(to->misses, c->misses, sizeof(to->misses));
	to->unknown = c->loads[HT_RING_MAX_NODES] + c->stores[HT_RING_MAX_NODES];
	to->insns = c->insns;
	to->model_ns = c->ps / 1000;
}

static inline void emu_publish(struct emu *e)
{
	const struct emu_count *all = &e->now.all;
	struct ht_ring_hdr *h = e->hdr;

	emu_sum(e, &e->now);
	memcpy(h->loads, all->loads, sizeof(h->loads));
	memcpy(h->stores, all->stores, sizeof(h->stores));
	memcpy(h->misses, all->misses, sizeof(h->misses));
	memcpy(h->hits, e->now.hits, sizeof(h->hits));
	memcpy(h->writebacks, e->now.writebacks, sizeof(h->writebacks));
	h->unknown = all->loads[HT_RING_MAX_NODES] + all->stores[HT_RING_MAX_NODES];
	h->insns = all->insns;
	h->l1_hits = e->now.l1_hits;
	h->model_ns = all->ps / 1000;
	for (unsigned int i = 0; i < e->nr_vcpus && i < HT_RING_MAX_VCPUS; i++)
		h->vcpu_ns[i] = e->now.vcpu_ps[i] / 1000;
	for (unsigned int p = 0; p < e->nr_phases; p++)
		emu_publish_phase(&e->hdr_phase[p], &e->now.phase[p]);
	h->counting = e->nr_started > 0;
	h->phase = e->phase;
	h->threads = e->model.threads;
	/* The last word written: a reader that saw it change has the rest too. */
	__atomic_store_n(&h->markers, e->markers, __ATOMIC_RELEASE);
	if (emu_accesses(all) >= (e->nr_rows ? e->row[e->nr_rows - 1].accesses : 0) + e->row_every)
		emu_row_add(e);
}

static inline void emu_run_begin(struct emu *e)
{
	emu_sum(e, &e->now);
	e->at_start = e->now;
	emu_row_add(e);
}

static inline void emu_run_end(struct emu *e, uint32_t tgid)
{
	struct emu_run *r;

	emu_row_add(e);
	if (e->nr_runs == EMU_MAX_RUNS) {
		e->runs_dropped++;
		return;
	}
	r = &e->run[e->nr_runs++];
	r->tgid = tgid;
	r->threads = e->model.threads;
	r->totals = e->now;
	emu_words_add(&r->totals, &e->at_start, sizeof(r->totals), true);
}

static inline void emu_json_array(FILE *f, const char *name, const uint64_t *v, unsigned int nr)
{
	fprintf(f, "\"%s\":[", name);
	for (unsigned int i = 0; i < nr; i++)
		fprintf(f, "%s%" PRIu64, i ? "," : "", v[i]);
	fprintf(f, "],");
}

static inline void emu_json_count(FILE *f, const struct emu_count *c)
{
	emu_json_array(f, "loads", c->loads, HT_RING_MAX_NODES);
	emu_json_array(f, "stores", c->stores, HT_RING_MAX_NODES);
	emu_json_array(f, "misses", c->misses, HT_RING_MAX_NODES);
	fprintf(f, "\"unknown\":%" PRIu64 ",\"insns\":%" PRIu64 ",\"model_ns\":%" PRIu64,
		c->loads[HT_RING_MAX_NODES] + c->stores[HT_RING_MAX_NODES], c->insns, c->ps / 1000);
}

static inline void emu_json_totals(FILE *f, const struct emu *e, const struct emu_totals *t)
{
	uint64_t ns[EMU_MAX_VCPUS];

	for (unsigned int i = 0; i < e->nr_vcpus; i++)
		ns[i] = t->vcpu_ps[i] / 1000;
	emu_json_count(f, &t->all);
	fprintf(f, ",");
	emu_json_array(f, "hits", t->hits, HT_RING_MAX_NODES);
	emu_json_array(f, "writebacks", t->writebacks, HT_RING_MAX_NODES);
	emu_json_array(f, "vcpu_ns", ns, e->nr_vcpus);
	fprintf(f, "\"l1_hits\":%" PRIu64 ",\"records\":%" PRIu64 ",\n \"phases\":[", t->l1_hits,
		t->records);
	for (unsigned int p = 0; p < e->nr_phases; p++) {
		fprintf(f, "%s{", p ? ",\n  " : "");
		emu_json_count(f, &t->phase[p]);
		fprintf(f, "}");
	}
	fprintf(f, "]");
}

static inline void emu_json_config(FILE *f, const struct emu *e)
{
	const struct emu_options *o = &e->opt;

	fprintf(f,
		"\"config\":{\"model\":%" PRIu64 ",\"llc_size\":%" PRIu64 ",\"llc_ways\":%" PRIu64,
		o->model, o->llc_size, o->llc_ways);
	fprintf(f, ",\"line\":%" PRIu64 ",\"l1_size\":%" PRIu64 ",\"hit_ns\":%" PRIu64, o->line,
		o->l1_size, o->hit_ns);
	fprintf(f, ",\"insn_ps\":%" PRIu64 ",\"mlp\":%" PRIu64 ",", o->insn_ps, o->mlp);
	emu_json_array(f, "lat_ns", o->lat_ns, HT_RING_MAX_NODES);
	emu_json_array(f, "bw_mb", o->bw_mb, HT_RING_MAX_NODES);
	fprintf(f, "\"ring_slots\":%" PRIu64 "},\n", e->nr_slots);
}

static inline void emu_json_series(FILE *f, const struct emu *e)
{
	fprintf(f, "\"series\":{\"columns\":[\"accesses\",\"model_ns\",\"records\",\"host_ms\","
		   "\"run\",\"phase\",\"unknown\"");
	for (unsigned int n = 0; n < HT_RING_MAX_NODES; n++)
		fprintf(f, ",\"node%u\"", n);
	fprintf(f, "],\n\"rows\":[");
	for (unsigned int i = 0; i < e->nr_rows; i++) {
		const struct emu_row *r = &e->row[i];

		fprintf(f, "%s\n[%" PRIu64 ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, i ? "," : "",
			r->accesses, r->ps / 1000, r->records, r->host_ms);
		fprintf(f, ",%" PRIu64 ",%" PRIu64 ",%" PRIu64, r->run, r->phase,
			r->node[HT_RING_MAX_NODES]);
		for (unsigned int n = 0; n < HT_RING_MAX_NODES; n++)
			fprintf(f, ",%" PRIu64, r->node[n]);
		fprintf(f, "]");
	}
	fprintf(f, "]}\n");
}

static inline void emu_json(FILE *f, const struct emu *e)
{
	fprintf(f, "{\"version\":1,\n");
	emu_json_config(f, e);
	fprintf(f, "\"markers\":%" PRIu64 ",\"bad_maps\":%" PRIu64, e->markers, e->bad_maps);
	fprintf(f, ",\"spaces_dropped\":%" PRIu64 ",\"runs_dropped\":%" PRIu64 ",\n\"map\":[",
		e->spaces_dropped, e->runs_dropped);
	for (unsigned int i = 0; i < e->map->nr; i++)
		fprintf(f, "%s[%" PRIu64 ",%" PRIu64 ",%u]", i ? "," : "",
			(uint64_t)e->map->mem[i].start, (uint64_t)e->map->mem[i].end,
			e->map->mem[i].node);
	fprintf(f, "],\n\"totals\":{");
	emu_json_totals(f, e, &e->now);
	fprintf(f, "},\n\"runs\":[");
	for (unsigned int i = 0; i < e->nr_runs; i++) {
		const struct emu_run *r = &e->run[i];

		fprintf(f, "%s{\"tgid\":%u,\"threads\":%u,", i ? ",\n" : "\n", r->tgid, r->threads);
		emu_json_totals(f, e, &r->totals);
		fprintf(f, "}");
	}
	fprintf(f, "],\n");
	emu_json_series(f, e);
	fprintf(f, "}\n");
}

/* Replaces the file in one step, as QEMU may be killed at any time. */
static inline void emu_write_out(const struct emu *e)
{
	char tmp[4096];
	FILE *f;
	int err;

	if (!e->opt.out)
		return;
	if (snprintf(tmp, sizeof(tmp), "%s.tmp", e->opt.out) >= (int)sizeof(tmp))
		return;
	f = fopen(tmp, "w");
	if (!f) {
		fprintf(stderr, "emu: cannot write %s: %m\n", tmp);
		return;
	}
	emu_json(f, e);
	err = ferror(f);
	if (fclose(f) || err || rename(tmp, e->opt.out))
		fprintf(stderr, "emu: cannot write %s: %m\n", e->opt.out);
}

#endif
