// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * What a sample costs: the sampler beside the usual ways to count pages, first the program body
 * alone at several footprints, then the whole path on real perf events. Every figure is a
 * difference within one run; only ratios travel between machines.
 *
 * Results: a table on stdout, build/results/sample.json, and the key figures as the last line.
 */
#include "bench.h"
#include "sample_body.h"
#include "sample_fault.h"

#define RESULT "build/results/sample.json"

static const struct body_case cases[] = {
	{ 1, false }, { 16, false }, { 64, false }, { 1, true }, { 16, true }, { 64, true },
};

#define NR_CASES (sizeof(cases) / sizeof(*cases))

static void print_head(void)
{
	printf("Program body, ns per sample (an empty loop taken off; A/A = two runs of the same;\n"
	       "sampler = samples one by one, as ht_perf gets them; floor = two dependent cache\n"
	       "lines)\n"
	       "%-12s %8s %6s %6s %8s %8s %8s %7s %8s\n",
	       "footprint", "sampler", "A/A", "floor", "flat", "LRU", "ring", "flat/x", "KiB/GiB");
}

static void print_body(const struct body_case *c, const struct body_result *r)
{
	printf("%2u GiB %-5s %8.1f %6.1f %6.1f %8.1f %8.1f %8.1f %7.1f %8.1f\n", c->gib,
	       c->zipf ? "zipf" : "unif", r->ns[BODY_TILE], r->noise, r->ns[BODY_LINE],
	       r->ns[BODY_FLAT], r->ns[BODY_LRU], r->ns[BODY_RING],
	       r->ns[BODY_FLAT] / r->ns[BODY_TILE], r->used_kib);
	fflush(stdout);
}

static struct json_object *json_body(const struct body_case *c, const struct body_result *r)
{
	struct json_object *o = json_object_new_object();

	bench_json_int(o, "gib", c->gib);
	bench_json_str(o, "addresses", c->zipf ? "zipf 0.99" : "uniform");
	bench_json_num(o, "sampler_ns", r->ns[BODY_TILE]);
	bench_json_num(o, "sampler_spread_ns", r->spread[BODY_TILE]);
	bench_json_num(o, "aa_noise_ns", r->noise);
	bench_json_num(o, "floor_two_lines_ns", r->ns[BODY_LINE]);
	bench_json_num(o, "flat_hash_ns", r->ns[BODY_FLAT]);
	bench_json_num(o, "lru_hash_ns", r->ns[BODY_LRU]);
	bench_json_num(o, "ring_and_consumer_ns", r->ns[BODY_RING]);
	bench_json_num(o, "empty_loop_ns", r->empty_ns);
	bench_json_int(o, "tiles", r->tiles);
	bench_json_int(o, "details", r->details);
	bench_json_num(o, "kib_per_gib_used", r->used_kib);
	bench_json_num(o, "kib_per_gib_allocated", r->tile_kib);
	bench_json_num(o, "flat_hash_kib_per_gib", r->flat_kib);
	bench_json_num(o, "lru_hash_kib_per_gib", r->lru_kib);
	return o;
}

static const char *const fault_name[FAULT_NR] = {
	[FAULT_EMPTY] = "BPF, empty program",
	[FAULT_TILE] = "BPF, sampler",
	[FAULT_FLAT] = "BPF, flat hash",
	[FAULT_RING] = "ring IP|TID|ADDR|WEIGHT + consumer",
	[FAULT_RING_ADDR] = "ring ADDR + consumer",
};

/* Where faults are slow their noise is more than a sample costs; a ratio to that would be no
 * figure. */
static bool fault_resolved(const struct fault_result *r)
{
	return r->ns[FAULT_TILE] > r->noise && r->ns[FAULT_TILE] > r->spread[FAULT_TILE];
}

static void print_fault(const struct fault_result *r)
{
	enum fault_way way;

	printf("\nWhole path, ns per sample (page faults, period 1; a fault alone %.0f, A/A "
	       "%.1f)\n",
	       r->base_ns, r->noise);
	for (way = FAULT_EMPTY; way < FAULT_NR; way++) {
		printf("%-36s %8.1f  +-%.1f", fault_name[way], r->ns[way], r->spread[way]);
		if (fault_resolved(r))
			printf("  %5.2fx the sampler", r->ns[way] / r->ns[FAULT_TILE]);
		putchar('\n');
	}
}

static void print_key_figures(const struct body_result *body, const struct fault_result *fault)
{
	printf("sample: %.1f ns at 16 GiB, flat hash %.1fx (zipf %.1fx); 64/1 GiB %.2fx; whole "
	       "path: ",
	       body[1].ns[BODY_TILE], body[1].ns[BODY_FLAT] / body[1].ns[BODY_TILE],
	       body[4].ns[BODY_FLAT] / body[4].ns[BODY_TILE],
	       body[2].ns[BODY_TILE] / body[0].ns[BODY_TILE]);
	if (fault_resolved(fault))
		printf("ring %.2fx, ring of addresses %.2fx",
		       fault->ns[FAULT_RING] / fault->ns[FAULT_TILE],
		       fault->ns[FAULT_RING_ADDR] / fault->ns[FAULT_TILE]);
	else
		printf("lost in the noise of page faults (%.1f us each)", fault->base_ns / 1000);
	printf("; %.0f KiB per GiB touched (zipf %.0f)\n", body[1].used_kib, body[4].used_kib);
}

static struct json_object *json_fault(const struct fault_result *r)
{
	struct json_object *o = json_object_new_object();

	bench_json_num(o, "fault_ns", r->base_ns);
	bench_json_num(o, "aa_noise_ns", r->noise);
	bench_json_num(o, "empty_program_ns", r->ns[FAULT_EMPTY]);
	bench_json_num(o, "sampler_ns", r->ns[FAULT_TILE]);
	bench_json_num(o, "flat_hash_ns", r->ns[FAULT_FLAT]);
	bench_json_num(o, "ring_ns", r->ns[FAULT_RING]);
	bench_json_num(o, "ring_addr_ns", r->ns[FAULT_RING_ADDR]);
	return o;
}

int main(void)
{
	struct json_object *o = bench_json_new("sample"), *list = json_object_new_array();
	struct body_result body[NR_CASES];
	struct fault_result fault = { 0 };
	size_t i;
	int err;

	libbpf_set_print(NULL);
	err = bench_pin();
	print_head();
	for (i = 0; i < NR_CASES && err >= 0; i++) {
		err = body_run(&cases[i], &body[i]);
		bench_progress_end();
		if (err)
			break;
		print_body(&cases[i], &body[i]);
		json_object_array_add(list, json_body(&cases[i], &body[i]));
	}
	json_object_object_add(o, "body", list);
	err = err < 0 ? err : fault_run(&fault);
	bench_progress_end();
	if (err) {
		fprintf(stderr, "sample: %s\n", strerror(-err));
		json_object_put(o);
		return 1;
	}
	print_fault(&fault);
	json_object_object_add(o, "whole_path", json_fault(&fault));
	if (bench_json_write(o, RESULT))
		return 1;
	print_key_figures(body, &fault);
	return 0;
}
