/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* The terminal: full-screen mode, keys, signals. One per process. */
#ifndef TOP_SCREEN_H
#define TOP_SCREEN_H

#include <stdbool.h>

#include "top.h"

enum { SCREEN_UP = 256, SCREEN_DOWN, SCREEN_PAGE_UP, SCREEN_PAGE_DOWN, SCREEN_HOME };

/* From here on SIGINT, SIGTERM, SIGHUP and SIGQUIT only set what screen_stopped() returns. */
void screen_signals(void);
bool screen_stopped(void);
/* Takes the terminal over. 0, or an enum ht_exit_code after a message. */
int screen_open(bool color);
/* Puts it back; does nothing if it was not taken over. */
void screen_close(void);
void screen_size(int *rows, int *cols);
void screen_draw(const struct top_view *v);
/* A key, an ASCII character or one of the above, or 0 after so many ms or a change of size. */
int screen_key(int ms);

#endif
