// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "prometheus.h"
#include "replace.h"

static bool is_ns(const char *name)
{
	size_t len = strlen(name);

	return len > 3 && !strcmp(name + len - 3, "_ns");
}

void ht_prometheus_name(char *buf, size_t size, const char *name, char kind)
{
	snprintf(buf, size, "hypertier_%.*s%s%s", (int)(strlen(name) - (is_ns(name) ? 3 : 0)), name,
		 is_ns(name) ? "_seconds" : "", kind == 'C' ? "_total" : "");
}

/* What the format wants escaped in a label; control characters have no business there. */
static void print_label(FILE *f, const char *key, const char *value, bool more)
{
	fprintf(f, "%s=\"", key);
	for (; *value; value++) {
		if (*value == '"' || *value == '\\')
			fprintf(f, "\\%c", *value);
		else
			fputc((unsigned char)*value < ' ' ? '?' : *value, f);
	}
	fprintf(f, "\"%s", more ? "," : "");
}

/* name{loader="..",key="value"}; without any label, the name alone. */
static void series(FILE *f, const char *name, const struct ht_prometheus_labels *l, const char *key,
		   const char *value)
{
	bool loader = l->loader && *l->loader;

	fprintf(f, "%s", name);
	if (!loader && !key)
		return;
	fputc('{', f);
	if (loader)
		print_label(f, "loader", l->loader, key != NULL);
	if (key)
		print_label(f, key, value, false);
	fputc('}', f);
}

static void head(FILE *f, const char *name, const char *type, const char *unit, const char *desc)
{
	fprintf(f, "# HELP %s %s%s%s\n# TYPE %s %s\n", name, desc, *unit ? ", in " : "", unit, name,
		type);
}

static void number(FILE *f, const struct ht_prometheus_labels *l, const char *key, char kind,
		   const char *unit, const char *desc, uint64_t value)
{
	char name[96];

	ht_prometheus_name(name, sizeof(name), key, kind);
	head(f, name, kind == 'C' ? "counter" : "gauge", is_ns(key) ? "seconds" : unit, desc);
	series(f, name, l, NULL, NULL);
	if (is_ns(key))
		fprintf(f, " %.9f\n", value / 1e9);
	else
		fprintf(f, " %" PRIu64 "\n", value);
}

static void share(FILE *f, const struct ht_prometheus_labels *l, const char *key, const char *desc,
		  double value)
{
	char name[96];

	ht_prometheus_name(name, sizeof(name), key, 'G');
	head(f, name, "gauge", "", desc);
	series(f, name, l, NULL, NULL);
	fprintf(f, " %.6f\n", value);
}

static void by_reason(FILE *f, const struct ht_metrics *m, const struct ht_prometheus_labels *l)
{
	int i;

	head(f, "hypertier_dropped_total", "counter", "samples", "samples seen but not counted");
	for (i = 0; i < HT_DROP_NR; i++) {
		series(f, "hypertier_dropped_total", l, "reason", ht_drop_name(i));
		fprintf(f, " %" PRIu64 "\n", m->drop[i]);
	}
	head(f, "hypertier_outcomes_total", "counter", "pages", "pages by outcome of their move");
	for (i = 0; i < HT_OUT_NR; i++) {
		series(f, "hypertier_outcomes_total", l, "outcome", ht_migrate_outcome_name(i));
		fprintf(f, " %" PRIu64 "\n", m->outcome[i]);
	}
}

static void info(FILE *f, const struct ht_metrics *m, const struct ht_prometheus_labels *l)
{
	head(f, "hypertier_info", "gauge", "", "what runs");
	fprintf(f, "hypertier_info{");
	if (l->loader && *l->loader)
		print_label(f, "loader", l->loader, true);
	print_label(f, "policy", m->policy, true);
	print_label(f, "source", l->source ?: "", true);
	print_label(f, "version", HT_VERSION, false);
	fprintf(f, "} 1\n");
	head(f, "hypertier_uptime_seconds", "gauge", "seconds", "time since the start");
	series(f, "hypertier_uptime_seconds", l, NULL, NULL);
	fprintf(f, " %.3f\n", m->wall_ns / 1e9);
}

void ht_prometheus_print(FILE *f, const struct ht_metrics *m, const struct ht_prometheus_labels *l)
{
	info(f, m, l);
#define M(name, desc) share(f, l, #name, desc, m->name);
	HT_METRICS_SHARES(M)
#undef M
#define M(name, kind, unit, desc) number(f, l, #name, *#kind, unit, desc, m->name);
	HT_METRICS(M)
#undef M
	by_reason(f, m, l);
}

int ht_prometheus_write(const char *path, const struct ht_metrics *m,
			const struct ht_prometheus_labels *l)
{
	char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);
	int err;

	if (!f)
		return -errno;
	ht_prometheus_print(f, m, l);
	/* The collector reads *.prom only, so it never sees the file in the making. */
	err = fclose(f) ? -errno : ht_replace_file(path, text, len, 0644, false);
	free(text);
	return err;
}
