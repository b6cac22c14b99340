#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154 # pid_NAME is set by spawn
#
# Who is tiered: by pid, name, cgroup and size; and what becomes of the heat of memory and of
# processes that come and go.
. tests/lab/lib.sh
begin

key_of() { printf '%08x' "$1" | sed 's/\(..\)\(..\)\(..\)\(..\)/\4 \3 \2 \1/'; }
# The tgids in the sampler's map, sorted.
target_list()
{
	bpftool -j map dump pinned /sys/fs/bpf/hypertier/targets | grep -o '"tgid": *[0-9]*' |
		grep -o '[0-9]*' | sort -n | tr '\n' ' '
}
sorted() { for t in "$@"; do echo "$t"; done | sort -n | tr '\n' ' '; }
targets_are() { [ "$(target_list)" = "$(sorted "$@")" ]; }

# eventually WHAT SECONDS COMMAND...
eventually()
{
	what=$1 limit=$2
	shift 2
	if wait_for "$limit" "$@"; then ok "$what"; else not_ok "$what"; fi
}

# expect WHAT PID...: exactly these are targets before long, by the map and by the statistics.
expect()
{
	what=$1
	shift
	if wait_for 20 targets_are "$@" && wait_for 20 stat_is "$load" targets "== $#"; then
		ok "$what"
	else
		not_ok "$what (want $(sorted "$@"), got $(target_list), $(stat_of "$load" targets) counted)"
	fi
}

has_tiles() { [ "$(tiles "$@" | cut -d' ' -f1)" -gt 0 ]; }
no_tiles() { [ "$(tiles "$@" | cut -d' ' -f1)" = 0 ]; }
sampled() { eventually "$1 is sampled" 20 has_tiles "$2"; }

options="--json --stats 1 --epoch 250ms"

by_pid()
{
	load_wait pid $options --pid "$pid_a" --pid "$pid_b" $range || return
	expect "--pid twice: two targets" "$pid_a" "$pid_b"
	sampled "--pid: the first one" "$pid_a"
	sampled "--pid: the second one" "$pid_b"
	holds "--pid: samples of others are counted as dropped" "$(stat_of pid dropped.not_target) > 0"
	eventually "--pid: no tile for others" 1 no_tiles "$pid_c"
	stop
	check "--pid: exit status" 0 $status
}

by_comm()
{
	load_wait all $options --comm subject $range || return
	expect "--comm: all of that name" "$pid_a" "$pid_b" "$pid_c"
	stop
	load_wait comm $options --comm another --pid "$pid_a" $range || return
	expect "--comm and --pid mixed, none of that name yet" "$pid_a"
	cp build/tests/lab/subject "$tmp/another"
	program=$tmp/another
	spawn later hot=plain:6:1
	program=
	expect "a process that appears later" "$pid_a" "$pid_later"
	sampled "it" "$pid_later"
	kill -9 "$pid_later"
	expect "and its end" "$pid_a"
	eventually "an exit frees tiles" 10 no_tiles "$pid_later"
	kill "$hold_later"
	stop
}

by_cgroup()
{
	mkdir -p /sys/fs/cgroup/top/sub
	echo "$pid_a" >/sys/fs/cgroup/top/sub/cgroup.procs
	load_wait cgroup $options --cgroup /top $range || return
	expect "--cgroup: what is in its subtree" "$pid_a"
	echo "$pid_b" >/sys/fs/cgroup/top/cgroup.procs
	expect "--cgroup: what moves into it" "$pid_a" "$pid_b"
	sampled "it" "$pid_b"
	echo "$pid_a" >/sys/fs/cgroup/cgroup.procs
	expect "--cgroup: what moves out of it" "$pid_b"
	eventually "leaving frees tiles" 10 no_tiles "$pid_a"
	stop
	echo "$pid_b" >/sys/fs/cgroup/cgroup.procs
	load_wait cgroup2 $options --cgroup /sys/fs/cgroup/top --cgroup top/sub $range || return
	expect "--cgroup: empty ones, by other names"
	stop
}

# instance_is NAME PATH WANT, of --list
instance_is()
{
	hypertier-load --list --json >"$tmp/list" 2>/dev/null
	[ "$(jget "$tmp/list" "[instance=$1].$2" 2>/dev/null)" = "$3" ]
}

# A loader for each of two cgroups, with a policy and a source of its own: the ring has one reader.
side_by_side()
{
	mkdir -p /sys/fs/cgroup/left /sys/fs/cgroup/right
	echo "$pid_a" >/sys/fs/cgroup/left/cgroup.procs
	echo "$pid_b" >/sys/fs/cgroup/right/cgroup.procs
	load_wait left $options --instance left --cgroup /left $range || return
	left=$loader
	load_wait right $options --instance right --cgroup /right --source damon \
		build/policies/recency.bpf.o || return
	right=$loader
	for i in left right; do
		eventually "two instances: $i has one target" 20 stat_is $i targets "== 1"
		eventually "two instances: $i counts samples" 30 stat_is $i samples_counted "> 0"
	done
	eventually "two instances: --list has the one" 5 instance_is left policy range
	eventually "two instances: and the other" 5 instance_is right policy recency
	hypertier-load --instance left build/policies/histogram.bpf.o >"$tmp/swap" 2>&1
	check "two instances: a swap in the one" 0 $?
	eventually "two instances: is done there" 5 instance_is left policy histogram
	eventually "two instances: and not in the other" 5 instance_is right policy recency
	hypertier-load --instance left --unload >"$tmp/swap" 2>&1
	wait_for 30 gone "$left"
	eventually "two instances: the other stays when one is unloaded" 5 instance_is right pid "$right"
	loader=$right
	stop
	check "two instances: exit status" 0 $status
	check "two instances: nothing stays pinned" "" "$(ls /sys/fs/bpf/hypertier 2>/dev/null)"
	echo "$pid_a" >/sys/fs/cgroup/cgroup.procs
	echo "$pid_b" >/sys/fs/cgroup/cgroup.procs
}

by_size()
{
	spawn big hot=plain:40:1
	load_wait size $options --rss-floor 32M $range || return
	expect "--rss-floor: the large one alone" "$pid_big"
	sampled "it" "$pid_big"
	tell a map more=plain:40:1:cold
	expect "--rss-floor: one that grew" "$pid_a" "$pid_big"
	tell a unmap more
	expect "--rss-floor: one that shrank below half of it" "$pid_big"
	stop
	quit big
}

come_and_go()
{
	# By pid: a child is not a target by its name, but as a child.
	load_wait lives $options --pid "$pid_a" --pid "$pid_b" --pid "$pid_c" $range || return
	expect "three targets" "$pid_a" "$pid_b" "$pid_c"
	sampled "a" "$pid_a"

	tell a fork hot
	child=$(say a child)
	expect "a child is followed" "$pid_a" "$pid_b" "$pid_c" "$child"
	sampled "the child" "$child"
	kill -9 "$child"
	expect "its exit" "$pid_a" "$pid_b" "$pid_c"
	eventually "frees its tiles" 10 no_tiles "$child"

	sampled "b" "$pid_b"
	tell b report
	start=$(say b hot.start) end=$(say b hot.end)
	eventually "b has tiles before it execs" 20 has_tiles "$pid_b" "$start" "$end"
	tell b exec "fresh=plain:6:1"
	eventually "exec frees the old tiles" 20 no_tiles "$pid_b" "$start" "$end"
	tell b report
	eventually "and the new memory is sampled" 20 \
		has_tiles "$pid_b" "$(say b fresh.start)" "$(say b fresh.end)"
	expect "it stays a target" "$pid_a" "$pid_b" "$pid_c"
	# shellcheck disable=SC2046 # four bytes
	bpftool -j map lookup pinned /sys/fs/bpf/hypertier/targets key hex $(key_of "$pid_b") >"$tmp/execs"
	check "the map counts the exec" 1 "$(jget "$tmp/execs" formatted.value.execs)"

	tell c map two=plain:4:1
	tell c report
	start=$(say c two.start) end=$(say c two.end)
	eventually "new memory of a target is sampled" 20 has_tiles "$pid_c" "$start" "$end"
	tell c unmap two
	eventually "munmap frees tiles" 20 no_tiles "$pid_c" "$start" "$end"
	eventually "the rest keeps its tiles" 5 has_tiles "$pid_c"
	stop
	check "exit status" 0 $status
}

# A heat map for a part of the memory: tiles are evicted, all of it in the books.
overfull()
{
	spawn wide hot=sparse:6000:1
	load_wait full $options --heat-memory 2M --comm subject $range || return
	nr=$(tiles | awk '{ print $1 + $3 }')
	eventually "a heat map of $nr tiles: evictions are counted" 30 stat_is full evicted "> 0"
	counted=$(stat_of full samples_counted)
	eventually "it still counts" 20 stat_is full samples_counted "> $counted + 100"
	stop
	check "exit status" 0 $status
	holds "no more tiles than there are" "$(jget "$tmp/full.out" -e stats tiles) <= $nr && $nr < 2000"
	holds "a full heat map: seen = counted + dropped, nothing lost silently" \
		"$(stat_of full samples_seen) == $(stat_of full samples_counted) + $(stat_of full +dropped) &&
		$(stat_of full samples_due) == $(stat_of full samples_seen) + $(stat_of full samples_lost)"
	quit wide
}

spawn a hot=plain:6:1
spawn b hot=plain:6:1
spawn c hot=plain:6:1
for t in ${TESTS:-by_pid by_comm by_cgroup side_by_side by_size come_and_go overfull}; do
	echo "# $t"
	$t
done
for s in a b c; do
	quit $s
done
finish
