// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* What the emulator takes from outside: the guest's memory map, instructions, options. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "../../tools/lab/emu_map.h"
#include "../../tools/lab/emu_marker.h"
#include "../../tools/lab/emu_options.h"

static void set(struct ht_ring_hdr *h, unsigned int i, uint64_t start, uint64_t end, uint32_t node)
{
	h->mem[i] = (struct ht_ring_mem){ .start = start, .end = end, .node = node };
	if (i >= h->nr_mem)
		h->nr_mem = i + 1;
}

static void addresses_find_their_node(void **state)
{
	struct ht_ring_hdr h = { 0 };
	struct emu_map map = { 0 };
	unsigned int last = 0;

	set(&h, 0, 0x100000000, 0x200000000, 1);
	set(&h, 1, 0, 0x80000000, 0);
	set(&h, 2, 0x80000000, 0xc0000000, 2);
	assert_int_equal(emu_map_load(&map, &h), 0);
	for (unsigned int round = 0; round < 2; round++) {
		assert_int_equal(emu_map_node(&map, 0, &last), 0);
		assert_int_equal(emu_map_node(&map, 0x7fffffff, &last), 0);
		assert_int_equal(emu_map_node(&map, 0x80000000, &last), 2);
		assert_int_equal(emu_map_node(&map, 0xbfffffff, &last), 2);
		assert_int_equal(emu_map_node(&map, 0xc0000000, &last), HT_RING_MAX_NODES);
		assert_int_equal(emu_map_node(&map, 0x100000000, &last), 1);
		assert_int_equal(emu_map_node(&map, 0x1ffffffff, &last), 1);
		assert_int_equal(emu_map_node(&map, 0x200000000, &last), HT_RING_MAX_NODES);
		assert_int_equal(emu_map_node(&map, ~0ULL, &last), HT_RING_MAX_NODES);
	}
	last = 63; /* of an earlier, longer map */
	assert_int_equal(emu_map_node(&map, 0x80000000, &last), 2);
}

static void a_bad_map_changes_nothing(void **state)
{
	struct ht_ring_hdr h = { 0 }, bad;
	struct emu_map map = { 0 };
	unsigned int last = 0;

	set(&h, 0, 0, 0x1000, 3);
	assert_int_equal(emu_map_load(&map, &h), 0);
	bad = h;
	bad.nr_mem = HT_RING_MAX_MEM + 1;
	assert_int_equal(emu_map_load(&map, &bad), -EINVAL);
	bad.nr_mem = ~0u;
	assert_int_equal(emu_map_load(&map, &bad), -EINVAL);
	bad = h;
	set(&bad, 1, 0x2000, 0x2000, 0);
	assert_int_equal(emu_map_load(&map, &bad), -EINVAL);
	bad = h;
	set(&bad, 1, 0x3000, 0x2000, 0);
	assert_int_equal(emu_map_load(&map, &bad), -EINVAL);
	bad = h;
	set(&bad, 1, 0x2000, 0x3000, HT_RING_MAX_NODES);
	assert_int_equal(emu_map_load(&map, &bad), -EINVAL);
	bad = h;
	set(&bad, 1, 0xfff, 0x3000, 0); /* overlaps */
	assert_int_equal(emu_map_load(&map, &bad), -EINVAL);
	assert_int_equal(map.nr, 1);
	assert_int_equal(emu_map_node(&map, 0x10, &last), 3);
}

static void a_full_map_is_sorted(void **state)
{
	struct ht_ring_hdr h = { 0 };
	struct emu_map map = { 0 };
	unsigned int last = 0;

	for (unsigned int i = 0; i < HT_RING_MAX_MEM; i++) {
		uint64_t at = (i * 37 % HT_RING_MAX_MEM) * 0x2000;

		set(&h, i, at, at + 0x1000, i * 37 % HT_RING_MAX_MEM % HT_RING_MAX_NODES);
	}
	assert_int_equal(emu_map_load(&map, &h), 0);
	for (unsigned int i = 0; i < HT_RING_MAX_MEM; i++) {
		assert_int_equal(emu_map_node(&map, i * 0x2000 + 5, &last), i % HT_RING_MAX_NODES);
		assert_int_equal(emu_map_node(&map, i * 0x2000 + 0x1005, &last), HT_RING_MAX_NODES);
	}
}

static void markers_are_recognised(void **state)
{
	uint8_t start[] = { 0x0f, 0x1f, 0x80, 0x01, 0x00, 0x54, 0x48 };
	uint8_t leave[] = { 0x0f, 0x1f, 0x80, 0x06, 0x00, 0x54, 0x48 };
	uint8_t nop[] = { 0x0f, 0x1f, 0x80, 0x00, 0x00, 0x00, 0x00 };
	uint8_t other[] = { 0x0f, 0x1f, 0x84, 0x01, 0x00, 0x54, 0x48 };

	assert_int_equal(emu_marker_decode(start, 7), HT_MARK_START);
	assert_int_equal(emu_marker_decode(leave, 7), HT_MARK_LEAVE);
	assert_int_equal(emu_marker_decode(nop, 7), 0);
	assert_int_equal(emu_marker_decode(other, 7), 0);
	assert_int_equal(emu_marker_decode(start, 6), 0);
	assert_int_equal(emu_marker_decode(start, 0), 0);
}

/* What the macro makes is what the emulator looks for. */
static void the_macro_makes_markers(void **state)
{
	const uint8_t *at = (const uint8_t *)the_macro_makes_markers;
	unsigned int found = 0;

	ht_marker(HT_MARK_PHASE, 7, 0);
	for (unsigned int i = 0; i < 256; i++)
		found += emu_marker_decode(at + i, EMU_MARKER_LEN) == HT_MARK_PHASE;
	assert_int_equal(found, 1);
}

static void loads_of_cr3_are_recognised(void **state)
{
	uint8_t rax[] = { 0x0f, 0x22, 0xd8 }, rdi[] = { 0x0f, 0x22, 0xdf };
	uint8_t r8[] = { 0x41, 0x0f, 0x22, 0xd8 }, r15[] = { 0x49, 0x0f, 0x22, 0xdf };
	uint8_t cr4[] = { 0x0f, 0x22, 0xe0 }, from[] = { 0x0f, 0x20, 0xd8 };
	uint8_t cr11[] = { 0x44, 0x0f, 0x22, 0xd8 };

	assert_int_equal(emu_cr3_source(rax, 3), 0);
	assert_int_equal(emu_cr3_source(rdi, 3), 7);
	assert_int_equal(emu_cr3_source(r8, 4), 8);
	assert_int_equal(emu_cr3_source(r15, 4), 15);
	assert_int_equal(emu_cr3_source(cr4, 3), -1);
	assert_int_equal(emu_cr3_source(from, 3), -1);
	assert_int_equal(emu_cr3_source(cr11, 4), -1);
	assert_int_equal(emu_cr3_source(rax, 2), -1);
	assert_int_equal(emu_cr3_source(rax, 0), -1);
	assert_true(emu_cr3_space(0x8000000123456fffULL) == 0x123456000ULL);
}

static void options_take_units(void **state)
{
	struct emu_options o;

	emu_options_default(&o);
	assert_int_equal(emu_option_parse(&o, "llc_size=32M"), 0);
	assert_int_equal(o.llc_size, 32 << 20);
	assert_int_equal(emu_option_parse(&o, "l1_size=0"), 0);
	assert_int_equal(o.l1_size, 0);
	assert_int_equal(emu_option_parse(&o, "lat1=170"), 0);
	assert_int_equal(o.lat_ns[1], 170);
	assert_int_equal(emu_option_parse(&o, "bw7=2000"), 0);
	assert_int_equal(o.bw_mb[7], 2000);
	assert_int_equal(emu_option_parse(&o, "model=on"), 0);
	assert_int_equal(o.model, 1);
	assert_int_equal(emu_option_parse(&o, "ring=/x=y"), 0);
	assert_string_equal(o.ring, "/x=y");
	assert_int_equal(emu_options_check(&o), 0);
}

static void bad_options_are_refused(void **state)
{
	static const char *const bad[] = { "model",
					   "modell=1",
					   "model=",
					   "model=yes",
					   "model=-1",
					   "lat8=1",
					   "lat=1",
					   "bw=1",
					   "period=1Q",
					   "period=1KK",
					   "=1",
					   "period=99999999999999999999",
					   "llc_size=99999999999G",
					   "" };
	struct emu_options o;

	emu_options_default(&o);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_true(emu_option_parse(&o, bad[i]) < 0);
	assert_int_equal(emu_options_check(&o), -EINVAL); /* no ring */
	o.ring = "x";
	assert_int_equal(emu_options_check(&o), 0);
	o.mlp = 0;
	assert_int_equal(emu_options_check(&o), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_find_their_node),
		cmocka_unit_test(a_bad_map_changes_nothing),
		cmocka_unit_test(a_full_map_is_sorted),
		cmocka_unit_test(markers_are_recognised),
		cmocka_unit_test(the_macro_makes_markers),
		cmocka_unit_test(loads_of_cr3_are_recognised),
		cmocka_unit_test(options_take_units),
		cmocka_unit_test(bad_options_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
