// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "bpflog.h"
#include "features.h"
#include "hook_kernel.h"
#include "log.h"
#include "migrate.h"
#include "prereq.h"
#include "report.h"
#include "split.h"
#include "tiers.h"

#define PROBE_MS 1500

struct findings {
	struct ht_prereq prereq;
	struct ht_tiers tiers;
	int tiers_err;
	struct ht_source_info source[HT_SRC_NR];
	int nr_sources;
	struct ht_source_probe probe[HT_SRC_NR];
	int probe_err[HT_SRC_NR];
	char migrate[64], migrate_why[256];
	bool split;
	char split_why[96];
	bool hook; /* the kernel helper's */
};

static void look(struct findings *f, const struct ht_config *cfg)
{
	struct ht_migrate *m;
	int i;

	memset(f, 0, sizeof(*f));
	ht_prereq_check(&f->prereq, cfg->source_opts.roots);
	f->tiers_err = ht_tiers_discover(&f->tiers, cfg->source_opts.roots, cfg->fast, cfg->slow);
	f->nr_sources = ht_source_list(f->source, &cfg->source_opts);
	f->split = !ht_split_probe(f->split_why, sizeof(f->split_why));
	f->hook = ht_hook_kernel_there(cfg->source_opts.roots);
	if (ht_migrate_open(&m) == 0) {
		snprintf(f->migrate, sizeof(f->migrate), "%s", ht_migrate_backend(m));
		snprintf(f->migrate_why, sizeof(f->migrate_why), "%s", ht_migrate_why(m));
		ht_migrate_close(m);
	}
	for (i = 0; cfg->probe && i < f->nr_sources; i++) {
		if (!f->source[i].usable || (cfg->source && cfg->source != f->source[i].id))
			continue;
		pr_info("probing %s for %.1f s", f->source[i].name, PROBE_MS / 1000.0);
		f->probe_err[i] =
			ht_source_probe(f->source[i].id, &cfg->source_opts, PROBE_MS, &f->probe[i]);
	}
}

static void print_probe(const struct findings *f, int i)
{
	const struct ht_source_probe *p = &f->probe[i];

	if (f->probe_err[i])
		printf("      probe failed: %s\n", strerror(-f->probe_err[i]));
	if (*p->verdict)
		printf("      probe: %" PRIu64 " samples of %" PRIu64 " due in %.1f s, %" PRIu64
		       " without address, %" PRIu64 " inside the buffer: %s\n",
		       p->seen, p->due, p->seconds, p->zero_addr, p->in_buffer, p->verdict);
}

static void print_text(const struct findings *f)
{
	const struct ht_prereq *p = &f->prereq;
	int i;

	printf("kernel     %s%s\n", p->release, p->kernel_ok ? "" : " (too old: 6.1 is needed)");
	printf("BTF        %s\n", p->btf ? "yes" : "no: CONFIG_DEBUG_INFO_BTF is needed");
	printf("bpffs      %s\n", p->bpffs ? "mounted" : "not mounted on /sys/fs/bpf");
	printf("lockdown   %s\n", *p->lockdown ? p->lockdown : "not told");
	printf("privilege  %s%s\n", *p->missing_caps ? "missing " : "sufficient", p->missing_caps);
	if (f->tiers_err) {
		printf("tiers      not found: %s\n", strerror(-f->tiers_err));
	} else {
		printf("tiers      %u%s\n", f->tiers.nr_tiers,
		       f->tiers.nr_tiers < 2 ? " (tiering needs two)" : "");
		ht_report_tiers(stdout, &f->tiers);
		for (i = 0; i < (int)f->tiers.nr_nodes; i++)
			printf("  node %d: %s, distance %d\n", f->tiers.node[i].id,
			       f->tiers.node[i].has_cpu ? "with CPUs" : "no CPUs",
			       f->tiers.node[i].distance);
	}
	printf("sources\n");
	for (i = 0; i < f->nr_sources; i++) {
		printf("  %-3s %-10s %s\n", f->source[i].usable ? "yes" : "no", f->source[i].name,
		       f->source[i].what);
		printf("      %s\n", f->source[i].why);
		print_probe(f, i);
	}
	printf("hooks\n  yes portable   syscall programs over shared arrays, Linux 6.1 and "
	       "later\n");
	printf("  %-3s struct_ops %s\n", f->hook ? "yes" : "no",
	       f->hook ? "the kernel helper asks the policy about each pair" :
			 "the kernel helper is not loaded");
	printf("migration\n  %-3s %s %s\n", *f->migrate ? "yes" : "no",
	       *f->migrate ? f->migrate : "move_pages", f->migrate_why);
	printf("splitting of huge pages\n  %-3s %s\n", f->split ? "yes" : "no", f->split_why);
}

static struct json_object *source_json(const struct findings *f, int i, bool probed)
{
	struct json_object *o = json_object_new_object(), *p;
	const struct ht_source_probe *pr = &f->probe[i];

	json_object_object_add(o, "name", json_object_new_string(f->source[i].name));
	json_object_object_add(o, "usable", json_object_new_boolean(f->source[i].usable));
	json_object_object_add(o, "why", json_object_new_string(f->source[i].why));
	if (!probed || (!*pr->verdict && !f->probe_err[i]))
		return o;
	p = json_object_new_object();
	json_object_object_add(p, "error", json_object_new_int(f->probe_err[i]));
	json_object_object_add(p, "due", json_object_new_int64(pr->due));
	json_object_object_add(p, "seen", json_object_new_int64(pr->seen));
	json_object_object_add(p, "zero_addr", json_object_new_int64(pr->zero_addr));
	json_object_object_add(p, "in_buffer", json_object_new_int64(pr->in_buffer));
	json_object_object_add(p, "seconds", json_object_new_double(pr->seconds));
	json_object_object_add(p, "verdict", json_object_new_string(pr->verdict));
	json_object_object_add(o, "probe", p);
	return o;
}

static void print_json(const struct findings *f, bool probed)
{
	struct json_object *o = json_object_new_object(), *arr = json_object_new_array();
	const struct ht_prereq *p = &f->prereq;
	int i;

	json_object_object_add(o, "schema", json_object_new_int(1));
	json_object_object_add(o, "kernel", json_object_new_string(p->release));
	json_object_object_add(o, "kernel_ok", json_object_new_boolean(p->kernel_ok));
	json_object_object_add(o, "btf", json_object_new_boolean(p->btf));
	json_object_object_add(o, "bpffs", json_object_new_boolean(p->bpffs));
	json_object_object_add(o, "lockdown", json_object_new_string(p->lockdown));
	json_object_object_add(o, "missing_caps", json_object_new_string(p->missing_caps));
	json_object_object_add(o, "tiers", ht_report_tiers_json(&f->tiers));
	json_object_object_add(o, "tiers_why", json_object_new_string(f->tiers.why));
	for (i = 0; i < f->nr_sources; i++)
		json_object_array_add(arr, source_json(f, i, probed));
	json_object_object_add(o, "sources", arr);
	arr = json_object_new_array();
	json_object_array_add(arr, json_object_new_string("portable"));
	if (f->hook)
		json_object_array_add(arr, json_object_new_string("struct_ops"));
	json_object_object_add(o, "hooks", arr);
	arr = json_object_new_array();
	if (*f->migrate)
		json_object_array_add(arr, json_object_new_string(f->migrate));
	json_object_object_add(o, "migration", arr);
	json_object_object_add(o, "splitting", json_object_new_boolean(f->split));
	json_object_object_add(o, "splitting_why", json_object_new_string(f->split_why));
	printf("%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY));
	json_object_put(o);
}

int ht_features(const struct ht_config *cfg)
{
	static struct findings f; /* some 40 KiB */

	ht_bpflog_start();
	look(&f, cfg);
	if (cfg->json)
		print_json(&f, cfg->probe);
	else
		print_text(&f);
	return HT_RC_OK;
}
