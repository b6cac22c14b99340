// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * eval_extra DIR CELL.json...: what eval_report leaves out, added to its DIR.json and DIR.md.
 *
 * - per peer: epochs and samples back to the plateau, metadata bytes, latency percentiles
 * - ablations: peers hypertier:POLICY:SOURCE:STAGES in the figures of the whole hypertier
 * - DIR/heat.*.svg: accesses by address and time, and what of it the fast tier held
 */
#include "eval_collect.h"
#include "eval_pages.h"
#include "eval_svg.h"

#define SUBJECT "hypertier"
#define MAX_ABLATIONS 32
#define MAP_LEVELS 16 /* shades */
#define MAP_TOP 60

struct extra {
	struct cell *cell;
	size_t nr;
	struct json_object *eval;
	FILE *md;
	const char *dir;
};

/* Arrays of the report are small: no index is needed. */
#define for_each(v, array)                                                                         \
	for (size_t i_##v = 0;                                                                     \
	     i_##v < length(array) && (v = json_object_array_get_idx(array, i_##v), true);         \
	     i_##v++)

static size_t length(struct json_object *a)
{
	return a && json_object_is_type(a, json_type_array) ? json_object_array_length(a) : 0;
}

static bool cell_is(const struct cell *c, struct json_object *group, const char *peer)
{
	return !strcmp(c->workload, str(group, "workload")) &&
	       !strcmp(c->ratio, str(group, "ratio")) && c->latency == num(group, "slow_ns", 0) &&
	       !strcmp(c->peer, peer);
}

/* --- Figures of a peer ------------------------------------------------------------------------ */

static void add_number(struct json_object *o, const char *key, double v)
{
	json_object_object_add(o, key, v > 0 ? json_object_new_double(v) : NULL);
}

static void add_figures(struct extra *x, struct json_object *group, struct json_object *peer)
{
	static const char *const pct[] = { "latency_p50_ns", "latency_p90_ns", "latency_p99_ns",
					   "latency_p999_ns" };
	double latency[4] = {}, epoch_ms = 0, maps = 0, rss = 0;
	unsigned int n = 0;

	for (size_t i = 0; i < x->nr; i++) {
		const struct cell *c = &x->cell[i];

		if (!cell_is(c, group, str(peer, "peer")))
			continue;
		n++;
		for (int k = 0; k < 4; k++)
			latency[k] += c->latency_ns[k];
		epoch_ms = num(get(c->json, "loader_start"), "epoch_ms", 0);
		maps = fmax(maps, c->map_bytes);
		rss = fmax(rss, c->loader_rss);
	}
	for (int k = 0; n && k < 4; k++)
		add_number(peer, pct[k], latency[k] / n);
	if (epoch_ms > 0)
		add_number(peer, "plateau_epochs", num(peer, "plateau_wall_s", 0) * 1e3 / epoch_ms);
	/* Mapped maps are part of the resident memory as well: an upper bound. */
	add_number(peer, "metadata_bytes", maps + rss);
}

static void md_microseconds(FILE *f, double ns)
{
	if (ns > 0)
		fprintf(f, " %.1f |", ns / 1e3);
	else
		fprintf(f, " - |");
}

static void md_figures(FILE *f, struct json_object *group, struct json_object *peer)
{
	double epochs = num(peer, "plateau_epochs", 0), meta = num(peer, "metadata_bytes", 0);
	double samples = num(peer, "plateau_samples", 0);

	fprintf(f, "| %s %s %.0f ns | %s |", str(group, "workload"), str(group, "ratio"),
		num(group, "slow_ns", 0), str(peer, "peer"));
	if (epochs > 0)
		fprintf(f, " %s%.1f | %.0f |",
			json_object_get_boolean(get(peer, "plateau_reached")) ? "" : "> ", epochs,
			samples);
	else
		fprintf(f, " - | - |");
	if (meta > 0)
		fprintf(f, " %.0f + %.0f |", num(peer, "map_bytes", 0) / 1024,
			num(peer, "loader_rss", 0) / 1024);
	else
		fprintf(f, " - |");
	md_microseconds(f, num(peer, "latency_p50_ns", 0));
	md_microseconds(f, num(peer, "latency_p90_ns", 0));
	md_microseconds(f, num(peer, "latency_p99_ns", 0));
	md_microseconds(f, num(peer, "latency_p999_ns", 0));
	fprintf(f, "\n");
}

/* Peers without any of these figures have no row. */
static void figures(struct extra *x)
{
	struct json_object *groups = get(x->eval, "groups"), *g, *p;

	fprintf(x->md, "\n## Epochs, metadata, latencies\n\n"
		       "Epochs and samples of hypertier from a shift of the hot set (or the start) "
		       "to its plateau; KiB of BPF maps + of the loader's resident memory; latency "
		       "of an operation in emulated microseconds.\n\n"
		       "| workload | peer | epochs | samples | KiB | p50 | p90 | p99 | p99.9 |\n"
		       "|---|---|--:|--:|--:|--:|--:|--:|--:|\n");
	for_each(g, groups) for_each(p, get(g, "peers"))
	{
		add_figures(x, g, p);
		if (num(p, "latency_p50_ns", 0) > 0 || num(p, "metadata_bytes", 0) > 0)
			md_figures(x->md, g, p);
	}
}

/* --- Ablations -------------------------------------------------------------------------------- */

struct ablation {
	const char *stages;
	double log_time, log_share, worst, wasted, moved;
	unsigned int nr;
	const char *where;
};

/* The stages of hypertier:POLICY:SOURCE:STAGES, NULL for other peers. */
static const char *stages_of(const char *peer)
{
	if (strncmp(peer, SUBJECT, strlen(SUBJECT)))
		return NULL;
	for (int i = 0; i < 3; i++) {
		peer = strchr(peer, ':');
		if (!peer)
			return NULL;
		peer++;
	}
	return *peer ? peer : NULL;
}

static struct json_object *whole(struct json_object *group)
{
	struct json_object *p;

	for_each(p, get(group, "peers")) if (!strncmp(str(p, "peer"), SUBJECT, strlen(SUBJECT)) &&
					     !stages_of(str(p, "peer"))) return p;
	return NULL;
}

static void add_ablation(struct ablation *a, struct json_object *group, struct json_object *peer,
			 struct json_object *full)
{
	double time = num(peer, "model_s", 0) / num(full, "model_s", 0);
	double share = num(peer, "last_fast_share", 0) / num(full, "last_fast_share", 0);

	if (!(time > 0) || !(share > 0) || isinf(time) || isinf(share))
		return;
	a->log_time += log(time);
	a->log_share += log(share);
	if (time > a->worst) {
		a->worst = time;
		a->where = str(group, "workload");
	}
	a->moved += num(peer, "moved_mib", 0);
	a->wasted += num(peer, "moved_mib", 0) * num(peer, "wasted", 0);
	a->nr++;
}

static unsigned int find_ablations(struct extra *x, struct ablation *a)
{
	struct json_object *g, *p;
	unsigned int nr = 0, k;

	for_each(g, get(x->eval, "groups")) for_each(p, get(g, "peers"))
	{
		const char *stages = stages_of(str(p, "peer"));

		if (!stages || !whole(g))
			continue;
		for (k = 0; k < nr && strcmp(a[k].stages, stages); k++)
			;
		if (k == MAX_ABLATIONS)
			continue;
		if (k == nr)
			a[nr++].stages = stages;
		add_ablation(&a[k], g, p, whole(g));
	}
	return nr;
}

static void ablations(struct extra *x)
{
	struct ablation a[MAX_ABLATIONS] = {};
	unsigned int nr = find_ablations(x, a);
	struct json_object *list = json_object_new_array(), *o;

	if (nr)
		fprintf(x->md,
			"\n## Ablations\n\n"
			"Each row has the named stage in its naive form, all others as they are; "
			"geometric means over the workloads, in hypertier's own (1 = no "
			"difference). "
			"Modelled time above 1 is what the stage gains.\n\n"
			"| stage | modelled time | worst | fast share, last third | moved back %% "
			"| "
			"MiB moved | workloads |\n|---|--:|--:|--:|--:|--:|--:|\n");
	for (unsigned int i = 0; i < nr; i++) {
		double time = exp(a[i].log_time / a[i].nr), share = exp(a[i].log_share / a[i].nr);
		double wasted = a[i].moved > 0 ? a[i].wasted / a[i].moved : 0;

		if (!a[i].nr)
			continue;
		fprintf(x->md, "| %s | %.3f | %.3f %s | %.3f | %.1f | %.0f | %u |\n", a[i].stages,
			time, a[i].worst, a[i].where, share, 100 * wasted, a[i].moved, a[i].nr);
		o = json_object_new_object();
		json_object_object_add(o, "stages", json_object_new_string(a[i].stages));
		add_number(o, "model_time", time);
		add_number(o, "model_time_worst", a[i].worst);
		add_number(o, "last_fast_share", share);
		json_object_object_add(o, "wasted", json_object_new_double(wasted));
		json_object_array_add(list, o);
	}
	json_object_object_add(x->eval, "ablations", list);
}

/* --- Address x time --------------------------------------------------------------------------- */

/* A column of buckets; those of the same shade are one rectangle. */
static void column_of(FILE *f, struct json_object *values, unsigned int skip, double most, double x,
		      double w, double top, const char *color)
{
	unsigned int nr = length(values) > skip ? length(values) - skip : 0, from = 0;
	int last = 0;

	for (unsigned int b = 0; b <= nr; b++) {
		double v =
			b < nr ? json_object_get_double(json_object_array_get_idx(values, b + skip))
			       : 0;
		int level = b < nr && v > 0 ? 1 + (MAP_LEVELS - 1) * fmin(v / most, 1) : 0;

		if (b < nr && level == last)
			continue;
		if (last)
			svg_cell(f, x, top + SVG_PANEL - (double)SVG_PANEL * b / nr, w,
				 (double)SVG_PANEL * (b - from) / nr, color,
				 (double)last / MAP_LEVELS);
		last = level;
		from = b;
	}
}

/* What one in fifty cells exceeds is shown as full: a few very hot ones would hide all others. */
static double full_shade(struct json_object *columns)
{
	size_t nr = 0, cap = length(columns) * EVAL_BUCKETS, k;
	double *v = calloc(cap + 1, sizeof(*v)), most;
	struct json_object *c, *n;

	for_each(c, columns) for_each(n, c)
	{
		double here = json_object_get_double(n);

		if (!v || here <= 0 || nr == cap)
			continue;
		for (k = nr++; k && v[k - 1] < here && nr - k < cap / 50 + 2; k--)
			v[k] = v[k - 1];
		v[k] = here;
	}
	most = v && nr ? v[nr / 50] : 1;
	free(v);
	return most;
}

static void draw_heat(FILE *f, struct json_object *columns, double top)
{
	double w = (double)(SVG_W - SVG_LEFT - SVG_RIGHT) / (length(columns) ?: 1);
	double most = full_shade(columns), i = 0;
	struct json_object *c;

	for_each(c, columns) column_of(f, c, 0, most, SVG_LEFT + w * i++, w, top, "#b2182b");
}

/* Rows of eval_watch: accesses so far, then the percentage of each bucket in the fast tier. */
static void draw_fast(FILE *f, struct json_object *map, double top)
{
	double width = SVG_W - SVG_LEFT - SVG_RIGHT, end, at, next;
	size_t nr = length(map);

	end = json_object_get_double(
		json_object_array_get_idx(json_object_array_get_idx(map, nr - 1), 0));
	for (size_t i = 0; i + 1 < nr && end > 0; i++) {
		struct json_object *row = json_object_array_get_idx(map, i);

		at = json_object_get_double(json_object_array_get_idx(row, 0));
		next = json_object_get_double(
			json_object_array_get_idx(json_object_array_get_idx(map, i + 1), 0));
		column_of(f, row, 1, 100, SVG_LEFT + width * at / end, width * (next - at) / end,
			  top, "#2166ac");
	}
}

static void frame(FILE *f, double top, const char *title)
{
	svg_text(f, SVG_LEFT, top - 8, "start", title);
	fprintf(f,
		"<rect x=\"%d\" y=\"%.1f\" width=\"%d\" height=\"%d\" fill=\"none\" "
		"stroke=\"#888\"/>\n",
		SVG_LEFT, top, SVG_W - SVG_LEFT - SVG_RIGHT, SVG_PANEL);
	svg_text(f, SVG_LEFT - 6, top + SVG_PANEL, "end", "first");
	svg_text(f, SVG_LEFT - 6, top + 10, "end", "last page");
}

/* The recording of this workload: all-fast of any ratio; the first seed, as the plots are. */
static struct json_object *heat_of(const struct extra *x, const char *workload)
{
	for (size_t i = 0; i < x->nr; i++) {
		struct json_object *h = get(get(x->cell[i].json, "record"), "heat");

		if (!strcmp(x->cell[i].workload, workload) && length(get(h, "columns")) > 1)
			return get(h, "columns");
	}
	return NULL;
}

static int plot_cell(const struct extra *x, const struct cell *c, struct json_object *heat)
{
	double second = MAP_TOP + SVG_PANEL + SVG_GAP;
	struct json_object *map = get(get(c->json, "watch"), "map");
	char path[4096], title[256];
	FILE *f;

	if (length(map) < 2)
		return 0;
	snprintf(path, sizeof(path), "%s/heat.%s.%s.lat%d.svg", x->dir, c->workload, c->ratio,
		 c->latency);
	snprintf(title, sizeof(title),
		 "%s, fast tier %s: addresses (up) over accesses done (right)", c->workload,
		 c->ratio);
	f = svg_open(path, second + SVG_PANEL + SVG_GAP, title);
	if (!f)
		return -errno;
	draw_heat(f, heat, MAP_TOP);
	frame(f, MAP_TOP, "memory accesses");
	draw_fast(f, map, second);
	snprintf(title, sizeof(title), "in the fast tier under %s", c->peer);
	frame(f, second, title);
	return svg_close(f) ? -EIO : 0;
}

/* One plot a group: of the first hypertier cell in it. */
static int plots(const struct extra *x)
{
	int err = 0;

	for (size_t i = 0; i < x->nr && !err; i++) {
		const struct cell *c = &x->cell[i];
		struct json_object *heat = heat_of(x, c->workload);
		bool first = !strncmp(c->peer, SUBJECT, strlen(SUBJECT)) && heat;

		for (size_t k = 0; k < i && first; k++)
			first = strcmp(x->cell[k].workload, c->workload) ||
				strcmp(x->cell[k].ratio, c->ratio) ||
				x->cell[k].latency != c->latency ||
				strncmp(x->cell[k].peer, SUBJECT, strlen(SUBJECT));
		if (first)
			err = plot_cell(x, c, heat);
	}
	return err;
}

/* --- Main ------------------------------------------------------------------------------------- */

static int extend(struct extra *x)
{
	char path[4096];
	int err;

	snprintf(path, sizeof(path), "%s.json", x->dir);
	x->eval = json_object_from_file(path);
	if (!x->eval) {
		fprintf(stderr, "eval_extra: cannot read %s: %s\n", path, json_util_get_last_err());
		return -EINVAL;
	}
	snprintf(path, sizeof(path), "%s.md", x->dir);
	x->md = fopen(path, "a");
	if (!x->md) {
		fprintf(stderr, "eval_extra: cannot write %s: %m\n", path);
		err = -errno;
		goto out;
	}
	ablations(x);
	figures(x);
	err = fclose(x->md) ? -errno : plots(x);
	snprintf(path, sizeof(path), "%s.json", x->dir);
	if (!err && json_object_to_file_ext(path, x->eval, JSON_C_TO_STRING_PRETTY))
		err = -EIO;
	if (err)
		fprintf(stderr, "eval_extra: cannot write to %s: %s\n", x->dir, strerror(-err));
out:
	json_object_put(x->eval);
	return err;
}

int main(int argc, char **argv)
{
	struct extra x = { .dir = argv[1] };
	int err;

	if (argc < 3) {
		fprintf(stderr, "usage: eval_extra DIR CELL.json...\n");
		return 2;
	}
	x.cell = calloc(argc, sizeof(*x.cell));
	if (!x.cell)
		return 1;
	for (int i = 2; i < argc; i++)
		if (!cell_read(&x.cell[x.nr], argv[i]))
			x.nr++;
	err = extend(&x);
	for (size_t i = 0; i < x.nr; i++)
		cell_free(&x.cell[i]);
	free(x.cell);
	return err ? 1 : 0;
}
