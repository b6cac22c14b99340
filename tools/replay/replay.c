// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * replay: runs a policy object on a recorded or generated trace, through the real BPF programs and
 * the loader's own ranges, planner, ledger and aging, and prints what would have moved. No second
 * memory tier is needed: the placement is the loader's shadow of it. Reads top down from main():
 * open the policy, make up the address space, then an epoch at a time.
 */
#include <argp.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bpf/bpf.h>
#include <json-c/json.h>

#include "bpflog.h"
#include "config.h"
#include "engine.h"
#include "gen.h"
#include "knobs.h"
#include "log.h"
#include "playback.h"
#include "policydir.h"

#define SETS_MAX 64
#define TGID 1000
#define BASE 0x7f0000000000ULL
#define CHECK_DRAWS 65536 /* accesses looked up to estimate the fast share: error 0.2 % */

struct replay {
	struct ht_engine e;
	struct ht_config cfg;
	struct gen gen, check;
	const char *policy, *trace, *rates, *json;
	char *set[SETS_MAX];
	unsigned int nr_set;
	struct ht_playback in; /* a recording, if in.f */
	uint64_t *tile;	       /* its tiles, sorted */
	size_t nr_tiles;
	uint32_t source;	  /* of its samples */
	uint64_t footprint, fast; /* bytes */
	uint64_t samples;	  /* per epoch */
	uint64_t period, seed;
	unsigned int epochs, every, dense;
	bool thp;
	uint64_t fast_capacity; /* pages */
	double sum_share, sum_oracle, ms_decide, ms_max;
	unsigned int counted;
};

enum {
	OPT_GEN = 256,
	OPT_LAYOUT,
	OPT_HOT,
	OPT_SHARE,
	OPT_SCAN,
	OPT_THETA,
	OPT_SHIFT,
	OPT_SAMPLES,
	OPT_PERIOD,
	OPT_SEED,
	OPT_RATES,
	OPT_DENSE,
	OPT_THP,
	OPT_EPOCH,
	OPT_BUDGET,
	OPT_SET
};

static const struct argp_option options[] = {
	{ "trace", 't', "FILE", 0,
	  "Replay this recording (hypertier-load --record) instead of a generated trace", 0 },
	{ "gen", OPT_GEN, "KIND", 0, "gups, zipf, uniform, scan or graph (default gups)", 0 },
	{ "rates", OPT_RATES, "FILE", 0,
	  "Pages at the rates of a workload, from DIR/counts of tools/bench/eval", 0 },
	{ "layout", OPT_LAYOUT, "HOW", 0, "Hot pages are contig, scatter or sparse", 0 },
	{ "footprint", 'm', "SIZE", 0, "Memory of the workload (default 1G)", 0 },
	{ "fast", 'f', "SIZE", 0, "Fast tier (default a quarter of the footprint)", 0 },
	{ "hot", OPT_HOT, "SIZE", 0, "Hot set (default a tenth of the footprint)", 0 },
	{ "hot-share", OPT_SHARE, "X", 0, "Share of accesses it gets (default 0.9)", 0 },
	{ "scan-share", OPT_SCAN, "X", 0, "Share of sequential accesses (default 0.5)", 0 },
	{ "theta", OPT_THETA, "X", 0, "Zipf exponent (default 0.99)", 0 },
	{ "shift-every", OPT_SHIFT, "EPOCHS", 0, "The hot set moves this often", 0 },
	{ "samples", OPT_SAMPLES, "N", 0, "Samples per epoch (default 5000)", 0 },
	{ "dense", OPT_DENSE, "EPOCHS", 0, "The first EPOCHS have eight times as many samples", 0 },
	{ "period", OPT_PERIOD, "N", 0, "Accesses per sample (default 4093)", 0 },
	{ "epochs", 'n', "N", 0, "Epochs to run (default 60)", 0 },
	{ "epoch", OPT_EPOCH, "TIME", 0, "Nominal length of an epoch (default 500ms)", 0 },
	{ "budget", OPT_BUDGET, "MIB", 0, "MiB moved per second at most (default 256)", 0 },
	{ "every", 'e', "N", 0, "Print every N-th epoch (default 5; 0 = only the end)", 0 },
	{ "thp", OPT_THP, NULL, 0, "All memory is in huge pages", 0 },
	{ "seed", OPT_SEED, "N", 0, "Seed of the generator (default 1)", 0 },
	{ "json", 'j', "FILE", 0, "Append the result to FILE as a line of JSON", 0 },
	{ "set", OPT_SET, "NAME=VALUE", 0, "Set a knob of the policy", 0 },
	{ "verbose", 'v', NULL, 0, "Say more", 0 },
	{ 0 },
};

static double real(struct argp_state *st, const char *arg, double min, double max)
{
	char *end;
	double v = strtod(arg, &end);

	if (end == arg || *end || !(v >= min && v <= max))
		argp_error(st, "'%s' is not a number from %g to %g", arg, min, max);
	return v;
}

static uint64_t size(struct argp_state *st, const char *arg)
{
	uint64_t v;

	if (ht_parse_size(arg, 1, &v) || v < HT_TILE_SIZE)
		argp_error(st, "'%s' is not a size of at least 2M", arg);
	return v;
}

static int choice(struct argp_state *st, const char *arg, const char *const *names)
{
	int i;

	for (i = 0; names[i]; i++)
		if (!strcmp(arg, names[i]))
			return i;
	argp_error(st, "unknown choice '%s'", arg);
	return -1;
}

static error_t parse(int key, char *arg, struct argp_state *st)
{
	static const char *const kinds[] = { "gups", "zipf", "uniform", "scan", "graph", NULL };
	static const char *const layouts[] = { "contig", "scatter", "sparse", NULL };
	struct replay *r = st->input;

	switch (key) {
	case 't':
		r->trace = arg;
		return 0;
	case 'm':
		r->footprint = size(st, arg);
		return 0;
	case 'f':
		r->fast = size(st, arg);
		return 0;
	case 'n':
		r->epochs = real(st, arg, 1, 1e6);
		return 0;
	case 'e':
		r->every = real(st, arg, 0, 1e6);
		return 0;
	case 'j':
		r->json = arg;
		return 0;
	case 'v':
		r->cfg.verbose++;
		return 0;
	case OPT_GEN:
		r->gen.kind = choice(st, arg, kinds);
		return 0;
	case OPT_LAYOUT:
		r->gen.layout = choice(st, arg, layouts);
		return 0;
	case OPT_HOT:
		r->gen.hot = size(st, arg) >> HT_PAGE_SHIFT;
		return 0;
	case OPT_SHARE:
		r->gen.hot_share = real(st, arg, 0, 1);
		return 0;
	case OPT_SCAN:
		r->gen.scan_share = real(st, arg, 0, 1);
		return 0;
	case OPT_THETA:
		r->gen.theta = real(st, arg, 0.01, 10);
		return 0;
	case OPT_SHIFT:
		r->gen.shift_every = real(st, arg, 0, 1e6);
		return 0;
	case OPT_SAMPLES:
		r->samples = real(st, arg, 1, 1e7);
		return 0;
	case OPT_PERIOD:
		r->period = real(st, arg, 1, 1e9);
		return 0;
	case OPT_SEED:
		r->seed = real(st, arg, 0, 1e9);
		return 0;
	case OPT_RATES:
		r->rates = arg;
		return 0;
	case OPT_DENSE:
		r->dense = real(st, arg, 0, 1e6);
		return 0;
	case OPT_THP:
		r->thp = true;
		return 0;
	case OPT_SET:
		if (r->nr_set == SETS_MAX)
			argp_error(st, "too many --set");
		r->set[r->nr_set++] = arg;
		return 0;
	case OPT_EPOCH:
		if (ht_parse_ms(arg, &r->cfg.epoch_ms) || !r->cfg.epoch_ms)
			argp_error(st, "'%s' is not a time", arg);
		return 0;
	case OPT_BUDGET:
		if (ht_parse_size(arg, 1 << 20, &r->cfg.budget_bytes))
			argp_error(st, "'%s' is not a number of MiB", arg);
		return 0;
	case ARGP_KEY_ARG:
		if (r->policy)
			argp_error(st, "one policy at a time");
		r->policy = arg;
		return 0;
	case ARGP_KEY_END:
		if (!r->policy)
			argp_error(st, "which policy?");
		return 0;
	}
	return ARGP_ERR_UNKNOWN;
}

static int open_policy(struct replay *r)
{
	struct ht_object_opts opts = { .source = HT_SRC_EMULATED, .generation = 1 };
	struct ht_engine *e = &r->e;
	struct ht_init init = { .abi = HT_ABI_VERSION,
				.nr_tiers = 2,
				.source = r->source,
				.period = r->period,
				.epoch_ns = r->cfg.epoch_ms * 1000000ULL,
				.fast_pages = r->fast_capacity,
				.slow_pages = r->gen.pages,
				.fast_lat_ns = 80,
				.slow_lat_ns = 250,
				.fast_nodes = 1,
				.fast_bw_mbps = 40960,
				.slow_bw_mbps = 10240 };
	int err, result = 0;

	e->policy = calloc(1, sizeof(*e->policy));
	if (!e->policy)
		return -ENOMEM;
	err = ht_object_open(e->policy, r->policy);
	if (err)
		return err;
	err = ht_knobs_set_all(e->policy->obj, r->set, r->nr_set, NULL);
	if (err)
		return err;
	ht_heatmap_size(&opts.size, r->footprint);
	err = ht_object_load(e->policy, &opts);
	if (err)
		return err;
	e->policy->mem.ctl->abi = HT_ABI_VERSION;
	e->policy->mem.ctl->generation = 1;
	e->policy->mem.ctl->enabled = 1;
	err = ht_heatmap_init(&e->heat, &e->policy->mem);
	err = err ?: ht_object_init_policy(e->policy, &init, &result);
	if (!err && result)
		pr_err("policy '%s' declined to start: init returned %d", e->policy->info.name,
		       result);
	return err ?: result ? -ECANCELED : 0;
}

static int open_parts(struct replay *r)
{
	struct ht_engine *e = &r->e;
	int err;

	err = ht_mover_init(&e->mover, true);
	err = err ?: ht_ranges_init(&e->ranges, e->policy->ranges, HT_RANGES_MAX);
	return err ?: ht_plan_init(&e->plan, e->policy->moves, HT_MOVES_MAX, HT_RANGES_MAX);
}

/* One process whose memory filled the fast tier first, in the order of addresses. */
static int make_space(struct replay *r)
{
	uint64_t tiles = r->footprint >> HT_TILE_SHIFT, i, fast = r->fast_capacity;
	struct ht_target t = { .tgid = TGID };
	struct ht_engine *e = &r->e;
	uint32_t key = TGID;
	struct ht_space *s = calloc(1, sizeof(*s));

	e->space = calloc(1, sizeof(*e->space));
	if (!s || !e->space) {
		free(s);
		return -ENOMEM;
	}
	ht_space_init(s, TGID);
	e->space[0] = s;
	e->nr_space = 1;
	s->spot = calloc(tiles, sizeof(*s->spot));
	if (!s->spot)
		return -ENOMEM;
	s->nr = s->cap = tiles;
	for (i = 0; i < tiles; i++) {
		bool in_fast = (i + 1) * HT_TILE_PAGES <= fast - fast / 64;

		s->spot[i].va = BASE + (i << HT_TILE_SHIFT);
		s->spot[i].in_tier[in_fast ? 0 : 1] = HT_TILE_PAGES;
		s->spot[i].flags = r->thp ? HT_SPOT_THP : 0;
		s->in_tier[in_fast ? 0 : 1] += HT_TILE_PAGES;
	}
	if (bpf_map_update_elem(e->policy->map_targets, &key, &t, BPF_ANY))
		return -errno;
	e->tiers.nr_tiers = e->nr_tiers = 2;
	e->tiers.tier[0].read_lat_ns = 80;
	e->tiers.tier[1].read_lat_ns = 250;
	return 0;
}

static int inject(struct replay *r, uint32_t nr)
{
	struct ht_inject_args args = { .nr = nr, .source = r->source };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &args, .ctx_size_in = sizeof(args));

	return bpf_prog_test_run_opts(r->e.policy->src.prog_inject, &opts) ? -errno : 0;
}

static uint8_t tier_of_page(const struct replay *r, uint64_t page)
{
	const struct ht_spot *sp = &r->e.space[0]->spot[page / HT_TILE_PAGES];

	return ht_spot_tier(sp, page % HT_TILE_PAGES);
}

/* As the loader samples while there is much to learn. */
static uint64_t samples_of_epoch(struct replay *r)
{
	bool dense = r->e.epoch <= r->dense;

	r->e.sim_period =
		dense && r->period > HT_PACE_BURST ? r->period / HT_PACE_BURST : r->period;
	if (r->e.epoch == r->dense + 1 && r->dense)
		ht_pacer_follow(&r->e, 1.0 / HT_PACE_BURST);
	return dense ? r->samples * HT_PACE_BURST : r->samples;
}

static int generate(struct replay *r)
{
	struct ht_inject_rec *rec = r->e.policy->src.inject;
	uint64_t left = samples_of_epoch(r);
	uint32_t n, i;
	int err;

	while (left) {
		n = left < HT_INJECT_MAX ? left : HT_INJECT_MAX;
		for (i = 0; i < n; i++) {
			uint64_t page = gen_draw(&r->gen);
			uint8_t tier = tier_of_page(r, page);

			/* Latencies of an unloaded machine, in cycles at 3 GHz. */
			rec[i] = (struct ht_inject_rec){
				.addr = BASE + (page << HT_PAGE_SHIFT) + (i & 63) * 64,
				.tgid = TGID,
				.node = tier,
				.lat = tier ? 750 : 240,
			};
		}
		err = inject(r, n);
		if (err)
			return err;
		left -= n;
	}
	return 0;
}

/* Where a recorded address lies in the made-up space: sampled tiles in a row, of all processes. */
static uint64_t place_of(const struct replay *r, const struct ht_inject_rec *rec)
{
	size_t i = ht_playback_find(r->tile, r->nr_tiles, HT_KEY(rec->tgid, rec->addr));

	return BASE + (i << HT_TILE_SHIFT) + (rec->addr & (HT_TILE_SIZE - 1));
}

/* The next epoch of a recording. 1 at its end. */
static int read_trace(struct replay *r)
{
	struct ht_inject_rec *rec = r->e.policy->src.inject, in;
	int kind = HT_PLAY_EPOCH, err = 0;
	uint32_t n = 0;

	while (!err && (kind = ht_playback_next(&r->in, &in)) > 0 && kind != HT_PLAY_EPOCH) {
		if (kind != HT_PLAY_SAMPLE)
			continue;
		in.addr = place_of(r, &in);
		in.tgid = TGID;
		rec[n++] = in;
		if (n < HT_INJECT_MAX)
			continue;
		err = inject(r, n);
		n = 0;
	}
	if (n && !err && kind >= 0)
		err = inject(r, n);
	return err ?: kind < 0 ? kind : kind == HT_PLAY_END;
}

static int open_rates(struct replay *r)
{
	int err = gen_load_rates(&r->gen, r->rates);

	if (err)
		pr_err("%s: %s", r->rates,
		       err == -EINVAL ? "not counts of an evaluation" : strerror(-err));
	r->footprint = (r->gen.pages + HT_TILE_PAGES - 1) / HT_TILE_PAGES * HT_TILE_SIZE;
	return err;
}

/* The space is as large as what was sampled. */
static int open_trace(struct replay *r)
{
	int err;

	err = ht_playback_open(&r->in, r->trace);
	err = err ?: ht_playback_tiles(&r->in, false, &r->tile, &r->nr_tiles);
	if (err)
		return err;
	if (!r->nr_tiles) {
		pr_err("%s: there are no samples in it", r->trace);
		return -ENODATA;
	}
	r->footprint = (uint64_t)r->nr_tiles << HT_TILE_SHIFT;
	r->source = r->in.hdr.source;
	if (r->epochs > r->in.epochs)
		r->epochs = r->in.epochs ?: 1;
	if (r->in.hdr.period)
		r->period = r->in.hdr.period;
	return 0;
}

static int open_input(struct replay *r)
{
	r->source = HT_SRC_EMULATED;
	if (r->trace)
		return open_trace(r);
	return r->rates ? open_rates(r) : 0;
}

/* Share of the accesses of this moment that the fast tier would serve. */
static double fast_share(struct replay *r)
{
	uint32_t i, hits = 0;

	r->check = r->gen;
	r->check.shift_every = 0;
	for (i = 0; i < CHECK_DRAWS; i++) {
		uint64_t page = gen_draw(&r->check);

		hits += tier_of_page(r, page) == 0;
	}
	return (double)hits / CHECK_DRAWS;
}

/* CPU time, so that what else runs on the machine is not taken for the planner's. */
static double cpu_ms(void)
{
	return ht_cpu_ns() / 1e6;
}

static int epoch(struct replay *r)
{
	struct ht_engine *e = &r->e;
	struct ht_space *s = e->space[0];
	double t0, ms;
	int err, end;

	e->epoch++;
	e->stages = (struct ht_stages){};
	end = r->in.f ? read_trace(r) : generate(r);
	if (end < 0)
		return end;
	err = ht_epoch_samples(e);
	if (err)
		return err;
	e->free_pages[0] = r->fast_capacity -
			   (s->in_tier[0] < r->fast_capacity ? s->in_tier[0] : r->fast_capacity);
	e->free_pages[1] = r->gen.pages;
	t0 = cpu_ms();
	err = ht_heatmap_collect(&e->heat);
	if (err)
		return err;
	ht_space_join(s, &e->heat);
	err = ht_epoch_decide(e);
	ms = cpu_ms() - t0;
	r->ms_decide += ms;
	if (ms > r->ms_max)
		r->ms_max = ms;
	return err ?: end;
}

static void print_epoch(struct replay *r, double share, double oracle)
{
	const struct ht_metrics *m = &r->e.metrics;
	char best[16] = "-"; /* of a recording it is not known */

	if (oracle >= 0)
		snprintf(best, sizeof(best), "%.2f", oracle * 100);
	if (r->e.epoch == 1 || (r->every && r->e.epoch == r->every))
		printf("%6s %7s %7s %7s %7s %7s %9s %9s %8s %6s %6s\n", "epoch", "true %", "oracle",
		       "heat %", "ranges", "details", "promoted", "demoted", "wasted", "ticks",
		       "margin");
	printf("%6u %7.2f %7s %7.2f %7lu %7lu %9lu %9lu %8lu %6lu %6.2f\n", r->e.epoch, share * 100,
	       best, m->fast_share * 100, m->ranges, m->details, m->promoted, m->demoted, m->wasted,
	       m->ticks, r->e.margin);
}

static int run(struct replay *r)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < r->epochs && !err; i++) {
		double share, oracle;

		err = epoch(r);
		if (err < 0)
			break;
		share = r->in.f ? r->e.metrics.fast_share : fast_share(r);
		oracle = r->in.f ? -1 : gen_oracle(&r->gen, r->fast_capacity);
		if (i >= r->epochs / 4) {
			r->sum_share += share;
			r->sum_oracle += oracle;
			r->counted++;
		}
		if (r->every && (i + 1) % r->every == 0)
			print_epoch(r, share, oracle);
	}
	return err < 0 ? err : 0;
}

static int append_json(const struct replay *r, double share, double oracle)
{
	const struct ht_metrics *m = &r->e.metrics;
	FILE *f = fopen(r->json, "a");
	char best[16] = "null";
	int err;

	if (oracle >= 0)
		snprintf(best, sizeof(best), "%.5f", oracle);
	if (f)
		fprintf(f,
			"{\"policy\":\"%s\",\"footprint\":%lu,\"fast\":%lu,\"fast_share\":%.5f,"
			"\"oracle\":%s,\"promoted\":%lu,\"demoted\":%lu,\"wasted\":%lu,"
			"\"decide_ms\":%.3f,\"decide_ms_max\":%.3f,\"ranges\":%lu}\n",
			m->policy, r->footprint, r->fast, share, best, m->promoted, m->demoted,
			m->wasted, r->ms_decide / r->e.epoch, r->ms_max, m->ranges);
	if (f && !fclose(f))
		return 0;
	err = -errno;
	pr_err("cannot write %s: %s", r->json, strerror(-err));
	return err;
}

static int summary(const struct replay *r)
{
	const struct ht_metrics *m = &r->e.metrics;
	double share = r->counted ? r->sum_share / r->counted : 0;
	double oracle = r->counted ? r->sum_oracle / r->counted : 0;
	double moved = m->promoted + m->demoted;

	printf("policy %s: fast share %.2f %%", m->policy, share * 100);
	if (oracle > 0)
		printf(" (%.1f %% of the oracle's %.2f %%)", share / oracle * 100, oracle * 100);
	printf(" over the last three quarters; moved %.0f MiB, %.1f %% wasted; decision %.2f ms "
	       "per "
	       "epoch, %.2f at most; %lu ranges\n",
	       moved / 256, moved > 0 ? m->wasted / moved * 100 : 0, r->ms_decide / r->e.epoch,
	       r->ms_max, m->ranges);
	return r->json ? append_json(r, share, oracle) : 0;
}

static void set_defaults(struct replay *r)
{
	r->footprint &= ~(HT_TILE_SIZE - 1);
	if (!r->fast)
		r->fast = r->footprint / 4;
	r->fast_capacity = r->fast >> HT_PAGE_SHIFT;
	if (!r->gen.pages)
		r->gen.pages = r->footprint >> HT_PAGE_SHIFT;
	if (!r->gen.hot)
		r->gen.hot = r->gen.pages / 10;
	r->gen.shift_every *= r->samples;
	gen_init(&r->gen, r->seed);
	r->e.cfg = &r->cfg;
	r->e.simulated = true;
	r->e.stats_fd = -1;
	r->e.sim_period = r->period;
	ht_epoch_init(&r->e);
}

static void close_all(struct replay *r)
{
	struct ht_engine *e = &r->e;

	ht_playback_close(&r->in);
	gen_free(&r->gen);
	free(r->tile);
	ht_plan_free(&e->plan);
	ht_ranges_free(&e->ranges);
	ht_mover_free(&e->mover);
	ht_heatmap_free(&e->heat);
	if (e->space && e->space[0]) {
		ht_space_free(e->space[0]);
		free(e->space[0]);
	}
	free(e->space);
	if (e->policy)
		ht_object_close(e->policy);
	free(e->policy);
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		options,
		parse,
		"POLICY.bpf.o",
		"Runs a policy on a recorded or generated trace and prints what would have moved.",
		NULL,
		NULL,
		NULL
	};
	static struct replay r = { .footprint = 1ULL << 30,
				   .samples = 5000,
				   .period = 4093,
				   .epochs = 60,
				   .every = 5,
				   .seed = 1,
				   .gen = { .hot_share = 0.9, .scan_share = 0.5, .theta = 0.99 },
				   .cfg = { .epoch_ms = HT_EPOCH_MS,
					    .budget_bytes = (uint64_t)HT_BUDGET_MIB << 20 } };
	char *path;
	int err;

	argp_program_version = "replay " HT_VERSION;
	argp_err_exit_status = HT_RC_USAGE;
	argp_parse(&argp, argc, argv, 0, NULL, &r);
	path = ht_policy_find(r.policy);
	if (path)
		r.policy = path;
	else
		ht_policy_say_where(r.policy);
	ht_log_set_level(HT_LOG_INFO + r.cfg.verbose);
	ht_bpflog_start();
	err = open_input(&r);
	if (!err) {
		set_defaults(&r);
		err = open_policy(&r);
	}
	err = err ?: open_parts(&r);
	err = err ?: make_space(&r);
	if (!err) {
		snprintf(r.e.metrics.policy, sizeof(r.e.metrics.policy), "%s",
			 r.e.policy->info.name);
		err = run(&r);
		if (err)
			pr_err("epoch %u: %s", r.e.epoch, strerror(-err));
		else
			err = summary(&r);
	}
	close_all(&r);
	free(path);
	return err ? HT_RC_ERROR : HT_RC_OK;
}
