/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The statistics in Prometheus' text format, for node_exporter's textfile collector. All names and
 * help texts come from the tables in metrics.h; times become seconds, counters end in _total.
 */
#ifndef HT_PROMETHEUS_H
#define HT_PROMETHEUS_H

#include <stddef.h>

#include "metrics.h"

struct ht_prometheus_labels {
	const char *loader; /* instance name, NULL or "" = the unnamed one: no label */
	const char *source;
};

/* Name of a counter or gauge, e.g. hypertier_loader_seconds_total of "loader_ns". */
void ht_prometheus_name(char *buf, size_t size, const char *name, char kind);
void ht_prometheus_print(FILE *f, const struct ht_metrics *m, const struct ht_prometheus_labels *l);
/*
 * Replaces path, so that a reader sees all of the old or all of the new file (mode 0644). 0 or a
 * negative errno; the old file stays then.
 */
int ht_prometheus_write(const char *path, const struct ht_metrics *m,
			const struct ht_prometheus_labels *l);

#endif
