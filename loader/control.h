/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The control socket, by which a second invocation speaks to the loader that runs: RUNDIR/control,
 * a UNIX stream socket of mode 0600. Only root and the loader's own user are answered
 * (SO_PEERCRED). One request and one answer per connection, each a JSON object on one line of at
 * most HT_CONTROL_MAX bytes:
 *   {"op":"swap","policy":"/abs/path.bpf.o","set":["name=value",...]}
 *   {"op":"status"}   {"op":"unload"}
 *   {"op":"status","ranges":N,"targets":N,"sort":"heat"}   with the first N, see docs/statistics.md
 * Answers have "ok" (boolean) and, where not ok, "error" (text).
 */
#ifndef HT_CONTROL_H
#define HT_CONTROL_H

#include <stddef.h>

#define HT_CONTROL_MAX 65536
#define HT_RUN_DIR "/run/hypertier"

struct json_object;

/* Server side: a listening, non-blocking socket in dir. Returns its fd or a negative errno. */
int ht_control_listen(const char *dir);
void ht_control_unlink(const char *dir);
/*
 * Takes one connection, at most 200 ms. handle gets the parsed request and returns the answer
 * (whose ownership passes). Malformed requests and strangers are answered with an error.
 */
typedef struct json_object *(*ht_control_fn)(void *arg, struct json_object *request);
int ht_control_serve(int listen_fd, ht_control_fn handle, void *arg);

/*
 * Client side: sends the request (owned by the caller) and waits up to ms. *answer is the caller's.
 * -ENOENT, -ECONNREFUSED: nobody runs; -ECONNRESET, -EPIPE: it ended before it answered; -ETIMEDOUT;
 * -EMSGSIZE: the request is too long. *answer is NULL then.
 */
int ht_control_ask(const char *dir, struct json_object *request, int ms,
		   struct json_object **answer);

#endif
