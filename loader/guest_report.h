/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Tells the host what this guest could do with more or less fast memory: one line per epoch (see
 * hypertier/report.h) to a virtio-serial port, or to the host's vsock port as "vsock:PORT". Never
 * blocks: a line that cannot be sent at once is dropped, and the gap in the numbers shows it.
 */
#ifndef HT_GUEST_REPORT_H
#define HT_GUEST_REPORT_H

#include <hypertier/report.h>

#include "ranges.h"

struct ht_engine;
struct ht_guest_port;

/* -EINVAL and errnos are logged. A host that does not listen yet is no error. */
int ht_guest_port_open(struct ht_guest_port **port, const char *where);
void ht_guest_port_close(struct ht_guest_port *port);
/* Reports the epoch that just ended. */
void ht_guest_port_epoch(struct ht_guest_port *port, const struct ht_engine *e);
/* The line itself, newline included. Its length, or -EMSGSIZE. */
int ht_guest_line(const struct ht_guest_report *r, char *buf, size_t size);
/* Fills curve and hot from the ranges, hottest first. order is memory for rs->nr numbers. */
void ht_guest_curve(const struct ht_ranges *rs, uint32_t *order, struct ht_guest_report *r);
/* 0, or -EAGAIN when the line was dropped. */
int ht_guest_port_write(struct ht_guest_port *port, const char *line, size_t len);

#endif
