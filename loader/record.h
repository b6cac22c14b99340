/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * Recording the samples of a run, and where pages were, for tools/replay and tools/heatmap
 * (hypertier/trace.h). The emulated source's samples pass through the loader, which adds them;
 * those of other sources the sampler puts into a ring buffer, which is emptied at the end of each
 * epoch. Without a recording neither the ring nor the code that fills it is there.
 */
#ifndef HT_RECORD_H
#define HT_RECORD_H

#include <stdint.h>

#include <hypertier/trace.h>

#include "space.h"

/* Bytes of the ring, 24 to a sample: 350,000 samples per epoch. */
#define HT_RECORD_RING (8U << 20)

struct ht_record;

/* Creates the file (0600; an existing one is replaced). 0 or a negative errno, logged. */
int ht_record_open(struct ht_record **r, const char *path, uint32_t source);
/* When the source is open: its period, before anything else. r may be NULL. */
void ht_record_start(struct ht_record *r, uint64_t period);
/* Samples come through this ring buffer as well. 0 or a negative errno, logged. */
int ht_record_ring(struct ht_record *r, int ring_fd);
/* Errors (disk full) end the recording with a warning, never the run. r may be NULL. */
void ht_record_add(struct ht_record *r, const struct ht_inject_rec *rec, uint32_t nr);
void ht_record_epoch(struct ht_record *r, uint64_t epoch_ns);
/* Where the pages of all spaces, sorted by tgid, are now: what changed since the last call. */
void ht_record_placement(struct ht_record *r, struct ht_space *const *space, size_t nr);
/* Samples so far. */
uint64_t ht_record_samples(const struct ht_record *r);
void ht_record_close(struct ht_record *r);

#endif
