// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The terminal. Whatever ends the program, it is put back: by screen_close() for all that is
 * foreseen, in a handler for a crash.
 */
#include <ncurses.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <termios.h>
#include <unistd.h>

#include "config.h"
#include "log.h"
#include "screen.h"

/* What handlers need; nothing else here is global. */
static struct {
	volatile sig_atomic_t stop; /* the signal that asked for it */
	volatile sig_atomic_t on_screen;
	struct termios was;
	char leave[128]; /* the terminal's strings for leaving full-screen mode */
	size_t leave_len;
	bool color;
	char stack[16384];
} term;

static void on_stop(int sig)
{
	term.stop = sig;
}

static void on_crash(int sig)
{
	if (term.on_screen) {
		bool left = write(STDOUT_FILENO, term.leave, term.leave_len) >= 0;
		bool restored = !tcsetattr(STDIN_FILENO, TCSANOW, &term.was);

		/* Nothing can be done about a failure. */
		term.on_screen = left && restored;
	}
	/* The handler was reset: this is the default action. */
	raise(sig);
}

void screen_signals(void)
{
	static const int stops[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGSYS };
	struct sigaction stop = { .sa_handler = on_stop };
	struct sigaction crash = { .sa_handler = on_crash,
				   .sa_flags = SA_RESETHAND | SA_NODEFER | SA_ONSTACK };
	stack_t stack = { .ss_sp = term.stack, .ss_size = sizeof(term.stack) };
	size_t i;

	sigaltstack(&stack, NULL);
	for (i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
		sigaction(stops[i], &stop, NULL);
	for (i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++)
		sigaction(crashes[i], &crash, NULL);
	signal(SIGPIPE, SIG_IGN);
}

/* Strings may end in padding ("$<2>"), which is for tputs(). */
static void remember(const char *capability)
{
	const char *s = tigetstr((char *)capability);
	size_t len;

	if (!s || s == (char *)-1)
		return;
	len = strcspn(s, "$");
	if (len > sizeof(term.leave) - term.leave_len)
		return;
	memcpy(term.leave + term.leave_len, s, len);
	term.leave_len += len;
}

static void set_colors(bool wanted)
{
	static const short color[LOOK_NR] = {
		[LOOK_GOOD] = COLOR_GREEN, [LOOK_FAIR] = COLOR_YELLOW, [LOOK_BAD] = COLOR_RED
	};
	int i;

	if (!wanted || !has_colors() || start_color() == ERR)
		return;
	use_default_colors();
	term.color = true;
	for (i = 0; i < LOOK_NR; i++)
		init_pair(i + 1, color[i] ? color[i] : -1, -1);
}

int screen_open(bool color)
{
	if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || tcgetattr(STDIN_FILENO, &term.was)) {
		pr_err("not on a terminal: --once prints a screen, --json the figures");
		return HT_RC_USAGE;
	}
	if (!newterm(NULL, stdout, stdin)) {
		pr_err("nothing is known of a terminal of type '%s' (TERM): --once works on any",
		       getenv("TERM") ?: "");
		return HT_RC_ERROR;
	}
	remember("sgr0");
	remember("rmkx");
	remember("cnorm");
	remember("rmcup");
	term.on_screen = 1;
	cbreak();
	noecho();
	keypad(stdscr, TRUE);
	curs_set(0);
	set_colors(color);
	return 0;
}

void screen_close(void)
{
	if (term.on_screen)
		endwin();
	term.on_screen = 0;
}

void screen_draw(const struct top_view *v)
{
	static const int attr[LOOK_NR] = { [LOOK_HEAD] = A_REVERSE, [LOOK_BOLD] = A_BOLD };
	int y, x;

	erase();
	for (y = 0; y < v->nr; y++) {
		for (x = 0; v->text[y][x]; x++) {
			int look = v->look[y][x];

			attrset(attr[look] | (term.color ? COLOR_PAIR(look + 1) : 0));
			mvaddch(y, x, v->text[y][x]);
		}
	}
	attrset(A_NORMAL);
	refresh();
}

bool screen_stopped(void)
{
	return term.stop;
}

void screen_size(int *rows, int *cols)
{
	getmaxyx(stdscr, *rows, *cols);
}

int screen_key(int ms)
{
	int key;

	timeout(ms);
	key = getch();
	switch (key) {
	case KEY_DOWN:
		return SCREEN_DOWN;
	case KEY_UP:
		return SCREEN_UP;
	case KEY_NPAGE:
		return SCREEN_PAGE_DOWN;
	case KEY_PPAGE:
		return SCREEN_PAGE_UP;
	case KEY_HOME:
		return SCREEN_HOME;
	}
	return key > 0 && key < 128 ? key : 0;
}
