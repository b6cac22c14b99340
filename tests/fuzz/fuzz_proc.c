// SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
/*
 * What procfs, tracefs and sysfs say of processes, tracepoints and what the sources need. Input:
 * the files' contents in the order below, separated by bytes of 0xff.
 */
#include "fuzz.h"

#include "prereq.h"
#include "source.h"
#include "targets.h"
#include "tracepoint.h"

#define EVENT "sys/kernel/tracing/events/exceptions/page_fault_user/"

static const char *const files[] = {
	"proc/12/stat",
	"proc/12/comm",
	"proc/12/cgroup",
	"proc/self/status",
	"proc/cmdline",
	"proc/kallsyms",
	"proc/sys/kernel/numa_balancing",
	"sys/kernel/security/lockdown",
	"sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds",
	"sys/kernel/mm/damon/admin/kdamonds/0/state",
	"sys/module/damon_reclaim/parameters/enabled",
	"sys/devices/system/node/has_cpu",
	EVENT "id",
	EVENT "format",
};

static struct fuzz_tree tree = FUZZ_TREE(files);

static void seen(void *arg, const struct ht_proc *p)
{
	FUZZ_ASSERT(p->tgid > 0 && strnlen(p->comm, sizeof(p->comm)) < sizeof(p->comm));
}

static void processes(void)
{
	static char *comm[] = { "worker" }, *cgroup[] = { "/a" };
	struct ht_target_events ev = { .added = seen, .removed = seen };
	struct ht_selection sel = { .comm = comm, .nr_comm = 1 };
	struct ht_targets t;

	if (ht_targets_init(&t, &sel, &tree.roots))
		abort();
	t.cgroup = cgroup;
	t.nr_cgroup = 1;
	ht_targets_scan(&t, &ev);
	ht_targets_add_child(&t, 12, &ev);
	ht_targets_scan(&t, &ev);
	t.cgroup = NULL;
	t.nr_cgroup = 0;
	ht_targets_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char name[] = "exceptions/page_fault_user";
	struct ht_source_opts opts = { .roots = &tree.roots };
	struct fuzz_input in = { data, size };
	unsigned int offset, length;
	struct ht_prereq p;
	char why[256];
	uint64_t id;

	if (fuzz_tree_put(&tree, &in))
		close(fuzz_file("proc/sys/kernel/numa_balancing_promote_rate_limit_MBps"));
	processes();
	ht_prereq_check(&p, &tree.roots);
	ht_prereq_report(&p);
	ht_tracepoint_id(&tree.roots, name, &id);
	if (!ht_tracepoint_field(&tree.roots, name, "address", &offset, &length))
		FUZZ_ASSERT(offset < 4096 && length && length <= 8);
	ht_source_damon.usable(&opts, why, sizeof(why));
	ht_source_hint.usable(&opts, why, sizeof(why));
	return 0;
}
