#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154
#
# More than two tiers, tiers named by the user, tiers of several nodes: $PARTS.
. tests/lab/lib.sh
begin

# nodes_hold WHAT SECONDS NAME REGION AWK: until an expression over n0, n1 ... n3, the shares of the
# region in each node, is true.
in_nodes()
{
	tell "$1" report
	p=$(say "$1" "$2.pages")
	for n in 0 1 2 3; do
		echo "n$n = $(say "$1" "$2.node.$n") / $p;"
	done
}
nodes_hold()
{
	if wait_for "$2" in_nodes_are "$3" "$4" "$5"; then
		ok "$1 ($5)"
	else
		# shellcheck disable=SC2046,SC2005 # onto one line
		not_ok "$1 (not true: $5; $(echo $(in_nodes "$3" "$4")))"
	fi
}
in_nodes_are()
{
	# shellcheck disable=SC2046
	set -- "$3" $(in_nodes "$1" "$2")
	want=$1
	shift
	awk "BEGIN { $* exit !($want) }" </dev/null
}

three_tiers()
{
	hypertier-load features --json >"$tmp/f"
	check "three tiers are found, fastest first" "0 1 2" "$(jget "$tmp/f" tiers.0.nodes.0.node) \
$(jget "$tmp/f" tiers.1.nodes.0.node) $(jget "$tmp/f" tiers.2.nodes.0.node)"
	check "the slowest one's write latency" 600 "$(jget "$tmp/f" tiers.2.nodes.0.write_ns)"
	# All start in the slowest tier; together the hot ones exceed the fastest. By page the first is the
	# hottest.
	spawn w hot=plain:16:2 warm=plain:96:2 cold=plain:32:2:cold
	load_wait three --comm subject --json --stats 1 --epoch 250 $range
	nodes_hold "the hottest pages go to the fastest tier" 60 w hot "n0 > 0.95"
	nodes_hold "what does not fit there goes to the next" 60 w warm "n0 + n1 > 0.9 && n1 > 0.1"
	nodes_hold "cold pages leave the fastest tier to hotter ones" 60 w cold "n0 < 0.1"
	stop
	check "three tiers: exit status" 0 $status
	quit w
}

named_tiers()
{
	spawn w hot=plain:12:2 other=plain:4:0
	load_wait named --fast 1 --slow 2 --comm subject --json --stats 1 --epoch 250 $range
	check "--fast 1 --slow 2: two tiers" 2 "$(jget "$tmp/named.out" -e start '#tiers')"
	nodes_hold "--fast 1 --slow 2: hot pages go to node 1" 40 w hot "n1 > 0.95"
	nodes_hold "--fast 1 --slow 2: what is on node 0 stays there" 1 w other "n0 == 1"
	stop
	load_wait named2 --fast 0 --slow 1/2 --comm subject --json --stats 1 --epoch 250 $range
	check "--slow 1/2: three tiers" 3 "$(jget "$tmp/named2.out" -e start '#tiers')"
	nodes_hold "--fast 0 --slow 1/2: hot pages go to node 0" 40 w hot "n0 > 0.95"
	stop
	quit w
}

two_slow_nodes()
{
	hypertier-load features --json >"$tmp/f"
	check "two tiers" 2 "$(jget "$tmp/f" '#tiers')"
	check "the slow one has two nodes" 2 "$(jget "$tmp/f" '#tiers.1.nodes')"
	spawn w a=plain:12:1 b=plain:12:2
	load_wait slow --comm subject --json --stats 1 --epoch 250 $range
	nodes_hold "promoted from the one" 40 w a "n0 > 0.95"
	nodes_hold "promoted from the other" 40 w b "n0 > 0.95"
	stop
	check "two slow nodes: exit status" 0 $status
	quit w
}

# Blocks of memory, 128 MiB each: nodes must begin and end with one.
take_memory_of_node()
{
	for b in /sys/devices/system/node/node"$1"/memory[0-9]*; do
		echo offline >"$b/state"
	done
}
has_no_memory() { ! grep -q "\b$1\b" /sys/devices/system/node/has_memory; }

memory_comes_later()
{
	blocks=$(cd /sys/devices/system/node/node2 && echo memory[0-9]*)
	take_memory_of_node 2
	wait_for 20 has_no_memory 2
	load_wait later --comm subject --json --stats 1 --epoch 250 $range
	check "a node without memory is not there" 1 "$(jget "$tmp/later.out" -e start '#tiers.1.nodes')"
	for b in $blocks; do
		echo online_movable >"/sys/devices/system/memory/$b/state"
	done
	wait_for 20 grep -q "other nodes have memory" "$tmp/later.err"
	contains "its memory is noticed" "$tmp/later.err" "other nodes have memory than before: 3 now"
	spawn w hot=plain:12:2
	nodes_hold "and promoted from" 40 w hot "n0 > 0.95"
	stop
	check "memory that comes later: exit status" 0 $status
	quit w
}

two_fast_nodes()
{
	spawn w hot=plain:12:2
	load_wait fast --fast 0-1 --slow 2 --comm subject --json --stats 1 --epoch 250 $range
	check "--fast 0-1: the fast tier has two nodes" 2 "$(jget "$tmp/fast.out" -e start '#tiers.0.nodes')"
	nodes_hold "promoted to either" 40 w hot "n0 + n1 > 0.95"
	stop
	quit w
}

for p in $PARTS; do
	echo "# $p"
	$p
done
finish
