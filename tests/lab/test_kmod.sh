#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# The kernel migration helper: loads, exchanges under a workload that checks every byte, asks the
# attached policy, unloads; then a loader with it. SOAK=1 exchanges a million pairs on each kernel
# (some minutes). "debug" as argument: the kernel of kmod/build-debug-kernel. 6.1 is too old for it, which
# has to show before any harm is done.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.12 newest

# With the module for 6.12, as nothing is built for a kernel that has no folio_walk_start().
too_old()
{
	local helper=build/kmod/6.12/hypertier.ko

	if [ ! -f build/lab/stamp/kernel-6.1 ] || [ ! -f $helper ]; then
		skip "kmod-6.1" "kernel 6.1 is not fetched, or the module for 6.12 is not built"
		return
	fi
	sizes='-s node0_size=256M -s node1_size=512M' boot kmod-6.1 guest-kmod-old.sh -k 6.1 -P -s smp=1 -f "$helper:build/kmod/hypertier.ko"
}

# What a stock kernel checks when it is told to: objects used after they were freed, or overrun. Not in
# the long run, whose point is another.
pairs=8000 checks='slab_debug=FZPU kfence.sample_interval=20'
[ "${SOAK:-0}" != 1 ] || pairs=1000000 limit=3600 checks=
[ "$#" -gt 0 ] || set -- 6.12 newest 6.1
for k in "$@"; do
	if [ "$k" = 6.1 ]; then
		too_old
		continue
	fi
	size=256M
	# KASAN has a byte for every eight, and everything takes ten times as long.
	[ "$k" != debug ] || size=512M pairs=${PAIRS:-6000} limit=580
	if [ "$k" != debug ] && [ ! -d "build/lab/kbuild/$k" ]; then
		skip "kmod-$k" "no headers for kernel $k: tools/setup --kernels $k --modules"
		continue
	fi
	# What an earlier build made would be silent this time.
	if ! kmod/build-lab --anew "$k" >"build/kmod-$k.log" 2>&1 || grep -qi 'warning:\|Skipping BTF' "build/kmod-$k.log"; then
		not_ok "hypertier.ko builds for $k without warnings"
		sed 's/^/# /' "build/kmod-$k.log"
		continue
	fi
	ok "hypertier.ko builds for $k without warnings"
	helper="build/kmod/$k/hypertier.ko:build/kmod/hypertier.ko"
	guest_env="PAIRS=$pairs" sizes="-s node0_size=$size -s node1_size=512M" boot "kmod-$k" guest-kmod.sh -k "$k" \
		-P -a "$checks" -f "$helper" -f build/tests/bpf/kernel_hook.bpf.o
	[ "${SOAK:-0}" != 1 ] && [ "$k" != debug ] || continue
	sizes='' boot "kmod-load-$k" guest-kmod-load.sh -k "$k" -f "$helper" \
		-f build/tests/bpf/policy_eager.bpf.o -f build/tests/bpf/policy_keen.bpf.o
done
exit $((failed > 0))
