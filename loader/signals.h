/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/* A program that undoes things in order is asked to end, not interrupted. */
#ifndef HT_SIGNALS_H
#define HT_SIGNALS_H

/*
 * Blocks SIGINT, SIGTERM and SIGHUP, ignores SIGPIPE. A signalfd(2) that delivers them, the
 * caller's to close, or a negative number, with errno.
 */
int ht_block_signals(void);

#endif
