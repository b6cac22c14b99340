#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# A loader that runs has few capabilities left. With them everything goes on that may happen later: a
# policy is swapped, processes of other users come and are moved, what was changed is put back. The
# other way round, a loader started without one of them does not do its work.
. tests/lab/lib.sh
begin

dac_override=1 dac_read_search=2 sys_ptrace=19 sys_admin=21 sys_nice=23 perfmon=38 bpf=39
mask() { m=0; for c in "$@"; do m=$((m | 1 << c)); done; printf '%016x' $m; }
caps_of() { sed -n "s/^$2:[ \t]*//p" "/proc/$1/status"; }
kept="$dac_read_search $sys_ptrace $sys_nice $perfmon $bpf"

# The workload maps the ring as well, for its marks.
[ -z "${HT_LAB_RING:-}" ] || chmod 666 "$HT_LAB_RING"

# A subject of another user: nothing about it is root's own.
stranger()
{
	name=$1
	shift
	program=privilege spawn "$name" --uid 1000 -- subject "$@"
}

# check_caps WHAT MASK
check_caps()
{
	check "$1: effective capabilities" "$2" "$(caps_of $loader CapEff)"
	check "$1: permitted capabilities" "$2" "$(caps_of $loader CapPrm)"
	check "$1: none for a program it would start" "0000000000000000 1" \
		"$(caps_of $loader CapInh) $(caps_of $loader NoNewPrivs)"
}

swap() # POLICY NAME
{
	hypertier-load "build/policies/$1.bpf.o" >"$tmp/swap" 2>&1
	check "$2: a swap to $1" 0 $?
	[ -s "$tmp/swap" ] && sed 's/^/# /' "$tmp/swap"
}

# Everything that may happen to a loader, after it gave up its capabilities.
life()
{
	what="source $1"
	load_wait "$1" --source "$1" --comm subject --json --stats 1 --epoch 250 "$range" || return
	# shellcheck disable=SC2086
	check_caps "$what" "$(mask $kept $sys_admin)"
	stranger late hot=plain:8:1
	wait_for 30 stat_is "$1" targets "== 1" && ok "$what: a later process of another user is followed" ||
		not_ok "$what: a later process of another user is followed"
	# First touches come before the process is followed, and DAMON looks slowly in a guest this slow.
	if [ "$1" = emulated ] || [ "$1" = hint-fault ]; then
		wait_for 40 stat_is "$1" promoted "> 500" && ok "$what: and moved" ||
			not_ok "$what: and moved (promoted $(stat_of "$1" promoted), samples $(stat_of "$1" samples_counted))"
	fi
	swap none "$what"
	swap range "$what"
	# Memory that is where it belongs gives no hint faults, and touched once no page faults.
	seen=$(stat_of "$1" samples_counted)
	tell late map more=plain:8:1
	wait_for 30 stat_is "$1" samples_counted "> ${seen:-0}" && ok "$what: it samples after the swaps" ||
		not_ok "$what: it samples after the swaps"
	# shellcheck disable=SC2086
	check_caps "$what, swapped" "$(mask $kept $sys_admin)"
	quit late
	stop
	check "$what: it ends well" 0 $status
	lacks "$what: nothing was refused" "$tmp/$1.err" 'ermission|not permitted|error'
}

test_lives()
{
	before=$(cat /proc/sys/kernel/numa_balancing /proc/sys/kernel/numa_balancing_promote_rate_limit_MBps)
	for s in emulated hint-fault page-fault damon; do
		if ! hypertier-load features | grep -q "^  yes $s "; then
			skip "source $s" "not in this kernel"
			continue
		fi
		life $s
	done
	check "sysctls are as before" "$before" \
		"$(cat /proc/sys/kernel/numa_balancing /proc/sys/kernel/numa_balancing_promote_rate_limit_MBps)"
	check "no pin is left" "" "$(ls /sys/fs/bpf 2>/dev/null)"
	# Somebody else's directory, into which root has no right of its own.
	mkdir -p "$tmp/home"
	chown 1000 "$tmp/home"
	hypertier-load --dry-run --duration 1 --source emulated --stats-file "$tmp/home/end" \
		--record "$tmp/home/trace" "$range" >"$tmp/out" 2>"$tmp/err"
	check "files in another user's directory: exit status" 0 $?
	check "they are written" yes "$([ -s "$tmp/home/end" ] && [ -s "$tmp/home/trace" ] && echo yes)"
}

# without CAP: runs a loader that never had it, on a stranger's memory; its statistics are in $tmp/end.
without()
{
	: >"$tmp/end"
	privilege --drop "$1" -- hypertier-load --source emulated --comm subject --duration 5 --epoch 250 \
		--json --stats-file "$tmp/end" "$range" >"$tmp/out" 2>"$tmp/err"
	status=$?
	[ -s "$tmp/end" ] || echo '{}' >"$tmp/end"
}

# Refused with a message, or nothing is moved.
test_each_is_needed()
{
	stranger far hot=plain:8:1
	for c in $sys_nice $sys_ptrace $perfmon $bpf; do
		without "$c"
		check "without capability $c it does not start" 3 $status
	done
	without $dac_read_search
	check "without CAP_DAC_READ_SEARCH nothing of other users is moved" "0 0" \
		"$status $(jget "$tmp/end" promoted)"
	# This one does the work with what is left: pages are asked for one by one, frames are not known.
	without $sys_admin
	check "without CAP_SYS_ADMIN it runs" 0 $status
	holds "and moves" "$(jget "$tmp/end" promoted) > 0"
	contains "asking for each page" "$tmp/out" '"placement": *"move_pages"'
	tell far map hot2=plain:8:1
	without $dac_override
	check "without CAP_DAC_OVERRIDE it runs" 0 $status
	holds "and moves" "$(jget "$tmp/end" promoted) > 0"
	quit far
}

test_lives
test_each_is_needed
finish
