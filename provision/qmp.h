/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A QMP client: one monitor socket, never blocking. Commands are sent one at a time, each with a
 * deadline; whatever the other side does (drops, hangs, sends garbage or floods) ends in a drop
 * with a reason and a new try later, with growing pauses.
 */
#ifndef HT_PROVISION_QMP_H
#define HT_PROVISION_QMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PV_QMP_LINE (256 << 10) /* longest message taken */
#define PV_QMP_QUEUE 16
#define PV_QMP_BUDGET (1 << 20) /* bytes read between two calls of pv_qmp_refill */

struct json_object;

enum pv_qmp_state { PV_QMP_DOWN, PV_QMP_GREETING, PV_QMP_CAPS, PV_QMP_READY };

/* Callbacks may send, and must not drop. ret and data are borrowed; error is NULL where ret counts.
 */
struct pv_qmp_ops {
	void (*ready)(void *arg);
	void (*answer)(void *arg, unsigned int tag, struct json_object *ret, const char *error);
	void (*event)(void *arg, const char *name, struct json_object *data);
	void (*dropped)(void *arg, int err);
};

struct pv_qmp_command {
	unsigned int tag;
	char *text;
};

struct pv_qmp {
	const char *path;
	const struct pv_qmp_ops *ops;
	void *arg;
	int fd;
	enum pv_qmp_state state;
	unsigned int timeout_ms, retry_ms;
	uint64_t retry_at; /* down: when to try again */
	uint64_t deadline; /* of what is awaited, 0 = nothing */
	uint64_t last_id;  /* given to a command */
	uint64_t id;	   /* of the command in flight, or the last that was */
	bool in_flight;
	struct pv_qmp_command queue[PV_QMP_QUEUE];
	unsigned int nr_queue; /* the first is the one in flight */
	size_t sent;	       /* of its text */
	char *in;
	size_t in_len, in_cap, budget;
	pid_t peer; /* who listens, 0 = not known */
	unsigned int drops;
	char why[128]; /* it was dropped last */
};

int pv_qmp_init(struct pv_qmp *q, const char *path, unsigned int timeout_ms,
		const struct pv_qmp_ops *ops, void *arg);
void pv_qmp_free(struct pv_qmp *q);
/* What poll should wait for on q->fd; 0 = nothing now. */
short pv_qmp_events(const struct pv_qmp *q);
/* Does what can be done: connects, reads, writes, notices time-outs. Call after poll and in time.
 */
void pv_qmp_io(struct pv_qmp *q, short revents, uint64_t now);
/* When pv_qmp_io is to be called at the latest. */
uint64_t pv_qmp_wake(const struct pv_qmp *q);
void pv_qmp_refill(struct pv_qmp *q);
/* Queues a command; arguments (may be NULL) are taken over. -ENOTCONN, -EBUSY (queue full),
 * -ENOMEM. */
int pv_qmp_send(struct pv_qmp *q, unsigned int tag, const char *command,
		struct json_object *arguments, uint64_t now);
void pv_qmp_drop(struct pv_qmp *q, int err, const char *why, uint64_t now);

#endif
