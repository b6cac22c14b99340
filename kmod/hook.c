// SPDX-License-Identifier: GPL-2.0
/*
 * The struct_ops type hypertier_ops: the table of a policy (bpf/hypertier/ops.bpf.h) as the kernel
 * knows it. One policy is attached at a time, by link; it is asked about each pair before anything
 * is touched. Calls are under RCU, and what replaces or detaches a policy waits for those in it.
 *
 * The watchdog lives here, not in the policy: one that takes too long, or answers with an error,
 * is not asked again. A BPF program always ends, so a call cannot hang, only be slow.
 */
#include <linux/bpf.h>
#include <linux/bpf_verifier.h>
#include <linux/btf.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/rcupdate.h>
#include <linux/sched/clock.h>

#include "hypertier.h"

#define CREATE_TRACE_POINTS
#include "trace.h"

enum { ATTACHED, REPLACED, DETACHED, EJECTED };

/* A single answer, in ms. Calls measured are those of one pair: microseconds where all is well. */
static unsigned int admit_ms = 20;
module_param(admit_ms, uint, 0644);
MODULE_PARM_DESC(admit_ms, "a policy whose admit takes longer is ejected, ms (default: 20)");
/* Slow calls may be the scheduler's doing: it takes so many in a row. */
#define SLOW_CALLS 3
#define FAILED_CALLS 16

struct hypertier_ops {
	u32 (*sample)(const struct ht_sample *s);
	u32 (*age)(u32 heat, u32 ticks);
	u64 (*rank)(const struct ht_range *r);
	u32 (*admit)(const struct ht_move *m);
	void (*tick)(const struct ht_tick *t);
	int (*init)(const struct ht_init *i);
	void (*exit)(const struct ht_exit *e);
	u32 abi;
	u32 flags;
	char name[HT_NAME_LEN];
};

static DEFINE_MUTEX(hook_lock); /* attaching, replacing, detaching */
static struct hypertier_ops __rcu *attached;
static u32 slow, failed; /* under the device's lock, as the calls are */
static bool ejected;
static char why[128];
static u64 ejections;

/* --- watchdog --------------------------------------------------------------------------------- */

static void eject(const struct hypertier_ops *ops, const char *reason)
{
	if (READ_ONCE(ejected))
		return;
	snprintf(why, sizeof(why), "policy '%.16s': %s", ops->name, reason);
	WRITE_ONCE(ejected, true);
	ejections++;
	trace_ht_hook(ops->name, EJECTED);
	pr_ht(KERN_WARNING, "ejected: %s\n", why);
}

static void judge(const struct hypertier_ops *ops, s32 verdict, u64 ns)
{
	char reason[96];

	failed = verdict < 0 ? failed + 1 : 0;
	slow = ns > admit_ms * 1000000ULL ? slow + 1 : 0;
	if (failed >= FAILED_CALLS) {
		snprintf(reason, sizeof(reason), "admit failed %u times in a row (%d)", failed, verdict);
		eject(ops, reason);
	} else if (slow >= SLOW_CALLS) {
		snprintf(reason, sizeof(reason), "admit took %llu ms, %u are allowed", ns / 1000000,
			 admit_ms);
		eject(ops, reason);
	}
}

bool ht_hook_admit(const struct ht_move *m, struct ht_xchg_stats *st)
{
	struct hypertier_ops *ops;
	u32 verdict = 1;
	u64 start;

	if (!rcu_access_pointer(attached) || READ_ONCE(ejected))
		return true;
	rcu_read_lock();
	ops = rcu_dereference(attached);
	if (ops && ops->admit) {
		start = local_clock();
		verdict = ops->admit(m);
		judge(ops, verdict, local_clock() - start);
		st->admits++;
		st->ejections = ejections;
	}
	rcu_read_unlock();
	/* A policy that fails has no say: what the planner decided stands. */
	if ((s32)verdict < 0 || verdict)
		return true;
	st->refused++;
	return false;
}

void ht_hook_info(struct ht_xchg_info *info)
{
	struct hypertier_ops *ops;

	rcu_read_lock();
	ops = rcu_dereference(attached);
	if (ops) {
		info->flags |= HT_XCHG_F_HOOK;
		memcpy(info->policy, ops->name, HT_NAME_LEN);
		info->policy[HT_NAME_LEN - 1] = '\0';
	}
	rcu_read_unlock();
	if (READ_ONCE(ejected)) {
		info->flags |= HT_XCHG_F_EJECTED;
		strscpy(info->why, why, sizeof(info->why));
	}
	info->stats.ejections = ejections;
}

/* --- struct_ops ------------------------------------------------------------------------------- */

/* Validate, then commit: whoever is in the old table has left it when this returns. */
static int install(struct hypertier_ops *ops, struct hypertier_ops *old, u32 event)
{
	mutex_lock(&hook_lock);
	if (rcu_access_pointer(attached) != old) {
		mutex_unlock(&hook_lock);
		return old ? -ENOENT : -EBUSY;
	}
	rcu_assign_pointer(attached, ops);
	synchronize_rcu();
	WRITE_ONCE(ejected, false);
	trace_ht_hook(ops ? ops->name : old->name, event);
	mutex_unlock(&hook_lock);
	return 0;
}

static int ops_reg(void *kdata, struct bpf_link *link)
{
	return install(kdata, NULL, ATTACHED);
}

static void ops_unreg(void *kdata, struct bpf_link *link)
{
	install(NULL, kdata, DETACHED);
}

static int ops_update(void *kdata, void *old_kdata, struct bpf_link *link)
{
	return install(kdata, old_kdata, REPLACED);
}

static int ops_validate(void *kdata)
{
	struct hypertier_ops *ops = kdata;

	if (ops->abi != HT_ABI_VERSION)
		return -EPROTO;
	return ops->admit && ops->name[0] ? 0 : -EINVAL;
}

static int ops_init(struct btf *btf)
{
	return 0;
}

/* 1 = the member is data, and was copied. */
static int ops_init_member(const struct btf_type *t, const struct btf_member *member, void *kdata,
			   const void *udata)
{
	const struct hypertier_ops *u = udata;
	struct hypertier_ops *k = kdata;

	switch (__btf_member_bit_offset(t, member) / 8) {
	case offsetof(struct hypertier_ops, abi):
		k->abi = u->abi;
		return 1;
	case offsetof(struct hypertier_ops, flags):
		k->flags = u->flags;
		return 1;
	case offsetof(struct hypertier_ops, name):
		memcpy(k->name, u->name, HT_NAME_LEN);
		k->name[HT_NAME_LEN - 1] = '\0';
		return 1;
	default:
		return 0;
	}
}

static bool is_valid_access(int off, int size, enum bpf_access_type type,
			    const struct bpf_prog *prog, struct bpf_insn_access_aux *info)
{
	return bpf_tracing_btf_ctx_access(off, size, type, prog, info);
}

static const struct bpf_verifier_ops verifier_ops = {
	.get_func_proto = bpf_base_func_proto,
	.is_valid_access = is_valid_access,
};

static u32 admit_stub(const struct ht_move *m)
{
	return 1;
}

/* Ops without a stub are the loader's: the kernel refuses a table that fills them in. */
static struct hypertier_ops stubs = { .admit = admit_stub };

static struct bpf_struct_ops struct_ops = {
	.verifier_ops = &verifier_ops,
	.init = ops_init,
	.init_member = ops_init_member,
	.reg = ops_reg,
	.unreg = ops_unreg,
	.update = ops_update,
	.validate = ops_validate,
	.cfi_stubs = &stubs,
	.owner = THIS_MODULE,
	.name = "hypertier_ops",
};

int ht_hook_init(void)
{
	return register_bpf_struct_ops(&struct_ops, hypertier_ops);
}

/* Maps of the type hold the module, so none is left when this runs; the type goes with the module. */
void ht_hook_exit(void)
{
	WARN_ON_ONCE(rcu_access_pointer(attached));
}
