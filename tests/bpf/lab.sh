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
log=$BUILD/results/lab-bpf.log
failed=0
mkdir -p "$(dirname "$log")"

files=(-f "$BUILD/tests/bpf/policy_all.bpf.o" -f "$BUILD/tests/bpf/policy_abi.bpf.o")
for t in "${tests[@]}"; do
	if [ ! -x "$BUILD/tests/bpf/$t" ]; then
		echo "not ok - $BUILD/tests/bpf/$t is built (make test-programs)"
		exit 1
	fi
	files+=(-f "$BUILD/tests/bpf/$t")
done

for k in "${kernels[@]}"; do
	if [ ! -d "$BUILD/lab/kernel/$k" ]; then
		echo "ok - BPF tests on $k # SKIP no such kernel in the lab (tools/setup --kernels all)"
		continue
	fi
	tools/lab/lab run -k "$k" -t 300 "${files[@]}" -- \
		"for t in ${tests[*]}; do $BUILD/tests/bpf/\$t || bad=1; done; exit \${bad:-0}" >"$log" 2>&1
	rc=$?
	good=$(grep -cE '^\[ +OK \]' "$log")
	if [ $rc = 0 ] && [ "$good" -gt 30 ] && ! grep -q '^\[  SKIPPED \]' "$log"; then
		echo "ok - $good BPF tests on $k"
	else
		echo "not ok - BPF tests on $k (exit status $rc, $good passed)"
		grep -E 'FAILED|SKIPPED|ERROR|LINE|cannot|panic' "$log" | head -n 30 | sed 's/^/# /'
		failed=1
	fi
done
exit $failed
