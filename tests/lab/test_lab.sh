#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# The lab itself: what goes in comes out, and nothing that went wrong looks like success.
#
# shellcheck disable=SC2016 # what is in single quotes is for the guest's shell
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
lab=$here/tools/lab/lab
build=${HT_LAB_DIR:-$here/build/lab}
kernels=${HT_LAB_KERNELS:-6.1 6.12 newest}
tmp=$(mktemp -d)
failed=0
trap 'rm -rf "$tmp"' EXIT

ok() { printf 'ok - %s\n' "$1"; }
not_ok() { printf 'not ok - %s\n' "$1"; failed=$((failed + 1)); sed 's/^/# /' "$tmp/err" | tail -n 20; }
check() { if [[ $2 == "$3" ]]; then ok "$1"; else not_ok "$1 (want '$2', got '$3')"; fi; }
# With one CPU, which is enough for all but the test of what the kernels find, and boots sooner.
guest() { "$lab" run -P -t 150 -s smp=1 "$@" 2>"$tmp/err"; }

test_status()
{
	local out n

	out=$(guest -- 'echo out; echo error >&2; exit 7')
	check "status 7 comes through" 7 $?
	check "stdout alone is on stdout" out "$out"
	check "stderr is on stderr" error "$(cat "$tmp/err")"
	out=$(guest -- printf '%s|' 'a b' "c'd" '$e' '')
	check "status 0 comes through" 0 $?
	check "words arrive as they were given" "a b|c'd|\$e||" "$out"
	guest -- 'head -c 4194304 /dev/zero; kill -9 $$' >"$tmp/out"
	check "a killed command is 137" 137 $?
	cmp -s -n 4194304 "$tmp/out" /dev/zero && n=same || n=different
	check "4 MiB of stdout" "same 4194304" "$n $(stat -c %s "$tmp/out")"
}

# A busy machine may not have booted by the first limit, so a later one gets its chance.
test_timeout()
{
	local limit from rc

	for limit in 15 60 180; do
		from=$SECONDS
		guest -t $limit -- 'echo begun; sleep 1000' >"$tmp/out"
		rc=$?
		[[ ! -s $tmp/out ]] || break
	done
	check "time out is 124" 124 $rc
	check "what was printed before the time out is there" begun "$(cat "$tmp/out")"
	check "the time out is on time" 1 $((SECONDS - from < limit + 15))
}

test_crash()
{
	local rc

	guest -o "$tmp/crash" -- 'echo c >/proc/sysrq-trigger; sleep 30' >"$tmp/out"
	rc=$?
	check "a panic is 125" 125 $rc
	if grep -q 'Kernel panic' "$tmp/err"; then
		ok "the panic's console is shown"
	else
		not_ok "the panic's console is shown"
	fi
	if grep -q 'Kernel panic' "$tmp/crash/dmesg.txt"; then
		ok "the panic's console is kept"
	else
		not_ok "the panic's console is kept"
	fi
	guest -- 'poweroff -f; sleep 30' >"$tmp/out"
	check "a guest that powers off by itself is 125" 125 $?
	guest -q '-nonsense' -- true >"$tmp/out"
	check "a QEMU that does not start is 126" 126 $?
	guest -k 5.4 -- true >"$tmp/out"
	check "a kernel that is not there is 126" 126 $?
	guest -s node0_size=lots -- true >"$tmp/out"
	check "a bad configuration is 126" 126 $?
}

# Every byte value, sizes around block limits, and some MiB, both ways.
test_files()
{
	local f n from

	mkdir "$tmp/in"
	head -c 16777216 /dev/urandom >"$tmp/in/large"
	: >"$tmp/in/empty"
	printf '\r\n\0\377\n\r\004\003' >"$tmp/in/control"
	head -c 511 /dev/urandom >"$tmp/in/a name with blanks"
	from=$(date +%s%N)
	guest -f "$tmp/in" -f "$tmp/in/control:/deep/er/c" -o "$tmp/files" -- \
		'cp -r in /out && cp /deep/er/c /out && [ -f /ht/in/empty ]'
	check "files: the command ran" 0 $?
	printf '# 16 MiB in and out: %d ms\n' $((($(date +%s%N) - from) / 1000000))
	for f in large empty control 'a name with blanks'; do
		cmp -s "$tmp/in/$f" "$tmp/files/in/$f" && n=same || n=different
		check "file '$f' came back" same $n
	done
	cmp -s "$tmp/in/control" "$tmp/files/c" && n=same || n=different
	check "-f SRC:DST" same $n
	[[ -s $tmp/files/dmesg.txt ]] && n=there || n=missing
	check "dmesg.txt" there $n
}

test_kernel()
{
	local k=$1 out from

	if [[ ! -f $build/stamp/kernel-$k ]]; then
		printf 'ok - kernel %s # SKIP not fetched: tools/setup --kernels %s\n' "$k" "$k"
		return 0
	fi
	from=$(date +%s%N)
	out=$(guest -k "$k" -s smp=2 -- sh -c '
		nproc
		uname -r
		for t in /sys/devices/virtual/memory_tiering/memory_tier*; do cat $t/nodelist; done | sort
		cat /sys/devices/system/node/node*/access0/initiators/read_latency
		cat /sys/devices/system/node/node1/access0/initiators/read_bandwidth
		[ -s /sys/kernel/btf/vmlinux ] && [ -d /sys/kernel/tracing/events ] && echo traceable
		[ -d /sys/kernel/mm/numa ] && echo demotion
		grep -c -e "^bpf /sys/fs/bpf bpf " -e "^cgroup2 /sys/fs/cgroup cgroup2 " /proc/mounts')
	check "kernel $k: status" 0 $?
	printf '# kernel %s: whole run %d ms\n' "$k" $((($(date +%s%N) - from) / 1000000))
	check "kernel $k: CPUs, release, two tiers, HMAT figures, tracing, mounts" \
		"2 $(cat "$build/kernel/$k/release") 0 1 80 250 10240 traceable demotion 2" \
		"$(tr '\n' ' ' <<<"$out" | sed 's/ $//')"
}

# In instructions, of which a shell that sleeps executes next to none.
test_icount()
{
	local from=$SECONDS out

	out=$(guest -s icount=yes -- 'sleep 1000; n=0; while [ $n -lt 1000 ]; do n=$((n + 1)); done; cut -d. -f1 /proc/uptime')
	check "a guest whose clocks count instructions ends" 0 $?
	check "its time passed" 1 $((out >= 1000))
	check "ours did not" 1 $((SECONDS - from < 500))
}

test_configurations()
{
	local out

	out=$(guest -c three-tier -- 'cat /sys/devices/virtual/memory_tiering/memory_tier*/nodelist | sort | tr "\n" " "')
	check "three tiers" "0 1 2 " "$out"
	out=$(guest -c one-tier -- 'cat /sys/devices/virtual/memory_tiering/memory_tier*/nodelist')
	check "one tier" 0 "$out"
	out=$(guest -s node1_size=2G -- 'sed -n "s/.*MemTotal: *\([0-9]*\).*/\1/p" /sys/devices/system/node/node1/meminfo
		stat -c %s $HT_LAB_RING; cat ${HT_LAB_RING%/*}/enable; echo $HT_LAB' | tr '\n' ' ')
	check "-s overrides a node's size" 1 $((${out%% *} > 1900000 && ${out%% *} <= 2097152))
	check "the ring's device is there and enabled" "4194304 1 1 " "${out#* }"
}

test_parallel()
{
	local i pids=() rc=0

	for i in 1 2 3; do
		"$lab" run -P -t 150 -s smp=1 -o "$tmp/par$i" -- "echo $i >/out/i; echo $i; exit $i" \
			>"$tmp/par$i.out" 2>"$tmp/err" &
		pids+=($!)
	done
	for i in 1 2 3; do
		wait "${pids[$((i - 1))]}"
		check "parallel guest $i" "$i $i $i" "$? $(cat "$tmp/par$i/i") $(cat "$tmp/par$i.out")"
	done
}

# An interrupted lab leaves neither an emulator nor its folder.
test_interrupt()
{
	local pid qemu='' run i

	"$lab" run -P -- sleep 100 >"$tmp/out" 2>"$tmp/err" &
	pid=$!
	for ((i = 0; i < 600; i++)); do
		qemu=$(pgrep -P "$pid" -x timeout) && break
		sleep 0.1
	done
	# Other labs have theirs beside it.
	run=$(tr '\0' '\n' <"/proc/$qemu/cmdline" | sed -n 's,.*id=stdout\,path=\(.*\)/stdout$,\1,p')
	check "a lab that runs has a folder" there "$([[ $run == "$build"/run/* && -d $run ]] && echo there)"
	kill -TERM "$pid"
	wait "$pid"
	check "a terminated lab is 143" 143 $?
	check "its folder is gone" gone "$([[ -n $run && -e $run ]] || echo gone)"
	for ((i = 0; i < 50; i++)); do
		kill -0 "$qemu" 2>/dev/null || break
		sleep 0.1
	done
	if [[ -n $qemu ]] && ! kill -0 "$qemu" 2>/dev/null; then
		ok "its emulator is gone"
	else
		not_ok "its emulator is gone"
	fi
}

if [[ ! -f $build/stamp/root || ! -f $build/stamp/kernel-6.12 ]]; then
	printf 'ok - lab # SKIP not fetched: run tools/setup\n'
	exit 0
fi
test_status
test_timeout
test_crash
test_files
for k in $kernels; do
	test_kernel "$k"
done
test_configurations
test_icount
test_parallel
test_interrupt
exit $((failed > 0))
