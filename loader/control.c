// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <json-c/json.h>

#include "control.h"
#include "log.h"

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

/* Reads up to a newline or the end. *line is allocated. */
static int read_line(int fd, long deadline, char **line)
{
	size_t len = 0;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char *buf = malloc(HT_CONTROL_MAX + 1);
	int err = -ENOMEM;
	ssize_t n;

	while (buf) {
		long left = deadline - now_ms();

		err = -ETIMEDOUT;
		if (left <= 0 || poll(&p, 1, left) == 0)
			break;
		n = read(fd, buf + len, HT_CONTROL_MAX - len);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		err = n < 0 ? -errno : 0;
		if (n <= 0)
			break;
		len += n;
		err = -EMSGSIZE;
		if (buf[len - 1] == '\n' || len == HT_CONTROL_MAX) {
			err = buf[len - 1] == '\n' ? 0 : err;
			break;
		}
	}
	if (!err && !len)
		err = -ECONNRESET;
	if (err) {
		free(buf);
		return err;
	}
	buf[len] = '\0';
	*line = buf;
	return 0;
}

static int write_json(int fd, struct json_object *o)
{
	const char *s = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	size_t len = strlen(s), off = 0;
	ssize_t n;

	while (off <= len) {
		/* The newline ends the message; SIGPIPE must not end us. */
		n = off < len ? send(fd, s + off, len - off, MSG_NOSIGNAL)
			      : send(fd, "\n", 1, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		off += n;
	}
	return 0;
}

static int read_json(int fd, long deadline, struct json_object **o)
{
	char *line;
	int err = read_line(fd, deadline, &line);

	if (err)
		return err;
	*o = json_tokener_parse(line);
	free(line);
	if (*o && json_object_is_type(*o, json_type_object))
		return 0;
	json_object_put(*o);
	*o = NULL;
	return -EBADMSG;
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

int ht_control_serve(int listen_fd, ht_control_fn handle, void *arg)
{
	struct json_object *request = NULL, *answer;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC), err;

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (!trusted(fd)) {
		answer = refusal("only root and the loader's own user may ask");
	} else {
		err = read_json(fd, now_ms() + SERVE_MS, &request);
		answer = err ? refusal("not a request: one JSON object on one line")
			     : handle(arg, request);
	}
	err = answer ? write_json(fd, answer) : -ENOMEM;
	json_object_put(request);
	json_object_put(answer);
	close(fd);
	return err == -EPIPE ? 0 : err;
}

int ht_control_ask(const char *dir, struct json_object *request, int ms,
		   struct json_object **answer)
{
	struct sockaddr_un sa;
	int fd, err;

	err = set_path(&sa, dir);
	if (err)
		return err;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&sa, sizeof(sa)))
		err = -errno;
	err = err ?: write_json(fd, request);
	err = err ?: read_json(fd, now_ms() + ms, answer);
	close(fd);
	return err;
}
