// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * What a sample costs: the sampler beside the usual ways to count pages, first the program body
 * alone at several footprints, then the whole path on real perf events. Every figure is a
 * difference within one run; only ratios travel between machines.
 *
 * With -i the whole path alone, in a guest whose clocks count instructions
 * (tools/bench/sample-lab): what it costs there nobody's caches and neighbours change. Its result
 * is the JSON on stdout, for build/bench/sample FILE which measures all the rest here, and takes
 * that over.
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
	[FAULT_NONE] = "page fault alone",
	[FAULT_EMPTY] = "BPF, empty program",
	[FAULT_TILE] = "BPF, sampler",
	[FAULT_TILE_HW] = "BPF, sampler, as of hardware",
	[FAULT_FLAT] = "BPF, flat hash",
	[FAULT_RING] = "ring IP|TID|ADDR|WEIGHT + consumer",
	[FAULT_RING_ADDR] = "ring ADDR + consumer",
};

static const char *const fault_key[FAULT_NR] = {
	[FAULT_NONE] = "fault",		 [FAULT_EMPTY] = "empty_program",
	[FAULT_TILE] = "sampler",	 [FAULT_TILE_HW] = "sampler_hardware",
	[FAULT_FLAT] = "flat_hash",	 [FAULT_RING] = "ring",
	[FAULT_RING_ADDR] = "ring_addr",
};

/*
 * Where faults are slow their noise is more than a sample costs; a ratio to that would be no
 * figure.
 */
static bool fault_resolved(const struct fault_result *r)
{
	return r->ns[FAULT_TILE] > 4 * fmax(r->noise, r->spread[FAULT_TILE]);
}

static double fault_ratio(const struct fault_result *r, enum fault_way way)
{
	return r->ns[way] / r->ns[FAULT_TILE];
}

static void print_fault(const struct fault_result *r, const char *unit)
{
	enum fault_way way;

	printf("\nWhole path, %s per sample (page faults, period 1; a fault alone %.0f, A/A "
	       "%.1f)\n",
	       unit, r->ns[FAULT_NONE], r->noise);
	for (way = FAULT_EMPTY; way < FAULT_NR; way++) {
		printf("%-36s %8.1f  +-%.1f", fault_name[way], r->ns[way], r->spread[way]);
		if (fault_resolved(r))
			printf("  %5.2fx the sampler", fault_ratio(r, way));
		putchar('\n');
	}
}

/* The unit is that of the clock: nanoseconds, or instructions. */
static struct json_object *json_fault(const struct fault_result *r, const char *unit)
{
	struct json_object *o = json_object_new_object();
	enum fault_way way;
	char key[64];

	snprintf(key, sizeof(key), "aa_noise_%s", unit);
	bench_json_num(o, key, r->noise);
	for (way = 0; way < FAULT_NR; way++) {
		if (!fault_key[way])
			continue;
		snprintf(key, sizeof(key), "%s_%s", fault_key[way], unit);
		bench_json_num(o, key, r->ns[way]);
		snprintf(key, sizeof(key), "%s_spread_%s", fault_key[way], unit);
		bench_json_num(o, key, r->spread[way]);
	}
	return o;
}

/* What json_fault() wrote in the guest. */
static int read_insns(const char *path, struct fault_result *r, struct json_object **doc)
{
	struct json_object *o, *v;
	enum fault_way way;
	char key[64];

	*doc = json_object_from_file(path);
	if (!json_object_object_get_ex(*doc, "whole_path_insns", &o) ||
	    !json_object_object_get_ex(o, "aa_noise_insns", &v))
		return -EINVAL;
	r->noise = json_object_get_double(v);
	for (way = 0; way < FAULT_NR; way++) {
		if (!fault_key[way])
			continue;
		snprintf(key, sizeof(key), "%s_insns", fault_key[way]);
		if (!json_object_object_get_ex(o, key, &v))
			return -EINVAL;
		r->ns[way] = json_object_get_double(v);
		snprintf(key, sizeof(key), "%s_spread_insns", fault_key[way]);
		if (json_object_object_get_ex(o, key, &v))
			r->spread[way] = json_object_get_double(v);
	}
	return 0;
}

static void print_ratios(const char *unit, const struct fault_result *r)
{
	if (fault_resolved(r))
		printf("in %s: ring %.2fx, ring of addresses %.2fx", unit,
		       fault_ratio(r, FAULT_RING), fault_ratio(r, FAULT_RING_ADDR));
	else
		printf("in %s: lost in the noise of page faults (%.0f each)", unit,
		       r->ns[FAULT_NONE]);
}

static void print_key_figures(const struct body_result *body, const struct fault_result *fault,
			      const struct fault_result *insns)
{
	printf("sample: %.1f ns at 16 GiB, flat hash %.1fx (zipf %.1fx); 64/1 GiB %.2fx; whole "
	       "path ",
	       body[1].ns[BODY_TILE], body[1].ns[BODY_FLAT] / body[1].ns[BODY_TILE],
	       body[4].ns[BODY_FLAT] / body[4].ns[BODY_TILE],
	       body[2].ns[BODY_TILE] / body[0].ns[BODY_TILE]);
	print_ratios("time", fault);
	if (insns) {
		fputs("; ", stdout);
		print_ratios("instructions", insns);
	}
	printf("; %.0f KiB per GiB touched (zipf %.0f)\n", body[1].used_kib, body[4].used_kib);
}

/* In the guest: standard output is the result. */
static int count_insns(void)
{
	struct json_object *o = bench_json_new("sample");
	struct fault_result fault = { 0 };
	int err = bench_pin();

	err = err < 0 ? err : fault_run(&fault, FAULT_ROUNDS_INSNS);
	bench_progress_end();
	json_object_object_add(o, "whole_path_insns", json_fault(&fault, "insns"));
	if (err)
		fprintf(stderr, "sample: %s\n", strerror(-err));
	else
		puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	json_object_put(o);
	return err != 0;
}

static int measure_bodies(struct json_object *list, struct body_result *body)
{
	size_t i;
	int err;

	for (i = 0; i < NR_CASES; i++) {
		err = body_run(&cases[i], &body[i]);
		bench_progress_end();
		if (err)
			return err;
		print_body(&cases[i], &body[i]);
		json_object_array_add(list, json_body(&cases[i], &body[i]));
	}
	return 0;
}

/* insns: what count_insns() printed, or NULL. */
static int measure(struct json_object *o, struct json_object *insns_doc,
		   const struct fault_result *insns)
{
	struct json_object *list = json_object_new_array();
	struct body_result body[NR_CASES];
	struct fault_result fault = { 0 };
	int err = bench_pin();

	json_object_object_add(o, "body", list);
	print_head();
	err = err < 0 ? err : measure_bodies(list, body) ?: fault_run(&fault, FAULT_ROUNDS);
	bench_progress_end();
	if (err) {
		fprintf(stderr, "sample: %s\n", strerror(-err));
		return err;
	}
	print_fault(&fault, "ns");
	json_object_object_add(o, "whole_path", json_fault(&fault, "ns"));
	if (insns) {
		print_fault(insns, "instructions");
		json_object_object_add(o, "in_guest", json_object_get(insns_doc));
	}
	err = bench_json_write(json_object_get(o), RESULT);
	if (!err)
		print_key_figures(body, &fault, insns);
	return err;
}

int main(int argc, char **argv)
{
	struct json_object *o, *doc = NULL;
	struct fault_result insns = { 0 };
	int err = 0;

	libbpf_set_print(NULL);
	if (argc > 2) {
		fputs("usage: sample [-i | FILE]\n", stderr);
		return 2;
	}
	if (argc == 2 && !strcmp(argv[1], "-i"))
		return count_insns();
	if (argc == 2)
		err = read_insns(argv[1], &insns, &doc);
	if (err)
		fprintf(stderr, "sample: %s does not have what sample -i prints\n", argv[1]);
	o = bench_json_new("sample");
	err = err ?: measure(o, doc, argc == 2 ? &insns : NULL);
	json_object_put(o);
	json_object_put(doc);
	return err != 0;
}
