#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# The emulator in a booted guest: what it counts, by known accesses and the kernel's word on where
# pages are; that modelled time follows the latencies and bandwidths it was given and repeats.
set -u
cd "$(dirname "$0")/../.." || exit 1
# shellcheck source=tests/lab/lib.sh
. tests/lab/lib.sh

out=build/results/emu

need()
{
	if [[ ! -f build/lab/stamp/root || ! -f build/lab/stamp/kernel-6.12 ]]; then
		skip "emulator" "the lab is not fetched: tools/setup"
		exit 0
	fi
	for f in build/lab/emu.so build/workload/emu_probe build/workload/gups; do
		[[ -f $f ]] && continue
		echo "not ok - $f is missing: make"
		exit 1
	done
}

# guest NAME COMMAND [LAB OPTIONS...]: output in $out/NAME/log, results as JSON lines in results.json.
guest()
{
	local name=$1 cmd=$2

	shift 2
	rm -rf "${out:?}/$name"
	mkdir -p "$out/$name"
	timeout 400 tools/lab/lab run -t 300 -o "$out/$name" "$@" -- "$cmd" >"$out/$name/log" 2>&1 && return
	not_ok "guest $name: status $?"
	tail -n 20 "$out/$name/log" | sed 's/^/# /'
}

# value NAME N KEY: number in the N-th result of a guest; of lists, the part of node 1.
value()
{
	sed -n "$2p" "$out/$1/results.json" | sed -E 's/"phases".*//' |
		sed -nE "s/.*\"$3\":(\[[0-9]+,)?([-0-9.e+]+).*/\2/p"
}

per_op() { awk "BEGIN { print $(value "$1" "$2" model_ns) / $(value "$1" "$2" ops) }"; }

# Exact counts, attribution, samples, period, overrun: the probe's own list.
test_counts()
{
	guest counts "emu_probe || bad=1; $programs; exit \${bad:-0}"
	grep -E '^(ok|not ok|#) ' "$out/counts/log" | sed -E 's/^(ok|not ok) [0-9]+ - /\1 - /'
	failed=$((failed + $(grep -c '^not ok' "$out/counts/log")))
	grep -q '^1\.\.[1-9]' "$out/counts/log" || not_ok "the probe ran to its end"
	# One per START: two nodes, mixed, three kinds, four for who, four periods, two more; and four programs.
	check "every run is in the report" 20 "$(grep -c '"tgid":[1-9]' "$out/counts/emu.json")"
	check "no memory map was refused" 1 "$(grep -c '"bad_maps":0' "$out/counts/emu.json")"
}

# After it a whole program on one node or the other, and the report's last row against its totals.
# shellcheck disable=SC2016 # for the guest's shell
programs='for n in 0 1; do
		numactl --membind $n gups -s 64 --hot 8 -n 1000000 --thp off --json /out/results.json
	done
	numactl --membind 1 gups -s 64 --hot 8 -n 1000000 --thp on --json /out/results.json
	numactl --membind 1 gups -s 64 --hot 8 -n 1000000 -t 2 --json /out/results.json'
test_nodes()
{
	holds "bound to node 0, node 0 serves all" "$(value counts 1 fast_share) > 0.999"
	holds "bound to node 1, node 0 serves next to nothing" "$(value counts 2 fast_share) < 0.01"
	holds "the same with huge pages" "$(value counts 3 fast_share) < 0.01"
	holds "the same with two threads" "$(value counts 4 fast_share) < 0.01"
	holds "two threads' updates are all counted" "$(value counts 4 stores) >= $(value counts 4 ops)"
	check "the last row of the series has all accesses" "$(last_row)" "$(sum_of_totals)"
}

last_row() { grep '^\[[0-9]' "$out/counts/emu.json" | tail -n 1 | tr -d '[]}' | cut -d, -f1; }

# Loads, stores and unknown of "totals", which is the first object with those names.
sum_of_totals()
{
	grep -m1 '"totals"' "$out/counts/emu.json" |
		sed -E 's/.*"loads":\[([0-9,]*)\],"stores":\[([0-9,]*)\].*"unknown":([0-9]+).*/\1,\2,\3/' |
		awk -F, '{ for (i = 1; i <= NF; i++) s += $i; printf "%d\n", s }'
}

# Dependent loads cost what the node's latency says, and what fits the cache costs a hit.
test_latency()
{
	guest latency 'for n in 0 1; do
		emu_probe --chase 400000 --node $n -s 64 --json /out/results.json
	done
	emu_probe --chase 4000000 --node 1 -s 4 --json /out/results.json' \
		-s emu_model=1 -s emu_lat0=80 -s emu_lat1=250 -s emu_bw0=0 -s emu_bw1=0
	# A cycle through eight times the cache never hits; a few instructions each.
	holds "node 0: 80 ns" "$(per_op latency 1) > 78 && $(per_op latency 1) < 84"
	holds "node 1: 250 ns" "$(per_op latency 2) > 245 && $(per_op latency 2) < 254"
	holds "in the cache: 10 ns" "$(per_op latency 3) > 10 && $(per_op latency 3) < 18"
}

test_bandwidth()
{
	guest bandwidth 'emu_probe --chase 200000 --node 1 -s 64 --json /out/results.json' \
		-s emu_model=1 -s emu_lat1=250 -s emu_bw1=100
	# A line of 64 bytes at 100 MB/s takes 640 ns.
	holds "a slow node is held to its bandwidth" \
		"$(per_op bandwidth 1) > 635 && $(per_op bandwidth 1) < 650"
}

# Within one boot and from boot to boot, with half the table in each node.
test_repeats()
{
	local gups='numactl --interleave 0,1 gups -s 256 --hot 32 -n 2000000 --json /out/results.json'

	guest first "$gups; $gups" -s emu_model=1
	guest second "$gups" -s emu_model=1
	repeats "modelled time repeats within a boot" "$(value first 1 model_ns)" "$(value first 2 model_ns)"
	repeats "modelled time repeats between boots" "$(value first 1 model_ns)" "$(value second 1 model_ns)"
	check "and so does the work" "$(value first 1 ops)" "$(value second 1 ops)"
}

repeats()
{
	holds "$1" "${2:-x} > 0 && ${3:-x} > 0 && $2 / $3 < 1.01 && $2 / $3 > 0.99"
}

need
test_counts
test_nodes
test_latency
test_bandwidth
test_repeats
exit $((failed > 0))
