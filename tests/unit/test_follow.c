// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Targets as the fork, exec and exit programs note them. Needs root, for the BPF map. */
#include "test_util.h"

#include <errno.h>

#include <bpf/bpf.h>

#include "engine.h"

#define GONE 4194303 /* larger than any number a test's machine gives out in passing */
#define VA 0x7f1200000000ULL

struct fix {
	struct ht_engine e;
	struct ht_config cfg;
	struct ht_object policy;
	struct tu_map m;
	pid_t nobody;
};

static int setup(void **state)
{
	struct fix *f = tu_zalloc(1, sizeof(*f));

	*state = f;
	f->policy.map_targets = bpf_map_create(BPF_MAP_TYPE_HASH, "targets", sizeof(uint32_t),
					       sizeof(struct ht_target), 64, NULL);
	if (f->policy.map_targets < 0)
		return 0;
	tu_map_open(&f->m, 64);
	f->nobody = GONE;
	f->cfg.epoch_ms = 1000;
	f->cfg.sel.pid = &f->nobody;
	f->cfg.sel.nr_pid = 1;
	f->e.cfg = &f->cfg;
	f->e.roots = &ht_host_roots;
	f->e.policy = &f->policy;
	assert_int_equal(ht_follow_start(&f->e), 0);
	return 0;
}

static int teardown(void **state)
{
	struct fix *f = *state;

	if (f->policy.map_targets >= 0) {
		ht_follow_stop(&f->e);
		tu_map_close(&f->m);
		close(f->policy.map_targets);
	}
	free(f);
	return 0;
}

/* An epoch that finds this entry in the map; how many tiles of the process it leaves. */
static size_t tiles_after(struct fix *f, uint32_t flags)
{
	struct ht_target t = { .tgid = GONE, .ppid = 1, .flags = flags };
	uint32_t key = GONE;
	size_t first;

	assert_int_equal(bpf_map_update_elem(f->policy.map_targets, &key, &t, BPF_ANY), 0);
	for (unsigned int i = 0; i < 5; i++)
		tu_sample(&f->m, GONE, VA + i * HT_TILE_SIZE);
	tu_sample(&f->m, GONE - 1, VA);
	assert_int_equal(ht_heatmap_collect(&f->m.hm), 0);
	f->e.heat = f->m.hm;
	f->e.epoch++;
	assert_int_equal(ht_follow_epoch(&f->e), 0);
	f->m.hm = f->e.heat;
	assert_int_equal(bpf_map_lookup_elem(f->policy.map_targets, &key, &t), -ENOENT);
	assert_int_equal(ht_heatmap_of(&f->m.hm, GONE - 1, &first), 1);
	return ht_heatmap_of(&f->m.hm, GONE, &first);
}

/* A process that came and went between two looks leaves no heat, as one that was seen. */
static void test_unseen(void **state)
{
	struct fix *f = *state;

	if (f->policy.map_targets < 0)
		skip();
	assert_int_equal(tiles_after(f, HT_TARGET_FOLLOW | HT_TARGET_FORKED | HT_TARGET_EXITED), 0);
	assert_int_equal(tiles_after(f, HT_TARGET_FOLLOW | HT_TARGET_FORKED), 0);
	assert_int_equal(f->e.nr_space, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_unseen, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
