#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# The service from start to stop, as an administrator does it.
. tests/lab/lib.sh
begin

conf=/etc/hypertier/hypertier.conf unit=hypertier.service
sysctls="/proc/sys/kernel/numa_balancing /proc/sys/kernel/numa_balancing_promote_rate_limit_MBps"
show() { systemctl show -P "$1" $unit; }
shows() { [ "$(show "$1")" = "$2" ]; }
up_again() { shows NRestarts "$1" && shows ActiveState active; }
pid_is_not() { p=$(show MainPID) && [ "$p" != 0 ] && [ "$p" != "$1" ]; }

# unit_times KEY=VALUE...: as a test needs them; everything else is the unit's.
unit_times()
{
	mkdir -p /etc/systemd/system/$unit.d
	printf '%s\n' '[Service]' "$@" >/etc/systemd/system/$unit.d/test.conf
	systemctl daemon-reload
}

settings()
{
	printf 'policy = %s\nepoch = 250ms\ncomm = subject\nsource = hint-fault\n' "${1:-range}" >$conf
}

test_start()
{
	check "nothing runs after installing" "inactive disabled" \
		"$(systemctl is-active $unit) $(systemctl is-enabled $unit)"
	systemctl start $unit
	check "systemctl start" 0 $?
	# It came back because the loader said that it is ready, so there is no waiting here.
	check "it answers at once" range "$(status policy)"
	check "started by notification" "notify active running" "$(show Type) $(show ActiveState) $(show SubState)"
	holds "not before it was loaded" "$(show ActiveEnterTimestampMonotonic) > $(show ExecMainStartTimestampMonotonic) + 10000"
	wait_for 10 status_text
	check "systemctl status tells of it" 0 $?
	spawn s hot=plain:16:1
	wait_for 30 status_is samples_counted "> 0" && ok "with all that the unit forbids, it samples" ||
		not_ok "with all that the unit forbids, it samples"
	systemctl is-active --quiet $unit
	check "journalctl has what it says" 0 "$(journalctl -q -u $unit | grep -q hypertier-load; echo $?)"
}

status_text() { show StatusText | grep -qE '^policy range, '; }

test_limits()
{
	p=$(show MainPID)
	check "bounding set" 000000c000a80004 "$(sed -n 's/^CapBnd:[ \t]*//p' "/proc/$p/status")"
	check "effective capabilities" 000000c000a80004 "$(sed -n 's/^CapEff:[ \t]*//p' "/proc/$p/status")"
	check "no privileges by executing" 1 "$(sed -n 's/^NoNewPrivs:[ \t]*//p' "/proc/$p/status")"
	check "the OOM killer looks elsewhere first" -500 "$(cat "/proc/$p/oom_score_adj")"
}

test_reload()
{
	before=$(show MainPID)
	printf 'policy = none\nepoch = 250ms\ncomm = subject\nsource = hint-fault\n' >$conf
	systemctl reload $unit
	check "systemctl reload" 0 $?
	check "the file's policy is in charge, of the same loader" "none $before" "$(status policy) $(show MainPID)"
	settings
}

test_death()
{
	p=$(show MainPID)
	# For the next loader; a swap can take longer than that here.
	unit_times RestartSec=100ms WatchdogSec=5
	kill -9 "$p"
	wait_for 20 up_again 1 && wait_for 20 pid_is_not "$p"
	check "after kill -9 it runs again" "1 active" "$(show NRestarts) $(show ActiveState)"
	check "and answers" range "$(status policy)"
}

test_hang()
{
	p=$(show MainPID)
	kill -STOP "$p"
	wait_for 30 up_again 2 && wait_for 20 pid_is_not "$p"
	check "after a hang it runs again" "2 active" "$(show NRestarts) $(show ActiveState)"
	journalctl -q -u $unit >$tmp/journal
	contains "the watchdog did it" $tmp/journal 'Watchdog timeout'
}

test_stop()
{
	systemctl stop $unit
	check "systemctl stop" "0 inactive success" "$? $(show ActiveState) $(show Result)"
	check "no pin is left" "" "$(ls /sys/fs/bpf)"
	check "nor a socket, nor a journal" "" "$(ls -d /run/hypertier/control /run/hypertier/journal 2>/dev/null)"
	# shellcheck disable=SC2086
	check "sysctls are as before" "$sysctls_before" "$(cat $sysctls)"
	quit s
}

# A policy that the verifier refuses, then a file that is wrong: neither gets better by trying again.
test_no_use()
{
	settings /ht/bad.bpf.o
	systemctl start $unit 2>/dev/null
	check "a policy that does not load: systemctl start" 1 $?
	sleep 0.5
	check "it is not tried again" "failed 7 0" "$(show ActiveState) $(show ExecMainStatus) $(show NRestarts)"
	settings
	echo 'epoch = soon' >>$conf
	systemctl start $unit 2>/dev/null
	sleep 0.5
	check "nor is a wrong file" "failed 2 0" "$(show ActiveState) $(show ExecMainStatus) $(show NRestarts)"
	journalctl -q -u $unit >$tmp/journal
	contains "the journal names file and line" $tmp/journal "$conf:5: .*epoch"
	contains "and what the verifier said" $tmp/journal 'bad.bpf.o'
	# These two count, five are allowed.
	for i in 1 2 3 4; do
		systemctl start $unit 2>/dev/null
	done
	journalctl -q -u $unit >$tmp/journal
	contains "too many starts are refused" $tmp/journal 'Start request repeated too quickly'
	settings
	systemctl reset-failed $unit
	systemctl start $unit
	check "mended, it starts" "0 active" "$? $(show ActiveState)"
}

test_removal()
{
	printf 'policy = none\nepoch = 250ms\ncomm = subject\nsource = page-fault\n' >/etc/hypertier/b.conf
	systemctl enable --now hypertier@b.service 2>/dev/null
	check "an instance beside it" active "$(systemctl is-active hypertier@b.service)"
	dpkg --remove hypertier-tools >$tmp/dpkg 2>&1
	check "removing the package" 0 $?
	check "stops the service" inactive "$(systemctl is-active $unit)"
	check "and the instance" inactive "$(systemctl is-active hypertier@b.service)"
	check "and starts neither at the next boot" "" "$(ls /etc/systemd/system/multi-user.target.wants 2>/dev/null | grep hypertier)"
	check "and leaves no pin" "" "$(ls /sys/fs/bpf)"
}

# shellcheck disable=SC2086
sysctls_before=$(cat $sysctls)
settings
unit_times RestartSec=100ms
for t in start limits reload death hang stop no_use removal; do
	"test_$t"
done
finish
