// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <json-c/json.h>

#include "qmp.h"

#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 5000
#define DEPTH 16
#define TAG_CAPS (~0U)

int pv_qmp_init(struct pv_qmp *q, const char *path, unsigned int timeout_ms,
		const struct pv_qmp_ops *ops, void *arg)
{
	memset(q, 0, sizeof(*q));
	q->path = path;
	q->ops = ops;
	q->arg = arg;
	q->fd = -1;
	q->timeout_ms = timeout_ms;
	q->retry_ms = RETRY_MIN_MS;
	q->budget = PV_QMP_BUDGET;
	if (strlen(path) >= sizeof(((struct sockaddr_un *)0)->sun_path))
		return -ENAMETOOLONG;
	return 0;
}

static void close_all(struct pv_qmp *q)
{
	if (q->fd >= 0)
		close(q->fd);
	q->fd = -1;
	while (q->nr_queue)
		free(q->queue[--q->nr_queue].text);
	free(q->in);
	q->in = NULL;
	q->in_len = q->in_cap = q->sent = 0;
	q->in_flight = false;
	q->deadline = 0;
	q->last_id = q->id;
	q->state = PV_QMP_DOWN;
}

void pv_qmp_free(struct pv_qmp *q)
{
	close_all(q);
}

void pv_qmp_drop(struct pv_qmp *q, int err, const char *why, uint64_t now)
{
	if (q->fd < 0)
		return;
	close_all(q);
	q->drops++;
	snprintf(q->why, sizeof(q->why), "%s", why);
	q->retry_at = now + q->retry_ms;
	q->retry_ms = q->retry_ms * 2 < RETRY_MAX_MS ? q->retry_ms * 2 : RETRY_MAX_MS;
	q->ops->dropped(q->arg, err);
}

/* ---- out */

static void await(struct pv_qmp *q, uint64_t now)
{
	q->deadline = now + q->timeout_ms;
}

static int enqueue(struct pv_qmp *q, unsigned int tag, const char *command,
		   struct json_object *arguments, uint64_t now)
{
	struct json_object *o;
	char *text;
	int n;

	if (q->nr_queue == PV_QMP_QUEUE) {
		json_object_put(arguments);
		return -EBUSY;
	}
	o = json_object_new_object();
	json_object_object_add(o, "execute", json_object_new_string(command));
	if (arguments)
		json_object_object_add(o, "arguments", arguments);
	json_object_object_add(o, "id", json_object_new_int64(++q->last_id));
	n = asprintf(&text, "%s\n", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN));
	json_object_put(o);
	if (n < 0)
		return -ENOMEM;
	q->queue[q->nr_queue++] = (struct pv_qmp_command){ tag, text };
	if (!q->deadline)
		await(q, now);
	return 0;
}

int pv_qmp_send(struct pv_qmp *q, unsigned int tag, const char *command,
		struct json_object *arguments, uint64_t now)
{
	if (q->state != PV_QMP_READY) {
		json_object_put(arguments);
		return -ENOTCONN;
	}
	return enqueue(q, tag, command, arguments, now);
}

static int write_some(struct pv_qmp *q)
{
	const char *text = q->nr_queue ? q->queue[0].text : "";
	size_t len = strlen(text);
	ssize_t n;

	while (!q->in_flight && len) {
		n = send(q->fd, text + q->sent, len - q->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		q->sent += n;
		if (q->sent == len) {
			q->in_flight = true;
			q->id++;
		}
	}
	return 0;
}

static struct pv_qmp_command shift(struct pv_qmp *q, uint64_t now)
{
	struct pv_qmp_command c = q->queue[0];

	q->nr_queue--;
	memmove(q->queue, q->queue + 1, q->nr_queue * sizeof(*q->queue));
	q->in_flight = false;
	q->sent = 0;
	q->deadline = 0;
	if (q->nr_queue)
		await(q, now);
	return c;
}

/* ---- in */

static struct json_object *member(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *v;

	return json_object_object_get_ex(o, key, &v) && json_object_is_type(v, type) ? v : NULL;
}

static const char *error_text(struct json_object *o)
{
	struct json_object *e = member(o, "error", json_type_object), *d;

	d = e ? member(e, "desc", json_type_string) : NULL;
	return d ? json_object_get_string(d) : "no reason given";
}

/* An answer to the command in flight, and to no other. */
static int take_answer(struct pv_qmp *q, struct json_object *o, uint64_t now)
{
	struct json_object *id = member(o, "id", json_type_int), *ret = NULL;
	bool good = json_object_object_get_ex(o, "return", &ret);
	struct pv_qmp_command c;

	if (!q->in_flight || !id || (uint64_t)json_object_get_int64(id) != q->id)
		return -EBADMSG;
	c = shift(q, now);
	free(c.text);
	if (c.tag != TAG_CAPS) {
		q->ops->answer(q->arg, c.tag, good ? ret : NULL, good ? NULL : error_text(o));
		return 0;
	}
	if (!good)
		return -EPROTO;
	q->state = PV_QMP_READY;
	q->retry_ms = RETRY_MIN_MS;
	q->ops->ready(q->arg);
	return 0;
}

static int take_message(struct pv_qmp *q, struct json_object *o, uint64_t now)
{
	struct json_object *event = member(o, "event", json_type_string);

	if (q->state == PV_QMP_GREETING) {
		if (!member(o, "QMP", json_type_object))
			return -EPROTO;
		q->state = PV_QMP_CAPS;
		q->deadline = 0;
		return enqueue(q, TAG_CAPS, "qmp_capabilities", NULL, now);
	}
	if (event) {
		q->ops->event(q->arg, json_object_get_string(event),
			      member(o, "data", json_type_object));
		return 0;
	}
	if (json_object_object_get_ex(o, "return", NULL) ||
	    json_object_object_get_ex(o, "error", NULL))
		return take_answer(q, o, now);
	return -EBADMSG;
}

static int take_line(struct pv_qmp *q, const char *line, size_t len, uint64_t now)
{
	struct json_tokener *tok;
	struct json_object *o;
	int err = -EBADMSG;

	while (len && (line[len - 1] == '\r' || line[len - 1] == ' '))
		len--;
	if (!len)
		return 0;
	tok = json_tokener_new_ex(DEPTH);
	if (!tok)
		return -ENOMEM;
	o = json_tokener_parse_ex(tok, line, len);
	if (json_object_is_type(o, json_type_object) && json_tokener_get_parse_end(tok) == len)
		err = take_message(q, o, now);
	json_object_put(o);
	json_tokener_free(tok);
	return err;
}

static int take_lines(struct pv_qmp *q, uint64_t now)
{
	size_t from = 0;
	char *nl;
	int err = 0;

	while (!err && (nl = memchr(q->in + from, '\n', q->in_len - from))) {
		size_t len = nl - (q->in + from);

		err = take_line(q, q->in + from, len, now);
		from += len + 1;
	}
	q->in_len -= from;
	memmove(q->in, q->in + from, q->in_len);
	return err;
}

static int make_room(struct pv_qmp *q)
{
	size_t cap = q->in_cap ? q->in_cap * 2 : 4096;
	char *n;

	if (q->in_len < q->in_cap)
		return 0;
	if (q->in_len >= PV_QMP_LINE)
		return -EMSGSIZE;
	n = realloc(q->in, cap);
	if (!n)
		return -ENOMEM;
	q->in = n;
	q->in_cap = cap;
	return 0;
}

static int read_some(struct pv_qmp *q, uint64_t now)
{
	size_t room;
	ssize_t n;
	int err;

	while (q->budget) {
		err = make_room(q);
		if (err)
			return err;
		room = q->in_cap - q->in_len;
		n = recv(q->fd, q->in + q->in_len, room < q->budget ? room : q->budget,
			 MSG_DONTWAIT);
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		if (!n)
			return -ECONNRESET;
		q->in_len += n;
		q->budget -= n;
		err = take_lines(q, now);
		if (err)
			return err;
	}
	return 0;
}

/* ---- connecting */

static void learn_peer(struct pv_qmp *q)
{
	struct ucred c;
	socklen_t len = sizeof(c);

	q->peer = getsockopt(q->fd, SOL_SOCKET, SO_PEERCRED, &c, &len) ? 0 : c.pid;
}

/* A full backlog means that somebody else holds the monitor, which takes one client at a time. */
static int start_connecting(struct pv_qmp *q, uint64_t now)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };

	q->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (q->fd < 0) {
		q->retry_at = now + q->retry_ms;
		return 0;
	}
	strcpy(sa.sun_path, q->path);
	q->state = PV_QMP_GREETING;
	await(q, now);
	if (connect(q->fd, (struct sockaddr *)&sa, sizeof(sa)))
		return -errno;
	learn_peer(q);
	return 0;
}

static const char *reason(int err)
{
	switch (err) {
	case -ENOENT:
		return "its QMP socket is not there";
	case -ECONNREFUSED:
		return "nobody listens at its QMP socket";
	case -EAGAIN:
		return "its QMP monitor is taken by others";
	case -EACCES:
	case -EPERM:
		return "no permission for its QMP socket";
	case -ECONNRESET:
	case -EPIPE:
		return "the QMP connection ended";
	case -EMSGSIZE:
		return "a QMP message too long";
	case -EBADMSG:
		return "no valid QMP message";
	case -EPROTO:
		return "not a QMP monitor";
	case -ETIMEDOUT:
		return "no QMP answer in time";
	}
	return strerror(-err);
}

short pv_qmp_events(const struct pv_qmp *q)
{
	bool write = q->nr_queue && !q->in_flight;

	if (q->fd < 0)
		return 0;
	return (q->budget ? POLLIN : 0) | (write ? POLLOUT : 0);
}

uint64_t pv_qmp_wake(const struct pv_qmp *q)
{
	if (q->state == PV_QMP_DOWN)
		return q->retry_at;
	return q->deadline ?: UINT64_MAX;
}

void pv_qmp_refill(struct pv_qmp *q)
{
	q->budget = PV_QMP_BUDGET;
}

void pv_qmp_io(struct pv_qmp *q, short revents, uint64_t now)
{
	int err = 0;

	if (q->state == PV_QMP_DOWN && now >= q->retry_at)
		err = start_connecting(q, now);
	if (!err && q->fd >= 0 && (revents & (POLLIN | POLLHUP | POLLERR)))
		err = read_some(q, now);
	if (!err && q->fd >= 0)
		err = write_some(q);
	if (!err && q->deadline && now >= q->deadline)
		err = -ETIMEDOUT;
	if (err)
		pv_qmp_drop(q, err, reason(err), now);
}
