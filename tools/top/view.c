// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* A screen as lines of text; what does not fit is cut. Nothing here knows of terminals. */
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <hypertier/ops.h>

#include "top.h"

#define FEW_SAMPLES 100 /* between two looks: with fewer a share is off by a tenth and more */
#define BAR 24

/* ---- text ---- */

static void new_line(struct top_view *v)
{
	if (v->nr < v->rows) {
		v->text[v->nr][0] = '\0';
		memset(v->look[v->nr], LOOK_PLAIN, v->cols);
		v->nr++;
	}
}

__attribute__((format(printf, 3, 4))) static void put(struct top_view *v, enum top_look look,
						      const char *fmt, ...)
{
	char *line = v->text[v->nr - 1];
	size_t from = strlen(line), i;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(line + from, v->cols + 1 - from, fmt, ap);
	va_end(ap);
	for (i = from; line[i]; i++)
		v->look[v->nr - 1][i] = look;
}

/* The rest of a headline is of its colour too. */
static void fill(struct top_view *v, enum top_look look)
{
	put(v, look, "%*s", v->cols, "");
}

static void row(struct top_view *v, const char *name)
{
	new_line(v);
	put(v, LOOK_BOLD, "%-8s", name);
}

static const char *size_text(char buf[16], double bytes)
{
	static const char unit[] = "BKMGTP";
	int i = 0;

	for (; bytes >= 999.5 && unit[i + 1]; i++)
		bytes /= 1024;
	snprintf(buf, 16, bytes < 9.95 && i ? "%.1f%c" : "%.0f%c", bytes, unit[i]);
	return buf;
}

static const char *pages_text(char buf[16], double pages)
{
	return size_text(buf, pages * 4096);
}

static const char *count_text(char buf[16], double n)
{
	static const char unit[] = " kMGT";
	int i = 0;

	for (; n >= 99999.5 && unit[i + 1]; i++)
		n /= 1000;
	snprintf(buf, 16, i ? "%.0f%c" : "%.0f", n, unit[i]);
	return buf;
}

static double percent(double part, double whole)
{
	return whole > 0 ? part / whole * 100 : 0;
}

static enum top_look look_of(double percent, double fair, double good)
{
	return percent >= good ? LOOK_GOOD : percent >= fair ? LOOK_FAIR : LOOK_BAD;
}

/* ---- the rows on top ---- */

static double seconds_between(const struct top_what *w)
{
	double s = w->before ? (w->now->m.wall_ns - (double)w->before->m.wall_ns) / 1e9 : 0;

	return s > 0.001 ? s : 0;
}

/* Growth of a counter per second; 0 while there is nothing to compare with. */
#define RATE(w, name)                                                                              \
	(seconds_between(w) > 0                                                                    \
		 ? fmax(0, (double)(w)->now->m.name - (double)(w)->before->m.name) /               \
			   seconds_between(w)                                                      \
		 : 0)

static void title(struct top_view *v, const struct top_what *w)
{
	const struct top_status *s = w->now;
	unsigned long up = s->m.wall_ns / 1000000000;

	new_line(v);
	put(v, LOOK_HEAD, "hypertier-top%s%s", *w->instance ? " " : "", w->instance);
	/* First what must not be cut off. */
	if (w->late)
		put(v, LOOK_HEAD, "  NO ANSWER");
	else if (w->paused)
		put(v, LOOK_HEAD, "  paused");
	if (!s->tiering)
		put(v, LOOK_HEAD, "  TIERING STOPPED");
	else if (s->dry_run)
		put(v, LOOK_HEAD, "  dry run");
	if (s->recorded)
		put(v, LOOK_HEAD, "  recording");
	put(v, LOOK_HEAD, "  policy %s  pid %" PRId64 "  up %lu:%02lu:%02lu", s->m.policy, s->pid,
	    up / 3600, up / 60 % 60, up % 60);
	fill(v, LOOK_HEAD);
}

static void fast_row(struct top_view *v, const struct top_what *w)
{
	const struct ht_metrics *m = &w->now->m;
	double share = m->fast_share * 100;
	int full = m->fast_share * BAR + 0.5, i;
	enum top_look look = look_of(share, 50, 80);

	row(v, "Fast");
	if (w->before && RATE(w, samples_counted) * seconds_between(w) < FEW_SAMPLES &&
	    w->now->m.epoch != w->before->m.epoch)
		put(v, LOOK_FAIR, "too few samples just now; ");
	put(v, look, "%5.1f %% ", share);
	put(v, LOOK_PLAIN, "[");
	for (i = 0; i < BAR; i++)
		put(v, look, "%c", i < full ? '#' : '.');
	put(v, LOOK_PLAIN, "] of the heat; misplaced ");
	put(v, look_of(100 - m->misplaced_share * 100, 80, 95), "%.1f %%",
	    m->misplaced_share * 100);
}

static void moves_row(struct top_view *v, const struct top_what *w)
{
	const struct ht_metrics *m = &w->now->m;
	double moved = m->promoted + m->demoted, failed = RATE(w, failed);
	double up = RATE(w, promoted), down = RATE(w, demoted);
	double wasted = percent(m->wasted, moved);

	row(v, "Moves");
	put(v, LOOK_PLAIN, "%.0f/s: up %.1f MiB/s, down %.1f", RATE(w, planned), up / 256,
	    down / 256);
	if (w->now->dry_run)
		put(v, LOOK_FAIR, "; dry: %.1f, %.1f", RATE(w, would_promote) / 256,
		    RATE(w, would_demote) / 256);
	put(v, wasted > 20 ? LOOK_BAD : LOOK_PLAIN, "; wasted %.1f %%", wasted);
	put(v, failed > 0 ? LOOK_FAIR : LOOK_PLAIN, ", failed %.0f/s", failed);
}

static void source_row(struct top_view *v, const struct top_what *w)
{
	const struct ht_metrics *m = &w->now->m;
	double due = m->samples_due > m->samples_seen ? m->samples_due : m->samples_seen;
	double lost = percent(m->samples_lost, due), most = 0;
	char n[16];
	int i, why = -1;

	row(v, "Source");
	put(v, LOOK_PLAIN, "%s, ", w->now->source);
	put(v, w->before && RATE(w, samples_counted) <= 0 ? LOOK_BAD : LOOK_PLAIN, "%s samples/s",
	    count_text(n, RATE(w, samples_counted)));
	put(v, lost > 5 ? LOOK_BAD : LOOK_PLAIN, ", %.1f %% lost", lost);
	for (i = 0; i < HT_DROP_NR; i++) {
		if (m->drop[i] > most) {
			most = m->drop[i];
			why = i;
		}
	}
	if (why >= 0)
		put(v, LOOK_PLAIN, ", %.1f %% dropped (%s)", percent(most, m->samples_seen),
		    ht_drop_name(why));
	put(v, LOOK_PLAIN, "; %s", w->now->source_detail);
}

static void policy_row(struct top_view *v, const struct top_what *w)
{
	const struct top_status *s = w->now;
	double share = s->epoch_ms ? s->ops_last_ns / 1e4 / s->epoch_ms : 0;

	row(v, "Policy");
	put(v, LOOK_PLAIN, "%s%s, generation %" PRId64 ", ", s->m.policy,
	    s->builtin ? " (built in)" : "", s->generation);
	put(v, share > 10 ? LOOK_BAD : LOOK_PLAIN, "ops take %.2f ms of %" PRIu64 " ms",
	    s->ops_last_ns / 1e6, s->epoch_ms);
	put(v, s->m.ejections ? LOOK_BAD : LOOK_PLAIN, ", ejections %" PRIu64, s->m.ejections);
	if (*s->last_exit)
		put(v, s->m.ejections ? LOOK_BAD : LOOK_PLAIN, "; before: %s", s->last_exit);
}

static void loader_row(struct top_view *v, const struct top_what *w)
{
	const struct ht_metrics *m = &w->now->m;
	char n[16];

	row(v, "Loader");
	put(v, LOOK_PLAIN, "CPU %.1f %% and in BPF %.1f %%", RATE(w, loader_ns) / 1e7,
	    RATE(w, bpf_ns) / 1e7);
	put(v, m->late_epochs ? LOOK_FAIR : LOOK_PLAIN, ", %" PRIu64 " late of %" PRIu64 " epochs",
	    m->late_epochs, m->epoch);
	put(v, LOOK_PLAIN, "; %s tiles,", count_text(n, m->tiles));
	put(v, LOOK_PLAIN, " %s by page", count_text(n, m->details));
	put(v, LOOK_PLAIN, ", %s ranges", count_text(n, m->ranges));
	if (m->evicted)
		put(v, LOOK_FAIR, ", %s evicted", count_text(n, m->evicted));
}

/* ---- the tables ---- */

static void tiers_table(struct top_view *v, const struct top_what *w)
{
	char a[16], b[16], c[16], lat[24];
	size_t i;

	new_line(v);
	put(v, LOOK_HEAD, "%4s %-12s %8s %8s %8s %9s", "TIER", "NODES", "SIZE", "FREE", "TARGETS",
	    "READ");
	fill(v, LOOK_HEAD);
	for (i = 0; i < w->now->nr_tiers; i++) {
		const struct top_tier *t = &w->now->tier[i];

		snprintf(lat, sizeof(lat), "%" PRIu64 " ns", t->read_ns);
		new_line(v);
		put(v, LOOK_PLAIN, "%4zu %-12.12s %8s %8s %8s %9s", i, t->nodes,
		    size_text(a, t->bytes), pages_text(b, t->free_pages),
		    pages_text(c, t->target_pages), t->read_ns ? lat : "not told");
	}
}

static void put_share(struct top_view *v, int width, double share)
{
	put(v, look_of(share, 50, 80), "%*.1f", width, share);
}

static void targets_table(struct top_view *v, const struct top_what *w, int max)
{
	const struct top_status *s = w->now;
	double all = 0;
	char n[16];
	size_t i;

	for (i = 0; i < s->nr_targets; i++)
		all += s->target[i].heat;
	new_line(v);
	put(v, LOOK_HEAD, "%7s %-15s %8s %7s %7s %11s  (%" PRIu64 " targets)", "PID", "COMMAND",
	    "MEMORY", "FAST %", "HEAT %", "HEAT FAST %", s->m.targets);
	fill(v, LOOK_HEAD);
	for (i = 0; i < s->nr_targets && (int)i < max; i++) {
		const struct top_target *t = &s->target[i];

		new_line(v);
		put(v, LOOK_PLAIN, "%7" PRId64 " %-15s %8s %7.1f %7.1f ", t->pid, t->comm,
		    pages_text(n, t->pages), percent(t->fast_pages, t->pages),
		    percent(t->heat, all));
		put_share(v, 11, percent(t->fast_heat, t->heat));
		if (t->frozen)
			put(v, LOOK_BAD, "  cannot be moved");
	}
}

/* What tells a range apart, as letters. */
static const char *flags_text(char buf[8], uint64_t flags)
{
	snprintf(buf, 8, "%s%s%s%s%s", flags & HT_RANGE_STRATUM ? "p" : "",
		 flags & HT_RANGE_THP ? "h" : "", flags & HT_RANGE_STREAM ? "s" : "",
		 flags & HT_RANGE_COLD ? "c" : "", flags & HT_RANGE_SKEWED ? "k" : "");
	return buf;
}

static void ranges_head(struct top_view *v, const struct top_what *w)
{
	new_line(v);
	put(v, LOOK_HEAD, "%7s %-12s %6s %6s %6s %8s %8s %8s %5s %-5s", "PID", "ADDRESS", "SIZE",
	    "MEMORY", "FAST %", "HEAT", "PER PAGE", "RECENT", "AGE", "FLAGS");
	fill(v, LOOK_HEAD);
}

static void ranges_table(struct top_view *v, const struct top_what *w)
{
	const struct top_status *s = w->now;
	char a[16], b[16], c[16], d[16], e[16], f[8];
	size_t i, first = v->first_range;

	ranges_head(v, w);
	for (i = first; i < s->nr_ranges && v->nr < v->rows - 1; i++) {
		const struct top_range *r = &s->range[i];

		new_line(v);
		put(v, LOOK_PLAIN, "%7" PRId64 " %-12" PRIx64 " %6s %6s ", r->pid, r->start,
		    size_text(a, r->end - r->start), pages_text(b, r->pages));
		if (r->pages)
			put_share(v, 6, percent(r->fast_pages, r->pages));
		else
			put(v, LOOK_PLAIN, "%6s", "-");
		put(v, LOOK_PLAIN, " %8s %8.2f %8s %5s %-5s", count_text(c, r->heat),
		    r->density / 65536.0, count_text(d, r->recent), count_text(e, r->age),
		    flags_text(f, r->flags));
	}
}

static void keys_row(struct top_view *v, const struct top_what *w)
{
	while (v->nr < v->rows - 1)
		new_line(v);
	new_line(v);
	put(v, LOOK_HEAD, "q quit  sort by %s (s, h d r p a change it)  space pause  arrows scroll",
	    top_sort_name[w->sort]);
	fill(v, LOOK_HEAD);
}

void top_view(struct top_view *v, const struct top_what *w)
{
	int most;

	v->nr = 0;
	if (v->rows > TOP_ROWS_MAX)
		v->rows = TOP_ROWS_MAX;
	if (v->cols > TOP_COLS_MAX)
		v->cols = TOP_COLS_MAX;
	if (v->rows < TOP_ROWS_MIN || v->cols < TOP_COLS_MIN) {
		new_line(v);
		put(v, LOOK_PLAIN, "needs %d x %d", TOP_COLS_MIN, TOP_ROWS_MIN);
		return;
	}
	title(v, w);
	fast_row(v, w);
	moves_row(v, w);
	source_row(v, w);
	policy_row(v, w);
	loader_row(v, w);
	tiers_table(v, w);
	/* Ranges get two thirds of what is left. */
	most = (v->rows - v->nr - 3) / 3;
	targets_table(v, w, most > 1 ? most : 1);
	ranges_table(v, w);
	keys_row(v, w);
}
