// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * A hot set and a scan that pollutes it: random updates of a small region, and beside them one
 * sequential walk through everything else, over and over, one line at a time. Each scanned page is
 * touched 64 times in a row and then not for a long time, so whoever ranks by recency, or promotes
 * at the first few samples, fills fast memory with pages that have just become useless. The scan
 * comes first in memory, so the hot set starts in slow memory when the scan fills the fast node.
 *
 * One word per line is checked whenever it is read: scanned lines hold a function of their place
 * (and of the pass, with --scan-write), hot ones count, and the counts must add up.
 */
#include "workload.h"

#define LINE 64
#define BATCH 4096

struct scan {
	struct wl w;
	uint64_t ops, hot_mib, hot_lines, lines;
	double share;
	bool write;
	char *hot, *cold;
	uint64_t pos, pass, done, hot_done, weighted, bad;
};

static inline uint64_t *line(char *base, uint64_t i)
{
	return (uint64_t *)(base + i * LINE);
}

static inline uint64_t first_value(const struct scan *s, uint64_t i)
{
	return (i + s->w.seed) * 0x9e3779b97f4a7c15ULL;
}

static void setup(struct scan *s)
{
	s->hot_lines = s->hot_mib * WL_MIB / LINE;
	s->lines = (s->w.size_mib - s->hot_mib) * WL_MIB / LINE;
	s->cold = wl_alloc(&s->w, s->lines * LINE);
	s->hot = wl_alloc(&s->w, s->hot_lines * LINE);
	for (uint64_t i = 0; i < s->lines; i++)
		*line(s->cold, i) = first_value(s, i);
	for (uint64_t i = 0; i < s->hot_lines; i++)
		*line(s->hot, i) = first_value(s, i);
}

/* Everything in the loop stays in registers: a variable in memory would be one more hot page. */
static inline __attribute__((always_inline)) uint64_t batch(struct scan *s, uint64_t rng,
							    bool write)
{
	uint32_t threshold = s->share >= 1 ? ~0u : (uint32_t)(s->share * 0x1p32);
	uint64_t pos = s->pos, weighted = 0, bad = 0, left = BATCH, seed = s->w.seed;
	uint64_t hot_lines = s->hot_lines, lines = s->lines, pass = write ? s->pass : 0;
	char *cold_base = s->cold, *hot_base = s->hot;

	for (; left && pos < lines; left--) {
		uint64_t r = wl_rand(&rng), c, want;
		volatile uint64_t *at;

		if ((uint32_t)r < threshold) {
			at = (uint64_t *)(cold_base + pos * LINE);
			want = (pos + seed) * 0x9e3779b97f4a7c15ULL + pass;
			bad += *at != want;
			if (write)
				*at = want + 1;
			pos++;
			continue;
		}
		c = (unsigned __int128)r * hot_lines >> 64;
		at = (uint64_t *)(hot_base + c * LINE);
		*at += 1;
		weighted += c;
	}
	s->weighted += weighted;
	s->hot_done += BATCH - left - (pos - s->pos);
	s->done += BATCH - left;
	s->bad += bad;
	s->pos = pos;
	if (pos == lines) {
		s->pos = 0;
		s->pass++;
	}
	return rng;
}

static __attribute__((noinline)) uint64_t batch_read(struct scan *s, uint64_t rng)
{
	return batch(s, rng, false);
}

static __attribute__((noinline)) uint64_t batch_write(struct scan *s, uint64_t rng)
{
	return batch(s, rng, true);
}

static void run(struct scan *s)
{
	uint64_t rng = wl_seed(s->w.seed, 0);

	wl_start(&s->w);
	while (s->w.seconds || s->done < s->ops) {
		rng = s->write ? batch_write(s, rng) : batch_read(s, rng);
		if (!wl_tick(&s->w, s->done))
			break;
	}
	wl_stop(&s->w, s->done);
	wl_extra(&s->w, "\"passes\":%.3f,\"hot_ops\":%" PRIu64 ",",
		 s->pass + (double)s->pos / s->lines, s->hot_done);
}

static bool verify(struct scan *s)
{
	uint64_t sum = 0, weighted = 0;

	for (uint64_t i = 0; i < s->lines; i++) {
		uint64_t passes = s->write ? s->pass + (i < s->pos) : 0;

		s->bad += *line(s->cold, i) != first_value(s, i) + passes;
	}
	for (uint64_t i = 0; i < s->hot_lines; i++) {
		uint64_t count = *line(s->hot, i) - first_value(s, i);

		s->bad += count > s->hot_done;
		sum += count;
		weighted += count * i;
	}
	if (s->bad || sum != s->hot_done || weighted != s->weighted)
		fprintf(stderr,
			"scan: %" PRIu64 " wrong lines; %" PRIu64 " of %" PRIu64 " updates\n",
			s->bad, sum, s->hot_done);
	return !s->bad && sum == s->hot_done && weighted == s->weighted;
}

static const struct opt options[] = {
	OPT_NUMBER(struct scan, ops, "ops", 'n', "N", 1, 1e15,
		   "hot updates and scanned lines in all (30000000)"),
	OPT_NUMBER(struct scan, hot_mib, "hot", 0, "MIB", 1, 1 << 24, "size of the hot set (100)"),
	OPT_NUMBER(struct scan, share, "scan-share", 0, "X", 0, 1,
		   "share of operations that scan (0.5)"),
	OPT_SETS(struct scan, write, "scan-write", true, "the scan writes what it read"),
	{}
};

static const char doc[] = "A hot set beside a sequential scan. One thread.";

int main(int argc, char **argv)
{
	static struct scan s = { .w = { .name = "scan", .size_mib = 700 },
				 .ops = 30000000,
				 .hot_mib = 100,
				 .share = 0.5 };

	wl_parse(&s.w, argc, argv, options, &s, doc);
	if (s.hot_mib >= s.w.size_mib)
		wl_usage(&s.w, "--hot must be less than --size");
	s.w.threads = 1;
	setup(&s);
	wl_placement(&s.w, "scanned", wl_fast_range(&s.w, s.cold, s.lines * LINE));
	wl_placement(&s.w, "hot", wl_fast_range(&s.w, s.hot, s.hot_lines * LINE));
	run(&s);
	return wl_finish(&s.w, verify(&s));
}
