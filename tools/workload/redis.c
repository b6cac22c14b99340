// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * redis-server with Zipf-distributed keys. Starts a server of its own on a Unix socket, fills it,
 * and sends GET and SETRANGE (an update in place) in pipelines; what is counted and tiered is the
 * server, in which preload/marker.c sends the markers. The pid that is told is the server's.
 *
 * A value is a function of its key and version; the generator knows each key's version, so every
 * answer is checked, and at the end every value.
 */
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "preload.h"
#include "zipf.h"

#define MAX_VALUE 16384
#define MAX_PIPELINE 256
/* Of one item beside its value: key, objects, hash table, allocator's rounding. */
#define ITEM_OVERHEAD 120
#define START_TIMEOUT 120

struct redis {
	struct wl w;
	const char *server;
	uint64_t ops, value, pipeline, sets, bad;
	double theta, get_share;
	uint64_t nr;
	uint32_t *version;
	struct zipf zipf;
	bool filled; /* from now on a server that dies has lost data */
	char dir[32], path[48];
	int fd;
	char out[1 << 16];
	size_t nr_out;
	char in[1 << 16];
	size_t at, nr_in;
	char want[MAX_VALUE], got[MAX_VALUE];
};

struct request {
	uint64_t key;
	bool set;
};

static void __attribute__((format(printf, 2, 3), noreturn))
fail(struct redis *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fprintf(stderr, "redis: ");
	vfprintf(stderr, fmt, ap);
	fprintf(stderr, "\n");
	if (r->w.target > 0)
		kill(r->w.target, SIGKILL);
	unlink(r->path);
	rmdir(r->dir);
	exit(r->filled ? WL_EXIT_DATA : 1);
}

/* --- The server ------------------------------------------------------------------------------- */

static void run_server(const struct redis *r)
{
	char preload[4096], *slash;
	ssize_t n = readlink("/proc/self/exe", preload, sizeof(preload) - 16);

	/* Nobody would end it if the generator was killed. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (n > 0) {
		preload[n] = '\0';
		slash = strrchr(preload, '/');
		strcpy(slash ? slash + 1 : preload, "marker.so");
		setenv("LD_PRELOAD", preload, 1);
	}
	/*
	 * Nothing to disk, nothing on a timer that would move data, and as little as can be by the
	 * clock: what it executes must follow from what it is asked, however slow the machine is.
	 */
	execlp(r->server, r->server, "--port", "0", "--unixsocket", r->path, "--save", "",
	       "--appendonly", "no", "--daemonize", "no", "--dir", r->dir, "--loglevel", "warning",
	       "--activerehashing", "no", "--hz", "1", "--dynamic-hz", "no", "--disable-thp",
	       r->w.thp == WL_THP_ON ? "no" : "yes", "--timeout", "0", NULL);
	fprintf(stderr,
		"redis: cannot run %s: %m; tools/setup fetches it for the lab, outside it "
		"takes the package redis-server\n",
		r->server);
	_exit(127);
}

static bool try_connect(struct redis *r)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	memcpy(a.sun_path, r->path, strlen(r->path) + 1);
	r->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (r->fd >= 0 && !connect(r->fd, (struct sockaddr *)&a, sizeof(a)))
		return true;
	if (r->fd >= 0)
		close(r->fd);
	return false;
}

static void start_server(struct redis *r)
{
	struct timespec nap = { .tv_nsec = 20000000 };
	double until = wl_now() + START_TIMEOUT;

	strcpy(r->dir, "/tmp/ht-redis-XXXXXX");
	if (!mkdtemp(r->dir)) {
		fprintf(stderr, "redis: cannot make a directory in /tmp: %m\n");
		exit(1);
	}
	snprintf(r->path, sizeof(r->path), "%s/socket", r->dir);
	fflush(NULL);
	r->w.target = fork();
	if (!r->w.target)
		run_server(r);
	if (r->w.target < 0)
		fail(r, "cannot fork: %m");
	while (!try_connect(r)) {
		if (waitpid(r->w.target, NULL, WNOHANG)) {
			r->w.target = 0;
			fail(r, "the server ended");
		}
		if (wl_now() > until)
			fail(r, "the server did not answer in %d s", START_TIMEOUT);
		nanosleep(&nap, NULL);
	}
}

static void stop_server(struct redis *r)
{
	kill(r->w.target, SIGKILL); /* it holds nothing but what was checked */
	waitpid(r->w.target, NULL, 0);
	close(r->fd);
	unlink(r->path);
	rmdir(r->dir);
}

/* The server runs the marker in a signal handler: counting tells when it has. */
static void mark(struct wl *w, unsigned int cmd, uint64_t arg)
{
	union sigval v = { .sival_ptr = (void *)(uintptr_t)(cmd | arg << 16) };
	struct timespec nap = { .tv_nsec = 100000 };
	double until = wl_now() + 10;

	sigqueue(w->target, WL_MARK_SIGNAL, v);
	while (w->ring.hdr && cmd != HT_MARK_PHASE &&
	       w->ring.hdr->counting != (cmd == HT_MARK_START) && wl_now() < until)
		nanosleep(&nap, NULL);
	if (w->ring.hdr && cmd == HT_MARK_START && !w->ring.hdr->counting)
		fprintf(stderr, "redis: the server did not start counting: is marker.so beside "
				"this program?\n");
}

/* --- RESP ------------------------------------------------------------------------------------- */

static void flush_out(struct redis *r)
{
	for (size_t done = 0; done < r->nr_out;) {
		ssize_t n = send(r->fd, r->out + done, r->nr_out - done, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			fail(r, "the server is gone: %m");
		done += n;
	}
	r->nr_out = 0;
}

static void put(struct redis *r, const void *p, size_t n)
{
	if (n > sizeof(r->out) - r->nr_out)
		flush_out(r);
	memcpy(r->out + r->nr_out, p, n);
	r->nr_out += n;
}

static void put_bulk(struct redis *r, const void *p, size_t n)
{
	char head[24];

	put(r, head, snprintf(head, sizeof(head), "$%zu\r\n", n));
	put(r, p, n);
	put(r, "\r\n", 2);
}

static void put_key(struct redis *r, uint64_t key)
{
	char name[24];

	put_bulk(r, name, snprintf(name, sizeof(name), "key:%016" PRIx64, wl_mix(key)));
}

static char get_char(struct redis *r)
{
	ssize_t n;

	while (r->at == r->nr_in) {
		n = recv(r->fd, r->in, sizeof(r->in), 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			fail(r, "the server is gone: %m");
		r->at = 0;
		r->nr_in = n;
	}
	return r->in[r->at++];
}

static void get_bytes(struct redis *r, char *to, size_t n)
{
	while (n) {
		size_t there;

		*to++ = get_char(r);
		n--;
		there = r->nr_in - r->at < n ? r->nr_in - r->at : n;
		memcpy(to, r->in + r->at, there);
		r->at += there;
		to += there;
		n -= there;
	}
}

static size_t get_line(struct redis *r, char *line, size_t size)
{
	size_t n = 0;
	char c;

	while ((c = get_char(r)) != '\r')
		if (n + 1 < size)
			line[n++] = c;
	get_char(r);
	line[n] = '\0';
	return n;
}

/* Length of a bulk string, which is in got[]; -1 for nil, -2 for any other answer but an error. */
static int64_t get_answer(struct redis *r)
{
	char line[256], crlf[2];
	long long n;

	get_line(r, line, sizeof(line));
	if (line[0] == '-')
		fail(r, "the server says: %s", line + 1);
	if (line[0] != '$')
		return -2;
	n = atoll(line + 1);
	if (n > (long long)sizeof(r->got))
		fail(r, "an answer of %lld bytes", n);
	if (n < 0)
		return -1;
	get_bytes(r, r->got, n);
	get_bytes(r, crlf, 2);
	return n;
}

/* --- Values ----------------------------------------------------------------------------------- */

static void make_value(struct redis *r, uint64_t key)
{
	uint64_t x = (key + 1) * 0x9e3779b97f4a7c15ULL ^ r->version[key];

	for (size_t i = 0; i < r->value; i += 8) {
		uint64_t word = x * (2 * i + 3);

		memcpy(r->want + i, &word, 8);
	}
}

static bool value_ok(struct redis *r, uint64_t key, int64_t len)
{
	make_value(r, key);
	return len == (int64_t)r->value && !memcmp(r->want, r->got, len);
}

static void put_request(struct redis *r, const struct request *q)
{
	static const char get[] = "*2\r\n$3\r\nGET\r\n", set[] = "*4\r\n$8\r\nSETRANGE\r\n";

	if (!q->set) {
		put(r, get, sizeof(get) - 1);
		put_key(r, q->key);
		return;
	}
	put(r, set, sizeof(set) - 1);
	put_key(r, q->key);
	put_bulk(r, "0", 1);
	make_value(r, q->key);
	put_bulk(r, r->want, r->value);
}

static void fill(struct redis *r)
{
	static const char set[] = "*3\r\n$3\r\nSET\r\n";
	uint64_t answered = 0;

	r->nr = r->w.size_mib * WL_MIB / (r->value + ITEM_OVERHEAD);
	r->version = calloc(r->nr, sizeof(*r->version));
	if (!r->version)
		fail(r, "no memory");
	for (uint64_t key = 0; key < r->nr; key++) {
		put(r, set, sizeof(set) - 1);
		put_key(r, key);
		make_value(r, key);
		put_bulk(r, r->want, r->value);
		if (key % MAX_PIPELINE != MAX_PIPELINE - 1 && key + 1 != r->nr)
			continue;
		for (flush_out(r); answered <= key; answered++)
			get_answer(r);
	}
	zipf_init(&r->zipf, r->nr, r->theta);
	wl_extra(&r->w, "\"items\":%" PRIu64 ",", r->nr);
}

static bool verify(struct redis *r)
{
	struct request q[MAX_PIPELINE];

	for (uint64_t key = 0; key < r->nr; key += MAX_PIPELINE) {
		uint64_t n = r->nr - key < MAX_PIPELINE ? r->nr - key : MAX_PIPELINE;

		for (uint64_t i = 0; i < n; i++) {
			q[i] = (struct request){ .key = key + i };
			put_request(r, &q[i]);
		}
		flush_out(r);
		for (uint64_t i = 0; i < n; i++)
			r->bad += !value_ok(r, key + i, get_answer(r));
	}
	if (r->bad)
		fprintf(stderr, "redis: %" PRIu64 " wrong answers\n", r->bad);
	return !r->bad;
}

/* --- Load ------------------------------------------------------------------------------------- */

/* One round trip; answers to GET are checked against the version at the time of asking. */
static void batch(struct redis *r, uint64_t *rng, uint64_t n)
{
	struct request q[MAX_PIPELINE];
	uint32_t version[MAX_PIPELINE], now;
	uint64_t t0 = r->w.latency ? wl_ns() : 0;

	for (uint64_t i = 0; i < n; i++) {
		q[i].key = zipf_permute(&r->zipf, zipf_rank(&r->zipf, rng));
		q[i].set = wl_unit(rng) >= r->get_share;
		r->version[q[i].key] += q[i].set;
		r->sets += q[i].set;
		version[i] = r->version[q[i].key];
		put_request(r, &q[i]);
	}
	flush_out(r);
	for (uint64_t i = 0; i < n; i++) {
		int64_t len = get_answer(r);

		now = r->version[q[i].key];
		r->version[q[i].key] = version[i];
		r->bad += q[i].set ? len != -2 : !value_ok(r, q[i].key, len);
		r->version[q[i].key] = now;
	}
	if (r->w.latency)
		wl_latency(&r->w, wl_ns() - t0);
}

static void run(struct redis *r)
{
	uint64_t rng = wl_seed(r->w.seed, 0), done = 0, n;

	wl_start(&r->w);
	do {
		n = r->w.seconds || r->ops - done > r->pipeline ? r->pipeline : r->ops - done;
		batch(r, &rng, n);
		done += n;
	} while (wl_tick(&r->w, done) && (r->w.seconds || done < r->ops));
	wl_stop(&r->w, done);
	wl_extra(&r->w, "\"sets\":%" PRIu64 ",", r->sets);
}

/* --- Options ---------------------------------------------------------------------------------- */

static const struct opt options[] = {
	OPT_NUMBER(struct redis, ops, "ops", 'n', "N", 1, 1e12, "requests (500000)"),
	OPT_NUMBER(struct redis, theta, "theta", 0, "X", 0, 5, "Zipf exponent (0.99)"),
	OPT_NUMBER(struct redis, get_share, "get", 0, "SHARE", 0, 1,
		   "share of requests that read (0.9)"),
	OPT_NUMBER(struct redis, value, "value", 0, "BYTES", 64, MAX_VALUE,
		   "size of a value, a multiple of 8 (1000)"),
	OPT_NUMBER(struct redis, pipeline, "pipeline", 0, "N", 1, MAX_PIPELINE,
		   "requests sent before their answers are awaited (16); a latency is one round "
		   "trip's"),
	OPT_STRING(struct redis, server, "server", "PROGRAM", "what to run (redis-server)"),
	{}
};

static const char doc[] = "redis-server with Zipf-distributed keys; an op is a request.";

int main(int argc, char **argv)
{
	static struct redis r = { .w = { .name = "redis", .size_mib = 300, .mark = mark },
				  .server = "redis-server",
				  .ops = 500000,
				  .value = 1000,
				  .pipeline = 16,
				  .theta = 0.99,
				  .get_share = 0.9 };
	bool ok;

	wl_parse(&r.w, argc, argv, options, &r, doc);
	r.value &= ~7ULL;
	r.w.threads = 1;
	start_server(&r);
	fill(&r);
	r.filled = true;
	run(&r);
	ok = verify(&r);
	stop_server(&r);
	return wl_finish(&r.w, ok);
}
