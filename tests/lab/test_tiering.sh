#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# The main job: a hot set in the slow tier comes to the fast one, by the emulator's exact counts, on
# every kernel; and the same assertions fail where nothing is migrated.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.1 6.12 newest

# tiered DIR INDEX RUN RISE PLACED: did that run of the workload get its hot set? Its fast share must
# rise by so many points, and PLACED of the hot set be in the fast tier in the end. Prints what it saw,
# and what is wrong; true only if nothing is. This is what must fail without migration.
tiered()
{
	local dir=$1 index=$2 run=$3 rise=$4 placed=$5 before after hot fast first rc=0

	before=$(build/tests/lab/emushare "$dir/emu.json" "$index" 0 0.02)
	after=$(build/tests/lab/emushare "$dir/emu.json" "$index" 0.9 1)
	read -r hot first _ <"$dir/$run.where"
	fast=$(tail -n 1 "$dir/$run.where" | cut -d' ' -f2)
	echo "# $run: fast share $before % -> $after %; hot pages in the fast tier: $first -> $fast of $hot"
	true_that "$first < 0.1 * $hot" || { echo "# the hot set was not in the slow tier"; rc=1; }
	true_that "$after > $before + $rise" || { echo "# the fast share did not rise by $rise points"; rc=1; }
	true_that "$fast >= $placed * $hot && $hot > 1000" ||
		{ echo "# less than $placed of the hot set is in the fast tier"; rc=1; }
	grep -q '"checksum":true' "$dir/$run.gups" || { echo "# the data is wrong"; rc=1; }
	true_that "$(build/tests/lab/jget "$dir/$run.end" promoted) > 0" ||
		{ echo "# no page was promoted"; rc=1; }
	return $rc
}

# A contiguous hot set: from below 10 % to above 80 %. Where it is scattered, the workload needs its
# stack at every step as well, which is always fast.
contig="80 0.9" scatter="10 0.6"

# shellcheck disable=SC2086 # two numbers
is_tiered() { if tiered "$2" "$3" "$4" $5; then ok "$1"; else not_ok "$1"; fi; }
# shellcheck disable=SC2086
is_not_tiered() { if tiered "$2" "$3" "$4" $5; then not_ok "$1"; else ok "$1"; fi; }

stays() # nothing moved: by the emulator, by the kernel, by the loader
{
	local dir=$1 index=$2 run=$3

	holds "$run: the hot set stays in the slow tier" \
		"$(build/tests/lab/emushare "$dir/emu.json" "$index" 0.85 1) < 15 &&
		$(tail -n 1 "$dir/$run.where" | cut -d' ' -f2) == $(head -n 1 "$dir/$run.where" | cut -d' ' -f2)"
	holds "$run: the loader moved nothing" "$(build/tests/lab/jget "$dir/$run.end" promoted) +
		$(build/tests/lab/jget "$dir/$run.end" demoted) + $(build/tests/lab/jget "$dir/$run.end" +outcomes) == 0"
}

# One dry run and one policy that only observes, then the same with migration.
test_6_12()
{
	guest_env="RUNS='dry-contig none-contig range-contig range-scatter'" \
		boot tiering-6.12 guest-tiering.sh
	is_tiered "contiguous hot set: tiered" "$out" 2 range-contig "$contig"
	is_tiered "scattered hot set: tiered" "$out" 3 range-scatter "$scatter"
	is_not_tiered "without migration the same assertions fail" "$out" 0 dry-contig "$contig"
	stays "$out" 0 dry-contig
	stays "$out" 1 none-contig
	holds "dry run: it would have promoted the hot set" \
		"$(build/tests/lab/jget "$out/dry-contig.end" would_promote) > 1000"
}

# Other kernels: other paths to tiers, samples and programs.
test_kernel()
{
	guest_env="${guest_env:-} RUNS='range-$2'" boot "tiering-$1" guest-tiering.sh -k "$1"
	is_tiered "kernel $1, $2 hot set: tiered" "$out" 0 "range-$2" "$3"
}

test_6_12
sizes="-s node0_size=448M -s node1_size=512M" # 6.1 needs more for itself, and takes it there
guest_env=SIZE=460 test_kernel 6.1 contig "$contig"
sizes=
test_kernel newest scatter "$scatter"
exit $((failed > 0))
