/* SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause */
/*
 * A set-associative write-back cache with true LRU, of which only the tags exist. Each set is an
 * array of ways ordered from most to least recently used, so a hit on the first way, by far the
 * most frequent case, costs one comparison.
 */
#ifndef LAB_EMU_CACHE_H
#define LAB_EMU_CACHE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EMU_WAY_VALID 1ULL
#define EMU_WAY_DIRTY 2ULL
#define EMU_CACHE_MAX_WAYS 64

struct emu_cache {
	uint64_t nr_sets;
	unsigned int ways;
	unsigned int line_shift;
	unsigned int hash_shift; /* 64 - log2(nr_sets) when sets are hashed, 0 when not */
	uint64_t *way;		 /* [nr_sets][ways]: line number << 2 | EMU_WAY_* */
	unsigned char *lock;	 /* [nr_sets] */
};

static inline unsigned int emu_log2(uint64_t x)
{
	return 63 - __builtin_clzll(x);
}

static inline bool emu_pow2(uint64_t x)
{
	return x && !(x & (x - 1));
}

/*
 * Hashed sets, as in real last-level caches, keep the placement of pages from deciding which lines
 * collide; first-level caches use the low bits. Everything has to be a power of two.
 */
static inline int emu_cache_init(struct emu_cache *c, uint64_t size, unsigned int ways,
				 unsigned int line, bool hashed)
{
	memset(c, 0, sizeof(*c));
	if (!emu_pow2(line) || line < 16 || line > 4096 || !ways || ways > EMU_CACHE_MAX_WAYS ||
	    size > 1ULL << 36 || size % ((uint64_t)ways * line))
		return -EINVAL;
	c->nr_sets = size / ways / line;
	if (!emu_pow2(c->nr_sets))
		return -EINVAL;
	c->ways = ways;
	c->line_shift = emu_log2(line);
	if (hashed && c->nr_sets > 1)
		c->hash_shift = 64 - emu_log2(c->nr_sets);
	c->way = calloc(c->nr_sets * ways, sizeof(*c->way));
	c->lock = calloc(c->nr_sets, 1);
	if (c->way && c->lock)
		return 0;
	free(c->way);
	free(c->lock);
	return -ENOMEM;
}

static inline void emu_cache_free(struct emu_cache *c)
{
	free(c->way);
	free(c->lock);
	memset(c, 0, sizeof(*c));
}

static inline void emu_cache_clear(struct emu_cache *c)
{
	memset(c->way, 0, c->nr_sets * c->ways * sizeof(*c->way));
}

static inline uint64_t emu_cache_set(const struct emu_cache *c, uint64_t line)
{
	if (c->hash_shift)
		return line * 0x9e3779b97f4a7c15ULL >> c->hash_shift;
	return line & (c->nr_sets - 1);
}

/*
 * Looks a physical address up and makes it the most recently used line of its set. Returns whether
 * it hit. On a miss that pushed a dirty line out, *evicted gets that line's address, else ~0.
 */
static inline bool emu_cache_access(struct emu_cache *c, uint64_t paddr, bool write,
				    uint64_t *evicted)
{
	uint64_t line = paddr >> c->line_shift;
	uint64_t *way = c->way + emu_cache_set(c, line) * c->ways;
	uint64_t want = line << 2 | EMU_WAY_VALID, dirty = write ? EMU_WAY_DIRTY : 0;
	uint64_t last;
	unsigned int i;

	*evicted = ~0ULL;
	if ((way[0] & ~EMU_WAY_DIRTY) == want) {
		way[0] |= dirty;
		return true;
	}
	for (i = 1; i < c->ways && (way[i] & ~EMU_WAY_DIRTY) != want; i++)
		;
	last = way[i < c->ways ? i : c->ways - 1];
	memmove(way + 1, way, (i < c->ways ? i : c->ways - 1) * sizeof(*way));
	if (i < c->ways) {
		way[0] = last | dirty;
		return true;
	}
	way[0] = want | dirty;
	if (last & EMU_WAY_DIRTY)
		*evicted = last >> 2 << c->line_shift;
	return false;
}

/* The same for a cache that several vCPU threads share: sets are locked one by one. */
static inline bool emu_cache_access_shared(struct emu_cache *c, uint64_t paddr, bool write,
					   uint64_t *evicted)
{
	unsigned char *lock = c->lock + emu_cache_set(c, paddr >> c->line_shift);
	bool hit;

	while (__atomic_test_and_set(lock, __ATOMIC_ACQUIRE))
		;
	hit = emu_cache_access(c, paddr, write, evicted);
	__atomic_clear(lock, __ATOMIC_RELEASE);
	return hit;
}

#endif
