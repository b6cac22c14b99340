/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Recording the samples of a run for tools/replay (hypertier/trace.h). Only a source whose samples
 * pass through the loader can be recorded: the emulated one. Where samples are counted in the
 * kernel, nothing streams them, by design.
 */
#ifndef HT_RECORD_H
#define HT_RECORD_H

#include <stdint.h>

#include <hypertier/trace.h>

struct ht_record;

/* Creates the file (0600; an existing one is replaced). 0 or a negative errno, logged. */
int ht_record_open(struct ht_record **r, const char *path, uint64_t period);
/* Errors (disk full) end the recording with a warning, never the run. r may be NULL. */
void ht_record_add(struct ht_record *r, const struct ht_inject_rec *rec, uint32_t nr);
void ht_record_epoch(struct ht_record *r, uint64_t epoch_ns);
void ht_record_close(struct ht_record *r);

#endif
