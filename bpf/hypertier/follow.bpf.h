/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Targets come and go at once, not at the loader's next look: children of targets are targets, an
 * exec'ed or exited target is marked, and the loader frees what it owned.
 */
#ifndef HYPERTIER_FOLLOW_BPF_H
#define HYPERTIER_FOLLOW_BPF_H

#include <hypertier/maps.bpf.h>

SEC("raw_tp/sched_process_fork")
int ht_fork(__u64 *ctx)
{
	struct task_struct *parent = (void *)ctx[0], *child = (void *)ctx[1];
	struct ht_target *p, t = {};
	__u32 ppid = 0;
	__u32 pid = 0;

	bpf_core_read(&ppid, sizeof(ppid), &parent->tgid);
	p = bpf_map_lookup_elem(&targets, &ppid);
	if (!p || !(p->flags & HT_TARGET_FOLLOW))
		return 0;
	bpf_core_read(&t.tgid, sizeof(t.tgid), &child->tgid);
	bpf_core_read(&pid, sizeof(pid), &child->pid);
	if (pid != t.tgid)
		return 0; /* a thread */
	t.ppid = ppid;
	t.flags = HT_TARGET_FORKED | HT_TARGET_FOLLOW;
	/* The number of a target that is gone, not yet noticed: its tiles are not the child's. */
	if (bpf_map_lookup_elem(&targets, &t.tgid))
		t.flags |= HT_TARGET_EXECED;
	bpf_core_read(&t.comm, sizeof(t.comm), &child->comm);
	bpf_map_update_elem(&targets, &t.tgid, &t, BPF_ANY);
	return 0;
}

SEC("raw_tp/sched_process_exec")
int ht_exec(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct ht_target *t;
	__u32 tgid = 0;

	bpf_core_read(&tgid, sizeof(tgid), &task->tgid);
	t = bpf_map_lookup_elem(&targets, &tgid);
	if (!t)
		return 0;
	bpf_core_read(&t->comm, sizeof(t->comm), &task->comm);
	__sync_fetch_and_add(&t->execs, 1);
	__sync_fetch_and_or(&t->flags, HT_TARGET_EXECED);
	return 0;
}

SEC("raw_tp/sched_process_exit")
int ht_gone(__u64 *ctx)
{
	struct task_struct *task = (void *)ctx[0];
	struct signal_struct *signal = NULL;
	struct ht_target *t;
	__u32 tgid = 0;
	int live = 0;

	bpf_core_read(&tgid, sizeof(tgid), &task->tgid);
	t = bpf_map_lookup_elem(&targets, &tgid);
	if (!t)
		return 0;
	bpf_core_read(&signal, sizeof(signal), &task->signal);
	bpf_core_read(&live, sizeof(live), &signal->live.counter);
	if (!live) /* the last thread */
		__sync_fetch_and_or(&t->flags, HT_TARGET_EXITED);
	return 0;
}

#endif
