#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# hypertier-provision with two real hypervisors, whose VMs run no system: nobody takes the memory, but all
# that goes on between daemon, monitor and operator does. What was asked of them is read from a second monitor.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
provision=$PWD/build/hypertier-provision memwatch=$PWD/build/tests/lab/memwatch
qemu=$PWD/build/lab/bin/qemu-system-x86_64
[ -x "$qemu" ] || { skip "provisioning real VMs" "no emulator: tools/setup"; exit 0; }
for f in "$provision" "$memwatch"; do
	[ -x "$f" ] || { echo "not ok - $f is missing: make test-programs"; exit 1; }
done
tmp=$(mktemp -d)
daemon='' qemu_a='' qemu_b='' group=''
# shellcheck disable=SC2317
cleanup()
{
	kill -CONT $qemu_a $qemu_b 2>/dev/null
	kill -9 $daemon $qemu_a $qemu_b 2>/dev/null
	wait 2>/dev/null
	[ -z "$group" ] || rmdir "$group"
	rm -rf "$tmp"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

boot_vm() # NAME: its pid is $pid
{
	rm -f "$tmp/$1.qmp" "$tmp/$1.qmp2"
	"$qemu" -machine q35 -accel tcg -nodefaults -no-user-config -vga none -display none \
		-m 128M,slots=4,maxmem=1152M -object memory-backend-ram,id=m0,size=64M \
		-object memory-backend-ram,id=m1,size=64M -numa node,nodeid=0,memdev=m0,cpus=0 -numa node,nodeid=1,memdev=m1 \
		-object memory-backend-ram,id=v0,size=512M,reserve=off -device virtio-mem-pci,id=vmem0,memdev=v0,node=0,requested-size=0 \
		-object memory-backend-ram,id=v1,size=512M,reserve=off -device virtio-mem-pci,id=vmem1,memdev=v1,node=1,requested-size=0 \
		-chardev "socket,id=q1,path=$tmp/$1.qmp,server=on,wait=off" -mon chardev=q1,mode=control \
		-chardev "socket,id=q2,path=$tmp/$1.qmp2,server=on,wait=off" -mon chardev=q2,mode=control \
		>"$tmp/$1.log" 2>&1 &
	pid=$!
	# The wrapper becomes the emulator, so this is the process itself.
	wait_for 20 test -S "$tmp/$1.qmp2" || not_ok "VM $1 starts"
}

conf()
{
	cat >"$tmp/conf" <<-CONF
	[daemon]
	period = 100ms
	qmp-timeout = 1s
	state = $tmp/state
	metrics = $tmp/metrics.prom
	[rules]
	grow-timeout = ${1:-60s}
	patience = 0
	[tier fast]
	capacity = 256M
	[tier slow]
	capacity = 512M
	[default]
	fast.device = vmem0
	slow.device = vmem1
	fast.guarantee = 64M
	[vm a]
	qmp = $tmp/a.qmp
	$([ -z "$group" ] || printf 'cgroup = %s\noverhead = %s\n' "$group" 256M)
	[vm b]
	qmp = $tmp/b.qmp
	CONF
}

ask() { "$provision" --run-dir "$tmp/run" "$@"; }
run()
{
	"$provision" --run-dir "$tmp/run" -v "$@" run "$tmp/conf" >>"$tmp/daemon.out" 2>>"$tmp/daemon.err" &
	daemon=$!
	wait_for 10 ask status >"$tmp/out" 2>&1 || not_ok "the daemon answers"
}
field() { ask status 2>/dev/null | awk -v n="$1" -v t="${3:-fast}" -v f="$2" '$1 == n && $3 == t { print $f }'; }
state_is() { [ "$(field "$1" 2)" = "$2" ]; }
asked_is() { [ "$(field "$1" 5)" = "$2" ]; }
# asked NAME: requested-size in MiB, as the hypervisor says
asked()
{
	timeout 2 "$memwatch" --get "$tmp/$1.qmp2" "${2:-vmem0}" | awk '{ print $2 }'
}
hypervisor_is() { [ "$(asked "$1" "${3:-vmem0}")" = "$2" ]; }
# expect WHAT COMMAND...: soon
expect()
{
	if wait_for 10 "${@:2}"; then ok "$1"; else
		not_ok "$1"
		ask status 2>&1 | sed 's/^/# /'
	fi
}

# A control group for VM a, where this machine lets us have one; $group is empty otherwise.
group=''
for root in /sys/fs/cgroup /sys/fs/cgroup/memory; do
	[ -z "$group" ] && mkdir "$root/hypertier-test.$$" 2>/dev/null || continue
	group=$root/hypertier-test.$$
	[ -e "$group/memory.max" ] || [ -e "$group/memory.limit_in_bytes" ] || { rmdir "$group"; group=''; }
done
limit_is() { [ "$(cat "$group"/memory.max "$group"/memory.limit_in_bytes 2>/dev/null)" = $(($1 << 20)) ]; }

boot_vm a; qemu_a=$pid
boot_vm b; qemu_b=$pid
[ -z "$group" ] || echo $qemu_a >"$group/cgroup.procs"
conf
run -n
expect "dry run: both VMs are seen" state_is b ready
expect "... and decided for" eval '[ "$(field a 6)" = 128 ]'
check "... and asked nothing" "0 0" "$(asked a) $(asked b)"
kill $daemon; wait $daemon
run
expect "both are asked to take their halves" hypervisor_is a 128
expect "... in both tiers" hypervisor_is b 256 vmem1
contains "metrics tell it" "$tmp/metrics.prom" '^hypertier_provision_vm_requested_bytes\{vm="a",tier="fast"\} 134217728$'

[ -z "$group" ] || expect "the control group's limit is overhead and what both devices hold" limit_is $((256 + 128 + 256))
[ -z "$group" ] || check "... as the status says" $(((256 + 128 + 256) << 20)) \
	"$(ask status --json | awk -F'[:,]' '/"cgroup_limit"/ { print $2 }')"
ask set a fast.limit=96M fast.weight=2
expect "set: a limit is kept" hypervisor_is a 96
[ -z "$group" ] || expect "... and the control group's follows" limit_is $((256 + 96 + 256))
expect "... and the rest is the other's" hypervisor_is b 160
ask pause b
ask set a fast.limit=192M
sleep 1
check "pause: b is left as it is" 160 "$(asked b)"
ask resume b
expect "resume: by weights again" hypervisor_is b 84
ask drain b
expect "drain: back to the guarantee" hypervisor_is b 64
expect "... for the other" hypervisor_is a 192
check "... as the table says" drain "$(field b 2)"
ask resume b
expect "resume ends it" hypervisor_is b 84

kill -9 $daemon; wait $daemon 2>/dev/null
kill -STOP $qemu_b
run
expect "a restart with a VM that hangs: deaf" state_is b deaf
check "... counted with what it may hold" 84 "$(field b 5)"
check "... and what was set is in force" 192 "$(ask status --json | awk -F'[:,]' '/"limit"/ { printf "%d", $2 / 1048576; exit }')"
expect "... and why is told" grep -q 'VM b: no QMP answer in time' "$tmp/daemon.err"
sleep 1
check "... nobody gets of it" yes "$([ "$(asked a)" -le $((256 - 84)) ] && echo yes || echo "no: $(asked a)")"
kill -CONT $qemu_b
expect "it is back when it answers" state_is b ready

"$memwatch" --set "$tmp/b.qmp2" vmem0 200 2>/dev/null
expect "somebody else's request is said" grep -q 'somebody else set vmem0 to 200 MiB' "$tmp/daemon.err"
expect "... and undone" hypervisor_is b 84

# As a guest that uses memory which it has given back: more than its control group may have.
if [ -n "$group" ]; then
	timeout 20 "$memwatch" --take "$tmp/a.qmp2" 900
	wait_for 10 gone $qemu_a && ok "the host's kernel ends a VM that takes more than it holds" || {
		not_ok "the host's kernel ends a VM that takes more than it holds"
		kill -9 $qemu_a
	}
else
	skip "the host's kernel ends a VM that takes more than it holds" "no control groups here"
	kill -9 $qemu_a
fi
wait $qemu_a 2>/dev/null
expect "a VM that vanishes holds nothing" state_is a absent
expect "... its guarantee stays reserved" hypervisor_is b 192
boot_vm a; qemu_a=$pid
expect "the same VM anew is taken in" state_is a ready
expect "... with what was set" hypervisor_is a 172
kill $daemon; wait $daemon

# Nobody in there takes the memory: its request is given up, and what it does not take is the others'.
conf 1s
run
expect "who does not take memory is in default" state_is a default
contains "... and it is said" "$tmp/daemon.err" 'VM a did not do as asked: vmem0 is at 0 MiB instead of'
kill $daemon; wait $daemon
check "SIGTERM is 0" 0 $?
check "both VMs run on" yes "$(kill -0 $qemu_a $qemu_b && echo yes)"
daemon=''
exit $((failed > 0))
