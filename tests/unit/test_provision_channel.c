// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Reports: what a guest writes is what its host reads; and what a hostile guest can write. */
#include <poll.h>
#include <fcntl.h>
#include <math.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>

#include "test_util.h"

#include "../../loader/guest_report.h"
#include "../../provision/channel.h"
#include "../../provision/demand.h"

#define MIB (1ULL << 20)

static const char good[] =
	"{\"v\":1,\"seq\":7,\"epoch_ms\":500,\"capacity\":1048576,\"fast\":2097152,\"slow\":4,"
	"\"hot\":4096,\"share\":0.5,\"accesses\":1e8,\"refault\":3,\"waste\":0.25,"
	"\"curve\":[[0,0],[4096,0.5],[1048576,1]],\"later\":{\"x\":[1]}}";

static int parse(const char *line)
{
	struct ht_guest_report r;

	return pv_report_parse(line, strlen(line), &r);
}

static void test_good(void **state)
{
	struct ht_guest_report r;

	assert_int_equal(pv_report_parse(good, strlen(good), &r), 0);
	assert_int_equal(r.seq, 7);
	assert_int_equal(r.capacity, MIB);
	assert_int_equal(r.nr_curve, 3);
	assert_int_equal(r.curve[1].bytes, 4096);
	assert_true(r.share == 0.5 && r.waste == 0.25 && r.accesses == 1e8 && r.refault == 3);
}

/* The good line with one part replaced. */
static int parse_with(const char *part, const char *by)
{
	const char *at = strstr(good, part);
	char line[4096];

	assert_non_null(at);
	snprintf(line, sizeof(line), "%.*s%s%s", (int)(at - good), good, by, at + strlen(part));
	return parse(line);
}

static void test_bad(void **state)
{
	static const char *const bad[][2] = {
		{ "\"share\":0.5", "\"share\":1.5" },
		{ "\"share\":0.5", "\"share\":-0.1" },
		{ "\"share\":0.5", "\"share\":\"0.5\"" },
		{ "\"share\":0.5", "\"share\":null" },
		{ "\"share\":0.5,", "" },
		{ "\"waste\":0.25", "\"waste\":1e308" },
		{ "\"accesses\":1e8", "\"accesses\":1e300" },
		{ "\"hot\":4096", "\"hot\":-1" },
		{ "\"hot\":4096", "\"hot\":1e3" },
		{ "\"hot\":4096", "\"hot\":9223372036854775807" },
		{ "\"hot\":4096", "\"hot\":99999999999999999999999999" },
		{ "\"capacity\":1048576", "\"capacity\":true" },
		{ "\"epoch_ms\":500", "\"epoch_ms\":99999999999" },
		{ "[4096,0.5]", "[4096,1.01]" },
		{ "[4096,0.5]", "[4096]" },
		{ "[4096,0.5]", "[4096,0.5,1]" },
		{ "[4096,0.5]", "[\"a\",0.5]" },
		{ "[4096,0.5]", "4096" },
		{ "[4096,0.5]", "[2097152,0.5]" }, /* falls after it */
		{ "[0,0]", "[0,0.7]" },
		{ "[0,0]",
		  "[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],[0,0],"
		  "[0,0],[0,0],[0,0]" },
		{ "[0,0]", "[[[0]],0]" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (!parse_with(bad[i][0], bad[i][1]))
			fail_msg("taken: %s", bad[i][1]);
	assert_int_equal(parse_with("\"v\":1", "\"v\":2"), -EPROTO);
	assert_int_equal(parse_with("\"v\":1,", ""), -EBADMSG);
	assert_int_equal(parse_with("\"share\":0.5", "\"share\":NaN"), -ERANGE);
	assert_int_equal(parse(""), -EBADMSG);
	assert_int_equal(parse("{"), -EBADMSG);
	assert_int_equal(parse("[]"), -EBADMSG);
	assert_int_equal(parse("{}{}"), -EBADMSG);
	assert_int_equal(parse("\xff\xfe{}"), -EBADMSG);
	assert_int_equal(parse_with("{\"x\":[1]}", "[[[[[[[[[[1]]]]]]]]]]"), -EBADMSG);
}

/* Any byte of a good line turned into any other: an error or a report in its bounds, no crash. */
static void test_fuzz(void **state)
{
	uint64_t rnd = 1;

	for (int i = 0; i < 50000; i++) {
		struct ht_guest_report r;
		char line[sizeof(good)];

		memcpy(line, good, sizeof(good));
		for (uint64_t n = 1 + tu_rnd(&rnd) % 3; n; n--)
			line[tu_rnd(&rnd) % (sizeof(good) - 1)] = tu_rnd(&rnd);
		if (pv_report_parse(line, sizeof(good) - 1 - tu_rnd(&rnd) % 8, &r))
			continue;
		assert_true(r.share >= 0 && r.share <= 1 && r.nr_curve <= HT_GUEST_CURVE);
		assert_true(r.hot <= HT_GUEST_BYTES_MAX && r.capacity <= HT_GUEST_BYTES_MAX);
	}
}

/* ---- the channel */

static void feed(struct pv_channel *c, const char *text, uint64_t now)
{
	pv_channel_feed(c, text, strlen(text), now);
}

static void test_lines(void **state)
{
	struct pv_channel c;
	char *long_line = malloc(100000);

	pv_channel_init(&c, "");
	feed(&c, good, 1000);
	assert_int_equal(c.good, 0);
	feed(&c, "\n", 1000);
	assert_int_equal(c.good, 1);
	assert_true(c.fresh && c.report_at == 1000);
	/* Too long a line is one bad one; the next is good. */
	memset(long_line, 'x', 99999);
	long_line[99999] = '\0';
	feed(&c, long_line, 1001);
	feed(&c, "\n", 1001);
	feed(&c, good, 1001);
	feed(&c, "\n\n\n", 1001);
	assert_int_equal(c.good, 2);
	assert_int_equal(c.bad, 1);
	assert_int_equal(c.abuse_until, 0);
	for (int i = 0; i < PV_CHANNEL_OFFENCES; i++)
		feed(&c, "nonsense\n", 1002);
	assert_int_equal(c.abuse_until, 1002 + PV_CHANNEL_ABUSE_MS);
	free(long_line);
}

/* A flood: so many bytes a second are taken, the rest stays where it is, and it is held against it.
 */
static void test_flood(void **state)
{
	struct pv_channel c;
	char block[65536];
	size_t sent = 0, from;
	ssize_t n;
	int fd[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd), 0);
	pv_channel_init(&c, "x");
	c.fd = fd[0];
	memset(block, '\n', sizeof(block));
	c.refilled_at = 1000;
	for (uint64_t now = 1000; now < 21000; now += 10) {
		from = sent;
		while ((n = send(fd[1], block, sizeof(block), MSG_NOSIGNAL)) > 0)
			sent += n;
		if (now > 5000)
			assert_true(sent - from < 65536 * 8);
		pv_channel_io(&c, pv_channel_events(&c), now);
	}
	assert_true(sent < 21 * PV_CHANNEL_RATE + (1 << 20));
	assert_true(c.throttles > 10);
	assert_true(c.abuse_until > 20000);
	pv_channel_free(&c);
	close(fd[1]);
}

/* Connections that the guest makes: one a second, and what it did before goes with it. */
static void test_adopt(void **state)
{
	struct pv_channel c;
	int fd[3][2];

	for (int i = 0; i < 3; i++)
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd[i]), 0);
	pv_channel_init(&c, "");
	c.refilled_at = 5000;
	assert_int_equal(pv_channel_events(&c), 0);
	assert_int_equal(pv_channel_wake(&c), UINT64_MAX);
	assert_true(pv_channel_adopt(&c, fd[0][0], 5000));
	for (int i = 0; i < PV_CHANNEL_OFFENCES; i++)
		assert_int_equal(send(fd[0][1], "nonsense\n", 9, 0), 9);
	assert_int_equal(send(fd[0][1], "half", 4, 0), 4);
	assert_int_equal(pv_channel_events(&c), POLLIN);
	pv_channel_io(&c, POLLIN, 5001);
	assert_int_equal(c.bad, PV_CHANNEL_OFFENCES);
	assert_true(c.abuse_until);
	assert_false(pv_channel_adopt(&c, fd[1][0], 5900));
	/* The next one begins with a line of its own, and is not forgiven. */
	assert_true(pv_channel_adopt(&c, fd[1][0], 6000));
	assert_int_equal(recv(fd[0][1], &(char){ 0 }, 1, 0), 0);
	assert_int_equal(send(fd[1][1], good, strlen(good), 0), strlen(good));
	assert_int_equal(send(fd[1][1], "\n", 1, 0), 1);
	pv_channel_io(&c, POLLIN, 6001);
	assert_int_equal(c.good, 1);
	assert_true(c.abuse_until > 6001);
	/* Its end is no reason to connect to anything. */
	close(fd[1][1]);
	pv_channel_io(&c, POLLIN | POLLHUP, 6002);
	assert_int_equal(c.fd, -1);
	pv_channel_io(&c, 0, 60000);
	assert_int_equal(c.fd, -1);
	assert_int_equal(pv_channel_wake(&c), UINT64_MAX);
	close(fd[0][1]);
	close(fd[2][0]);
	close(fd[2][1]);
}

/* ---- the guest's side */

static struct ht_ranges three_ranges(struct ht_range *range)
{
	range[0] = (struct ht_range){ .density = 1ULL << 16, .pages = 1000 };
	range[1] = (struct ht_range){ .density = 40ULL << 16, .pages = 100 };
	range[2] = (struct ht_range){ .density = 0, .pages = 8900 };
	return (struct ht_ranges){ .range = range, .nr = 3, .cap = 3 };
}

static void test_curve(void **state)
{
	struct ht_range range[3];
	struct ht_ranges rs = three_ranges(range);
	struct ht_guest_report r = {};
	uint32_t order[3];

	ht_guest_curve(&rs, order, &r);
	/* 4000 of 5000 on the hottest 100 pages, the rest on the next 1000. */
	assert_int_equal(r.curve[0].bytes, 0);
	assert_int_equal(r.curve[1].bytes, 100 * 4096);
	assert_true(fabs(r.curve[1].share - 0.8) < 1e-9);
	assert_int_equal(r.curve[r.nr_curve - 1].bytes, 10000ULL * 4096);
	assert_true(r.curve[r.nr_curve - 1].share == 1);
	assert_int_equal(r.hot, 1100 * 4096); /* the mean density is 0.5 */
	rs.nr = 0;
	ht_guest_curve(&rs, order, &r);
	assert_int_equal(r.nr_curve, 0);
}

/* Many ranges: the curve has no more points than it may, and keeps its knee. */
static void test_curve_of_many(void **state)
{
	static struct ht_range range[5000];
	static uint32_t order[5000];
	struct ht_ranges rs = { .range = range, .nr = 5000, .cap = 5000 };
	struct ht_guest_report r = { .seq = 1, .capacity = 1 }, back;
	struct ht_guest_point hull[HT_GUEST_CURVE];
	char line[HT_GUEST_LINE];
	int n;

	for (int i = 0; i < 5000; i++)
		range[i] = (struct ht_range){ .density = (i % 10 ? 1 : 100) << 16, .pages = 512 };
	ht_guest_curve(&rs, order, &r);
	assert_true(r.nr_curve <= HT_GUEST_CURVE && r.nr_curve > 4);
	memcpy(hull, r.curve, sizeof(hull));
	n = pv_demand_hull(hull, r.nr_curve);
	assert_in_range(pv_demand_knee(hull, n, 0.5), 500 * 512 * 4096ULL, 1200 * 512 * 4096ULL);
	n = ht_guest_line(&r, line, sizeof(line));
	assert_true(n > 0 && line[n - 1] == '\n');
	assert_int_equal(pv_report_parse(line, n - 1, &back), 0);
	assert_int_equal(back.nr_curve, r.nr_curve);
	assert_int_equal(back.hot, r.hot);
}

/* The largest numbers there are still make a line that fits. */
static void test_longest_line(void **state)
{
	struct ht_guest_report r = { .seq = UINT64_MAX,
				     .epoch_ms = UINT32_MAX,
				     .capacity = UINT64_MAX,
				     .fast = UINT64_MAX,
				     .slow = UINT64_MAX,
				     .hot = UINT64_MAX,
				     .share = 1,
				     .accesses = 1e300,
				     .waste = 1,
				     .refault = UINT64_MAX,
				     .nr_curve = HT_GUEST_CURVE };
	char line[HT_GUEST_LINE];

	for (int i = 0; i < HT_GUEST_CURVE; i++)
		r.curve[i] = (struct ht_guest_point){ UINT64_MAX, 1 };
	assert_true(ht_guest_line(&r, line, sizeof(line)) > 0);
}

/* A pipe that nobody reads fills up; the loader goes on, and lines stay whole. */
static void test_never_blocks(void **state)
{
	char dir[] = "/tmp/ht-port-XXXXXX", name[64], buf[65536], *nl;
	struct ht_guest_port *port;
	int fd, dropped = 0;
	ssize_t n, i;

	assert_non_null(mkdtemp(dir));
	snprintf(name, sizeof(name), "%s/port", dir);
	assert_int_equal(mkfifo(name, 0600), 0);
	/* Nobody there yet: not an error. */
	assert_int_equal(ht_guest_port_open(&port, name), 0);
	ht_guest_port_close(port);
	fd = open(name, O_RDONLY | O_NONBLOCK);
	assert_int_equal(ht_guest_port_open(&port, name), 0);
	for (i = 0; i < 20000; i++)
		dropped += ht_guest_port_write(port, "0123456789\n", 11) != 0;
	assert_true(dropped > 1000);
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		for (i = 0; i < n; i = nl ? nl - buf + 1 : n) {
			nl = memchr(buf + i, '\n', n - i);
			if (nl && i)
				assert_int_equal(nl - (buf + i), 10);
		}
	ht_guest_port_close(port);
	close(fd);
	unlink(name);
	rmdir(dir);
	assert_int_equal(ht_guest_port_open(&port, "/tmp/no/such/port"), -ENOENT);
	assert_int_equal(ht_guest_port_open(&port, "vsock:x"), -EINVAL);
	assert_int_equal(ht_guest_port_open(&port, "/etc/passwd"), -ENOTTY);
}

/* A terminal, by a name that stays: a port that takes a part of a line when it is nearly full. */
static int open_terminal(const char *name)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
	struct termios raw;

	assert_true(fd >= 0 && !grantpt(fd) && !unlockpt(fd));
	assert_int_equal(tcgetattr(fd, &raw), 0);
	cfmakeraw(&raw);
	assert_int_equal(tcsetattr(fd, TCSANOW, &raw), 0);
	unlink(name);
	assert_int_equal(symlink(ptsname(fd), name), 0);
	return fd;
}

/* The host goes while half a line is out: the port is opened anew, and begins with a whole one. */
static void test_gone_in_a_line(void **state)
{
	char dir[] = "/tmp/ht-port-XXXXXX", name[64], line[1000], buf[sizeof(line)];
	struct ht_guest_port *port;
	size_t out = 0;
	ssize_t n;
	int fd, i;

	assert_non_null(mkdtemp(dir));
	snprintf(name, sizeof(name), "%s/port", dir);
	memset(line, 'x', sizeof(line));
	line[0] = 'b';
	line[sizeof(line) - 1] = '\n';
	fd = open_terminal(name);
	assert_int_equal(ht_guest_port_open(&port, name), 0);
	for (i = 0; i < 100000 && !ht_guest_port_write(port, line, sizeof(line)); i++)
		;
	assert_true(i < 100000);
	close(fd);
	fd = open_terminal(name);
	for (i = 0; i < 1000 && ht_guest_port_write(port, line, sizeof(line)); i++)
		;
	assert_true(i < 1000);
	while (out < sizeof(line) && (n = read(fd, buf + out, sizeof(buf) - out)) > 0)
		out += n;
	assert_int_equal(out, sizeof(line));
	assert_memory_equal(buf, line, out);
	ht_guest_port_close(port);
	close(fd);
	unlink(name);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_gone_in_a_line),
		cmocka_unit_test(test_good),	     cmocka_unit_test(test_bad),
		cmocka_unit_test(test_fuzz),	     cmocka_unit_test(test_lines),
		cmocka_unit_test(test_flood),	     cmocka_unit_test(test_adopt),
		cmocka_unit_test(test_curve),	     cmocka_unit_test(test_curve_of_many),
		cmocka_unit_test(test_longest_line), cmocka_unit_test(test_never_blocks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
