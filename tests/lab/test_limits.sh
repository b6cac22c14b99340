#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# Where the loader does not work, and what it says there: exit statuses 2 to 7, features, probes.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.12
bad=build/results/lab/bad

# compile NAME: a policy as the Makefile would build it, from stdin.
compile()
{
	cat >"$bad/$1.bpf.c"
	# shellcheck disable=SC2016,SC2046 # flags are words; the dollar is make's
	clang $(make -s --eval 'flags: ; @echo $(BPF_CFLAGS)' flags) -c "$bad/$1.bpf.c" \
		-o "$bad/$1.bpf.o" || not_ok "$1.bpf.c compiles"
}

make_bad_policies()
{
	rm -rf "$bad"
	mkdir -p "$bad"
	compile nopolicy <<-'END'
		#include <vmlinux.h>
		#include <bpf/bpf_helpers.h>
		SEC("syscall") int nothing(void *ctx) { return 0; }
		char _license[] SEC("license") = "GPL";
	END
	compile abi <<-'END'
		#include <hypertier/policy.bpf.h>
		#undef HT_ABI_VERSION
		#define HT_ABI_VERSION 999
		HYPERTIER_OPS_DEFINE(abi);
	END
	# An address of the ranges is a number to the kernel, not a pointer.
	compile rejected <<-'END'
		#include <hypertier/policy.bpf.h>
		static __u64 rank(const struct ht_range *r) { return *(volatile __u64 *)r->start; }
		HYPERTIER_OPS_DEFINE(rejected, .rank = rank);
	END
	compile declines <<-'END'
		#include <hypertier/policy.bpf.h>
		static int init(const struct ht_init *i) { return 7; }
		HYPERTIER_OPS_DEFINE(declines, .init = init);
	END
}

make_bad_policies
# The kernel is locked down last: there is no way back.
guest_env="PARTS='bad_options bad_policies kernels sources features privileges probe integrity'" \
	boot limits guest-limits.sh -f "$bad:bad"
sizes="-s node0_size=384M"
guest_env="PARTS=one_tier" boot limits-one-tier guest-limits.sh -c one-tier
sizes=
guest_env="PARTS=confidentiality" \
	boot limits-confidentiality guest-limits.sh -P -s smp=1 -a lockdown=confidentiality
exit $((failed > 0))
