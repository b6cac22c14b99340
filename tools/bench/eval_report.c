// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * eval_report cell DIR KEY=VALUE...	prints a cell's file, made from what its guest left in DIR
 * eval_report line CELL.json		one line about a cell
 * eval_report report DIR CELL.json...	the evaluation: DIR.json, DIR.md, plots in DIR/, key figures
 */
#include "eval_collect.h"
#include "eval_judge.h"
#include "eval_svg.h"

/* --- Markdown --------------------------------------------------------------------------------- */

static void md_percent(FILE *f, double v)
{
	if (v < 0 || isnan(v))
		fprintf(f, " - |");
	else
		fprintf(f, " %.1f |", 100 * v);
}

static void md_way_back(FILE *f, const struct peer *p)
{
	fprintf(f, " %s%.2f s, %.1f s, %.0fk |", p->back_reached ? "" : "> ", p->back_model_s,
		p->back_wall_s, p->back_samples / 1e3);
}

static void md_row(FILE *f, const struct group *g, const struct peer *p)
{
	fprintf(f, "| %s | %.3f |", p->name, p->model_s);
	if (g->all_fast)
		fprintf(f, " %.2f |", p->model_s / g->all_fast->model_s);
	else
		fprintf(f, " - |");
	fprintf(f, " %.3f |", p->last_model_s);
	md_percent(f, p->share);
	md_percent(f, p->last_share);
	md_percent(f, g->oracle ? p->share / g->oracle->share : -1);
	md_percent(f, g->oracle ? p->last_share / g->oracle->last_share : -1);
	if (g->oracle)
		md_way_back(f, p);
	else
		fprintf(f, " - |");
	fprintf(f, " %.0f |", p->moved_mib);
	md_percent(f, p->moved_mib > 0 ? p->wasted : -1);
	md_percent(f, p->recall);
	md_percent(f, p->precision);
	md_percent(f, p->cpu);
	md_percent(f, p->sys);
	fprintf(f, " %.3f |\n", p->model_s + p->cost_s);
}

static void md_group(FILE *f, const struct group *g)
{
	fprintf(f, "\n### %s (%s), fast tier %s, slow tier %d ns\n\n", g->workload, g->class,
		g->ratio, g->latency);
	fprintf(f, "| peer | modelled s | slow-down | last third s | fast %% | last third %% | of "
		   "oracle %% | last third %% | to plateau | moved MiB | back %% | recall %% | "
		   "precision %% | CPU %% | app's system %% | with costs s |\n");
	fprintf(f, "|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n");
	for (unsigned int i = 0; i < g->nr; i++)
		md_row(f, g, &g->peer[i]);
}

static void md_target(FILE *f, const char *what, double v, const char *fmt, bool met,
		      const char *want)
{
	fprintf(f, "| %s | ", what);
	if (isnan(v))
		fprintf(f, "not measured");
	else
		fprintf(f, fmt, v);
	fprintf(f, " | %s | %s |\n", want, isnan(v) ? "-" : met ? "met" : "**missed**");
}

static void md_figure(FILE *f, const char *what, double v, const char *fmt)
{
	fprintf(f, "| %s | ", what);
	if (isnan(v))
		fprintf(f, "not measured");
	else
		fprintf(f, fmt, v);
	fprintf(f, " | - | - |\n");
}

static void md_targets(FILE *f, const struct key *k)
{
	fprintf(f, "| figure | measured | target | |\n|---|---|---|---|\n");
	md_target(f, "modelled speed against the best rival, geometric mean", k->geomean, "%.3f",
		  k->geomean >= 1.28, ">= 1.28");
	md_figure(f, "the same of the oracle, which bounds it", k->geomean_oracle, "%.3f");
	md_target(f, "the same, lowest", k->least, "%.3f", k->least >= 0.97, ">= 0.97");
	md_target(f, "worst case against no tiering", k->worst, "%.3f", k->worst >= 0.97,
		  ">= 0.97");
	md_target(f, "fast share of the oracle's, steady, last third (mean)", 100 * k->steady,
		  "%.1f %%", k->steady >= 0.97, ">= 97 %");
	md_target(f, "the same, lowest", 100 * k->steady_least, "%.1f %%", k->steady_least >= 0.97,
		  ">= 97 %");
	md_target(f, "fast share of the oracle's, shifting, whole run", 100 * k->shift, "%.1f %%",
		  k->shift >= 0.9, ">= 90 %");
	md_target(f, "nb2's time back to the plateau, in ours", k->back_ratio, "%.1f",
		  k->back_ratio >= 5, ">= 5");
	md_target(f, "moved back within 10 s, of all moves", 100 * k->wasted, "%.1f %%",
		  k->wasted <= 0.05, "<= 5 %");
	md_target(f, "loader's CPU after its start, of a real core (emulated / slow-down)",
		  100 * k->cpu_real, "%.2f %%", k->cpu_real <= 0.01, "<= 1 %");
	md_figure(f, "the same, of an emulated core", 100 * k->cpu, "%.1f %%");
	md_figure(f, "slow-down: emulated migration of a page in the real one's 1.2 us", k->slower,
		  "%.0f");
	md_figure(f, "CPU of the start, once, emulated", k->cpu_start_s, "%.2f s");
	md_target(f, "modelled speed with costs charged, geometric mean", k->geomean_cost, "%.3f",
		  k->geomean_cost >= 1.28, ">= 1.28");
	md_target(f, "the same, lowest", k->least_cost, "%.3f", k->least_cost >= 0.97, ">= 0.97");
}

static void md_number(FILE *f, double v)
{
	if (isnan(v))
		fprintf(f, " - |");
	else
		fprintf(f, " %.3f |", v);
}

static void md_latencies(FILE *f, const struct key *k)
{
	fprintf(f, "\n## Had the slow tier another latency\n\n"
		   "From the same counts; docs/evaluation.md tells what that leaves out.\n\n"
		   "| slow tier, ns | against the best rival, geometric mean | lowest | the oracle "
		   "against it | worst case against no tiering |\n|---|---|---|---|---|\n");
	for (unsigned int i = 0; i < NR_LATENCIES; i++) {
		fprintf(f, "| %d |", k->at[i].ns);
		md_number(f, k->at[i].geomean);
		md_number(f, k->at[i].least);
		md_number(f, k->at[i].oracle);
		md_number(f, k->at[i].worst);
		fprintf(f, "\n");
	}
}

static void key_line(FILE *f, const struct key *k)
{
	fprintf(f,
		"eval: speed %.2fx the best peer (geomean; least %.2fx, %s), worst case %.2fx no "
		"tiering (%s), fast share %.1f %% of the oracle's steady, %.1f %% shifting, wasted "
		"%.1f %%, CPU %.1f %% of an emulated core, %.2f %% of a real one\n",
		k->geomean, k->least, k->least_where ?: "-", k->worst, k->worst_where ?: "-",
		100 * k->steady, 100 * k->shift, 100 * k->wasted, 100 * k->cpu, 100 * k->cpu_real);
}

static int write_md(const struct report *r, const struct key *k, const char *path)
{
	FILE *f = fopen(path, "w");

	if (!f)
		return -errno;
	fprintf(f, "# Evaluation: %zu cells, %u comparisons\n\n", r->nr_cells, r->nr);
	key_line(f, k);
	fprintf(f, "\n");
	md_targets(f, k);
	fprintf(f,
		"\nShares are of accesses that reached memory. *To plateau*: modelled seconds, "
		"emulated seconds and memory accesses sampled from each shift (or the start) until "
		"%.0f %% of the oracle's share. *CPU*: loader and kernel threads, of one emulated "
		"core. *With costs*: modelled time plus migrations, hint faults and samples at "
		"hardware prices. See docs/evaluation.md.\n",
		100 * PLATEAU);
	md_latencies(f, k);
	for (unsigned int i = 0; i < r->nr; i++)
		md_group(f, &r->group[i]);
	return fclose(f) ? -errno : 0;
}

/* --- JSON ------------------------------------------------------------------------------------- */

static void add_num(struct json_object *o, const char *key, double v)
{
	json_object_object_add(o, key, isnan(v) || isinf(v) ? NULL : json_object_new_double(v));
}

static struct json_object *json_peer(const struct peer *p)
{
	struct json_object *o = json_object_new_object();
	const struct cell *c = p->cell[0];

	json_object_object_add(o, "peer", json_object_new_string(p->name));
	json_object_object_add(o, "seeds", json_object_new_int(p->nr));
	add_num(o, "model_s", p->model_s);
	add_num(o, "model_spread", p->model_spread);
	add_num(o, "model_s_per_slow_ns", p->s_per_ns);
	add_num(o, "cost_s", p->cost_s);
	add_num(o, "last_model_s", p->last_model_s);
	add_num(o, "fast_share", p->share);
	add_num(o, "fast_access_share", p->access_share);
	add_num(o, "last_fast_share", p->last_share);
	add_num(o, "moved_mib", p->moved_mib);
	add_num(o, "wasted", p->wasted);
	add_num(o, "recall", p->recall < 0 ? NAN : p->recall);
	add_num(o, "precision", p->precision < 0 ? NAN : p->precision);
	add_num(o, "plateau_model_s", p->back_model_s);
	add_num(o, "plateau_wall_s", p->back_wall_s);
	add_num(o, "plateau_samples", p->back_samples);
	json_object_object_add(o, "plateau_reached", json_object_new_boolean(p->back_reached));
	add_num(o, "cpu", p->cpu);
	add_num(o, "app_system", p->sys);
	add_num(o, "wall_s", c->wall_s);
	add_num(o, "latency_p50_ns", p->p50 > 0 ? p->p50 : NAN);
	add_num(o, "latency_p99_ns", p->p99 > 0 ? p->p99 : NAN);
	add_num(o, "bpf_ms", c->bpf_ms);
	add_num(o, "map_bytes", c->map_bytes);
	add_num(o, "loader_rss", c->loader_rss);
	add_num(o, "hint_faults", cell_delta(c, faults));
	add_num(o, "pgpromote_success", cell_delta(c, promoted));
	add_num(o, "pgdemote", cell_delta(c, demoted));
	add_num(o, "pgmigrate_success", cell_delta(c, migrated));
	return o;
}

static struct json_object *json_group(const struct group *g)
{
	struct json_object *o = json_object_new_object(), *peers = json_object_new_array();

	json_object_object_add(o, "workload", json_object_new_string(g->workload));
	json_object_object_add(o, "class", json_object_new_string(g->class));
	json_object_object_add(o, "ratio", json_object_new_string(g->ratio));
	json_object_object_add(o, "slow_ns", json_object_new_int(g->latency));
	for (unsigned int i = 0; i < g->nr; i++)
		json_object_array_add(peers, json_peer(&g->peer[i]));
	json_object_object_add(o, "peers", peers);
	return o;
}

static struct json_object *json_latencies(const struct key *k)
{
	struct json_object *a = json_object_new_array();

	for (unsigned int i = 0; i < NR_LATENCIES; i++) {
		struct json_object *o = json_object_new_object();

		json_object_object_add(o, "slow_ns", json_object_new_int(k->at[i].ns));
		add_num(o, "speed_geomean", k->at[i].geomean);
		add_num(o, "speed_least", k->at[i].least);
		add_num(o, "speed_geomean_oracle", k->at[i].oracle);
		add_num(o, "worst_against_first_touch", k->at[i].worst);
		json_object_array_add(a, o);
	}
	return a;
}

static int write_json(const struct report *r, const struct key *k, const char *path)
{
	struct json_object *o = json_object_new_object(), *groups = json_object_new_array();
	struct json_object *key = json_object_new_object();
	int err;

	add_num(key, "speed_geomean", k->geomean);
	add_num(key, "speed_least", k->least);
	add_num(key, "speed_geomean_oracle", k->geomean_oracle);
	add_num(key, "speed_with_costs_geomean", k->geomean_cost);
	add_num(key, "speed_with_costs_least", k->least_cost);
	add_num(key, "worst_against_first_touch", k->worst);
	add_num(key, "oracle_steady", k->steady);
	add_num(key, "oracle_steady_least", k->steady_least);
	add_num(key, "oracle_shift", k->shift);
	add_num(key, "plateau_nb2_ratio", k->back_ratio);
	add_num(key, "wasted", k->wasted);
	add_num(key, "wasted_most", k->wasted_most);
	add_num(key, "cpu", k->cpu);
	add_num(key, "cpu_most", k->cpu_most);
	add_num(key, "cpu_start_s", k->cpu_start_s);
	add_num(key, "emulation_slow_down", k->slower);
	add_num(key, "cpu_real", k->cpu_real);
	json_object_object_add(o, "version", json_object_new_int(1));
	json_object_object_add(o, "key", key);
	json_object_object_add(o, "latencies", json_latencies(k));
	for (unsigned int i = 0; i < r->nr; i++)
		json_object_array_add(groups, json_group(&r->group[i]));
	json_object_object_add(o, "groups", groups);
	err = json_object_to_file_ext(path, o, JSON_C_TO_STRING_PRETTY);
	json_object_put(o);
	return err ? -EIO : 0;
}

/* --- Plots ------------------------------------------------------------------------------------ */

/* Fast share piece by piece, a piece being at least a hundredth of the run. */
static void plot_share(FILE *f, const struct svg_panel *panel, const struct cell *c,
		       unsigned int color)
{
	double end = c->p[c->nr - 1].work;

	svg_line_begin(f, color);
	for (size_t i = 1, from = 0; i < c->nr; i++) {
		double share;

		if (c->p[i].work - c->p[from].work < end / 100)
			continue;
		share = share_between(&c->p[from], &c->p[i]);
		if (share >= 0)
			svg_line_to(f, panel, (c->p[i].work + c->p[from].work) / 2 / end, share);
		from = i;
	}
	svg_line_end(f);
}

static void plot_moved(FILE *f, const struct svg_panel *panel, const struct cell *c,
		       unsigned int color)
{
	double end = c->p[c->nr - 1].work;

	svg_line_begin(f, color);
	for (size_t i = 0; i < c->nr; i++)
		svg_line_to(f, panel, c->p[i].work / end, (c->p[i].up + c->p[i].down) / 256);
	svg_line_end(f);
}

static int plot_group(const struct group *g, const char *dir)
{
	struct svg_panel share = { .top = 60, .x_max = 1, .y_max = 1 };
	struct svg_panel moved = { .top = 60 + SVG_PANEL + SVG_GAP + 20, .x_max = 1, .y_max = 1 };
	char path[4096], title[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.%s.lat%d.svg", dir, g->workload, g->ratio, g->latency);
	snprintf(title, sizeof(title), "%s, fast tier %s, slow tier %d ns", g->workload, g->ratio,
		 g->latency);
	for (unsigned int i = 0; i < g->nr; i++)
		moved.y_max = fmax(moved.y_max, g->peer[i].moved_mib * 1.05);
	f = svg_open(path, moved.top + SVG_PANEL + SVG_GAP, title);
	if (!f)
		return -errno;
	svg_axes(f, &share, "", "share of memory accesses served by the fast tier");
	svg_axes(f, &moved, "share of the workload's accesses done", "MiB moved");
	for (unsigned int i = 0; i < g->nr; i++) {
		plot_share(f, &share, g->peer[i].cell[0], i);
		plot_moved(f, &moved, g->peer[i].cell[0], i);
		svg_legend(f, share.top, i, g->peer[i].name);
	}
	return svg_close(f) ? -EIO : 0;
}

/* Colours follow the first group's order of peers. */
static unsigned int color_of(const struct report *r, const char *peer)
{
	for (unsigned int i = 0; i < r->group[0].nr; i++)
		if (!strcmp(r->group[0].peer[i].name, peer))
			return i;
	return r->group[0].nr;
}

static void bars_of(FILE *f, const struct report *r, const struct svg_panel *p, unsigned int n)
{
	const struct group *g = &r->group[n];
	char label[128];

	for (unsigned int i = 0; g->all_fast && i < g->nr; i++)
		svg_bar(f, p, n + 0.1 + 0.8 * i / g->nr, 0.8 / g->nr,
			g->peer[i].model_s / g->all_fast->model_s, color_of(r, g->peer[i].name));
	snprintf(label, sizeof(label), "%s%s%s", g->workload, r->nr > 8 ? " " : "",
		 r->nr > 8 ? g->ratio : "");
	fprintf(f,
		"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" font-size=\"10\" "
		"transform=\"rotate(-35 %.1f %.1f)\">%s</text>\n",
		svg_x(p, n + 0.5), p->top + SVG_PANEL + 14, svg_x(p, n + 0.5),
		p->top + SVG_PANEL + 14, label);
}

static int plot_bars(const struct report *r, const char *dir)
{
	struct svg_panel p = { .top = 60, .x_max = r->nr ? r->nr : 1, .y_max = 1 };
	char path[4096], num[16];
	FILE *f;

	for (unsigned int i = 0; i < r->nr; i++)
		for (unsigned int k = 0; r->group[i].all_fast && k < r->group[i].nr; k++)
			p.y_max = fmax(p.y_max,
				       r->group[i].peer[k].model_s / r->group[i].all_fast->model_s);
	snprintf(path, sizeof(path), "%s/slowdown.svg", dir);
	f = svg_open(path, p.top + SVG_PANEL + 2 * SVG_GAP,
		     "modelled run time, in that with all memory fast");
	if (!f)
		return -errno;
	for (double y = 0; y <= p.y_max; y += 0.5) {
		fprintf(f,
			"<line x1=\"%d\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>\n",
			SVG_LEFT, svg_x(&p, p.x_max), svg_y(&p, y), svg_y(&p, y));
		snprintf(num, sizeof(num), "%.1f", y);
		svg_text(f, SVG_LEFT - 6, svg_y(&p, y) + 4, "end", num);
	}
	for (unsigned int i = 0; i < r->nr; i++)
		bars_of(f, r, &p, i);
	for (unsigned int i = 0; r->nr && i < r->group[0].nr; i++)
		svg_legend(f, p.top, i, r->group[0].peer[i].name);
	return svg_close(f) ? -EIO : 0;
}

/* --- Commands --------------------------------------------------------------------------------- */

static int write_all(struct report *r, const char *dir)
{
	char path[4096];
	struct key k;
	int err;

	for (unsigned int i = 0; i < r->nr; i++)
		finish_group(&r->group[i]);
	for (unsigned int i = 0; i < r->nr; i++)
		r->group[i].all_fast = find_all_fast(r, &r->group[i]);
	judge(r, &k);
	snprintf(path, sizeof(path), "%s.json", dir);
	err = write_json(r, &k, path);
	snprintf(path, sizeof(path), "%s.md", dir);
	if (!err)
		err = write_md(r, &k, path);
	for (unsigned int i = 0; !err && i < r->nr; i++)
		err = plot_group(&r->group[i], dir);
	if (!err)
		err = plot_bars(r, dir);
	if (err)
		fprintf(stderr, "eval_report: cannot write the report: %s\n", strerror(-err));
	else
		printf("eval: report in %s.md, %s.json and plots in %s\n", dir, dir, dir);
	key_line(stdout, &k);
	return err;
}

static int report(const char *dir, char **files, int nr)
{
	static struct report r;
	int err = 0;

	r.cell = calloc(nr ? nr : 1, sizeof(*r.cell));
	if (!r.cell)
		return -ENOMEM;
	for (int i = 0; i < nr && !err; i++) {
		struct cell *c = &r.cell[r.nr_cells];

		if (cell_read(c, files[i]))
			continue;
		r.nr_cells++;
		err = add_cell(&r, c);
	}
	if (err)
		fprintf(stderr, "eval_report: more cells than the report has room for\n");
	else if (!r.nr_cells)
		fprintf(stderr, "eval_report: no cells to report on\n");
	else
		err = write_all(&r, dir);
	for (size_t i = 0; i < r.nr_cells; i++)
		cell_free(&r.cell[i]);
	free(r.cell);
	return r.nr_cells ? err : -ENODATA;
}

static int line(const char *file)
{
	struct cell c;
	int err = cell_read(&c, file);

	if (!err)
		printf("modelled %.3f s, fast %.1f %%, last third %.1f %%, moved %.0f MiB up, %.0f "
		       "down, %.1f %% of it back, %.0f s\n",
		       c.model_s, 100 * c.share, 100 * c.last_share, cell_delta(&c, up) / 256,
		       cell_delta(&c, down) / 256, 100 * cell_wasted(&c), c.wall_s);
	cell_free(&c);
	return err;
}

int main(int argc, char **argv)
{
	if (argc >= 3 && !strcmp(argv[1], "cell"))
		return collect(argv[2], argv + 3, argc - 3) ? 1 : 0;
	if (argc == 3 && !strcmp(argv[1], "line"))
		return line(argv[2]) ? 1 : 0;
	if (argc >= 3 && !strcmp(argv[1], "report"))
		return report(argv[2], argv + 3, argc - 3) ? 1 : 0;
	fprintf(stderr, "usage: eval_report cell DIR KEY=VALUE... | line CELL.json | "
			"report DIR CELL.json...\n");
	return 2;
}
