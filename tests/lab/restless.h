/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A process whose threads check every byte they wrote while they fork, mprotect, unmap, split huge
 * pages and bring them back: whoever moves its pages meanwhile must not change what is in them.
 */
#ifndef LAB_RESTLESS_H
#define LAB_RESTLESS_H

#include <numaif.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* include/uapi/asm-generic/mman-common.h; not in glibc 2.36 */
#endif
#define PAGE 4096UL
#define HUGE (2UL << 20)
#define WORDS (PAGE / 8)
#define THREADS 4
#define THREAD_PAGES 2048 /* small pages of each thread */
#define THREAD_HUGE 4
#define CHAOS_PAGES 512

static void *map(size_t len, size_t align)
{
	char *p =
		mmap(NULL, len + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED) {
		perror("mmap");
		exit(1);
	}
	return (void *)(((uintptr_t)p + align - 1) & ~(align - 1));
}

/* Touches the range with its pages bound to one node, then leaves it unbound. */
static void place(void *p, size_t len, int node, bool huge)
{
	unsigned long mask = 1UL << node;

	madvise(p, len, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	if (mbind(p, len, MPOL_BIND, &mask, 64, 0))
		perror("mbind");
	memset(p, 1, len);
	mbind(p, len, MPOL_DEFAULT, NULL, 0, 0);
}

/* Shared with the exchanging process. */
struct shared {
	_Atomic int ready, stop, wrong, forks, protects, remaps, splits, rounds;
	char *small[THREADS], *huge[THREADS];
	char *chaos;
};

static struct shared *sh;

static uint64_t mix(uint64_t x)
{
	x ^= x >> 31;
	x *= 0x9e3779b97f4a7c15ULL;
	return x ^ x >> 29;
}

/* Every word of a page tells which page, which version and which word it is. */
static void fill(uint64_t *page, uint64_t id, uint64_t version)
{
	for (size_t i = 0; i < WORDS; i++)
		page[i] = mix(id << 32 | version << 10 | i);
}

static bool good(const uint64_t *page, uint64_t id, uint64_t version)
{
	for (size_t i = 0; i < WORDS; i++)
		if (page[i] != mix(id << 32 | version << 10 | i))
			return false;
	return true;
}

struct worker {
	int nr;
	unsigned int seed;
	uint32_t small_version[THREAD_PAGES];
	uint32_t huge_version[THREAD_HUGE * 512];
};

static uint64_t *page_of(struct worker *w, size_t i)
{
	return (uint64_t *)(i < THREAD_PAGES ? sh->small[w->nr] + i * PAGE
					     : sh->huge[w->nr] + (i - THREAD_PAGES) * PAGE);
}

static uint32_t *version_of(struct worker *w, size_t i)
{
	return i < THREAD_PAGES ? &w->small_version[i] : &w->huge_version[i - THREAD_PAGES];
}

static bool check_page(struct worker *w, size_t i)
{
	if (good(page_of(w, i), (uint64_t)w->nr << 20 | i, *version_of(w, i)))
		return true;
	atomic_fetch_add(&sh->wrong, 1);
	return false;
}

static void rewrite(struct worker *w, size_t i)
{
	fill(page_of(w, i), (uint64_t)w->nr << 20 | i, ++*version_of(w, i));
}

/* Brings back a huge page that was split. */
static void collapse(char *p)
{
	madvise(p, HUGE, MADV_COLLAPSE);
}

/* The child writes to what it shares, so both sides copy while pages are exchanged. */
static void fork_some(struct worker *w)
{
	pid_t pid = fork();
	size_t i;

	if (!pid) {
		for (i = w->seed % 64; i < THREAD_PAGES + THREAD_HUGE * 512; i += 64) {
			check_page(w, i);
			rewrite(w, i);
			check_page(w, i);
		}
		_exit(0);
	}
	for (i = 0; i < THREAD_PAGES; i += 97)
		rewrite(w, i);
	if (pid > 0)
		waitpid(pid, NULL, 0);
	for (i = 0; i < THREAD_HUGE; i++)
		collapse(sh->huge[w->nr] + i * HUGE);
	atomic_fetch_add(&sh->forks, 1);
}

static void protect_some(struct worker *w)
{
	size_t first = rand_r(&w->seed) % (THREAD_PAGES - 32), i;
	char *p = sh->small[w->nr] + first * PAGE;

	mprotect(p, 32 * PAGE, PROT_READ);
	for (i = 0; i < 32; i++)
		check_page(w, first + i);
	mprotect(p, 32 * PAGE, PROT_READ | PROT_WRITE);
	rewrite(w, first);
	atomic_fetch_add(&sh->protects, 1);
}

static void remap_some(struct worker *w)
{
	size_t i = rand_r(&w->seed) % (THREAD_PAGES - 4), j;
	char *p = sh->small[w->nr] + i * PAGE;

	munmap(p, 4 * PAGE);
	mmap(p, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	madvise(p, 4 * PAGE, MADV_NOHUGEPAGE);
	for (j = 0; j < 4; j++)
		rewrite(w, i + j);
	p = sh->chaos + rand_r(&w->seed) % CHAOS_PAGES * PAGE;
	madvise(p, PAGE, MADV_DONTNEED);
	*(volatile char *)p = 1;
	atomic_fetch_add(&sh->remaps, 1);
}

/* Part of a huge page gets other rights, which splits its mapping, and then its old ones. */
static void split_some(struct worker *w)
{
	size_t i = rand_r(&w->seed) % (THREAD_HUGE * 512);
	char *p = sh->huge[w->nr] + i * PAGE;

	if (rand_r(&w->seed) % 4) {
		mprotect(p, PAGE, PROT_READ);
		check_page(w, THREAD_PAGES + i);
		mprotect(p, PAGE, PROT_READ | PROT_WRITE);
	} else {
		madvise(p, PAGE, MADV_DONTNEED);
		rewrite(w, THREAD_PAGES + i);
	}
	atomic_fetch_add(&sh->splits, 1);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	size_t i, nr = THREAD_PAGES + THREAD_HUGE * 512;
	unsigned int dice;

	for (i = 0; i < nr; i++)
		rewrite(w, i);
	atomic_fetch_add(&sh->ready, 1);
	while (!sh->stop) {
		i = rand_r(&w->seed) % nr;
		dice = rand_r(&w->seed) % 20000;
		check_page(w, i);
		if (dice < 8000)
			rewrite(w, i);
		else if (dice < 8004)
			fork_some(w);
		else if (dice < 8200)
			protect_some(w);
		else if (dice < 8500)
			remap_some(w);
		else if (dice < 8520)
			split_some(w);
		else if (dice < 8600)
			collapse(sh->huge[w->nr] + rand_r(&w->seed) % THREAD_HUGE * HUGE);
		atomic_fetch_add(&sh->rounds, 1);
	}
	for (i = 0; i < nr; i++)
		check_page(w, i);
	return NULL;
}

static void workload(void)
{
	static struct worker w[THREADS];
	pthread_t t[THREADS];
	int i;

	for (i = 0; i < THREADS; i++) {
		sh->small[i] = map(THREAD_PAGES * PAGE, HUGE);
		place(sh->small[i], THREAD_PAGES / 2 * PAGE, 0, false);
		place(sh->small[i] + THREAD_PAGES / 2 * PAGE, THREAD_PAGES / 2 * PAGE, 1, false);
		sh->huge[i] = map(THREAD_HUGE * HUGE, HUGE);
		place(sh->huge[i], THREAD_HUGE / 2 * HUGE, 0, true);
		place(sh->huge[i] + THREAD_HUGE / 2 * HUGE, THREAD_HUGE / 2 * HUGE, 1, true);
	}
	sh->chaos = map(CHAOS_PAGES * PAGE, HUGE);
	place(sh->chaos, CHAOS_PAGES * PAGE, 1, false);
	for (i = 0; i < THREADS; i++) {
		w[i].nr = i;
		w[i].seed = 7 + i;
		pthread_create(&t[i], NULL, work, &w[i]);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	_exit(sh->wrong ? 1 : 0);
}

#endif
