// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/* Targets as the fork, exec and exit programs note them. Needs root, for the BPF map. */
#include "test_util.h"

#include <errno.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/wait.h>

#include <bpf/bpf.h>

#include "engine.h"
#include "fs.h"

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

/* ---- a process of another user, with a /proc of its own ---- */

struct other {
	struct fix *f;
	struct ht_roots roots;
	char dir[64];
	struct ht_tiers tiers;
	pid_t pid;
};

static void put(const struct other *o, const char *file, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "%d/%s", o->pid, file);
	fs_put(o->dir, path, text);
}

static bool other_start(struct other *o, struct fix *f)
{
	char stat[256], c;
	int ready[2];

	*o = (struct other){ .f = f };
	if (ht_placement_open(&f->e.placement, &ht_host_roots, &o->tiers) || pipe(ready))
		return false;
	o->pid = fs_fork();
	if (!o->pid) {
		/* Another user's process would outlive us. */
		if (!setgid(65534) && !setuid(65534) && !prctl(PR_SET_PDEATHSIG, SIGKILL) &&
		    write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 1);
	close(ready[0]);
	fs_tmpdir(o->dir);
	o->roots = (struct ht_roots){ .sys = "/sys", .proc = o->dir };
	f->e.roots = f->e.targets.roots = &o->roots;
	f->e.heat = f->m.hm;
	f->nobody = o->pid;
	snprintf(stat, sizeof(stat),
		 "%d (x) S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 7 900000000 9000", o->pid);
	put(o, "stat", stat);
	return true;
}

static void other_stop(struct other *o)
{
	kill(o->pid, SIGKILL);
	waitpid(o->pid, NULL, 0);
	ht_follow_stop(&o->f->e);
	ht_placement_close(o->f->e.placement);
	o->f->e.placement = NULL;
	o->f->m.hm = o->f->e.heat;
	fs_rmtree(o->dir);
}

static void epoch(struct fix *f)
{
	f->e.epoch++;
	assert_int_equal(ht_follow_epoch(&f->e), 0);
}

static void may_signal(bool on)
{
	static const cap_value_t cap = CAP_KILL;
	cap_t c = cap_get_proc();

	assert_int_equal(cap_set_flag(c, CAP_EFFECTIVE, 1, &cap, on ? CAP_SET : CAP_CLEAR), 0);
	assert_int_equal(cap_set_proc(c), 0);
	cap_free(c);
}

/* No memory to be seen, as between the two address spaces of an exec: it is not gone for that. */
static void test_execs_meanwhile(void **state)
{
	struct fix *f = *state;
	struct other o;

	if (f->policy.map_targets < 0 || !other_start(&o, f))
		skip();
	may_signal(false); /* as the loader, once it runs */
	epoch(f);
	may_signal(true);
	assert_non_null(ht_targets_find(&f->e.targets, o.pid));
	assert_int_equal(f->e.nr_space, 1);
	kill(o.pid, SIGKILL);
	waitpid(o.pid, NULL, 0);
	epoch(f);
	assert_null(ht_targets_find(&f->e.targets, o.pid));
	assert_int_equal(f->e.nr_space, 0);
	other_stop(&o);
}

#define MAP "7f1200000000-7f1200600000 rw-p 00000000 00:00 0\n"

/* What cannot be asked for takes no part, and does again when it can be. */
static void test_error_passes(void **state)
{
	struct fix *f = *state;
	struct other o;
	int i;

	if (f->policy.map_targets < 0 || !other_start(&o, f))
		skip();
	put(&o, "maps", MAP);
	epoch(f);
	assert_int_equal(f->e.nr_space, 1);
	assert_int_equal(f->e.space[0]->nr, 3);
	f->e.space[0]->error = -EMFILE; /* as of a query of its pages */
	for (i = 0; i < 4 && (i < 1 || f->e.space[0]->error); i++) {
		epoch(f);
		assert_int_equal(f->e.space[0]->nr, f->e.space[0]->error ? 0 : 3);
	}
	assert_int_equal(f->e.space[0]->error, 0);
	/* The right to move its pages does not come back. */
	f->e.space[0]->error = -EPERM;
	for (i = 0; i < 4; i++)
		epoch(f);
	assert_int_equal(f->e.space[0]->error, -EPERM);
	assert_int_equal(f->e.space[0]->nr, 0);
	assert_non_null(ht_targets_find(&f->e.targets, o.pid));
	other_stop(&o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_execs_meanwhile, setup, teardown),
		cmocka_unit_test_setup_teardown(test_error_passes, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unseen, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
