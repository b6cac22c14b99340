#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# The workloads outside the lab: they run, repeat by seed, and notice when their data is damaged.
set -u
cd "$(dirname "$0")/../.." || exit 1

bin=${BUILD:-build}/workload
redis=${HT_LAB_DIR:-build/lab}/bin/redis-server
tmp=$(mktemp -d)
failed=0
trap 'rm -rf "$tmp"' EXIT

ok() { echo "ok - $1"; }
not_ok()
{
	echo "not ok - $1"
	failed=$((failed + 1))
	sed 's/^/# /' "$tmp/log" | tail -n 10
}
check() { if [[ $2 == "$3" ]]; then ok "$1"; else not_ok "$1 (want '$2', got '$3')"; fi; }

# Arguments that keep each below a second.
args()
{
	case $1 in
	gups) echo -s 64 -n 500000 --hot 8 ;;
	kv | btree) echo -s 64 -n 50000 ;;
	xsbench) echo -s 64 -n 5000 ;;
	graph) echo -s 32 -n 1 ;;
	sgd) echo -s 64 --weights 8 -n 20000 ;;
	scan) echo -s 64 --hot 8 -n 500000 ;;
	churn) echo -s 64 -n 6 --heap 2 --work 20000 ;;
	sqlite) echo -s 32 -n 2000 ;;
	redis) echo -s 32 -n 20000 --server "$redis" ;;
	esac
}

json() { sed -nE "s/.*\"$1\":\"?([^,\"}]*).*/\1/p" "$tmp/json" | tail -n 1; }

runs()
{
	rm -f "$tmp/json"
	# shellcheck disable=SC2046,SC2086
	"$bin/$1" $(args "$1") ${2:-} --json "$tmp/json" >"$tmp/log" 2>&1
	check "$1 ${2:-}: runs" 0 $?
	check "$1 ${2:-}: and finds its data as it should be" true "$(json checksum)"
}

# Start and end of the largest writable mapping without a file.
largest()
{
	awk '$2 ~ /^rw/ && $6 == "" { print $1 }' "/proc/$1/maps" | while IFS=- read -r a b; do
		echo "$((16#$b - 16#$a)) $((16#$a)) $((16#$b))"
	done | sort -rn | head -n 1 | cut -d' ' -f2,3
}

# Number of a page well inside the mapping that has data in it; empty if there is none.
data_page()
{
	local a=$2 b=$3 i page

	for ((i = 7; i < 64; i++)); do
		page=$(((a + (b - a) / 64 * (i * 37 % 64)) / 4096))
		(($(dd if="/proc/$1/mem" bs=4096 count=1 skip=$page status=none | tr -d '\0' | wc -c) > 64)) &&
			echo $page && return
	done
}

# While the workload waits to start, a page becomes zeros, as if it had been lost in a move.
damaged()
{
	local pid runner a b i

	: >"$tmp/log" # not to be taken for that of the last one
	# shellcheck disable=SC2046,SC2086
	"$bin/$1" $(args "$1") ${2:-} --wait 20 >"$tmp/log" 2>&1 &
	runner=$!
	for ((i = 0; i < 3000; i++)); do
		grep -q ': ready' "$tmp/log" && break
		sleep 0.01
	done
	# Another process than the one that was started may hold the data.
	pid=$(sed -n 's/.*: ready, pid //p' "$tmp/log")
	kill -STOP $pid
	read -r a b < <(largest $pid)
	dd if=/dev/zero of="/proc/$pid/mem" bs=4096 count=1 seek="$(data_page $pid "$a" "$b")" \
		conv=notrunc status=none
	kill -CONT $pid
	kill -USR1 $runner
	wait $runner
	check "$1 ${2:-}: a lost page is noticed" 3 $?
}

for w in gups kv btree xsbench graph sgd scan churn sqlite redis; do
	if [[ $w == redis && ! -x $redis ]]; then
		echo "ok - redis # SKIP no redis-server: run tools/setup"
		continue
	fi
	[[ -x $bin/$w ]] || { echo "not ok - $bin/$w is missing: make" && exit 1; }
	runs $w
	damaged $w
done
for l in scatter sparse; do
	runs gups "--layout=$l"
	runs gups "--layout=$l --threads=2 --shift-after=200000"
	damaged gups "--layout=$l"
done
runs gups --read-only
damaged gups --read-only
runs gups --write-only
runs gups --slow-first
runs gups --hot-share=0
runs kv "--threads=2 --scan-every=20000 --scan=16 --latency"
runs graph --algo=pagerank
damaged graph --algo=pagerank
runs scan --scan-write
runs churn --exec

runs xsbench
hash=$(json hash)
runs xsbench
check "the same seed gives the same results" "$hash" "$(json hash)"
runs xsbench --seed=2
[[ $(json hash) != "$hash" ]] && ok "another seed gives others" || not_ok "another seed gives others"
for bad in --size=1 --size=x --threads=0 --nonsense --thp=maybe --layout=x; do
	"$bin/gups" $bad >"$tmp/log" 2>&1
	check "gups $bad is refused" 2 $?
done
HT_FAST_NODES=x "$bin/gups" -s 64 >"$tmp/log" 2>&1
check "a bad HT_FAST_NODES is refused" 2 $?
HT_LAB_RING=/nonexistent "$bin/gups" -s 64 >"$tmp/log" 2>&1
check "a ring that is not there is an error" 1 $?
head -c 65536 /dev/zero >"$tmp/ring"
HT_LAB_RING=$tmp/ring "$bin/gups" -s 64 --hot 8 -n 16384 >"$tmp/log" 2>&1
check "a ring without emulator is none" 0 $?
exit $((failed > 0))
