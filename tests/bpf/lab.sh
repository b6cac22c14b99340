#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# The tests of the BPF side on the lab's kernels: what this machine's kernel does not let anyone attach
# (tracepoints, fentry) runs there, and nothing may be skipped.
#   tests/bpf/lab.sh [KERNEL...]    6.1 6.12 newest if none is named
set -u
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
kernels=("$@")
[ ${#kernels[@]} -gt 0 ] || kernels=(6.1 6.12 newest)
tests=(test_attach test_sampler test_dispersion test_hook)
failed=0
log_of() { echo "$BUILD/results/lab-bpf-$1.log"; }
mkdir -p "$BUILD/results"

files=()
for o in policy_all policy_abi bad_garbage bad_thrash; do
	files+=(-f "$BUILD/tests/bpf/$o.bpf.o")
done
for t in "${tests[@]}"; do
	if [ ! -x "$BUILD/tests/bpf/$t" ]; then
		echo "not ok - $BUILD/tests/bpf/$t is built (make test-programs)"
		exit 1
	fi
	files+=(-f "$BUILD/tests/bpf/$t")
done

run_kernel()
{
	[ -d "$BUILD/lab/kernel/$1" ] || return
	tools/lab/lab run -k "$1" -P -t 300 "${files[@]}" -- \
		"for t in ${tests[*]}; do $BUILD/tests/bpf/\$t || bad=1; done; exit \${bad:-0}" >"$(log_of "$1")" 2>&1
	echo "exit status $?" >>"$(log_of "$1")"
}

check_kernel()
{
	local log good end

	if [ ! -d "$BUILD/lab/kernel/$1" ]; then
		echo "ok - BPF tests on $1 # SKIP no such kernel in the lab (tools/setup --kernels all)"
		return
	fi
	log=$(log_of "$1")
	good=$(grep -cE '^\[ +OK \]' "$log")
	end=$(tail -n 1 "$log")
	if [ "$end" = "exit status 0" ] && [ "$good" -gt 30 ] && ! grep -q '^\[  SKIPPED \]' "$log"; then
		echo "ok - $good BPF tests on $1"
	else
		echo "not ok - BPF tests on $1 ($end, $good passed)"
		grep -E 'FAILED|SKIPPED|ERROR|LINE|cannot|panic' "$log" | head -n 30 | sed 's/^/# /'
		failed=1
	fi
}

for k in "${kernels[@]}"; do
	run_kernel "$k" &
	[ "$(jobs -pr | wc -l)" -lt 2 ] || wait -n
done
wait
for k in "${kernels[@]}"; do
	check_kernel "$k"
done
exit $failed
