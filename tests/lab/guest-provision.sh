#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# One of several guests that share fast memory. What it does comes from the host, a line at a time, on
# a port: hotshift's commands, and
#   honest   tiers, and reports what is (the start)
#   lie      forged reports: all of its memory hot, and much more of it, in good form and at the usual rate
#   flood    the same in one stream of noise
#   end      the end
. tests/lab/lib.sh
port=/dev/vport0p5 commands=/dev/vport0p6
mkdir -p /tmp/t /out
tmp=/tmp/t
echo 0 >/proc/sys/kernel/numa_balancing

# What the kernel has of the fast node beside the device, nobody should profit from.
fill_base()
{
	free=$(awk '/MemFree/ { print int($4 / 1024) }' /sys/devices/system/node/node0/meminfo)
	numactl --membind=0 dd if=/dev/zero of=/dev/shm/fill bs=1M count=$((free - ${LEAVE:-14})) 2>/dev/null
}

plugged() { [ "$(awk '/MemTotal/ { print int($4 / 1024) }' /sys/devices/system/node/node0/meminfo)" -ge "$1" ]; }

# An epoch has to have samples enough that a tile which stops is noticed in it: dozens for each hot one,
# on a busy machine as well. With fewer, a hot set of the past fades over eight epochs and more, and the
# host waits for that.
tier_once()
{
	load provision --comm hotshift --period 61 --epoch 500 --json --stats 1 --report $port build/policies/range.bpf.o
	wait_for 60 started_or_gone provision "$loader"
	started provision
}

# Three guests that start at once on a busy machine: an object that is not read within ten seconds is
# taken for a damaged one.
tier()
{
	tier_once || { sed 's/^/# /' $tmp/provision.err; tier_once; } || not_ok "the loader starts"
}

forged='"epoch_ms":500,"capacity":1048576,"fast":4000000000,"slow":0,"hot":4000000000000,"share":0,"accesses":9e12,"refault":0,"waste":0,"curve":[[0,0],[4000000000000,1]]}'
lies()
{
	seq=1000000
	while :; do
		seq=$((seq + 1))
		echo "{\"v\":1,\"seq\":$seq,$forged"
		usleep 500000
	done >$port
}

floods()
{
	while :; do
		echo "{\"v\":1,\"seq\":1,$forged"
		head -c 20000 /dev/urandom
		printf '\n{"v":1,"seq":-1,"curve":[[[[[[[[1]]]]]]]]}\n{"v":99}\n'
	done >$port
}

# One reporter at a time: the port is for one.
replace()
{
	[ -z "$loader" ] || stop
	loader=''
	if [ -n "$liar" ]; then
		kill $liar
		# What it had started has the port open for some time.
		sleep 1
	fi
	"$1" &
	liar=$!
}

check "the kernel drives the device" 1 "$(grep -c virtio_mem /proc/modules)"
base=$(awk '/MemTotal/ { print int($4 / 1024) }' /sys/devices/system/node/node0/meminfo)
fill_base
# The host waits for this before it gives anything.
echo "# filled $base"
wait_for 120 plugged $((base + ${FIRST:-20})) || not_ok "memory is plugged"
mkfifo $tmp/told
hotshift "$TABLE" <$tmp/told &
app=$!
exec 3>$tmp/told
liar=''
tier
echo "# tiering"
while read -r what rest; do
	case $what in
	lie) replace lies ;;
	flood) replace floods ;;
	*) echo "$what${rest:+ $rest}" >&3 ;;
	esac
	[ "$what" != end ] || break
done <$commands
[ -z "$liar" ] || kill $liar
wait $app
check "the data is intact" 0 $?
[ -z "$loader" ] || stop
cp "$tmp/provision.out" /out/loader.out
cp "$tmp/provision.err" /out/loader.err
echo "# complete"
exit $((failed > 0))
