#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# Faults: whatever happens to the loader, its policy, the machine or the workload, no byte of the
# workload changes and nothing stays behind. SOAK=1 kills a loader 200 times and lets another live
# through all the rest, over and over, for 20 minutes with flat memory and files; SOAK_SECONDS is another
# duration of that, PARTS="kill churn" which of the two.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.12
# Its guests set their clocks themselves, and nothing in them goes by the time of day.
clock_is_right() { :; }

more=()
for p in bad_thrash bad_slow bad_garbage; do
	more+=(-f "build/tests/bpf/$p.bpf.o:$p.bpf.o")
done
if [ -d build/lab/kbuild/6.12 ] && kmod/build-lab 6.12 >build/kmod-faults.log 2>&1; then
	more+=(-f build/kmod/6.12/hypertier.ko:build/kmod/hypertier.ko)
fi
for p in faults-lib.sh faults-process.sh faults-machine.sh; do
	more+=(-f "tests/lab/$p")
done
sizes="-s node0_size=256M -s node1_size=768M"

if [ "${SOAK:-0}" != 1 ]; then
	limit=560 guest_env="SEED=${SEED:-7} KILLS=${KILLS:-20} TESTS='${TESTS:-}' FAULTS='${FAULTS:-}'" boot faults-6.12 guest-faults.sh "${more[@]}"
	exit $((failed > 0))
fi
seconds=${SOAK_SECONDS:-1200}
for part in ${PARTS:-kill churn}; do
	case $part in
	kill) limit=1200 guest_env="KILLS=${KILLS:-200} KILL_SECONDS=100000 SEED=${SEED:-$RANDOM} TESTS='kill helper oom_loader'" \
		boot faults-kill guest-faults.sh "${more[@]}" ;;
	churn) limit=$((seconds + 300)) guest_env="CHURN=$seconds TESTS=churn FAULTS='${FAULTS:-}'" boot faults-churn guest-faults.sh "${more[@]}" ;;
	esac
done
exit $((failed > 0))
