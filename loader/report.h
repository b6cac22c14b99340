/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* Shapes of output that more than one command prints. */
#ifndef HT_REPORT_H
#define HT_REPORT_H

#include <stdio.h>

#include "tiers.h"

struct json_object;

/* Node numbers with commas between. */
void ht_report_nodes(const struct ht_tier *t, char *buf, size_t size);
void ht_report_tiers(FILE *f, const struct ht_tiers *tiers);
struct json_object *ht_report_tiers_json(const struct ht_tiers *tiers);

#endif
