/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* From what a guest reports to what its VM's share wants. */
#ifndef HT_PROVISION_DEMAND_H
#define HT_PROVISION_DEMAND_H

#include "fleet.h"

/* Parses one line. 0, -EBADMSG (no such object), -EPROTO (another version), -ERANGE (a bad value).
 */
int pv_report_parse(const char *line, size_t len, struct ht_guest_report *r);

/*
 * Takes a valid report into the fast tier's share: the curve in terms of the device's size, made
 * concave, and the demand, which follows the reports up at once and down slowly. size is what the
 * device had when the guest looked.
 */
void pv_demand_update(struct pv_share *s, const struct ht_guest_report *r, uint64_t size,
		      const struct pv_rules *rules);
/* Forgets all reports: the VM is divided for as one that never reported. */
void pv_demand_forget(struct pv_share *s);
/* Share of accesses expected to be fast at this device size; -1 without a curve. */
double pv_demand_share(const struct pv_share *s, uint64_t size);
/* Upper hull of a curve, in place; returns the number of points left. */
unsigned int pv_demand_hull(struct ht_guest_point *p, unsigned int nr);
/* Size beyond which memory is less than worth times as hot as the average. */
uint64_t pv_demand_knee(const struct ht_guest_point *p, unsigned int nr, double worth);

#endif
