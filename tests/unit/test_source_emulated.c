// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * The lab's ring as a plain file: the test plays the emulator. Records go through the real inject
 * program; headers nobody should trust are refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

#include <cmocka.h>

#include <hypertier/lab_ring.h>

#include "source.h"
#include "source_bpf.h"

#define SLOTS 16384
#define TGID 4242

struct fixture {
	char dir[64], path[96];
	struct ht_object obj;
	struct ht_heatmap heat;
	bool bpf;
	struct ht_ring_hdr *hdr;
	struct ht_ring_rec *rec;
	size_t size;
	struct ht_source_opts opts;
};

static void make_ring(struct fixture *f)
{
	int fd = open(f->path, O_RDWR | O_CREAT | O_TRUNC, 0600);

	f->size = HT_RING_DATA_OFFSET + SLOTS * sizeof(struct ht_ring_rec);
	if (fd < 0 || ftruncate(fd, f->size))
		abort();
	f->hdr = mmap(NULL, f->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (f->hdr == MAP_FAILED)
		abort();
	close(fd);
	f->rec = (void *)((char *)f->hdr + HT_RING_DATA_OFFSET);
	f->hdr->magic = HT_RING_MAGIC;
	f->hdr->version = HT_RING_VERSION;
	f->hdr->record_size = sizeof(struct ht_ring_rec);
	f->hdr->nr_slots = SLOTS;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fs_tmpdir(f->dir);
	snprintf(f->path, sizeof(f->path), "%s/ring", f->dir);
	make_ring(f);
	f->opts.ring = f->path;
	f->opts.roots = &ht_host_roots;
	f->bpf = bpf_setup(&f->obj, HT_SRC_EMULATED, NULL);
	if (f->bpf) {
		if (ht_heatmap_init(&f->heat, &f->obj.mem))
			abort();
		f->obj.mem.ctl->enabled = 1;
		bpf_add_target(&f->obj, TGID);
	}
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->bpf) {
		ht_heatmap_free(&f->heat);
		ht_object_close(&f->obj);
	}
	munmap(f->hdr, f->size);
	fs_rmtree(f->dir);
	free(f);
	return 0;
}

/* The emulator's part: writes records, then moves head. */
static void emit(struct fixture *f, uint64_t nr)
{
	uint64_t i, head = f->hdr->head;

	for (i = 0; i < nr; i++)
		f->rec[(head + i) & (SLOTS - 1)] = (struct ht_ring_rec){
			.vaddr = 0x10000000 + (head + i) % 1024 * 4096,
			.tgid = TGID,
			.write = (head + i) & 1,
			.node = 1,
		};
	__atomic_store_n(&f->hdr->head, head + nr, __ATOMIC_RELEASE);
}

static struct ht_source *open_ok(struct fixture *f)
{
	struct ht_source *src;

	assert_int_equal(ht_source_open(&src, HT_SRC_EMULATED, &f->opts, &f->obj.src, NULL), 0);
	return src;
}

static void test_records_reach_the_sampler(void **state)
{
	struct fixture *f = *state;
	struct ht_targets targets = {};
	struct ht_source_stats st;
	struct ht_cpu_stats cpu;
	struct ht_source *src;

	if (!f->bpf)
		skip();
	emit(f, 100); /* from before: not ours */
	f->hdr->period = 7;
	f->opts.period = 12345;
	src = open_ok(f);
	assert_int_equal(ht_source_id(src), HT_SRC_EMULATED);
	assert_int_equal(ht_source_period(src), 12345);
	assert_int_equal(f->hdr->period, 12345);
	assert_int_equal(ht_source_epoch(src, &targets), 0);
	bpf_stats(&f->obj, &cpu);
	assert_int_equal(cpu.seen, 0);
	emit(f, HT_INJECT_MAX * 2 + 10); /* three batches */
	assert_int_equal(ht_source_epoch(src, &targets), 0);
	bpf_stats(&f->obj, &cpu);
	assert_int_equal(cpu.seen, HT_INJECT_MAX * 2 + 10);
	assert_int_equal(cpu.by_source[HT_SRC_EMULATED], cpu.seen);
	assert_int_equal(cpu.counted, cpu.seen);
	assert_int_equal(ht_source_stats(src, &st), 0);
	assert_int_equal(st.due, HT_INJECT_MAX * 2 + 10);
	assert_int_equal(st.lost, 0);
	ht_source_close(src);
	assert_int_equal(f->hdr->period, 7);
}

static void test_density(void **state)
{
	struct fixture *f = *state;
	struct ht_source *src;

	if (!f->bpf)
		skip();
	f->hdr->period = 7;
	f->opts.period = 1000;
	src = open_ok(f);
	assert_int_equal(ht_source_set_density(src, 4), 0);
	assert_int_equal(ht_source_period(src), 250);
	assert_int_equal(f->hdr->period, 250);
	assert_int_equal(ht_source_set_density(src, 0), -EINVAL);
	assert_int_equal(f->hdr->period, 250);
	assert_int_equal(ht_source_densest(src), 1000);
	assert_int_equal(ht_source_set_density(src, 1001), -EOPNOTSUPP);
	assert_int_equal(f->hdr->period, 250);
	assert_int_equal(ht_source_set_density(src, 1000), 0);
	assert_int_equal(ht_source_period(src), 1);
	assert_int_equal(f->hdr->period, 1);
	assert_int_equal(ht_source_set_density(src, 1), 0);
	assert_int_equal(ht_source_period(src), 1000);
	assert_int_equal(f->hdr->period, 1000);
	ht_source_set_density(src, 2);
	ht_source_close(src);
	assert_int_equal(f->hdr->period, 7);
}

static void test_overrun_is_counted(void **state)
{
	struct fixture *f = *state;
	struct ht_targets targets = {};
	struct ht_source_stats st;
	struct ht_cpu_stats cpu;
	struct ht_source *src;

	if (!f->bpf)
		skip();
	src = open_ok(f);
	emit(f, SLOTS * 2 + 5);
	assert_int_equal(ht_source_epoch(src, &targets), 0);
	bpf_stats(&f->obj, &cpu);
	assert_int_equal(ht_source_stats(src, &st), 0);
	assert_int_equal(st.due, SLOTS * 2 + 5);
	/* All but one ring's worth, and the one the emulator may be writing. */
	assert_int_equal(st.lost, SLOTS + 5 + 1);
	assert_int_equal(cpu.seen + st.lost, st.due);
	ht_source_close(src);
}

/* Heads no emulator writes: nothing is read, nothing is run through, later records arrive. */
static void test_wild_heads(void **state)
{
	static const uint64_t wild[] = { ~0ULL, 1ULL << 63, 1ULL << 48, 5 };
	struct fixture *f = *state;
	struct ht_targets targets = {};
	struct ht_source_stats st;
	struct ht_cpu_stats before, after;
	struct ht_source *src;
	struct fs_log log;
	size_t i;

	if (!f->bpf)
		skip();
	emit(f, 10);
	src = open_ok(f);
	fs_log_start(&log);
	for (i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		f->hdr->head = wild[i];
		bpf_stats(&f->obj, &before);
		assert_int_equal(ht_source_epoch(src, &targets), 0);
		bpf_stats(&f->obj, &after);
		assert_true(after.seen - before.seen <= SLOTS);
	}
	assert_non_null(strstr(fs_log_end(&log), "head went back"));
	bpf_stats(&f->obj, &before);
	emit(f, 33);
	assert_int_equal(ht_source_epoch(src, &targets), 0);
	bpf_stats(&f->obj, &after);
	assert_int_equal(after.seen - before.seen, 33);
	assert_int_equal(ht_source_stats(src, &st), 0);
	assert_true(st.due < 1ULL << 49);
	ht_source_close(src);
}

/* The header changes under us: sizes taken at the start stay. */
static void test_header_turns_hostile(void **state)
{
	struct fixture *f = *state;
	struct ht_targets targets = {};
	struct ht_cpu_stats cpu;
	struct ht_source *src;

	if (!f->bpf)
		skip();
	src = open_ok(f);
	f->hdr->nr_slots = 1ULL << 40;
	f->hdr->record_size = 0;
	emit(f, 50);
	assert_int_equal(ht_source_epoch(src, &targets), 0);
	bpf_stats(&f->obj, &cpu);
	assert_int_equal(cpu.seen, 50);
	ht_source_close(src);
}

/* Records with any content are samples at worst dropped for a reason. */
static void test_hostile_records(void **state)
{
	struct fixture *f = *state;
	struct ht_targets targets = {};
	struct ht_cpu_stats cpu;
	struct ht_source *src;

	if (!f->bpf)
		skip();
	src = open_ok(f);
	memset(f->rec, 0xff, 16 * sizeof(*f->rec));
	memset(f->rec + 16, 0, 16 * sizeof(*f->rec));
	f->rec[32] = (struct ht_ring_rec){ .vaddr = 0x1000, .tgid = TGID + 1 };
	f->hdr->head = 33;
	assert_int_equal(ht_source_epoch(src, &targets), 0);
	bpf_stats(&f->obj, &cpu);
	assert_int_equal(cpu.seen, 33);
	assert_int_equal(cpu.drop[HT_DROP_KERNEL_ADDR], 16);
	assert_int_equal(cpu.drop[HT_DROP_NO_ADDR], 16);
	assert_int_equal(cpu.drop[HT_DROP_NOT_TARGET], 1);
	ht_source_close(src);
}

static void refuse(struct fixture *f, const char *says)
{
	char why[512];

	assert_int_equal(ht_source_choose(HT_SRC_EMULATED, &f->opts, why, sizeof(why)), -ENODEV);
	if (!strstr(why, says))
		fail_msg("'%s' does not say '%s'", why, says);
}

static void test_bad_headers(void **state)
{
	static const uint64_t slots[] = { 0, 3, SLOTS + 1, SLOTS * 2, 1ULL << 63, ~0ULL };
	struct fixture *f = *state;
	char why[512];
	size_t i;

	assert_int_equal(ht_source_choose(HT_SRC_EMULATED, &f->opts, why, sizeof(why)),
			 HT_SRC_EMULATED);
	for (i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
		f->hdr->nr_slots = slots[i];
		refuse(f, "power of two");
	}
	f->hdr->nr_slots = SLOTS;
	f->hdr->record_size = 8;
	refuse(f, "record size");
	f->hdr->version = HT_RING_VERSION + 1;
	refuse(f, "version");
	f->hdr->magic = 0;
	refuse(f, "magic");
	f->hdr->magic = ~0ULL;
	refuse(f, "switched off");
	assert_int_equal(truncate(f->path, 100), 0);
	refuse(f, "too small");
	assert_int_equal(truncate(f->path, 0), 0);
	refuse(f, "too small");
	f->opts.ring = "/nonexistent/ring";
	refuse(f, "No such file");
	f->opts.ring = "/proc/self/mem";
	refuse(f, "too small");
}

static void test_pci_search(void **state)
{
	struct fixture *f = *state;
	struct ht_roots roots = { .sys = f->dir, .proc = f->dir };
	struct ht_source_opts opts = { .roots = &roots };
	char why[512], link[256];

	unsetenv("HT_LAB_RING");
	f->opts = opts;
	refuse(f, "1af4:1110");
	fs_put(f->dir, "bus/pci/devices/0000:00:01.0/vendor", "0x8086\n");
	fs_put(f->dir, "bus/pci/devices/0000:00:01.0/device", "0x1110\n");
	fs_put(f->dir, "bus/pci/devices/0000:00:02.0/vendor", "junk\n");
	refuse(f, "1af4:1110");
	fs_put(f->dir, "bus/pci/devices/0000:00:03.0/vendor", "0x1af4\n");
	fs_put(f->dir, "bus/pci/devices/0000:00:03.0/device", "0x1110\n");
	refuse(f, "resource2");
	snprintf(link, sizeof(link), "%s/bus/pci/devices/0000:00:03.0/resource2", f->dir);
	assert_int_equal(symlink(f->path, link), 0);
	assert_int_equal(ht_source_choose(HT_SRC_EMULATED, &opts, why, sizeof(why)),
			 HT_SRC_EMULATED);
	assert_non_null(strstr(why, "0000:00:03.0"));
}

/* Nothing writes the ring here, and the verdict says so. */
static void test_probe_without_emulator(void **state)
{
	struct fixture *f = *state;
	struct ht_source_probe res;

	f->hdr->period = 3;
	assert_int_equal(ht_source_probe(HT_SRC_EMULATED, &f->opts, 20, &res), 0);
	assert_int_equal(res.seen, 0);
	assert_non_null(strstr(res.verdict, "does not work here"));
	assert_int_equal(f->hdr->period, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_records_reach_the_sampler, setup, teardown),
		cmocka_unit_test_setup_teardown(test_density, setup, teardown),
		cmocka_unit_test_setup_teardown(test_overrun_is_counted, setup, teardown),
		cmocka_unit_test_setup_teardown(test_wild_heads, setup, teardown),
		cmocka_unit_test_setup_teardown(test_header_turns_hostile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_hostile_records, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_headers, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pci_search, setup, teardown),
		cmocka_unit_test_setup_teardown(test_probe_without_emulator, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
