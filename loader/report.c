// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* What a run says: what it found at the start, statistics on the way. */
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "engine.h"
#include "log.h"
#include "prometheus.h"
#include "report.h"

void ht_report_nodes(const struct ht_tier *t, char *buf, size_t size)
{
	unsigned int i;
	size_t len = 0;

	buf[0] = '\0';
	for (i = 0; i < t->nr_nodes && len < size; i++)
		len += snprintf(buf + len, size - len, "%s%d", i ? "," : "", t->node[i]);
}

void ht_report_tiers(FILE *f, const struct ht_tiers *tiers)
{
	char nodes[128], lat[32];
	unsigned int t;

	for (t = 0; t < tiers->nr_tiers; t++) {
		const struct ht_tier *tier = &tiers->tier[t];

		ht_report_nodes(tier, nodes, sizeof(nodes));
		if (tier->read_lat_ns)
			snprintf(lat, sizeof(lat), "%u ns", tier->read_lat_ns);
		else
			snprintf(lat, sizeof(lat), "latency not told");
		fprintf(f, "  tier %u%s: node %s, %llu MiB, %s\n", t, t == 0 ? " (fastest)" : "",
			nodes, (unsigned long long)tier->total_bytes >> 20, lat);
	}
	fprintf(f, "  (%s)\n", tiers->why);
}

struct json_object *ht_report_tiers_json(const struct ht_tiers *tiers)
{
	struct json_object *arr = json_object_new_array(), *o, *nodes, *n;
	unsigned int t, i, k;

	for (t = 0; t < tiers->nr_tiers; t++) {
		const struct ht_tier *tier = &tiers->tier[t];

		o = json_object_new_object();
		nodes = json_object_new_array();
		for (i = 0; i < tiers->nr_nodes; i++) {
			const struct ht_node *node = &tiers->node[i];

			if (node->tier != (int)t)
				continue;
			n = json_object_new_object();
			json_object_object_add(n, "node", json_object_new_int(node->id));
			json_object_object_add(n, "cpus", json_object_new_boolean(node->has_cpu));
			json_object_object_add(n, "bytes",
					       json_object_new_int64(node->total_bytes));
			json_object_object_add(n, "distance", json_object_new_int(node->distance));
			json_object_object_add(n, "read_ns",
					       json_object_new_int(node->read_lat_ns));
			json_object_object_add(n, "write_ns",
					       json_object_new_int(node->write_lat_ns));
			json_object_object_add(n, "read_mib_s",
					       json_object_new_int64(node->read_bw_mbps));
			json_object_object_add(n, "write_mib_s",
					       json_object_new_int64(node->write_bw_mbps));
			json_object_array_add(nodes, n);
		}
		k = tier->kernel_id >= 0;
		json_object_object_add(o, "kernel_tier",
				       k ? json_object_new_int(tier->kernel_id) : NULL);
		json_object_object_add(o, "bytes", json_object_new_int64(tier->total_bytes));
		json_object_object_add(o, "nodes", nodes);
		json_object_array_add(arr, o);
	}
	return arr;
}

static const char *hook_why(const struct ht_engine *e)
{
	if (e->hook.link > 0)
		return "syscall programs over shared arrays, and struct_ops: the kernel helper asks "
		       "about each pair";
	return "syscall programs over shared arrays (not attached to a kernel helper)";
}

static void start_json(const struct ht_engine *e, const char *source_why)
{
	struct json_object *o = json_object_new_object();

#define STR(key, s) json_object_object_add(o, key, json_object_new_string(s))
	STR("event", "start");
	json_object_object_add(o, "schema", json_object_new_int(HT_METRICS_SCHEMA));
	STR("version", HT_VERSION);
	STR("policy", e->policy->info.name);
	STR("object", e->policy->path);
	json_object_object_add(o, "tiers", ht_report_tiers_json(&e->tiers));
	STR("tiers_why", e->tiers.why);
	STR("source", ht_source_name(ht_source_id(e->source)));
	STR("source_detail", ht_source_detail(e->source));
	STR("source_why", source_why);
	STR("hook", "portable");
	STR("hook_why", hook_why(e));
	STR("migration", ht_migrate_backend(e->mover.migrate));
	STR("migration_why", ht_migrate_why(e->mover.migrate));
	json_object_object_add(o, "splitting", json_object_new_boolean(e->splitter.on));
	STR("splitting_why", e->splitter.why);
	STR("placement", ht_placement_backend(e->placement));
	json_object_object_add(o, "map_bytes", json_object_new_int64(e->policy->map_bytes));
	json_object_object_add(o, "burst", json_object_new_int(e->pace.max));
	json_object_object_add(o, "epoch_ms", json_object_new_int(e->cfg->epoch_ms));
	json_object_object_add(o, "budget_bytes_per_s",
			       json_object_new_int64(e->cfg->budget_bytes));
	json_object_object_add(o, "dry_run", json_object_new_boolean(e->cfg->dry_run));
#undef STR
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	fflush(stdout);
	json_object_put(o);
}

void ht_report_start(const struct ht_engine *e, const char *source_why)
{
	if (e->cfg->json) {
		start_json(e, source_why);
		return;
	}
	printf("policy     %s (%s)\n", e->policy->info.name, e->policy->path);
	printf("tiers      %u\n", e->tiers.nr_tiers);
	ht_report_tiers(stdout, &e->tiers);
	printf("source     %s: %s\n", ht_source_name(ht_source_id(e->source)),
	       ht_source_detail(e->source));
	if (*source_why)
		printf("           (%s)\n", source_why);
	if (e->pace.max > 1)
		printf("           up to %u samples in the place of one while there is much to "
		       "learn\n",
		       e->pace.max);
	printf("hook       portable: %s\n", hook_why(e));
	printf("migration  %s: %s\n", ht_migrate_backend(e->mover.migrate),
	       ht_migrate_why(e->mover.migrate));
	printf("splitting  %s: %s\n", e->splitter.on ? "huge pages with few hot subpages" : "off",
	       e->splitter.why);
	printf("placement  from %s\n", ht_placement_backend(e->placement));
	printf("heat map   %.1f MiB of maps, up to %u tiles of 2 MiB\n",
	       e->policy->map_bytes / 1048576.0, e->heat.mem.nr_tiles - 1);
	printf("epoch      %u ms, at most %.0f MiB/s moved%s\n", e->cfg->epoch_ms,
	       e->cfg->budget_bytes / 1048576.0,
	       e->cfg->dry_run	 ? ", dry run: nothing is moved"
	       : e->nr_tiers < 2 ? ", one tier: nothing can be moved"
				 : "");
	fflush(stdout);
}

void ht_report_stats(struct ht_engine *e)
{
	if (e->cfg->json) {
		ht_metrics_json(stdout, &e->metrics, "stats");
	} else {
		ht_metrics_row(stdout, &e->metrics, &e->printed, !e->header_printed);
		e->header_printed = true;
	}
	e->printed = e->metrics;
}

int ht_report_prometheus(struct ht_engine *e)
{
	struct ht_prometheus_labels l = { .loader = e->cfg->instance };
	int err;

	if (!e->cfg->prometheus)
		return 0;
	l.source = ht_source_name(ht_source_id(e->source));
	err = ht_prometheus_write(e->cfg->prometheus, &e->metrics, &l);
	if (err && !e->export_failed)
		pr_err("cannot write %s: %s (its directory must belong to the loader's user, who has no "
		       "capability to write elsewhere)",
		       e->cfg->prometheus, strerror(-err));
	e->export_failed = err != 0;
	return err;
}
