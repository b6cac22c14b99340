/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The channel by which a guest reports: the host's end of its virtio-serial port (a UNIX socket
 * that the hypervisor listens on) or a vsock connection that the guest made. The guest is not
 * trusted: at most so many bytes a second are read, the rest stays with it; lines are short; what
 * is no report is counted and dropped. Only the newest good report counts.
 */
#ifndef HT_PROVISION_CHANNEL_H
#define HT_PROVISION_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include <hypertier/report.h>

#define PV_CHANNEL_OFFENCES 8 /* of which one a second is forgiven */
#define PV_CHANNEL_ABUSE_MS 30000
#define PV_CHANNEL_ADOPT_MS 1000	    /* between connections taken from one guest */
#define PV_CHANNEL_RATE (4 * HT_GUEST_LINE) /* bytes per second, and at most so many at once */

struct pv_channel {
	const char *path; /* "" = none, or one that the guest opens; see pv_channel_init */
	int fd;
	uint64_t retry_at; /* also: when a guest's next connection may be taken */
	unsigned int retry_ms;
	char line[HT_GUEST_LINE + 1];
	size_t len;
	bool skip; /* until the next newline: the line was too long, or we came in its middle */
	double budget;
	uint64_t refilled_at;
	bool throttled; /* it has sent more than it may */
	/* the newest */
	struct ht_guest_report report;
	uint64_t report_at; /* 0 = none yet */
	bool fresh;	    /* not looked at yet */
	/*
	 * Bad lines and throttles of late. A guest with too many of them has its reports, also good
	 * ones, disregarded for a while, and counts as one that wants nothing beyond its guarantee.
	 */
	double offences;
	uint64_t abuse_until;
	/* counters */
	uint64_t good, bad, lost, throttles;
};

/* path: of the hypervisor's UNIX socket. -ENAMETOOLONG. */
int pv_channel_init(struct pv_channel *c, const char *path);
void pv_channel_free(struct pv_channel *c);
/*
 * Takes over a connection that the guest made, in place of an earlier one: its guest may have been
 * restarted. False if it is too soon after the last; what it did wrong before still counts.
 */
bool pv_channel_adopt(struct pv_channel *c, int fd, uint64_t now);
short pv_channel_events(const struct pv_channel *c);
void pv_channel_io(struct pv_channel *c, short revents, uint64_t now);
uint64_t pv_channel_wake(const struct pv_channel *c);
/* The parsing half: bytes as they came. */
void pv_channel_feed(struct pv_channel *c, const char *data, size_t len, uint64_t now);

#endif
