/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * What a service manager is told: datagrams to the socket named by NOTIFY_SOCKET, by the protocol
 * of sd_notify(3). Written out because libsystemd would bring five compression and crypto libraries
 * into a process that runs as root. Without that socket all of this does nothing.
 */
#ifndef HT_NOTIFY_H
#define HT_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct ht_notify {
	int fd; /* -1 = nobody listens */
	struct sockaddr_un to;
	socklen_t len;
	uint64_t watchdog_ns; /* how often it wants to hear from us, 0 = need not */
	uint64_t last_ns;
};

/* Takes the environment's variables, and removes them: they are not for children. */
void ht_notify_open(struct ht_notify *n);
void ht_notify_close(struct ht_notify *n);
/* Sends assignments such as "READY=1\nSTATUS=...". 0 or a negative errno; nobody to tell is 0. */
int ht_notify(struct ht_notify *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* To be called at least once per ht_notify_timeout(): says that we live, often enough. */
void ht_notify_alive(struct ht_notify *n, uint64_t now_ns);
/* Milliseconds between two such calls at most, -1 = for ever: a timeout for poll(2). */
int ht_notify_timeout(const struct ht_notify *n);

#endif
