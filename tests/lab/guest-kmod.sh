#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# The kernel helper in a guest: PAIRS pairs are exchanged. See test_kmod.sh.
. tests/lab/lib.sh
begin
t=build/tests/lab/exchange

# node_stat NODE NAME
node_stat() { awk -v n="$2" '$1 == n { print $2 }' "/sys/devices/system/node/node$1/vmstat"; }
# Free memory in KiB, with what the per-CPU lists hold.
node_free()
{
	awk -v node="$1" '$1 == "Node" { here = $2 == node "," }
		here && $1 == "pages" && $2 == "free" { n += $3 }
		here && $1 == "count:" { n += $2 }
		END { print n * 4 }' /proc/zoneinfo
}
settle()
{
	echo 3 >/proc/sys/vm/drop_caches
	sleep 1
	echo 1 >/proc/sys/vm/stat_refresh 2>/dev/null
}

insmod build/kmod/hypertier.ko
check "the module loads without the exchange" 0 $?
hypertier-load features >/tmp/features 2>&1
contains "features names the hook" /tmp/features 'yes struct_ops'
contains "... and why there is no exchange" /tmp/features 'exchange is switched off: load the module with exchange=1'
rmmod hypertier
check "it unloads" 0 $?

insmod build/kmod/hypertier.ko exchange=1
check "the module loads with the exchange" 0 $?
hypertier-load features >/tmp/features 2>&1
contains "features names the backend" /tmp/features 'yes exchange'
$t status
$t hook build/tests/bpf/kernel_hook.bpf.o

settle
for n in 0 1; do
	eval "anon$n=$(node_stat $n nr_anon_pages) free$n=$(node_free $n)"
done
echo 1 >/sys/kernel/tracing/events/hypertier/ht_exchange/enable
$t soak "${PAIRS:-8000}" &
soak=$!
in_use() { [ "$(cat /sys/module/hypertier/refcnt)" != 0 ]; }
wait_for 20 in_use
rmmod hypertier 2>/tmp/rmmod
check "the module stays while it is in use" 1 $?
wait $soak
check "the soak passes" 0 $?
echo 0 >/sys/kernel/tracing/events/hypertier/ht_exchange/enable
contains "the tracepoint tells of batches" /sys/kernel/tracing/trace 'ht_exchange: pairs [0-9]+ done [0-9]+'
settle
for n in 0 1; do
	eval "a=\$anon$n f=\$free$n"
	holds "node $n has its anonymous pages back" \
		"$(node_stat $n nr_anon_pages) - $a < 300 && $a - $(node_stat $n nr_anon_pages) < 300"
	holds "node $n has its free memory back" "$f - $(node_free $n) < 8192"
	check "nothing is left isolated on node $n" 0 "$(node_stat $n nr_isolated_anon)"
done
rmmod hypertier
check "the module unloads afterwards" 0 $?
# Loading and unloading while somebody keeps opening the device.
(while [ ! -e /tmp/stop ]; do $t status >/dev/null 2>&1; done) &
i=0
while [ $i -lt 5 ]; do
	insmod build/kmod/hypertier.ko exchange=1 2>/dev/null
	sleep 0.1
	rmmod hypertier 2>/dev/null
	i=$((i + 1))
done
touch /tmp/stop
wait
rmmod hypertier 2>/dev/null
dmesg >/tmp/dmesg
lacks "the kernel has nothing to complain of" /tmp/dmesg \
	'WARNING|(^|[^E])BUG[: ]|Oops|Call Trace|bad page|Bad page|refcount_t|general protection|stall'
finish
