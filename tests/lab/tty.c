// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * tty ROWS COLUMNS COMMAND [ARG...]: runs a program on a pseudo terminal, keeps the screen that it
 * draws, and does what stdin says, a command a line:
 *   until SECONDS TEXT    waits until TEXT is on the screen
 *   gone SECONDS TEXT     waits until it is not
 *   keys TEXT             types TEXT; \e, \n, \t and \\ are known
 *   size ROWS COLUMNS     changes the terminal's size, as a terminal emulator does
 *   signal NUMBER         to the program
 *   run COMMAND           runs it in a shell
 *   print [FILE]          writes the screen
 *   end SECONDS STATUS    waits for the program's end; 128 and the signal if one ended it
 *   restored              the terminal is as it was before: modes, screen, cursor
 * For each it prints "ok - ..." or "not ok - ...". It knows the control sequences of TERM=xterm
 * that ncurses uses; one that it does not know is a failure, since the screen would not be right.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define ROWS_MAX 200
#define COLS_MAX 300
#define ARGS_MAX 16

struct tty {
	int fd, slave;
	pid_t child;
	int status; /* of wait(), once it has ended */
	bool ended;
	struct termios before;
	/* the screen */
	int rows, cols, y, x, top, bottom; /* bottom: last line of the scrolling region */
	bool wrap;			   /* the next character goes to the next line */
	bool alternate, hidden;
	char last; /* character printed, for REP */
	char cell[ROWS_MAX][COLS_MAX + 1];
	/* the sequence being read */
	char seq[64];
	size_t seq_len;
	char unknown[80];      /* the first that was not known */
	unsigned long outside; /* characters at positions that the screen does not have */
};

/* ---- the screen ---- */

static void blank(struct tty *t, int y, int from, int to)
{
	int x;

	for (x = from; x < to; x++)
		t->cell[y][x] = ' ';
}

static void clear(struct tty *t)
{
	int y;

	for (y = 0; y < ROWS_MAX; y++)
		blank(t, y, 0, COLS_MAX);
}

/* n > 0: lines move up, from line `from` on. */
static void scroll(struct tty *t, int from, int n)
{
	int y, to;

	for (y = 0; y < abs(n); y++) {
		if (n > 0) {
			for (to = from; to < t->bottom; to++)
				memcpy(t->cell[to], t->cell[to + 1], COLS_MAX);
			blank(t, t->bottom, 0, COLS_MAX);
		} else {
			for (to = t->bottom; to > from; to--)
				memcpy(t->cell[to], t->cell[to - 1], COLS_MAX);
			blank(t, from, 0, COLS_MAX);
		}
	}
}

static void line_feed(struct tty *t)
{
	if (t->y == t->bottom)
		scroll(t, t->top, 1);
	else if (t->y < t->rows - 1)
		t->y++;
}

static void go(struct tty *t, int y, int x)
{
	if (y < 0 || x < 0 || y >= t->rows || x >= t->cols)
		t->outside++;
	t->y = y < 0 ? 0 : y >= t->rows ? t->rows - 1 : y;
	t->x = x < 0 ? 0 : x >= t->cols ? t->cols - 1 : x;
	t->wrap = false;
}

static void put(struct tty *t, char c)
{
	if (t->wrap) {
		t->x = 0;
		line_feed(t);
	}
	t->cell[t->y][t->x] = c;
	t->last = c;
	t->wrap = t->x == t->cols - 1;
	if (!t->wrap)
		t->x++;
}

static void shift(struct tty *t, int n)
{
	char *line = t->cell[t->y];
	int x;

	if (n > t->cols - t->x)
		n = t->cols - t->x;
	if (n >= 0) { /* delete */
		memmove(line + t->x, line + t->x + n, t->cols - t->x - n);
		blank(t, t->y, t->cols - n, t->cols);
		return;
	}
	n = -n < t->cols - t->x ? -n : t->cols - t->x;
	for (x = t->cols - 1; x >= t->x + n; x--)
		line[x] = line[x - n];
	blank(t, t->y, t->x, t->x + n);
}

static void erase_line(struct tty *t, int what)
{
	blank(t, t->y, what ? 0 : t->x, what == 1 ? t->x + 1 : t->cols);
}

static void erase_display(struct tty *t, int what)
{
	int y;

	if (what >= 2) {
		clear(t);
		return;
	}
	erase_line(t, what);
	for (y = what ? 0 : t->y + 1; y < (what ? t->y : t->rows); y++)
		blank(t, y, 0, t->cols);
}

/* ---- control sequences ---- */

static void not_known(struct tty *t)
{
	if (!*t->unknown)
		snprintf(t->unknown, sizeof(t->unknown), "ESC%.*s", (int)t->seq_len, t->seq);
}

static void mode(struct tty *t, bool on)
{
	int m = atoi(t->seq + 2);

	if (t->seq[1] != '?')
		return;
	if (m == 1049) {
		t->alternate = on;
		clear(t);
	} else if (m == 25) {
		t->hidden = !on;
	}
}

static void region(struct tty *t, int top, int bottom)
{
	t->top = top > 0 && top <= t->rows ? top - 1 : 0;
	t->bottom = bottom > 0 && bottom <= t->rows ? bottom - 1 : t->rows - 1;
	go(t, 0, 0);
}

static void control(struct tty *t)
{
	char *end = t->seq + 1, kind = t->seq[t->seq_len - 1];
	int a = strtol(end, &end, 10), b = *end == ';' ? atoi(end + 1) : 0, n = a ? a : 1, i;

	switch (kind) {
	case 'H':
	case 'f':
		go(t, n - 1, (b ? b : 1) - 1);
		return;
	case 'A':
		go(t, t->y - n < 0 ? 0 : t->y - n, t->x);
		return;
	case 'B':
		go(t, t->y + n, t->x);
		return;
	case 'C':
		go(t, t->y, t->x + n);
		return;
	case 'D':
		go(t, t->y, t->x - n < 0 ? 0 : t->x - n);
		return;
	case 'G':
		go(t, t->y, n - 1);
		return;
	case 'd':
		go(t, n - 1, t->x);
		return;
	case 'J':
		erase_display(t, a);
		return;
	case 'K':
		erase_line(t, a);
		return;
	case 'X':
		blank(t, t->y, t->x, t->x + n < t->cols ? t->x + n : t->cols);
		return;
	case 'P':
		shift(t, n);
		return;
	case '@':
		shift(t, -n);
		return;
	case 'L':
		scroll(t, t->y, -n);
		return;
	case 'M':
		scroll(t, t->y, n);
		return;
	case 'S':
		scroll(t, t->top, n);
		return;
	case 'T':
		scroll(t, t->top, -n);
		return;
	case 'b':
		for (i = 0; i < n && i < COLS_MAX; i++)
			put(t, t->last);
		return;
	case 'r':
		region(t, a, b);
		return;
	case 'h':
	case 'l':
		mode(t, kind == 'h');
		return;
	case 'm': /* colours */
	case 't': /* the window's title */
	case 'n':
	case 'c':
		return;
	}
	not_known(t);
}

/* A byte within a sequence; false: it ended. */
static bool in_sequence(struct tty *t, unsigned char c)
{
	if (t->seq_len == sizeof(t->seq) - 1) {
		not_known(t);
		return false;
	}
	t->seq[t->seq_len++] = c;
	t->seq[t->seq_len] = '\0';
	if (t->seq_len == 1)
		return strchr("[()#", c);
	if (t->seq[0] != '[') /* a character set */
		return false;
	if (c < '@' || c > '~')
		return true;
	control(t);
	return false;
}

static void single(struct tty *t)
{
	if (t->seq_len != 1 || strchr("=>78c", t->seq[0]))
		return;
	if (t->seq[0] == 'M') {
		if (t->y == t->top)
			scroll(t, t->top, -1);
		else if (t->y)
			t->y--;
	} else {
		not_known(t);
	}
}

static void receive(struct tty *t, unsigned char c, bool *escape)
{
	if (*escape) {
		*escape = in_sequence(t, c);
		if (!*escape)
			single(t);
	} else if (c == '\033') {
		*escape = true;
		t->seq_len = 0;
	} else if (c == '\r') {
		t->x = 0;
		t->wrap = false;
	} else if (c == '\n') {
		line_feed(t);
	} else if (c == '\b') {
		go(t, t->y, t->x ? t->x - 1 : 0);
	} else if (c == '\t') {
		go(t, t->y, t->x / 8 * 8 + 8 < t->cols ? t->x / 8 * 8 + 8 : t->cols - 1);
	} else if (c >= ' ') {
		put(t, c);
	}
}

/* ---- the program ---- */

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static void reap(struct tty *t)
{
	if (!t->ended && waitpid(t->child, &t->status, WNOHANG) == t->child)
		t->ended = true;
}

/* Takes what has been drawn, waiting for it for so many ms. Was there any? */
static bool pump(struct tty *t, int ms)
{
	static bool escape;
	struct pollfd p = { .fd = t->fd, .events = POLLIN };
	bool any = false;
	char buf[4096];
	ssize_t n, i;

	while (poll(&p, 1, ms) > 0 && p.revents & POLLIN) {
		n = read(t->fd, buf, sizeof(buf));
		any |= n > 0;
		for (i = 0; i < n; i++)
			receive(t, buf[i], &escape);
		if (n <= 0)
			break;
		ms = 0;
	}
	reap(t);
	return any;
}

static int start(struct tty *t, char **argv)
{
	struct winsize ws = { .ws_row = t->rows, .ws_col = t->cols };

	t->fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->fd < 0 || grantpt(t->fd) || unlockpt(t->fd))
		return -errno;
	/* Held open, so that the terminal outlives the program. */
	t->slave = open(ptsname(t->fd), O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (t->slave < 0 || ioctl(t->slave, TIOCSWINSZ, &ws) || tcgetattr(t->slave, &t->before))
		return -errno;
	clear(t);
	t->bottom = t->rows - 1;
	t->child = fork();
	if (t->child)
		return t->child < 0 ? -errno : 0;
	setsid();
	ioctl(t->slave, TIOCSCTTY, 0);
	dup2(t->slave, 0);
	dup2(t->slave, 1);
	dup2(t->slave, 2);
	setenv("TERM", "xterm", 1);
	unsetenv("LINES");
	unsetenv("COLUMNS");
	execv(argv[0], argv);
	_exit(127);
}

/* ---- the commands ---- */

static bool on_screen(const struct tty *t, const char *text)
{
	int y;

	for (y = 0; y < t->rows; y++)
		if (memmem(t->cell[y], t->cols, text, strlen(text)))
			return true;
	return false;
}

static void print(const struct tty *t, FILE *f, const char *prefix)
{
	int y, len;

	for (y = 0; y < t->rows; y++) {
		for (len = t->cols; len && t->cell[y][len - 1] == ' '; len--)
			;
		fprintf(f, "%s%.*s\n", prefix, len, t->cell[y]);
	}
}

static bool wait_text(struct tty *t, char *arg, bool wanted)
{
	double until = now() + strtod(arg, &arg);

	arg += *arg == ' ';
	do {
		pump(t, 50);
		if (on_screen(t, arg) == wanted)
			return true;
	} while (now() < until);
	print(t, stdout, "# ");
	return false;
}

static bool wait_end(struct tty *t, char *arg)
{
	double until = now() + strtod(arg, &arg);
	int want = atoi(arg), got;

	while (!t->ended && now() < until)
		pump(t, 50);
	pump(t, 0);
	if (!t->ended) {
		printf("# it runs on\n");
		return false;
	}
	got = WIFEXITED(t->status) ? WEXITSTATUS(t->status) : 128 + WTERMSIG(t->status);
	if (got != want)
		printf("# status %d\n", got);
	return got == want;
}

static bool type(struct tty *t, const char *s)
{
	static const char from[] = "ent\\", to[] = "\033\n\t\\";
	const char *known;
	char c;

	for (; *s; s++) {
		c = *s;
		known = c == '\\' && s[1] ? strchr(from, s[1]) : NULL;
		if (known) {
			c = to[known - from];
			s++;
		}
		if (write(t->fd, &c, 1) != 1)
			return false;
	}
	return true;
}

static bool resize(struct tty *t, const char *arg)
{
	struct winsize ws = { 0 };

	if (sscanf(arg, "%hu %hu", &ws.ws_row, &ws.ws_col) != 2 || ws.ws_row > ROWS_MAX ||
	    ws.ws_col > COLS_MAX || !ws.ws_row || !ws.ws_col)
		return false;
	pump(t, 0);
	t->rows = ws.ws_row;
	t->cols = ws.ws_col;
	t->outside = 0;
	region(t, 0, 0);
	/* The kernel sends SIGWINCH. */
	return !ioctl(t->fd, TIOCSWINSZ, &ws);
}

static bool restored(struct tty *t)
{
	struct termios after;

	pump(t, 0);
	if (tcgetattr(t->slave, &after))
		return false;
	if (after.c_iflag == t->before.c_iflag && after.c_oflag == t->before.c_oflag &&
	    after.c_lflag == t->before.c_lflag && after.c_cflag == t->before.c_cflag &&
	    !memcmp(after.c_cc, t->before.c_cc, sizeof(after.c_cc)) && !t->alternate && !t->hidden)
		return true;
	printf("# modes %x %x %x %x, before %x %x %x %x%s%s\n", after.c_iflag, after.c_oflag,
	       after.c_lflag, after.c_cflag, t->before.c_iflag, t->before.c_oflag,
	       t->before.c_lflag, t->before.c_cflag, t->alternate ? "; full screen" : "",
	       t->hidden ? "; no cursor" : "");
	return false;
}

/* A screen is drawn from top to bottom: what was waited for may be there before the last line is. */
static bool save(struct tty *t, const char *path)
{
	FILE *f = *path ? fopen(path, "w") : stdout;
	int tries = 20;

	if (!f)
		return false;
	while (pump(t, 400) && --tries)
		;
	print(t, f, *path ? "" : "# ");
	return f == stdout || !fclose(f);
}

static bool command(struct tty *t, const char *name, char *arg)
{
	if (!strcmp(name, "until"))
		return wait_text(t, arg, true);
	if (!strcmp(name, "gone"))
		return wait_text(t, arg, false);
	if (!strcmp(name, "keys"))
		return type(t, arg);
	if (!strcmp(name, "size"))
		return resize(t, arg);
	if (!strcmp(name, "signal"))
		return !kill(t->child, atoi(arg));
	if (!strcmp(name, "run"))
		return !system(arg);
	if (!strcmp(name, "print"))
		return save(t, arg);
	if (!strcmp(name, "end"))
		return wait_end(t, arg);
	if (!strcmp(name, "restored"))
		return restored(t);
	return false;
}

static int run(struct tty *t)
{
	char line[256], *arg;
	int failed = 0;
	bool good;

	while (fgets(line, sizeof(line), stdin)) {
		line[strcspn(line, "\n")] = '\0';
		arg = line + strcspn(line, " ");
		if (*arg)
			*arg++ = '\0';
		good = command(t, line, arg);
		printf("%s - %s%s%s\n", good ? "ok" : "not ok", line, *arg ? " " : "", arg);
		failed += !good;
	}
	if (*t->unknown) {
		printf("not ok - every control sequence is known (%s)\n", t->unknown);
		failed++;
	}
	if (t->outside) {
		printf("not ok - nothing is drawn outside of the screen (%lu)\n", t->outside);
		failed++;
	}
	return failed;
}

int main(int argc, char **argv)
{
	static struct tty t;
	int err;

	if (argc < 4 || argc > ARGS_MAX)
		return 2;
	t.rows = atoi(argv[1]);
	t.cols = atoi(argv[2]);
	if (t.rows < 1 || t.rows > ROWS_MAX || t.cols < 1 || t.cols > COLS_MAX)
		return 2;
	err = start(&t, argv + 3);
	if (err) {
		fprintf(stderr, "tty: %s\n", strerror(-err));
		return 2;
	}
	err = run(&t);
	if (!t.ended) {
		kill(t.child, SIGKILL);
		waitpid(t.child, NULL, 0);
	}
	return err > 0;
}
