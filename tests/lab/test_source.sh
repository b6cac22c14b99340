#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# The sources' tests in lab guests, where nobody minds: fentry programs, a real kdamond with targets
# that come and go, real hint faults. Usage: tests/lab/test_source.sh [KERNEL...]
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
kernels=("$@")
[[ ${#kernels[@]} -gt 0 ]] || kernels=(6.1 6.12 newest)
tests=(test_pmu test_source test_source_perf test_source_damon test_source_hint test_source_emulated)
bin=${TEST_BIN:-build/tests/unit}
status=0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -L "$(gcc -print-file-name=libcmocka.so)" "$work/libcmocka.so.0"
for t in "${tests[@]}"; do
	cp "$bin/$t" "$work/"
done
cat >"$work/run" <<'RUN'
export LD_LIBRARY_PATH=$LD_LIBRARY_PATH:/ht/source-tests
failed=0
for t in source-tests/test_*; do
	$t >/tmp/log 2>&1 || failed=1
	grep -v -e '^\[ RUN' /tmp/log
done
exit $failed
RUN

for k in "${kernels[@]}"; do
	echo "== Linux $k"
	tools/lab/lab run -k "$k" -P -f "$work:source-tests" -t 240 -- sh source-tests/run || status=1
done
[[ $status = 0 ]] && echo "all source tests passed on: ${kernels[*]}"
exit $status
