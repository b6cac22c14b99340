# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash disable=SC2034,SC2086,SC2046,SC2154,SC2317
#
# Faults of the machine: memory that is full, pinned or taken offline, moves that fail, clocks, the ring of
# samples. Read by guest-faults.sh.

# Another process takes all of the fast tier, and goes.
test_full()
{
	enter full
	fresh_hot 16
	disturb hog 0 30
	wait_for 20 said_so full || not_ok "full: the fast node fills up"
	goes_on
	full="$(($(status fast_free) / 256)) MiB free, $(status promoted) promoted so far"
	calm
	if wait_for 30 more_in_node w $hot 0 0.5; then
		ok "full: hot memory gets into the fast node once it is free again"
	else
		not_ok "full: hot memory gets into the fast node once it is free again ($(in_node w $hot 0))"
	fi
	leave
	result "fast node filled by another process ($said): $full; after it left $(in_node w $hot 0) of the hot memory" \
		"came; $figures"
}

# Nothing can be demoted, and pages cannot be moved because a pipe holds them, or should not because of mlock.
test_fail()
{
	enter fail
	fresh_hot 16
	# Those of before are left alone for long by now.
	busy=$(status outcomes.ebusy) stuck=stuck$((${stuck#stuck} + 1))
	# Before the pipe has them, pages of it may move.
	tell w map $stuck=pinned:2:1
	tell w report
	pinned_at="$(say w pin.node.0) $(say w $stuck.node.0)"
	disturb hog 1 40
	wait_for 40 said_so full || not_ok "fail: the slow node fills up"
	wait_for 20 status_is outcomes.ebusy "> $busy" || not_ok "fail: pinned pages were tried"
	calm
	tell w report
	check "fail: pinned pages stay" "$pinned_at" "$(say w pin.node.0) $(say w $stuck.node.0)"
	check "fail: locked pages stay locked" 4096 "$(say w lock.locked_kb)"
	tell w unpin $stuck
	tell w unmap $stuck
	outcomes=
	for o in moved ebusy eacces enoent enomem efault other; do
		outcomes="$outcomes $o $(status outcomes.$o)"
	done
	leave
	result "moves that fail (pinned pages, slow node full):$outcomes; $figures"
}

# Blocks of the slow node go offline and come back.
test_offline()
{
	enter offline
	fresh_hot 16
	off=
	for b in /sys/devices/system/node/node1/memory[0-9]*; do
		[ "$(cat $b/state)" = online ] && timeout 20 sh -c "echo offline >$b/state" 2>/dev/null && off="$off $b"
		[ "$(echo $off | wc -w)" -lt 2 ] || break
	done
	holds "offline: a block of the slow node goes offline" "$(echo $off | wc -w) > 0"
	total=$(awk '/MemTotal/ { print int($4 / 1024) }' /sys/devices/system/node/node1/meminfo)
	goes_on
	for b in $off; do
		echo online_movable >$b/state 2>/dev/null || echo online >$b/state
		check "offline: it comes back" online "$(cat $b/state)"
	done
	leave
	result "$(echo $off | wc -w) memory blocks of the slow node offline ($total MiB left of it) and online: $figures"
}

# The kernel helper lets next to nothing through: pages go by move_pages.
test_helper()
{
	if [ ! -f build/kmod/hypertier.ko ]; then
		skip "a failing helper" "no kernel headers for the lab: tools/setup --kernels 6.12 --modules"
		return
	fi
	insmod build/kmod/hypertier.ko exchange=1
	alive_before=$alive_first
	alive_first=$(alive)
	up helper --backend exchange $mover || return
	enter helper
	check "helper: pages are exchanged" exchange "$(status migration)"
	disturb restless
	wait_for 30 said_so ready
	sleep 2
	pairs=$(exchange info | awk '$1 == "pairs" { print $2 }')
	echo 1 >/sys/module/hypertier/parameters/max_pages_per_s
	fresh_hot 16
	before=$(moved)
	sleep 2
	holds "helper: where it fails, pages still move" "$(moved) > $before"
	limited=$(($(exchange info | awk '$1 == "pairs" { print $2 }') - pairs))
	calm
	wait_for 20 no_target
	# If the mover was ejected: the built-in policy has no program in the kernel helper.
	status_is ejections "== 0" || { sleep 1; steady=$(alive)$(changed); }
	leave
	down helper
	rmmod hypertier
	check "helper: it unloads" 0 $?
	alive_first=$alive_before
	result "kernel helper: $pairs pairs exchanged, then limited to 1 page/s: $limited more; $said; $figures"
}

test_clock()
{
	enter clock
	start=$(uptime) first=$(status epoch) late=$(jget "$tmp/status" late_epochs)
	before=$(($(jget "$tmp/status" promoted) + $(jget "$tmp/status" demoted)))
	for jump in 18000 -36000 31536000; do
		date -s "@$(($(date +%s) + jump))" >/dev/null
		epochs 2 || not_ok "clock: epochs go on after a jump of $jump s"
	done
	span=$(awk -v s="$start" '{ print $1 - s }' /proc/uptime)
	date -s "@$(awk -v booted="$booted" '{ print int(booted + $1) }' /proc/uptime)" >/dev/null
	count=$(($(status epoch) - first)) late=$(($(jget "$tmp/status" late_epochs) - late))
	pages=$(($(jget "$tmp/status" promoted) + $(jget "$tmp/status" demoted) - before))
	holds "clock: as many epochs as time passed, those missed on a busy machine counted" \
		"$count + $late > 4 * $span - 12 && $count + $late < 4 * $span + 12"
	holds "clock: moves stay within the budget" "$pages <= 64 * 256 * ($span + 2)"
	leave
	result "clock set +5 h, -10 h, +1 year: $count epochs in $span s and $late late, $pages pages moved (64 MiB/s are $((64 * 256)) a second)"
}

# More samples than the ring has room for, and a loader that does not run for a while.
test_overrun()
{
	enter overrun
	lost=$(status samples_lost) late=$(status late_epochs)
	# The ring has room for what a slow machine samples in seconds.
	for stopped in 2 6 18; do
		kill -STOP $loader
		sleep $stopped
		kill -CONT $loader
		epochs 2 || not_ok "overrun: the loader goes on"
		status_is samples_lost "> $lost" && break
	done
	holds "overrun: lost samples are counted" "$(status samples_lost) > $lost"
	holds "overrun: due = seen + lost" \
		"$(jget "$tmp/status" samples_due) == $(jget "$tmp/status" samples_seen) + $(jget "$tmp/status" samples_lost)"
	holds "overrun: missed epochs are counted" "$(status late_epochs) >= $late + 4"
	result "ring overrun, loader stopped for $stopped s: $(jget "$tmp/status" samples_lost) of $(jget "$tmp/status" samples_due)" \
		"samples lost, $(jget "$tmp/status" late_epochs) epochs late"
	leave
}
