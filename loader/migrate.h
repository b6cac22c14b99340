/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * The one place where pages move. A backend takes a batch of pages of one process and gives each a
 * status; the caller sorts pages into batches. A transparent huge page is named once, by its first
 * page, and moves whole.
 */
#ifndef HT_MIGRATE_H
#define HT_MIGRATE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "exchange.h"

/* Outcomes by errno, for the statistics. Keep in step with ht_migrate_outcome_name(). */
enum ht_outcome {
	HT_OUT_MOVED,
	HT_OUT_ALREADY, /* was on the destination node before */
	HT_OUT_EBUSY,	/* page busy, under I/O, pinned: try again later */
	HT_OUT_EACCES,	/* mapped by several processes and not movable for us */
	HT_OUT_ENOENT,	/* not present (any more) */
	HT_OUT_ENOMEM,	/* no memory on the destination */
	HT_OUT_EFAULT,	/* zero page, not mapped, or a further page of a huge page in the batch */
	HT_OUT_EIO,	/* dirty page without a way to move it */
	HT_OUT_ESRCH,	/* the process is gone: the caller drops the target */
	HT_OUT_EPERM,	/* no CAP_SYS_NICE or ptrace access: the caller drops the target */
	HT_OUT_OTHER,
	HT_OUT_NR,
};

const char *ht_migrate_outcome_name(enum ht_outcome o);

struct ht_migrate_stats {
	uint64_t calls;
	uint64_t pages[HT_OUT_NR]; /* addresses by outcome (a THP is one address) */
	uint64_t huge_moved;	   /* of pages[HT_OUT_MOVED], those in batches of huge pages */
	uint64_t exchanged;	   /* pairs, a huge one counts once */
	uint64_t copied;	   /* 4 KiB pages that move_pages(2) moved */
	uint64_t ns;		   /* wall-clock time inside the calls */
};

struct ht_migrate_batch {
	pid_t pid;
	bool huge; /* every address names a huge page: chunks are sized apart from small pages' */
	bool shared; /* other processes map pages of it as well, and they are to move nevertheless */
	size_t nr;
	uint64_t *addr; /* in: page addresses, 4 KiB aligned */
	int *node;	/* in: destination node id of each */
	/*
	 * In, optional: the node each page is on now, -1 where not known. The kernel answers
	 * "moved" and "was there already" alike, so without this it is asked first, which costs
	 * about a sixth of a move. Callers that come from ht_placement_query() know.
	 */
	const int *from;
	int *status; /* out: enum ht_outcome of each */
};

struct ht_migrate;

enum ht_backend { HT_BACKEND_AUTO, HT_BACKEND_MOVE_PAGES, HT_BACKEND_EXCHANGE };

/*
 * Picks the best backend there is: the kernel helper's exchange for pairs where its device is there
 * and exchange is switched on, move_pages(2) for the rest. -ENOSYS, -EPERM with a message.
 */
int ht_migrate_open(struct ht_migrate **m);
/* Insists on a backend. An errno, logged, where exchange is asked for and not to be had. */
int ht_migrate_choose(struct ht_migrate *m, enum ht_backend backend);
void ht_migrate_close(struct ht_migrate *m);
const char *ht_migrate_backend(const struct ht_migrate *m);
const char *ht_migrate_why(const struct ht_migrate *m);
/*
 * Moves a batch, in chunks whose size adapts so that one call stays below about 20 ms (a longer
 * call stalls the process's page faults). Chunks do not span destinations: sort by node. Returns 0
 * when every page has a status, also when some failed; -ESRCH or -EPERM when the whole process
 * cannot be moved; -ENODEV or -EACCES when a destination does not exist or the process's cpuset
 * excludes it (other destinations are served). Statuses are set in every case.
 */
int ht_migrate_move(struct ht_migrate *m, struct ht_migrate_batch *b);
/* Whether pairs can be exchanged. */
bool ht_migrate_pairs(const struct ht_migrate *m);
/*
 * Exchanges pairs in place, each with the policy's view of its promotion; at most
 * ht_migrate_pairs_max() of them. Statuses are enum ht_xchg_status; what was not exchanged is where
 * it was, and can still be moved. Number exchanged, or a negative errno with all statuses set.
 */
int ht_migrate_exchange(struct ht_migrate *m, struct ht_xchg_pair *pair, size_t nr, bool huge,
			const struct ht_move *move);
size_t ht_migrate_pairs_max(bool huge);
/* Whether the helper's watchdog ejected the attached policy; why gets its reason. */
bool ht_migrate_ejected(const struct ht_migrate *m, char *why, size_t size);
const struct ht_migrate_stats *ht_migrate_stats(const struct ht_migrate *m);

#endif
