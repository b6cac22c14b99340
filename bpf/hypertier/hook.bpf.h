/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The policy hook on stock kernels: the loader fills the ranges and moves maps and runs one of
 * these programs over them (BPF_PROG_RUN), once per epoch. The ops see one element at a time.
 */
#ifndef HYPERTIER_HOOK_BPF_H
#define HYPERTIER_HOOK_BPF_H

#include <hypertier/maps.bpf.h>
#include <hypertier/ops.bpf.h>
#include <hypertier/sampler.bpf.h>

/* A batch larger than bpf_loop() takes is refused as a whole: the loader must not think it done. */
static __always_inline int ht_batch_result(long done)
{
	return done < 0 ? done : 0;
}

static long ht_rank_one(__u32 i, void *arg)
{
	struct ht_batch_args *args = arg;
	__u32 nr = args->first + i;
	struct ht_range *r = bpf_map_lookup_elem(&ranges, &nr);

	if (!r)
		return 1;
	r->score = ht_ops_rank(r);
	return 0;
}

SEC("syscall")
int ht_rank(struct ht_batch_args *args)
{
	struct ht_batch_args a = *args;

	return ht_batch_result(bpf_loop(a.nr, ht_rank_one, &a, 0));
}

static long ht_admit_one(__u32 i, void *arg)
{
	struct ht_batch_args *args = arg;
	__u32 nr = args->first + i;
	struct ht_move *m = bpf_map_lookup_elem(&moves, &nr);

	if (!m)
		return 1;
	m->admitted = ht_ops_admit(m) != 0;
	return 0;
}

SEC("syscall")
int ht_admit(struct ht_batch_args *args)
{
	struct ht_batch_args a = *args;

	return ht_batch_result(bpf_loop(a.nr, ht_admit_one, &a, 0));
}

/* Arguments of a struct_ops program, each in a word. */
struct ht_words {
	__u64 arg[1];
};

/*
 * ops.admit for the kernel helper: a copy of this program becomes hypertier_ops.admit where the
 * struct_ops type exists (loader/hook_kernel.h). As a syscall program it loads, and is verified,
 * everywhere: the move is read by a helper, so it does not matter what the verifier knows of it.
 */
SEC("syscall")
int ht_admit_pair(struct ht_words *ctx)
{
	struct ht_move m;

	if (bpf_probe_read_kernel(&m, sizeof(m), (const void *)ctx->arg[0]))
		return -14; /* EFAULT: tells the helper that the policy failed */
	return ht_ops_admit(&m) != 0;
}

SEC("syscall")
int ht_tick(struct ht_tick *t)
{
	struct ht_tick copy = *t;

	if (ht_ops.tick)
		ht_ops.tick(&copy);
	return 0;
}

static long ht_age_one(__u32 i, void *arg)
{
	struct ht_age_args *args = arg;
	__u32 id = args->first + i, zero = 0;
	struct ht_ctl *c = bpf_map_lookup_elem(&control, &zero);
	struct ht_tile *t = bpf_map_lookup_elem(&heat, &id);

	if (!t || !c)
		return 1;
	if (t->key && t->tick != c->tick)
		ht_age_tile(id);
	return 0;
}

/* Ages tiles in a row that were not sampled lately; only a policy with its own ops.age needs it. */
SEC("syscall")
int ht_age(struct ht_age_args *args)
{
	struct ht_age_args a = *args;

	return ht_batch_result(bpf_loop(a.nr, ht_age_one, &a, 0));
}

/* Returns ops.init's result; writes back which ops the policy has. */
SEC("syscall")
int ht_init(struct ht_init_args *args)
{
	struct ht_init copy = args->init;

	args->ops = ht_ops_present();
	return ht_ops.init ? ht_ops.init(&copy) : 0;
}

SEC("syscall")
int ht_exit(struct ht_exit *e)
{
	struct ht_exit copy = *e;

	if (ht_ops.exit)
		ht_ops.exit(&copy);
	return 0;
}

#endif
