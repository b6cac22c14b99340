// SPDX-License-Identifier: GPL-2.0
/* Four answers to the kernel helper's question, one program each (tests/lab/exchange.c, hook). */
#include <vmlinux.h>
#include <bpf/bpf_helpers.h>

#include <hypertier/ops.h>

#define TURNS 500

struct words {
	__u64 arg[1];
};

__u64 calls, pages, start;

static int ask(struct words *ctx, int verdict)
{
	struct ht_move m;

	if (bpf_probe_read_kernel(&m, sizeof(m), (const void *)ctx->arg[0]))
		return -14;
	__sync_fetch_and_add(&calls, 1);
	pages = m.pages;
	start = m.start;
	return verdict;
}

SEC("syscall")
int yes(struct words *ctx)
{
	return ask(ctx, 1);
}

SEC("syscall")
int no(struct words *ctx)
{
	return ask(ctx, 0);
}

SEC("syscall")
int fails(struct words *ctx)
{
	return ask(ctx, -5);
}

/* Takes its time: without bpf_loop(), whose callbacks cannot be loaded a second time. */
SEC("syscall")
int slow(struct words *ctx)
{
	struct ht_move m;
	int i;

	for (i = 0; i < TURNS; i++)
		bpf_probe_read_kernel(&m, sizeof(m), (const void *)ctx->arg[0]);
	return ask(ctx, 1);
}

char LICENSE[] SEC("license") = "GPL";
