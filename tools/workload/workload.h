/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What all workloads share: common options, memory, random numbers, the markers around the part
 * that is measured, progress, and the report. The order of calls is
 *
 *	wl_parse(), wl_alloc() and setting up, wl_start(), work with wl_tick(), wl_phase(),
 *	wl_stop(), checking the data, wl_finish()
 *
 * Setting up and checking are outside the markers, so they are not counted. Exit status: 0, 1 for
 * errors, 2 for wrong usage, 3 when data was lost or changed.
 */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <inttypes.h>
#include <math.h>
#include <numaif.h>
#include <signal.h>
#include <stdarg.h>
#include <time.h>

#include "options.h"
#include "ring.h"

#define WL_EXIT_DATA 3
#define WL_MIB (UINT64_C(1) << 20)
#define WL_HUGE (2 * WL_MIB)
#define WL_PAGE UINT64_C(4096)
#define WL_HIST 1024

enum wl_thp { WL_THP_DEFAULT, WL_THP_ON, WL_THP_OFF };

struct wl_phase_info {
	uint64_t ops;
	double seconds;
};

struct wl {
	const char *name;
	/* options */
	uint64_t seed, size_mib;
	uint64_t threads;
	enum wl_thp thp;
	double seconds; /* run that long, 0: the workload's own measure */
	double live;	/* seconds between progress lines, 0 = none */
	double wait;	/* seconds between setting up and starting */
	const char *json;
	bool latency;
	/* Another process does the work (0: this one); mark() sends markers from there. */
	pid_t target;
	void (*mark)(struct wl *w, unsigned int cmd, uint64_t arg);
	/* state */
	struct ring ring;
	unsigned int fast_nodes;
	double t0, t_phase, t_live, elapsed;
	uint64_t ops, ops_phase, ops_live;
	unsigned int phase, nr_phases;
	struct wl_phase_info phases[HT_RING_MAX_PHASES];
	struct ring_totals before, last, result;
	uint32_t hist[WL_HIST];
	uint64_t hist_nr;
	char extra[4096]; /* more members for the JSON object, each ending in a comma */
};

/* --- Small tools ------------------------------------------------------------------------------ */

static inline double wl_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec * 1e-9;
}

static inline uint64_t wl_mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ULL;
	return x ^ x >> 32;
}

/* A full-period generator whose state lives in a register; never 0 for seeds made by wl_seed(). */
static inline uint64_t wl_rand(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	*state = x;
	return x * 0x2545f4914f6cdd1dULL;
}

static inline uint64_t wl_seed(uint64_t seed, uint64_t stream)
{
	return wl_mix(wl_mix(seed + 0x632be59bd9b4e019ULL) + stream * 0xd1342543de82ef95ULL) | 1;
}

/* Uniform in [0, n) without a division. */
static inline uint64_t wl_below(uint64_t *state, uint64_t n)
{
	return (unsigned __int128)wl_rand(state) * n >> 64;
}

static inline double wl_unit(uint64_t *state)
{
	return (wl_rand(state) >> 11) * 0x1p-53;
}

static inline void __attribute__((format(printf, 2, 3)))
wl_extra(struct wl *w, const char *fmt, ...)
{
	size_t len = strlen(w->extra);
	va_list ap;

	va_start(ap, fmt);
	if (vsnprintf(w->extra + len, sizeof(w->extra) - len, fmt, ap) >=
	    (int)(sizeof(w->extra) - len))
		w->extra[len] = '\0';
	va_end(ap);
}

/* --- Options ---------------------------------------------------------------------------------- */

static const struct opt wl_options[] = {
	OPT_NUMBER(struct wl, size_mib, "size", 's', "MIB", 4, 1 << 24, "memory to work on"),
	OPT_NUMBER(struct wl, seed, "seed", 'r', "N", 0, 1e15, "seed of all random choices (1)"),
	OPT_NUMBER(struct wl, threads, "threads", 't', "N", 1, 64, "worker threads (1)"),
	OPT_NUMBER(struct wl, seconds, "seconds", 'S', "S", 0.001, 1e7,
		   "run for this long instead of a number of operations"),
	OPT_ONE_OF(struct wl, thp, "thp", "default|on|off", "huge pages by madvise(2)"),
	OPT_NUMBER(struct wl, wait, "wait", 0, "S", 0, 1e6,
		   "sleep between setting up and starting; SIGUSR1 ends it"),
	{ .name = "live",
	  .arg = "S",
	  .doc = "a progress line every S (1) seconds",
	  .kind = OPT_DOUBLE,
	  .flags = OPTION_ARG_OPTIONAL,
	  OPT_OF(struct wl, live),
	  .min = 0.01,
	  .max = 1e6 },
	OPT_STRING(struct wl, json, "json", "FILE",
		   "append the result as one line of JSON; - is stdout"),
	OPT_SETS(struct wl, latency, "latency", true,
		 "measure the latency of every 16th operation"),
	{}
};

/* Node list as "0,2-3" -> bit mask; 0 if it is not one. */
static inline unsigned int wl_node_mask(const char *s)
{
	unsigned int mask = 0;
	char *end;

	while (*s) {
		unsigned long a = strtoul(s, &end, 10), b = a;

		if (end == s)
			return 0;
		if (*end == '-') {
			s = end + 1;
			b = strtoul(s, &end, 10);
			if (end == s)
				return 0;
		}
		if (b < a || b >= HT_RING_MAX_NODES || (*end && *end != ','))
			return 0;
		for (; a <= b; a++)
			mask |= 1u << a;
		s = *end ? end + 1 : end;
	}
	return mask;
}

/* Parses common and own options, which go to base, and maps the ring. Ends the program on errors.
 */
static inline void wl_parse(struct wl *w, int argc, char **argv, const struct opt *own, void *base,
			    const char *doc)
{
	struct opt_set common = { .opt = wl_options, .base = w };
	struct opt_set all = { .opt = own, .base = base, .common = &common };
	const char *fast = getenv("HT_FAST_NODES");

	w->threads = w->threads ? w->threads : 1;
	w->seed = w->seed ? w->seed : 1;
	opt_parse(&all, doc, argc, argv);
	w->fast_nodes = wl_node_mask(fast && *fast ? fast : "0");
	if (!w->fast_nodes) {
		fprintf(stderr, "%s: HT_FAST_NODES takes a list as 0,2-3, not '%s'\n", w->name,
			fast);
		exit(2);
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (ring_open(&w->ring))
		exit(1);
}

/* Ends the program: options that do not go together. */
static inline void wl_usage(const struct wl *w, const char *what)
{
	fprintf(stderr, "%s: %s\n", w->name, what);
	exit(2);
}

/* --- Memory ----------------------------------------------------------------------------------- */

/* Anonymous memory on a 2 MiB boundary, untouched. Ends the program if there is none. */
static inline void *wl_alloc(struct wl *w, uint64_t size)
{
	uint64_t len = (size + WL_HUGE - 1) & ~(WL_HUGE - 1);
	char *p = mmap(NULL, len + WL_HUGE, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED) {
		fprintf(stderr, "%s: cannot allocate %" PRIu64 " MiB: %m\n", w->name,
			size / WL_MIB);
		exit(1);
	}
	p = (char *)(((uintptr_t)p + WL_HUGE - 1) & ~(WL_HUGE - 1));
	if (w->thp != WL_THP_DEFAULT &&
	    madvise(p, len, w->thp == WL_THP_ON ? MADV_HUGEPAGE : MADV_NOHUGEPAGE))
		fprintf(stderr, "%s: no huge page control here: %m\n", w->name);
	return p;
}

/* Share of the pages of a list that lies on fast nodes, by move_pages(2); -1: nothing known. */
static inline double wl_fast_pages(const struct wl *w, void **pages, unsigned int nr)
{
	int *status = calloc(nr, sizeof(*status));
	unsigned int fast = 0, known = 0;

	if (!status || move_pages(0, nr, pages, NULL, status, 0))
		nr = 0;
	for (unsigned int i = 0; i < nr; i++) {
		if (status[i] < 0)
			continue;
		known++;
		fast += status[i] < 32 && w->fast_nodes >> status[i] & 1;
	}
	free(status);
	return known ? (double)fast / known : -1;
}

/* The same for a range, by up to 8192 pages evenly spread over it. */
static inline double wl_fast_range(const struct wl *w, void *start, uint64_t len)
{
	uint64_t all = len / WL_PAGE, nr = all < 8192 ? all : 8192;
	void **pages = calloc(nr ? nr : 1, sizeof(*pages));
	double share = -1;

	for (uint64_t i = 0; pages && i < nr; i++)
		pages[i] = (char *)start + i * all / nr * WL_PAGE;
	if (pages && nr)
		share = wl_fast_pages(w, pages, nr);
	free(pages);
	return share;
}

/* --- Measuring -------------------------------------------------------------------------------- */

/* Reports how much of the data is on fast nodes, for the record. */
static inline void wl_placement(struct wl *w, const char *what, double share)
{
	if (share < 0)
		return;
	printf("%s: %s: %.1f %% on fast nodes\n", w->name, what, 100 * share);
	wl_extra(w, "\"placement_%s\":%.4f,", what, share);
}

static inline void wl_wake(int sig)
{
}

static inline void wl_mark(struct wl *w, unsigned int cmd, uint64_t arg, uint64_t arg2)
{
	if (w->mark)
		w->mark(w, cmd, arg);
	else
		ht_marker(cmd, arg, arg2);
}

/* The last thing before the measured part. */
static inline void wl_start(struct wl *w)
{
	struct timespec wait = { .tv_sec = w->wait, .tv_nsec = fmod(w->wait, 1) * 1e9 };
	pid_t target = w->target ?: getpid();
	int err = w->ring.hdr ? memmap_send(w->ring.hdr) : 0;

	if (err) {
		fprintf(stderr, "%s: cannot tell which memory is whose: %s\n", w->name,
			strerror(-err));
		exit(1);
	}
	if (w->wait > 0)
		signal(SIGUSR1, wl_wake);
	printf("%s: ready, pid %d\n", w->name, target);
	if (w->wait > 0)
		nanosleep(&wait, NULL);
	w->t0 = w->t_phase = w->t_live = wl_now();
	wl_mark(w, HT_MARK_START, target, w->threads);
	ring_read(&w->ring, &w->before);
	w->last = w->before;
}

static inline void wl_end_phase(struct wl *w)
{
	double now = wl_now();

	w->phases[w->phase].ops += w->ops - w->ops_phase;
	w->phases[w->phase].seconds += now - w->t_phase;
	w->ops_phase = w->ops;
	w->t_phase = now;
}

/* Begins a phase of the workload; later ones than the ring can tell apart go to the last. */
static inline void wl_phase(struct wl *w, unsigned int phase, uint64_t ops)
{
	wl_mark(w, HT_MARK_PHASE, phase, 0);
	w->ops = ops;
	wl_end_phase(w);
	w->phase = phase < HT_RING_MAX_PHASES ? phase : HT_RING_MAX_PHASES - 1;
	if (w->phase >= w->nr_phases)
		w->nr_phases = w->phase + 1;
}

static inline void wl_live_line(struct wl *w, double now, uint64_t ops)
{
	double since = now - w->t_live, share, all;
	struct ring_totals t, d;

	ring_read(&w->ring, &t);
	d = t;
	ring_diff(&d, &w->last);
	w->last = t;
	ring_diff(&t, &w->before);
	share = ring_fast_share(&d.all, w->fast_nodes, false);
	all = ring_fast_share(&t.all, w->fast_nodes, false);
	printf("%s: %7.2f s %12" PRIu64 " ops %11.0f/s", w->name, now - w->t0, ops,
	       (ops - w->ops_live) / since);
	if (share >= 0)
		printf("  fast %5.1f %%, so far %5.1f %%", 100 * share, 100 * all);
	if (w->nr_phases > 1)
		printf("  phase %u", w->phase);
	if (t.all.model_ns)
		printf("  modelled %.3f s", t.all.model_ns * 1e-9);
	printf("\n");
	w->ops_live = ops;
	w->t_live = now;
}

/*
 * To be called by one thread every few thousand operations, with their total so far. Returns false
 * when the time is up.
 */
static inline bool wl_tick(struct wl *w, uint64_t ops)
{
	double now;

	w->ops = ops;
	if (!w->live && !w->seconds)
		return true;
	now = wl_now();
	if (w->live && now - w->t_live >= w->live)
		wl_live_line(w, now, ops);
	return !w->seconds || now - w->t0 < w->seconds;
}

static inline void wl_stop(struct wl *w, uint64_t ops)
{
	wl_mark(w, HT_MARK_STOP, 0, 0);
	w->elapsed = wl_now() - w->t0;
	w->ops = ops;
	wl_end_phase(w);
	if (!w->nr_phases)
		w->nr_phases = 1;
	ring_read(&w->ring, &w->result);
	ring_diff(&w->result, &w->before);
}

/* Latencies in ns go to buckets of 1/16 of a power of two. */
static inline void wl_latency(struct wl *w, uint64_t ns)
{
	unsigned int shift = ns < 16 ? 0 : 59 - __builtin_clzll(ns);

	w->hist[shift * 16 + (ns >> shift)]++;
	w->hist_nr++;
}

static inline double wl_percentile(const struct wl *w, double p)
{
	uint64_t want = w->hist_nr * p, sum = 0;

	for (unsigned int i = 0; i < WL_HIST; i++) {
		unsigned int shift = i < 32 ? 0 : i / 16 - 1;

		sum += w->hist[i];
		if (sum > want)
			return (double)((uint64_t)(i - shift * 16) << shift);
	}
	return 0;
}

static inline uint64_t wl_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* --- Report ----------------------------------------------------------------------------------- */

static inline void wl_json_nodes(FILE *f, const char *name, const uint64_t *v, unsigned int nr)
{
	fprintf(f, "\"%s\":[", name);
	for (unsigned int n = 0; n < nr; n++)
		fprintf(f, "%s%" PRIu64, n ? "," : "", v[n]);
	fprintf(f, "],");
}

static inline void wl_json_share(FILE *f, const char *name, double share)
{
	if (share < 0)
		fprintf(f, "\"%s\":null,", name);
	else
		fprintf(f, "\"%s\":%.6f,", name, share);
}

static inline void wl_json_count(FILE *f, const struct wl *w, const struct ring_count *c)
{
	unsigned int nodes = 1;

	for (unsigned int i = 0; i < w->ring.hdr->nr_mem && i < HT_RING_MAX_MEM; i++)
		if (w->ring.hdr->mem[i].node >= nodes)
			nodes = w->ring.hdr->mem[i].node + 1;
	if (nodes > HT_RING_MAX_NODES)
		nodes = HT_RING_MAX_NODES;
	wl_json_nodes(f, "loads", c->loads, nodes);
	wl_json_nodes(f, "stores", c->stores, nodes);
	wl_json_nodes(f, "misses", c->misses, nodes);
	wl_json_share(f, "fast_share", ring_fast_share(c, w->fast_nodes, false));
	wl_json_share(f, "fast_miss_share", ring_fast_share(c, w->fast_nodes, true));
	fprintf(f, "\"unknown\":%" PRIu64 ",\"insns\":%" PRIu64 ",\"model_ns\":%" PRIu64 ",",
		c->unknown, c->insns, c->model_ns);
}

static inline void wl_json(FILE *f, const struct wl *w, bool ok)
{
	fprintf(f, "{\"workload\":\"%s\",\"seed\":%" PRIu64 ",\"size_mib\":%" PRIu64, w->name,
		w->seed, w->size_mib);
	fprintf(f, ",\"threads\":%" PRIu64 ",\"ops\":%" PRIu64 ",\"seconds\":%.6f,", w->threads,
		w->ops, w->elapsed);
	if (w->ring.hdr) {
		wl_json_count(f, w, &w->result.all);
		fprintf(f,
			"\"llc_hits\":%" PRIu64 ",\"l1_hits\":%" PRIu64 ",\"records\":%" PRIu64 ",",
			w->result.hits, w->result.l1_hits, w->result.records);
	}
	if (w->hist_nr)
		fprintf(f, "\"latency_ns\":{\"p50\":%.0f,\"p90\":%.0f,\"p99\":%.0f,\"p999\":%.0f},",
			wl_percentile(w, 0.5), wl_percentile(w, 0.9), wl_percentile(w, 0.99),
			wl_percentile(w, 0.999));
	fprintf(f, "%s\"phases\":[", w->extra);
	for (unsigned int p = 0; p < w->nr_phases; p++) {
		fprintf(f, "%s{", p ? "," : "");
		if (w->ring.hdr)
			wl_json_count(f, w, &w->result.phase[p]);
		fprintf(f, "\"ops\":%" PRIu64 ",\"seconds\":%.6f}", w->phases[p].ops,
			w->phases[p].seconds);
	}
	fprintf(f, "],\"checksum\":%s}\n", ok ? "true" : "false");
}

static inline int wl_write_json(const struct wl *w, bool ok)
{
	FILE *f;

	if (!w->json)
		return 0;
	f = strcmp(w->json, "-") ? fopen(w->json, "a") : stdout;
	if (!f) {
		fprintf(stderr, "%s: cannot write %s: %m\n", w->name, w->json);
		return 1;
	}
	wl_json(f, w, ok);
	if (f == stdout ? !fflush(f) : !fclose(f))
		return 0;
	fprintf(stderr, "%s: cannot write %s: %m\n", w->name, w->json);
	return 1;
}

static inline void wl_print_phase(const struct wl *w, unsigned int p)
{
	double share = ring_fast_share(&w->result.phase[p], w->fast_nodes, false);

	printf("%s: phase %u: %" PRIu64 " ops, %.2f s", w->name, p, w->phases[p].ops,
	       w->phases[p].seconds);
	if (share >= 0)
		printf(", fast share %.2f %%", 100 * share);
	printf("\n");
}

/* Prints and writes the result; returns the exit status. ok: the data was as it should be. */
static inline int wl_finish(struct wl *w, bool ok)
{
	double share = ring_fast_share(&w->result.all, w->fast_nodes, false);

	for (unsigned int p = 0; w->nr_phases > 1 && p < w->nr_phases; p++)
		wl_print_phase(w, p);
	printf("%s: %" PRIu64 " ops in %.2f s, %.0f ops/s", w->name, w->ops, w->elapsed,
	       w->elapsed > 0 ? w->ops / w->elapsed : 0);
	if (share >= 0)
		printf(", fast share %.2f %%", 100 * share);
	if (w->result.all.model_ns)
		printf(", modelled %.3f s, %.1f ns/op", w->result.all.model_ns * 1e-9,
		       w->ops ? (double)w->result.all.model_ns / w->ops : 0);
	printf(", data %s\n", ok ? "ok" : "WRONG");
	if (wl_write_json(w, ok))
		return 1;
	return ok ? 0 : WL_EXIT_DATA;
}

#endif
