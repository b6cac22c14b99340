// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The emulator's ring, which somebody else writes while it is read. Input: operations of 10 bytes.
 * The first two say where in the ring the other eight go, or (from 0xff00 on) that an epoch is
 * read; before the first epoch, 0xfe00 on set the size of the file.
 */
#include "fuzz.h"

#include <sys/mman.h>

#include <bpf/bpf.h>

#include <hypertier/lab_ring.h>

#include "source.h"

#define SLOTS 64
#define SIZE (HT_RING_DATA_OFFSET + SLOTS * sizeof(struct ht_ring_rec))

static struct ht_inject_rec inject[HT_INJECT_MAX];

int bpf_prog_test_run_opts(int fd, struct bpf_test_run_opts *opts)
{
	const struct ht_inject_args *args = opts->ctx_in;

	FUZZ_ASSERT(args->nr && args->nr <= HT_INJECT_MAX);
	return 0;
}

static bool next(struct fuzz_input *in, uint16_t *where, uint64_t *value)
{
	if (in->size < 10)
		return false;
	memcpy(where, in->data, 2);
	memcpy(value, in->data + 2, 8);
	in->data += 10;
	in->size -= 10;
	return true;
}

static void store(char *ring, uint16_t where, uint64_t value)
{
	memcpy(ring + where % (SIZE - 8), &value, 8);
}

static void prepare(char *ring)
{
	struct ht_ring_hdr *h = (void *)ring;

	memset(ring, 0, SIZE);
	h->magic = HT_RING_MAGIC;
	h->version = HT_RING_VERSION;
	h->record_size = sizeof(struct ht_ring_rec);
	h->nr_slots = SLOTS;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct ht_source_bpf bpf = { .prog_inject = 1, .inject = inject };
	struct ht_source_opts opts = { .roots = &ht_host_roots };
	struct ht_source src = { .ops = &ht_source_emulated };
	struct fuzz_input in = { data, size };
	struct ht_source_stats st;
	static char *ring, path[256];
	static int fd = -1;
	bool open = false;
	uint16_t where;
	uint64_t value;

	if (fd < 0) {
		fd = fuzz_file("ring");
		strcpy(path, fuzz_path("ring"));
		ring = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	}
	if (ftruncate(fd, SIZE))
		abort();
	prepare(ring);
	opts.ring = path;
	while (next(&in, &where, &value)) {
		if (where >= 0xff00 && !open) {
			if (src.ops->open(&src, &opts, &bpf, NULL))
				return 0;
			open = true;
		} else if (where >= 0xff00) {
			src.ops->epoch(&src, NULL);
			src.ops->stats(&src, &st);
		} else if (where >= 0xfe00 && !open) {
			if (ftruncate(fd, value % (SIZE + 1)))
				abort();
			break; /* our own mapping may end there: open what there is */
		} else {
			store(ring, where, value);
		}
	}
	if (!open && src.ops->open(&src, &opts, &bpf, NULL))
		return 0;
	src.ops->epoch(&src, NULL);
	src.ops->close(&src);
	return 0;
}
