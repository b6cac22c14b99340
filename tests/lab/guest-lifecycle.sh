#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# However the loader ends, and whatever ends beside it: nothing stays behind that the next start does
# not clean up, and no byte of the workload changes.
. tests/lab/lib.sh
begin
pins=/sys/fs/bpf/hypertier

# ---- what could stay behind ----

programs() { bpftool prog show 2>/dev/null | grep -c ' name ht_'; }
links() { bpftool link show 2>/dev/null | grep -cE '^[0-9]+: '; }
# By their file descriptors; a kernel thread's or a dead process's would be in nobody's table.
perf_events() { ls -l /proc/[0-9]*/fd 2>/dev/null | grep -cE 'perf_event|bpf_link|bpf-prog'; }
nothing_alive() { [ "$(programs) $(links) $(perf_events)" = "0 0 0" ]; }
nothing_left() { nothing_alive && [ ! -e $pins ] && [ ! -s /run/hypertier/journal ]; }

# The kernel frees programs a little after the last reference is gone.
check_nothing_left()
{
	if wait_for 10 nothing_left; then
		ok "$1: nothing is left"
	else
		not_ok "$1: nothing is left ($(programs) programs, $(links) links, $(perf_events) events)"
		find $pins /run/hypertier -type f 2>/dev/null | sed 's/^/# /'
	fi
}

check_dead()
{
	if wait_for 10 nothing_alive; then
		ok "$1: no program, link or event lives"
	else
		not_ok "$1: no program, link or event lives ($(programs), $(links), $(perf_events))"
	fi
}

# New slow memory for the next loader to move. Small steps, so that there is a middle to be met.
fresh_hot()
{
	[ -z "$hot" ] || tell w unmap "$hot"
	hot=hot$((${hot#hot} + 1))
	tell w map $hot=plain:24:1
}

slowly="--comm subject --json --stats 1 --epoch 250 --budget 16 $range"
quickly="--comm subject --json --stats 1 --epoch 250 $range"

# The next start after something was left says so, works, and leaves nothing.
check_recovers()
{
	# shellcheck disable=SC2086
	if load_wait "$1-after" $quickly; then
		stop
		check "$1: the next loader runs and stops" 0 $status
	fi
	check_nothing_left "$1, after the next loader"
}

# ---- ends ----

test_signal()
{
	fresh_hot
	# shellcheck disable=SC2086
	load_wait "sig$1" --comm subject --epoch 250ms --budget 16 --stats 1 $range || return
	wait_for 20 grep -qE '^ +[0-9]+\.[0-9]+ ' "$tmp/sig$1.out"
	check "SIG$1: it had maps pinned" there "$([ -e $pins/heat ] && echo there)"
	stop "$1"
	check "SIG$1: exit status" 0 $status
	contains "SIG$1: a summary is printed" "$tmp/sig$1.out" '^policy range, [0-9.]+ s, [0-9]+ epochs$'
	check_nothing_left "SIG$1"
}

# A signal before the loop runs: the moment at which the first pin appears.
test_early_signal()
{
	# shellcheck disable=SC2086
	load "early$1" $quickly
	while [ ! -e $pins/control ] && kill -0 $loader 2>/dev/null; do :; done
	stop "$1"
	[ "$1" != TERM ] || check_nothing_left "SIG$1 during the start (status $status)"
	[ "$1" = TERM ] || check_dead "SIG$1 during the start"
	[ ! -e $pins ] || echo "# pins were left"
	check_recovers "SIG$1 during the start"
}

test_kill_start()
{
	for after in 0.02 0.1 0.25 0.5 0.8; do
		# shellcheck disable=SC2086
		load "start$after" $quickly
		sleep $after
		kill -9 $loader
		wait $loader
	done
	check_dead "kill -9 at five moments of the start"
	check_recovers "kill -9 at five moments of the start"
}

test_kill_moving()
{
	fresh_hot
	# shellcheck disable=SC2086
	load_wait "moving$1" $slowly || return
	wait_for 30 stat_is "moving$1" promoted "> 0" || not_ok "SIG$1 amid migration: it migrates"
	stop "$1"
	holds "SIG$1 amid migration: killed by the signal" "$status > 128"
	check_dead "SIG$1 amid migration"
	check "SIG$1 amid migration: pins stay behind" there "$([ -e $pins/heat ] && echo there)"
	check_recovers "SIG$1 amid migration"
	contains "SIG$1 amid migration: the next loader says that it cleaned up" \
		"$tmp/SIG$1 amid migration-after.err" 'cleaned up after a loader that was killed'
}

goes_on()
{
	epoch=$(stat_of first epoch)
	if wait_for 20 stat_is first epoch "> ${epoch:-0}" && kill -0 "$first" 2>/dev/null; then
		ok "$1: the first one goes on"
	else
		not_ok "$1: the first one goes on"
	fi
	check "$1: its pins are still there" there "$([ -e $pins/heat ] && echo there)"
}

# A policy goes to the loader that runs; where that cannot be asked, there is no second one.
test_second()
{
	# shellcheck disable=SC2086
	load_wait first $quickly || return
	first=$loader
	wait_for 20 stat_is first epoch "> 0"
	timeout 60 hypertier-load --duration 1 $none >"$tmp/second.out" 2>"$tmp/second.err"
	check "a second start swaps the policy: exit status" 0 $?
	contains "and says so" "$tmp/second.out" 'none took over'
	goes_on "after a swap"
	timeout 60 hypertier-load --duration 1 /etc/passwd >"$tmp/second.out" 2>"$tmp/second.err"
	check "a second start with what is no policy: exit status" 7 $?
	contains "and says why" "$tmp/second.err" 'the old policy stays'
	goes_on "after a swap that failed"
	rm /run/hypertier/control
	timeout 60 hypertier-load --duration 1 $range >"$tmp/second.out" 2>"$tmp/second.err"
	check "a second loader: exit status" 8 $?
	contains "a second loader names the first one's pid" "$tmp/second.err" "pid ${first}[,)]"
	goes_on "a second loader"
	stop
	check "the first one ends well" 0 $status
	check_nothing_left "two loaders"
}

test_target_dies()
{
	spawn victim hot=plain:24:1
	# shellcheck disable=SC2154
	victim=$pid_victim
	# shellcheck disable=SC2086
	load_wait dies $slowly || return
	wait_for 30 stat_is dies promoted "> 0"
	check "two targets" 2 "$(stat_of dies targets)"
	kill -9 "$victim"
	wait_for 20 stat_is dies targets "== 1" && ok "a target killed while it moves is dropped" ||
		not_ok "a target killed while it moves is dropped"
	epoch=$(stat_of dies epoch)
	wait_for 20 stat_is dies epoch "> $epoch + 3" && ok "the loader goes on" ||
		not_ok "the loader goes on"
	check "no tile of it is left" "0 0" "$(tiles "$victim")"
	stop
	check "and ends well" 0 $status
	# shellcheck disable=SC2154
	kill "$hold_victim"
	check_nothing_left "a target's death"
}

# ---- what is changed outside of BPF ----

knobs()
{
	cat /proc/sys/kernel/numa_balancing /proc/sys/kernel/numa_balancing_promote_rate_limit_MBps \
		/sys/kernel/debug/sched/numa_balancing/scan_period_max_ms /sys/kernel/mm/numa/demotion_enabled \
		/proc/sys/kernel/perf_event_paranoid /proc/sys/kernel/bpf_stats_enabled | tr '\n' ' '
}

test_knobs()
{
	echo 1 >/proc/sys/kernel/numa_balancing
	before=$(knobs)
	for sig in TERM KILL; do
		load_wait knobs$sig --source hint-fault --comm subject --json --stats 1 "$range" || return
		wait_for 20 stat_is knobs$sig epoch "> 1"
		[ "$(knobs)" != "$before" ] && ok "hint faults change sysctls ($(knobs))" ||
			not_ok "hint faults change sysctls ($(knobs))"
		stop $sig
		[ $sig = KILL ] || check "SIG$sig: sysctls are as before" "$before" "$(knobs)"
	done
	# shellcheck disable=SC2086
	load_wait knobs-after $quickly || return
	check "SIGKILL: the next start restores sysctls" "$before" "$(knobs)"
	contains "and says which" "$tmp/knobs-after.err" 'restored /proc/sys/kernel/numa_balancing to 1'
	stop
	check "they stay restored" "$before" "$(knobs)"
	check_nothing_left "hint faults"
	echo 0 >/proc/sys/kernel/numa_balancing
}

damon=/sys/kernel/mm/damon/admin/kdamonds
test_damon()
{
	if [ ! -e $damon ]; then
		skip "DAMON is left as it was" "this kernel has none"
		return
	fi
	for sig in TERM KILL; do
		load_wait damon$sig --source damon --comm subject --json --stats 1 "$range" || return
		wait_for 20 stat_is damon$sig samples_counted "> 0"
		check "a kdamond runs" on "$(cat $damon/0/state)"
		stop $sig
		[ $sig = KILL ] || check "SIG$sig: no kdamond is left" 0 "$(cat $damon/nr_kdamonds)"
	done
	# shellcheck disable=SC2086
	load_wait damon-after $quickly
	check "SIGKILL: the next start removes the kdamond" 0 "$(cat $damon/nr_kdamonds)"
	stop
	check_nothing_left "DAMON"
}

# shellcheck disable=SC2154
test_foreign_damon()
{
	[ -e $damon ] || return
	echo 1 >$damon/nr_kdamonds
	echo 1 >$damon/0/contexts/nr_contexts
	echo vaddr >$damon/0/contexts/0/operations
	echo 1 >$damon/0/contexts/0/targets/nr_targets
	echo "$pid_w" >$damon/0/contexts/0/targets/0/pid_target
	for state in off on; do
		echo $state >$damon/0/state 2>/dev/null
		state=$(cat $damon/0/state)
		timeout 60 hypertier-load --duration 1 --source damon --comm subject "$range" \
			>"$tmp/foreign.out" 2>"$tmp/foreign.err"
		check "somebody's kdamond ($state): --source damon ends with" 6 $?
		contains "and tells why" "$tmp/foreign.err" 'somebody (else|has set up)'
		check "their kdamond is left alone" "1 $state vaddr $pid_w" "$(cat $damon/nr_kdamonds \
			$damon/0/state $damon/0/contexts/0/operations \
			$damon/0/contexts/0/targets/0/pid_target | tr '\n' ' ' | sed 's/ $//')"
	done
	echo off >$damon/0/state
	echo 0 >$damon/nr_kdamonds
	check_nothing_left "somebody's DAMON"
}

hot=
spawn w keep=plain:8:1 thp=thp:4:1
check_nothing_left "at first"
all="signal:INT signal:TERM signal:HUP early_signal:TERM early_signal:KILL kill_start kill_moving:KILL
	kill_moving:SEGV second target_dies knobs damon foreign_damon"
for t in ${TESTS:-$all}; do
	eval "test_$(echo "$t" | tr ':' ' ')"
done
tell w verify
check "all data is intact" true "$(say w intact)"
quit w
finish
