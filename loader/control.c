// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "control.h"

#define SERVE_MS 200

static int set_path(struct sockaddr_un *sa, const char *dir)
{
	int n;

	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	n = snprintf(sa->sun_path, sizeof(sa->sun_path), "%s/control", dir);
	return n < 0 || (size_t)n >= sizeof(sa->sun_path) ? -ENAMETOOLONG : 0;
}

int ht_control_listen(const char *dir)
{
	struct sockaddr_un sa;
	mode_t mask;
	int fd, err;

	err = set_path(&sa, dir);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	/* The lock in dir is ours: a socket that is there was left by a loader that was killed. */
	unlink(sa.sun_path);
	mask = umask(0177);
	err = bind(fd, (struct sockaddr *)&sa, sizeof(sa)) ? -errno : 0;
	umask(mask);
	if (!err && listen(fd, 4))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

void ht_control_unlink(const char *dir)
{
	struct sockaddr_un sa;

	if (!set_path(&sa, dir))
		unlink(sa.sun_path);
}

static long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits for events on a non-blocking fd. 0 or a negative errno. */
static int wait_for(int fd, short events, long deadline)
{
	struct pollfd p = { .fd = fd, .events = events };
	long left;
	int n;

	do {
		left = deadline - now_ms();
		n = left > 0 ? poll(&p, 1, left) : 0;
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n ? 0 : -ETIMEDOUT;
}

/* Reads up to a newline or the end into buf, which has room for HT_CONTROL_MAX + 1 bytes. */
static int read_line(int fd, long deadline, char *buf, size_t *len)
{
	ssize_t n;
	int err;

	*len = 0;
	while (*len < HT_CONTROL_MAX) {
		err = wait_for(fd, POLLIN, deadline);
		if (err)
			return err;
		n = read(fd, buf + *len, HT_CONTROL_MAX - *len);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (n < 0)
			return -errno;
		*len += n;
		buf[*len] = '\0';
		if (!n)
			return *len ? 0 : -ECONNRESET;
		if (buf[*len - 1] == '\n')
			return 0;
	}
	return -EMSGSIZE;
}

static int write_all(int fd, long deadline, const char *s, size_t len)
{
	size_t off = 0;
	ssize_t n;
	int err;

	while (off < len) {
		/* SIGPIPE must not end us, and a reader that is asleep must not stop us. */
		n = send(fd, s + off, len - off, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n >= 0) {
			off += n;
			continue;
		}
		if (errno != EINTR && errno != EAGAIN)
			return -errno;
		err = wait_for(fd, POLLOUT, deadline);
		if (err)
			return err;
	}
	return 0;
}

static int write_json(int fd, long deadline, struct json_object *o)
{
	const char *s = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	size_t len = strlen(s);
	int err;

	/* With the newline that ends the message. */
	if (len + 1 > HT_CONTROL_MAX)
		return -EMSGSIZE;
	err = write_all(fd, deadline, s, len);
	return err ?: write_all(fd, deadline, "\n", 1);
}

/* One object and nothing but white space around it. */
static struct json_object *parse(const char *line, size_t len)
{
	struct json_tokener *tok = json_tokener_new();
	struct json_object *o = NULL;
	size_t end = 0;

	if (tok) {
		o = json_tokener_parse_ex(tok, line, len);
		end = json_tokener_get_parse_end(tok);
		json_tokener_free(tok);
	}
	end += strspn(line + end, " \t\r\n");
	if (json_object_is_type(o, json_type_object) && end == len)
		return o;
	json_object_put(o);
	return NULL;
}

static int read_json(int fd, long deadline, struct json_object **o)
{
	char *line = malloc(HT_CONTROL_MAX + 1);
	size_t len;
	int err;

	if (!line)
		return -ENOMEM;
	err = read_line(fd, deadline, line, &len);
	if (!err) {
		*o = parse(line, len);
		err = *o ? 0 : -EBADMSG;
	}
	free(line);
	return err;
}

static bool trusted(int fd)
{
	socklen_t len = sizeof(struct ucred);
	struct ucred c;

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &len) &&
	       (c.uid == 0 || c.uid == geteuid());
}

static struct json_object *refusal(const char *why)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "ok", json_object_new_boolean(false));
	json_object_object_add(o, "error", json_object_new_string(why));
	return o;
}

static const char *what_is_wrong(int err)
{
	if (err == -ETIMEDOUT)
		return "the request did not end in time: one JSON object on one line";
	if (err == -EMSGSIZE)
		return "the request is too long";
	return "not a request: one JSON object on one line";
}

int ht_control_serve(int listen_fd, ht_control_fn handle, void *arg)
{
	struct json_object *request = NULL, *answer;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), err;
	long deadline = now_ms() + SERVE_MS;

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED ? 0 : -errno;
	if (!trusted(fd)) {
		answer = refusal("only root and the loader's own user may ask");
	} else {
		err = read_json(fd, deadline, &request);
		answer = err ? refusal(what_is_wrong(err)) : handle(arg, request);
	}
	/* Handling may have taken longer than reading may; an answer fits the socket's buffer. */
	err = answer ? write_json(fd, now_ms(), answer) : -ENOMEM;
	json_object_put(request);
	json_object_put(answer);
	close(fd);
	return err == -EPIPE || err == -ECONNRESET ? 0 : err;
}

/* A stopped loader accepts nobody: its queue may be full. */
static int connect_to(const char *dir, int ms)
{
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	struct sockaddr_un sa;
	int fd, err;

	err = set_path(&sa, dir);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) ||
	    connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		err = errno == EAGAIN ? -ETIMEDOUT : -errno;
	if (!err && fcntl(fd, F_SETFL, O_NONBLOCK))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

int ht_control_ask(const char *dir, struct json_object *request, int ms,
		   struct json_object **answer)
{
	long deadline = now_ms() + ms;
	int fd = connect_to(dir, ms), err;

	*answer = NULL;
	if (fd < 0)
		return fd;
	err = write_json(fd, deadline, request);
	/* Refused before all of it was read: the answer says why. */
	if (!err || err == -EPIPE)
		err = read_json(fd, deadline, answer);
	close(fd);
	return err;
}
