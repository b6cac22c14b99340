// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * A key-value store in memory, as memcached or Redis under YCSB: a hash index over items of some
 * hundred bytes, gets and sets of keys whose popularity follows Zipf's law. Popular items are
 * scattered over the heap, so pages are warm in all shades rather than hot or cold, and the index
 * is hotter than the items. --scan adds what spoils recency-based policies: now and then a job
 * reads through memory of its own from end to end.
 *
 * A value is a function of its key and its version; each get checks all of it, and in the end every
 * item is checked and the versions must add up to the sets. Threads own the keys of their number.
 */
#include <pthread.h>

#include "zipf.h"

struct item {
	uint64_t key;
	uint64_t version;
	uint64_t value[];
};

struct kv {
	struct wl w;
	double theta, get_share;
	uint64_t ops, value, value_words, scan_every, scan_mib;
	struct zipf zipf;
	uint64_t nr, item_size, index_size;
	uint32_t *index; /* item number + 1, 0 = free */
	char *items;
	uint64_t *scan;
	volatile bool stop;
};

struct worker {
	struct kv *kv;
	pthread_t thread;
	unsigned int id;
	uint64_t rng, done, sets, bad, scanned;
};

static inline struct item *item_at(const struct kv *kv, uint64_t i)
{
	return (struct item *)(kv->items + i * kv->item_size);
}

static inline uint64_t key_of(uint64_t i)
{
	return wl_mix(i + 1) | 1;
}

static inline uint64_t word_of(const struct item *it, uint64_t i)
{
	return (it->key ^ it->version) * (2 * i + 3);
}

static struct item *lookup(const struct kv *kv, uint64_t key)
{
	uint64_t slot = wl_mix(key) & (kv->index_size - 1);

	while (kv->index[slot] && kv->index[slot] <= kv->nr) {
		struct item *it = item_at(kv, kv->index[slot] - 1);

		if (it->key == key)
			return it;
		slot = (slot + 1) & (kv->index_size - 1);
	}
	return NULL; /* which is damage, as all keys are there */
}

static void store(const struct kv *kv, struct item *it)
{
	for (uint64_t i = 0; i < kv->value_words; i++)
		it->value[i] = word_of(it, i);
}

static bool check(const struct kv *kv, const struct item *it)
{
	uint64_t diff = 0;

	for (uint64_t i = 0; i < kv->value_words; i++)
		diff |= it->value[i] ^ word_of(it, i);
	return !diff;
}

static void setup(struct kv *kv)
{
	uint64_t size = kv->w.size_mib * WL_MIB, slot;

	kv->item_size = sizeof(struct item) + kv->value_words * 8;
	kv->nr = size / (kv->item_size + 8);
	for (kv->index_size = 1; kv->index_size < kv->nr * 3 / 2; kv->index_size *= 2)
		;
	kv->index = wl_alloc(&kv->w, kv->index_size * sizeof(*kv->index));
	kv->items = wl_alloc(&kv->w, kv->nr * kv->item_size);
	if (kv->scan_every)
		kv->scan = wl_alloc(&kv->w, kv->scan_mib * WL_MIB);
	for (uint64_t i = 0; i < kv->nr; i++) {
		struct item *it = item_at(kv, i);

		it->key = key_of(i);
		it->version = 0;
		store(kv, it);
		slot = wl_mix(it->key) & (kv->index_size - 1);
		while (kv->index[slot])
			slot = (slot + 1) & (kv->index_size - 1);
		kv->index[slot] = i + 1;
	}
	for (uint64_t i = 0; kv->scan && i < kv->scan_mib * WL_MIB / 8; i += 8)
		kv->scan[i] = wl_mix(i);
	zipf_init(&kv->zipf, kv->nr / kv->w.threads, kv->theta);
	wl_extra(&kv->w, "\"items\":%" PRIu64 ",", kv->nr);
}

static void one(struct worker *k)
{
	struct kv *kv = k->kv;
	uint64_t i = zipf_permute(&kv->zipf, zipf_rank(&kv->zipf, &k->rng));
	struct item *it = lookup(kv, key_of(i * kv->w.threads + k->id));

	if (!it) {
		k->bad++;
	} else if (wl_unit(&k->rng) < kv->get_share) {
		k->bad += !check(kv, it);
	} else {
		it->version++;
		store(kv, it);
		k->sets++;
	}
}

static void scan(struct worker *k)
{
	const struct kv *kv = k->kv;

	for (uint64_t i = 0; i < kv->scan_mib * WL_MIB / 8; i += 8)
		k->bad += kv->scan[i] != wl_mix(i);
	k->scanned++;
}

static void *work(void *arg)
{
	struct worker *k = arg;
	struct kv *kv = k->kv;
	uint64_t per_thread = kv->w.seconds ? ~0ULL : kv->ops / kv->w.threads;

	for (; k->done < per_thread && !kv->stop; k->done++) {
		if (!k->id && kv->w.latency && k->done % 16 == 0) {
			uint64_t t = wl_ns();

			one(k);
			wl_latency(&kv->w, wl_ns() - t);
		} else {
			one(k);
		}
		if (k->id)
			continue;
		if (kv->scan_every && (k->done + 1) % kv->scan_every == 0)
			scan(k);
		if (k->done % 1024 == 0 && !wl_tick(&kv->w, k->done * kv->w.threads))
			kv->stop = true;
	}
	return NULL;
}

static uint64_t run(struct kv *kv, struct worker *workers)
{
	uint64_t ops = 0;

	for (unsigned int t = 0; t < kv->w.threads; t++)
		workers[t] = (struct worker){ .kv = kv, .id = t, .rng = wl_seed(kv->w.seed, t) };
	wl_start(&kv->w);
	for (unsigned int t = 1; t < kv->w.threads; t++) {
		if (pthread_create(&workers[t].thread, NULL, work, &workers[t])) {
			fprintf(stderr, "kv: cannot start a thread\n");
			exit(1);
		}
	}
	work(&workers[0]);
	for (unsigned int t = 1; t < kv->w.threads; t++)
		pthread_join(workers[t].thread, NULL);
	for (unsigned int t = 0; t < kv->w.threads; t++)
		ops += workers[t].done;
	wl_stop(&kv->w, ops);
	return ops;
}

static bool verify(struct kv *kv, const struct worker *workers)
{
	uint64_t sets = 0, versions = 0, bad = 0;

	for (unsigned int t = 0; t < kv->w.threads; t++) {
		sets += workers[t].sets;
		bad += workers[t].bad;
	}
	for (uint64_t i = 0; i < kv->nr; i++) {
		const struct item *it = item_at(kv, i);

		bad += it->key != key_of(i) || !check(kv, it);
		versions += it->version;
	}
	if (bad || versions != sets)
		fprintf(stderr, "kv: %" PRIu64 " wrong items, %" PRIu64 " of %" PRIu64 " sets\n",
			bad, versions, sets);
	wl_extra(&kv->w, "\"sets\":%" PRIu64 ",\"scans\":%" PRIu64 ",", sets, workers[0].scanned);
	return !bad && versions == sets;
}

static const struct opt options[] = {
	OPT_NUMBER(struct kv, ops, "ops", 'n', "N", 1, 1e15, "gets and sets in all (3000000)"),
	OPT_NUMBER(struct kv, theta, "theta", 0, "X", 0, 5,
		   "skew of the keys' popularity (0.99; 0 = uniform)"),
	OPT_NUMBER(struct kv, get_share, "get-share", 0, "X", 0, 1, "share of gets (0.9)"),
	OPT_NUMBER(struct kv, value, "value", 0, "BYTES", 8, 65536, "size of a value (240)"),
	OPT_NUMBER(struct kv, scan_every, "scan-every", 0, "N", 1, 1e15,
		   "read through other memory every N operations"),
	OPT_NUMBER(struct kv, scan_mib, "scan", 0, "MIB", 1, 1 << 24, "that much of it (256)"),
	{}
};

static const char doc[] = "Key-value store with Zipf-distributed keys.";

int main(int argc, char **argv)
{
	static struct kv kv = { .w = { .name = "kv", .size_mib = 700 },
				.theta = 0.99,
				.get_share = 0.9,
				.ops = 3000000,
				.value = 240,
				.scan_mib = 256 };
	static struct worker workers[64];

	wl_parse(&kv.w, argc, argv, options, &kv, doc);
	kv.value_words = kv.value / 8;
	setup(&kv);
	wl_placement(&kv.w, "items", wl_fast_range(&kv.w, kv.items, kv.nr * kv.item_size));
	run(&kv, workers);
	return wl_finish(&kv.w, verify(&kv, workers));
}
