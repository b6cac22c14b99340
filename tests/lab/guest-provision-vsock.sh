#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# Reports over vsock, with both ends in one guest: its kernel's loopback takes what is for the host,
# as long as no other vsock transport is there. To the daemon the connection comes from CID 1.
. tests/lab/lib.sh
begin
for m in vsock vmw_vsock_virtio_transport_common vsock_loopback; do
	insmod modules/$m.ko || not_ok "module $m loads"
done
run=$tmp/run
conf()
{
	cat <<-CONF
	[daemon]
	period = 200ms
	vsock-port = ${2:-9000}
	state = $tmp/state
	[tier fast]
	capacity = 64M
	[default]
	fast.device = vmem0
	[vm me]
	qmp = $tmp/none.qmp
	cid = $1
	CONF
}
status() { hypertier-provision status --json --run-dir $run >$tmp/status 2>/dev/null; }
# channel KEY TEST: what the daemon says of the channel of the first VM
channel() { status && true_that "$(jget $tmp/status "vms.0.report.$1") $2"; }
channel_is_open() { status && [ "$(jget $tmp/status vms.0.report.connected)" = "$1" ]; }
answers_status() { status; }

conf 1 >$tmp/conf
hypertier-provision run -v --run-dir $run $tmp/conf 2>$tmp/daemon.err &
daemon=$!
wait_for 20 answers_status || not_ok "the daemon runs"
spawn w hot=plain:24:1 || exit 1
load vsock --comm subject --epoch 500 --json --stats 1 --report vsock:9000 "$range"
wait_for 40 channel good ">= 3" && ok "reports arrive over vsock" || {
	not_ok "reports arrive over vsock"
	tail -n 5 $tmp/vsock.err $tmp/daemon.err | sed 's/^/# /'
	cat $tmp/status | head -c 2000
}
check "none of them bad or lost" "0 0" "$(jget $tmp/status vms.0.report.bad) $(jget $tmp/status vms.0.report.lost)"
holds "with the guest's figures" "$(jget $tmp/status vms.0.report.age_ms) < 5000 && $(jget $tmp/status vms.0.report.share) >= 0"

# The daemon goes and comes back: the guest does not wait, and finds it again.
kill -9 $daemon
wait $daemon
# Meanwhile it tries, once in ten epochs, and nobody listens.
sleep 12
hypertier-provision run -v --run-dir $run $tmp/conf 2>>$tmp/daemon.err &
daemon=$!
wait_for 60 channel good ">= 1" && ok "the loader finds a daemon that was killed and came back later" ||
	not_ok "the loader finds a daemon that was killed and came back later"
check "the loader runs on" yes "$(gone $loader || echo yes)"
stop
check "the loader's status" 0 $status
wait_for 10 channel_is_open false && ok "its end is noticed" || not_ok "its end is noticed"

# Noise, as fast as it is taken, over connection after connection.
(while :; do head -c 100000 /dev/urandom | vsend 2 9000 2>/dev/null; done) &
flood=$!
wait_for 30 channel bad ">= 8" && ok "noise is counted" || not_ok "noise is counted"
from=$(awk '{ print $14 + $15 }' /proc/$daemon/stat)
sleep 3
spent=$(($(awk '{ print $14 + $15 }' /proc/$daemon/stat) - from))
holds "a flood costs the daemon little (CPU ticks in 3 s)" "$spent < 150"
wait_for 10 answers_status && ok "the daemon answers all the while" || not_ok "the daemon answers all the while"
kill $flood
wait $flood

# Connections that no VM makes are not kept; a port that is taken is said.
conf 77 >$tmp/conf
hypertier-provision reload --run-dir $run
echo '{"v":1}' | vsend 2 9000
wait_for 10 grep -q 'from CID 1, which is no' $tmp/daemon.err && ok "a stranger's connection is closed" ||
	not_ok "a stranger's connection is closed"
conf 1 >$tmp/conf2
hypertier-provision run --run-dir $run.2 $tmp/conf2 2>$tmp/second.err
check "a port that is taken" 1 $?
contains "... is said" $tmp/second.err 'cannot listen at vsock port 9000'
conf 1 9001 >$tmp/conf
hypertier-provision reload --run-dir $run
echo '{"v":1}' | vsend 2 9001 && ok "another port after reload" || not_ok "another port after reload"
echo x | vsend 2 9000 2>/dev/null && not_ok "the old one is closed" || ok "the old one is closed"
kill $daemon
wait $daemon
check "the daemon's status" 0 $?
quit w
finish
