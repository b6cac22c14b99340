/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * libbpf's messages: silent by default, shown from -vv on, and the last of them kept, so that the
 * verifier's verdict can be told when a load fails. libbpf's callback takes no context, hence the
 * one static buffer.
 */
#ifndef HT_BPFLOG_H
#define HT_BPFLOG_H

void ht_bpflog_start(void);
void ht_bpflog_clear(void);
/* Logs up to nr of the last lines kept. */
void ht_bpflog_tail(int nr);

#endif
