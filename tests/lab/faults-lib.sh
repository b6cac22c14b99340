# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash disable=SC2034,SC2086,SC2046,SC2154,SC2317
#
# What the parts of guest-faults.sh share: what must not stay behind, the loader that lives through
# faults, what a fault begins and ends with, trouble in the background.
pins=/sys/fs/bpf/hypertier
kdamonds=/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds
mover=bad_thrash.bpf.o # moves whatever can be moved, as long as the ledger lets it

result() { echo "#| $*"; }
uptime() { cut -d' ' -f1 /proc/uptime; }

# ---- what must not stay behind ----

# Of a loader that was killed, the pinned maps live until the next start.
alive() { trouble left | cut -d, -f1-3; }
changed()
{
	trouble left | cut -d, -f4
	cat /proc/sys/kernel/numa_balancing /proc/sys/kernel/numa_balancing_promote_rate_limit_MBps \
		/sys/kernel/debug/sched/numa_balancing/scan_period_max_ms /sys/kernel/mm/numa/demotion_enabled \
		/proc/sys/kernel/perf_event_paranoid /proc/sys/kernel/bpf_stats_enabled $kdamonds | tr '\n' ' '
	find $pins -type f 2>/dev/null | wc -l
	[ ! -s /run/hypertier/journal ] || echo "and a journal"
}
nothing_alive() { [ "$(alive)" = "$alive_first" ]; }
nothing_left() { nothing_alive && [ "$(changed)" = "$changed_first" ]; }
check_nothing_left()
{
	if wait_for 10 nothing_left; then
		ok "$1: no pin, event, program, link, map, kdamond or sysctl is left"
	else
		not_ok "$1: nothing is left ($(alive), knobs and pins $(changed) instead of $changed_first)"
		find $pins -type f 2>/dev/null | sed 's/^/# /'
	fi
}

# ---- the loader ----

epochs() { epoch=$(status epoch) && wait_for $(($1 + 20)) status_is epoch ">= $epoch + $1"; }
moved() { awk '/^pgmigrate_success/ { print $2 }' /proc/vmstat; }
options="--comm subject --json --stats 1 --epoch 250 --period 101 --budget 64"

enter()
{
	fault=$1 moved_first=$(moved) entered=$(uptime)
}

goes_on() { epochs 2 || not_ok "$fault: the loader goes on"; }
all_there() { [ "$(alive)$(changed)" = "$steady" ]; }

# Whatever happened: the data is right, the loader goes on, and has no more and no less than before.
leave()
{
	goes_on
	figures="$(($(moved) - moved_first)) pages migrated in $(awk -v s="$entered" '{ printf "%.1f", $1 - s }' /proc/uptime) s"
	tell w verify
	check "$fault: the workload's data is intact" true "$(say w intact)"
	wait_for 10 all_there && ok "$fault: no program, link, map, event, pin, kdamond or sysctl more or less than before" ||
		not_ok "$fault: nothing more or less than before (want $steady, got $(alive)$(changed))"
}

# up NAME OPTIONS...: a loader for what comes.
up()
{
	load_wait "$1" $options $(shift; echo "$@") || return
	epochs 3
	steady=$(alive)$(changed)
}

down()
{
	stop
	check "$1: the loader ends well" 0 $status
	lacks "$1: statistics are numbers" "$tmp/$load.out" '[^a-z]-?(nan|inf)[^a-z]'
	check_nothing_left "$1"
}

# use POLICY: unless it was ejected of late
use()
{
	hypertier-load "$1" >"$tmp/swap" 2>&1 || contains "swap to $1" "$tmp/swap" 'was ejected'
}

# said_more WHAT N: of "N WHAT" in the last words of trouble.
said_more() { holds "$fault: there were $1" "$(echo "$said" | sed -n "s/.*\b\([0-9][0-9]*\) $1.*/\1/p") > $2"; }

# disturb ARGS...: trouble in the background, its last words in $tmp/trouble; calm ends it.
disturb()
{
	: >"$tmp/trouble"
	trouble "$@" >"$tmp/trouble" 2>"$tmp/trouble.err" &
	trouble=$!
}
calm()
{
	kill -TERM $trouble 2>/dev/null
	wait_for 60 gone $trouble || kill -9 $trouble
	wait $trouble
	check "$fault: what disturbed it found its own data intact" 0 $?
	said=$(tail -n 1 "$tmp/trouble")
}
loader_moved() { echo $(($(status promoted) + $(status demoted))); }
moved_since() { true_that "$(loader_moved) > $1 + ${2:-0}"; }
said_so() { grep -q "$1" "$tmp/trouble"; }

fresh_hot()
{
	[ -z "$hot" ] || tell w unmap "$hot"
	hot=hot$((${hot#hot} + 1))
	tell w map $hot=plain:${1:-16}:1
}
