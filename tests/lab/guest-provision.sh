#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# One of several guests that share fast memory: the same table all the time, of which another part
# is hot in each of its phases. $PHASES: MiB of the hot set, one after the other, $PHASE_S seconds each. With
# $REPORT=1 the loader reports to the host. $LAST is what it does in the end: rest, lie or refuse.
. tests/lab/lib.sh
port=/dev/vport0p5
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

# As another guest: all of its memory hot and much more of it, again and again, in one stream of noise.
lie()
{
	kill "$loader"
	wait "$loader"
	forged='{"v":1,"seq":1000000,"epoch_ms":500,"capacity":1048576,"fast":4000000000,"slow":0,"hot":4000000000000,"share":0,"accesses":9e12,"refault":0,"waste":0,"curve":[[0,0],[4000000000000,1]]}'
	end=$(($(date +%s) + ${LAST_S:-8}))
	while [ "$(date +%s)" -lt $end ]; do
		for _ in 1 2 3 4 5 6 7 8; do
			printf '%s\n' "$forged"
			head -c 20000 /dev/urandom
			printf '\n{"v":1,"seq":-1,"curve":[[[[[[[[1]]]]]]]]}\n{"v":99}\n'
		done >$port
	done
}

# The driver goes; what the device has stays in use, and requests come to nobody.
refuse()
{
	for d in /sys/bus/virtio/drivers/virtio_mem/virtio*; do
		basename "$d" >/sys/bus/virtio/drivers/virtio_mem/unbind
	done
	sleep "${LAST_S:-8}"
}

check "the kernel drives the device" 1 "$(grep -c virtio_mem /proc/modules)"
base=$(awk '/MemTotal/ { print int($4 / 1024) }' /sys/devices/system/node/node0/meminfo)
fill_base
# The host waits for this before it gives anything.
echo "# filled $base"
wait_for 60 plugged $((base + ${FIRST:-16})) || not_ok "memory is plugged"
# The emulator sorts accesses by this map: memory blocks that come later have to be told.
(while :; do build/workload/memmap >/dev/null 2>&1; usleep 300000; done) &
report=''
[ -z "$REPORT" ] || report="--report $port"
# From the moment of the first grant on, which all guests see at once.
start=$(($(date +%s) + ${FILL_S:-6}))
# shellcheck disable=SC2086
hotshift 128 $start "$PHASE_S" $PHASES >/out/phases 2>/out/hotshift.err &
app=$!
# shellcheck disable=SC2086
load_wait provision --comm hotshift --period 251 --epoch 500 --json --stats 1 $report build/policies/range.bpf.o
wait $app
check "the data is intact" 0 $?
case $LAST in
lie) lie ;;
refuse) refuse ;;
rest) sleep "${LAST_S:-8}" ;;
esac
[ "$LAST" = lie ] || stop
cp "$tmp/provision.out" /out/loader.out
cp "$tmp/provision.err" /out/loader.err
echo "# complete"
exit $((failed > 0))
