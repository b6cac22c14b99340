// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <numaif.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "clock.h"
#include "frames.h"
#include "log.h"
#include "placement.h"

#define PAGE_SHIFT 12
#define PAGE_SIZE (1UL << PAGE_SHIFT)
#define CHUNK 512 /* pages: one page of pagemap */
#define HUGE_PAGES 512
#define COUNTS 64 /* what is read of kpagecount at a time: pages shared lie together */

#define PM_PRESENT (1ULL << 63)
#define PM_FILE (1ULL << 61)
#define PM_EXCLUSIVE (1ULL << 56)
#define PM_FRAME ((1ULL << 55) - 1)

#define KPF_COMPOUND_TAIL (1ULL << 16)
#define KPF_HUGETLB (1ULL << 17)
#define KPF_THP (1ULL << 22)
#define KPF_ZERO_PAGE (1ULL << 24)

#define NO_FRAME UINT64_MAX

/* An unknown frame reloads the blocks; those of device memory will never be known: back off. */
#define RELOAD_MIN_NS 1000000000ULL
#define RELOAD_MAX_NS (64 * RELOAD_MIN_NS)

struct ht_placement {
	const struct ht_roots *roots;
	const struct ht_tiers *tiers;
	struct ht_frames frames;
	bool pagemap; /* else move_pages */
	char why[128];
	pid_t pid; /* whose pagemap is open, 0 = none */
	int pagemap_fd;
	int kpageflags_fd; /* -1: huge pages are not told apart */
	int kpagecount_fd; /* -1: what others map as well is never ours */
	unsigned int sharers;
	uint64_t count_pfn; /* of count[0], NO_FRAME: nothing was read */
	size_t nr_count;
	uint64_t count[COUNTS]; /* how often a frame is mapped */
	uint64_t zero_pfn;	/* of the zero page, NO_FRAME if not known */
	uint64_t head_pfn;	/* the last candidate for a huge page */
	uint64_t head_flags;	/* and what kpageflags says of its middle */
	uint64_t reloaded_ns, reload_wait_ns;
	uint64_t entry[CHUNK];
	void *page[CHUNK];
	int status[CHUNK];
};

/* ---- move_pages ---- */

static int ask_kernel(struct ht_placement *pl, pid_t pid, uint64_t va, size_t nr,
		      struct ht_page_place *place)
{
	size_t i;
	int err;

	for (i = 0; i < nr; i++)
		pl->page[i] = (void *)(uintptr_t)(va + i * PAGE_SIZE);
	if (move_pages(pid, nr, pl->page, NULL, pl->status, 0) < 0) {
		err = -errno;
		return err == -EINVAL ? -ESRCH : err; /* EINVAL: a process without memory */
	}
	for (i = 0; i < nr; i++) {
		int node = pl->status[i];

		place[i].node = node >= 0 && node < HT_MAX_NODES ? node : HT_NODE_NONE;
		place[i].flags = 0;
	}
	return 0;
}

/* ---- pagemap ---- */

static void drop_pagemap(struct ht_placement *pl)
{
	if (pl->pagemap_fd >= 0)
		close(pl->pagemap_fd);
	pl->pagemap_fd = -1;
	pl->pid = 0;
}

static int use_pagemap(struct ht_placement *pl, pid_t pid)
{
	char path[PATH_MAX];

	if (pl->pid == pid)
		return 0;
	drop_pagemap(pl);
	snprintf(path, sizeof(path), "%s/%d/pagemap", pl->roots->proc, pid);
	pl->pagemap_fd = open(path, O_RDONLY | O_CLOEXEC);
	if (pl->pagemap_fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	pl->pid = pid;
	return 0;
}

/* Entries read, 0 at the end of the address space. */
static ssize_t read_entries(struct ht_placement *pl, uint64_t va, size_t nr)
{
	size_t want = nr * sizeof(*pl->entry), len = 0;
	off_t off = (va >> PAGE_SHIFT) * sizeof(*pl->entry);
	ssize_t n;

	while (len < want) {
		n = pread(pl->pagemap_fd, (char *)pl->entry + len, want - len, off + len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		len += n;
	}
	return len / sizeof(*pl->entry);
}

/* Nothing can be read of an address space that is gone, be it by exit or by exec. */
static bool has_memory(const struct ht_placement *pl)
{
	uint64_t e;

	return pread(pl->pagemap_fd, &e, sizeof(e), 0) == sizeof(e);
}

static int fetch(struct ht_placement *pl, pid_t pid, uint64_t va, size_t nr)
{
	ssize_t got;
	int err;

	for (int try = 0;; try++) {
		err = use_pagemap(pl, pid);
		if (err)
			return err;
		got = read_entries(pl, va, nr);
		if (got > 0 || (!got && has_memory(pl)))
			break;
		drop_pagemap(pl);
		if (got < 0)
			return got;
		if (try)
			return -ESRCH;
	}
	memset(pl->entry + got, 0, (nr - got) * sizeof(*pl->entry));
	return 0;
}

/*
 * What kpageflags says of the middle of the 2 MiB that start at head. Folios lie at multiples of
 * their size: if the middle is the tail of one, that one has 2 MiB or more.
 */
static uint64_t middle_flags(struct ht_placement *pl, uint64_t head)
{
	off_t off = (head + HUGE_PAGES / 2) * sizeof(uint64_t);

	if (head == pl->head_pfn)
		return pl->head_flags;
	pl->head_pfn = head;
	if (pread(pl->kpageflags_fd, &pl->head_flags, sizeof(pl->head_flags), off) !=
	    sizeof(pl->head_flags))
		pl->head_flags = 0;
	return pl->head_flags;
}

/* Only pages that lie in 2 MiB as in a huge page are worth a question. */
static void mark_huge(struct ht_placement *pl, uint64_t va, uint64_t pfn, struct ht_page_place *p)
{
	uint64_t in_tile = (va >> PAGE_SHIFT) % HUGE_PAGES, flags;

	if (pl->kpageflags_fd < 0 || pfn % HUGE_PAGES != in_tile)
		return;
	flags = middle_flags(pl, pfn - in_tile);
	if (flags & KPF_COMPOUND_TAIL && flags & (KPF_THP | KPF_HUGETLB))
		p->flags |= HT_PAGE_THP;
	if (flags & KPF_ZERO_PAGE)
		*p = (struct ht_page_place){ .node = HT_NODE_NONE };
}

/* How often a frame is mapped, 0 = not known. */
static uint64_t count_of(struct ht_placement *pl, uint64_t pfn)
{
	ssize_t n;

	if (pl->count_pfn == NO_FRAME || pfn < pl->count_pfn ||
	    pfn - pl->count_pfn >= pl->nr_count) {
		n = pread(pl->kpagecount_fd, pl->count, sizeof(pl->count), pfn * sizeof(uint64_t));
		pl->nr_count = n > 0 ? n / sizeof(uint64_t) : 0;
		pl->count_pfn = pfn;
	}
	return pl->nr_count ? pl->count[pfn - pl->count_pfn] : 0;
}

static bool is_ours(struct ht_placement *pl, uint64_t e, uint64_t pfn)
{
	uint64_t count;

	if (e & PM_EXCLUSIVE)
		return true;
	if (pl->sharers < 2 || pl->kpagecount_fd < 0)
		return false;
	count = count_of(pl, pfn);
	return count && count <= pl->sharers;
}

static void reload_frames(struct ht_placement *pl)
{
	uint64_t now = ht_now_ns();

	if (now - pl->reloaded_ns < pl->reload_wait_ns)
		return;
	if (ht_frames_load(&pl->frames, pl->roots, pl->tiers))
		pr_debug("cannot read the memory blocks again");
	pl->reloaded_ns = now;
	if (pl->reload_wait_ns < RELOAD_MAX_NS)
		pl->reload_wait_ns *= 2;
}

static uint8_t node_of(struct ht_placement *pl, uint64_t va, uint64_t pfn)
{
	uint8_t node = ht_frames_node(&pl->frames, pfn);
	struct ht_page_place place = { .node = HT_NODE_NONE };

	if (node == HT_FRAME_UNKNOWN) {
		reload_frames(pl);
		node = ht_frames_node(&pl->frames, pfn);
		if (node != HT_FRAME_UNKNOWN)
			pl->reload_wait_ns = RELOAD_MIN_NS;
	}
	if (node == HT_FRAME_AMBIGUOUS && !ask_kernel(pl, pl->pid, va, 1, &place))
		node = place.node;
	return node < HT_MAX_NODES ? node : HT_NODE_NONE;
}

static void place_page(struct ht_placement *pl, uint64_t va, uint64_t e, struct ht_page_place *p)
{
	uint64_t pfn = e & PM_FRAME;

	*p = (struct ht_page_place){ .node = HT_NODE_NONE };
	if (!(e & PM_PRESENT) || !pfn || pfn == pl->zero_pfn)
		return;
	p->node = node_of(pl, va, pfn);
	if (p->node == HT_NODE_NONE)
		return;
	if (e & PM_FILE)
		p->flags |= HT_PAGE_SHARED;
	if (e & PM_EXCLUSIVE)
		p->flags |= HT_PAGE_EXCLUSIVE;
	if (is_ours(pl, e, pfn))
		p->flags |= HT_PAGE_OURS;
	mark_huge(pl, va, pfn, p);
}

static int read_pagemap(struct ht_placement *pl, pid_t pid, uint64_t va, size_t nr,
			struct ht_page_place *place)
{
	int err = fetch(pl, pid, va, nr);

	for (size_t i = 0; !err && i < nr; i++)
		place_page(pl, va + i * PAGE_SIZE, pl->entry[i], &place[i]);
	return err;
}

int ht_placement_query(struct ht_placement *pl, pid_t pid, uint64_t va, size_t nr_pages,
		       unsigned int sharers, struct ht_page_place *place)
{
	size_t done, nr;
	int err;

	if (pid <= 0)
		return -ESRCH;
	/* A frame may have changed its use since the call before. */
	pl->head_pfn = pl->count_pfn = NO_FRAME;
	pl->sharers = sharers;
	for (done = 0; done < nr_pages; done += nr) {
		nr = nr_pages - done < CHUNK ? nr_pages - done : CHUNK;
		err = (pl->pagemap ? read_pagemap : ask_kernel)(pl, pid, va + done * PAGE_SIZE, nr,
								place + done);
		if (err)
			return err;
	}
	return 0;
}

void ht_placement_forget(struct ht_placement *pl, pid_t pid)
{
	if (pl->pid == pid)
		drop_pagemap(pl);
}

/* ---- what is there ---- */

/* The frame of a page of ours; 0 where the kernel hides frames, NO_FRAME where it has no pagemap.
 */
static uint64_t own_frame(struct ht_placement *pl, const void *p)
{
	uint64_t e, pfn = NO_FRAME;
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/self/pagemap", pl->roots->proc);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NO_FRAME;
	if (pread(fd, &e, sizeof(e), ((uintptr_t)p >> PAGE_SHIFT) * sizeof(e)) == sizeof(e) &&
	    e & PM_PRESENT)
		pfn = e & PM_FRAME;
	close(fd);
	return pfn;
}

/*
 * Two pages that were only read both show the zero page, if the kernel has one: some give each its
 * own frame. One written to shows whether frames are told.
 */
static uint64_t probe_frames(struct ht_placement *pl)
{
	uint64_t pfn = NO_FRAME;
	volatile char *p;

	p = mmap(NULL, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NO_FRAME;
	madvise((void *)p, 3 * PAGE_SIZE, MADV_NOHUGEPAGE);
	(void)p[0];
	(void)p[PAGE_SIZE];
	p[2 * PAGE_SIZE] = 1;
	pl->zero_pfn = own_frame(pl, (void *)p);
	pfn = own_frame(pl, (void *)(p + 2 * PAGE_SIZE));
	if (!pl->zero_pfn || pl->zero_pfn != own_frame(pl, (void *)(p + PAGE_SIZE)))
		pl->zero_pfn = NO_FRAME;
	munmap((void *)p, 3 * PAGE_SIZE);
	return pfn;
}

static void choose(struct ht_placement *pl)
{
	uint64_t pfn = probe_frames(pl);
	char path[PATH_MAX];

	if (pfn == NO_FRAME || !pfn) {
		snprintf(pl->why, sizeof(pl->why), "%s",
			 pfn ? "there is no pagemap (CONFIG_PROC_PAGE_MONITOR)"
			     : "pagemap hides frame numbers (needs CAP_SYS_ADMIN)");
		return;
	}
	if (ht_frames_load(&pl->frames, pl->roots, pl->tiers)) {
		snprintf(pl->why, sizeof(pl->why),
			 "no memory blocks in sysfs (CONFIG_MEMORY_HOTPLUG)");
		return;
	}
	pl->pagemap = true;
	snprintf(path, sizeof(path), "%s/kpageflags", pl->roots->proc);
	pl->kpageflags_fd = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "%s/kpagecount", pl->roots->proc);
	pl->kpagecount_fd = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(pl->why, sizeof(pl->why), "frame numbers by %s%s",
		 pl->frames.only_node >= 0 ? "the only node" : "memory blocks",
		 pl->kpageflags_fd < 0 ? "; huge pages unknown without kpageflags" : "");
}

int ht_placement_open(struct ht_placement **out, const struct ht_roots *roots,
		      const struct ht_tiers *tiers)
{
	struct ht_placement *pl;

	*out = NULL;
	pl = calloc(1, sizeof(*pl));
	if (!pl)
		return -ENOMEM;
	pl->roots = roots;
	pl->tiers = tiers;
	pl->pagemap_fd = pl->kpageflags_fd = pl->kpagecount_fd = -1;
	pl->reload_wait_ns = RELOAD_MIN_NS;
	pl->frames.only_node = -1;
	choose(pl);
	pl->reloaded_ns = ht_now_ns();
	*out = pl;
	return 0;
}

void ht_placement_close(struct ht_placement *pl)
{
	if (!pl)
		return;
	drop_pagemap(pl);
	if (pl->kpageflags_fd >= 0)
		close(pl->kpageflags_fd);
	if (pl->kpagecount_fd >= 0)
		close(pl->kpagecount_fd);
	ht_frames_free(&pl->frames);
	free(pl);
}

const char *ht_placement_backend(const struct ht_placement *pl)
{
	return pl->pagemap ? "pagemap" : "move_pages";
}

const char *ht_placement_why(const struct ht_placement *pl)
{
	return pl->why;
}
