#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# A workload whose hot set lies in the slow tier, run after run under another regime: $RUNS is a list
# of REGIME-LAYOUT. What the emulator counted of each is for the host to judge; here the loader's own
# books and the kernel's placement of the hot set are looked at.
. tests/lab/lib.sh
begin
SIZE=${SIZE:-320} HOT=${HOT:-20}

# In the background: the hot set's placement as the kernel tells it, as long as there is one.
watch_hot()
{
	while kill -0 "$1" 2>/dev/null; do
		where "$1" "$2" "$SIZE" "$HOT" 2>/dev/null
		sleep 0.5
	done >"/out/$3.where"
}

maps_have_types()
{
	for m in control heat heat_index heat_pages stats targets ranges moves; do
		[ -e /sys/fs/bpf/hypertier/$m ] || { not_ok "map $m is pinned"; continue; }
		case $m in
		control) keys="abi enabled tick nr_tiles free_head generation heartbeat_ns" ;;
		heat) keys="key total tick detail win_n touched" ;;
		heat_index) keys="slot" ;;
		heat_pages) keys="nib" ;;
		stats) keys="seen counted drop tiles by_source" ;;
		targets) keys="tgid ppid flags execs comm" ;;
		ranges) keys="start end heat density tgid pages fast_pages score" ;;
		moves) keys="start gain_ns cost_ns from_tier to_tier admitted" ;;
		esac
		bpftool map dump pinned /sys/fs/bpf/hypertier/$m 2>&1 | head -c 65536 >"$tmp/dump"
		missing=
		for key in $keys; do
			grep -q "\"$key\":" "$tmp/dump" || missing="$missing $key"
		done
		check "bpftool dumps $m with its fields' names" "" "$missing"
		[ -z "$missing" ] || head -n 5 "$tmp/dump" | sed 's/^/# /'
	done
	bpftool -j map dump pinned /sys/fs/bpf/hypertier/targets >"$tmp/dump"
	contains "the map of targets has the workload" "$tmp/dump" "\"tgid\": *${gups}[,}]"
	tiles >"$tmp/tiles"
	holds "the heat map has tiles, with heat" "$(cut -d' ' -f1 "$tmp/tiles") > 20 &&
		$(cut -d' ' -f2 "$tmp/tiles") > 100"
}

# The sampler's counters, read with bpftool while the loader runs, and the loader's own at the end.
counters_add_up()
{
	end=/out/$1.end
	holds "$1: samples seen = counted + dropped" \
		"$(jget $end samples_seen) == $(jget $end samples_counted) + $(jget $end +dropped)"
	holds "$1: samples were counted, and no more than were due" \
		"$(jget $end samples_counted) > 1000 && $(jget $end samples_seen) <= $(jget $end samples_due)"
	# An outcome is that of an address, and a huge page has one.
	holds "$1: pages moved = promoted + demoted, huge pages being 512" \
		"($(jget $end promoted) + $(jget $end demoted) - $(jget $end outcomes.moved)) % 511 == 0"
	holds "$1: moves that failed all have a reason" \
		"$(jget $end failed) == $(jget $end +outcomes) - $(jget $end outcomes.moved)"
}

# Eight samples in the place of one while there is much to learn: an eighth of the emulator's period, or of
# ours; a quarter where the guest is so fast that the ring has no room for so many.
sampled_densely()
{
	eighth=125
	[ "$layout" != scatter ] || eighth=31
	least=$(grep -o '"period":[0-9]*' "/out/$1.stats" | cut -d: -f2 | sort -n | head -n 1)
	holds "$1: samples come densely" "$least == $eighth ||
		($least == $eighth * 2 && $(jget /out/$1.end samples_lost) > 0)"
}

# The first samples do it, before an epoch is over.
dense_at_once()
{
	check "$1: samples come densely at once" 1 "$(grep -c 'epoch 0: 8 samples in the place of one' "$tmp/$1.err")"
}

run()
{
	regime=${1%-*} layout=${1#*-}
	policy=$range
	[ "$regime" != none ] || policy=$none
	args='' gups_args='' updates=24000000
	[ "$regime" != dry ] || args=--dry-run
	# That nothing moves is seen sooner than that all has come.
	[ "$regime" = range ] || updates=12000000
	# Single pages: in huge ones the hot set would be everywhere. They need more samples, and emulated
	# memory is so slow that there are some for a smaller period.
	[ "$layout" != scatter ] || args="--period 251" gups_args="--thp off"
	# shellcheck disable=SC2086 # options or none
	gups $gups_args --slow-first --size "$SIZE" --hot "$HOT" --layout "$layout" --updates "${UPDATES:-$updates}" \
		--json "/out/$1.gups" >"/out/$1.log" 2>&1 &
	gups=$!
	wait_for 100 grep -q ready "/out/$1.log" || not_ok "$1: gups starts"
	watch_hot $gups "$layout" "$1" &
	# shellcheck disable=SC2086
	load_wait "$1" $args -v --comm gups --json --stats 1 --stats-file "/out/$1.end" "$policy" ||
		{ kill $gups; return; }
	if [ "$regime-$DUMPED" = range- ]; then
		wait_for 30 stat_is "$1" samples_counted "> 3000"
		maps_have_types
		contains "the loader's own memory leaves the fast tier alone" "/proc/$loader/numa_maps" "prefer[^:]*:1"
		DUMPED=1
	fi
	wait $gups
	ended=$?
	check "$1: the data is intact" 0 $ended
	# Killed: by the kernel, for want of memory?
	[ $ended -lt 128 ] || dmesg | grep -iA40 'oom-killer' | head -n 60 | sed 's/^/# /'
	stop
	check "$1: the loader's status" 0 $status
	cp "$tmp/$1.out" "/out/$1.stats"
	cp "$tmp/$1.err" "/out/$1.err"
	counters_add_up "$1"
	sampled_densely "$1"
	dense_at_once "$1"
}

for r in $RUNS; do
	run "$r"
done
finish
