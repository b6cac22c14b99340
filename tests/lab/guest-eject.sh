#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# Policies that move pages, but to no good: who thrashes, and who makes things worse, has to go, and
# the built-in policy puts things right again.
. tests/lab/lib.sh
begin

common="--comm subject --json --stats 1 --epoch 250"

# What is seen of an ejection: check_ejected NAME KIND REASON
check_ejected()
{
	check "$1: the built-in policy took over" "range built-in range true" \
		"$(status policy) $(status object) $(status tiering)"
	check "$1: the kind of its exit" "$2" "$(status last_exit_kind)"
	contains "$1: the reason is printed" "$tmp/$1.err" "policy '$3' is ejected: $4"
	contains "$1: and in the pinned map" "$tmp/control" "\"reason\": \"$4"
	sed -n "s/.*is ejected: /# $1: /p" "$tmp/$1.err"
}

# Each move undoes one before. (bad_thrash, whose scores are new in every epoch, is no such case: the
# ledger holds most of its moves back, and what is left is not above the share that sound policies
# waste on a scan.)
test_thrash()
{
	# All of it is sampled, not all of it fits; the cold memory keeps the ranges apart.
	spawn w -b a=plain:50:0 b=plain:8:1:cold c=plain:50:1 d=plain:8:1:cold e=plain:50:1
	# shellcheck disable=SC2086
	load_wait thrash $common --budget 512 bad_flip.bpf.o || return
	wait_for 100 status_is ejections "> 0"
	bpftool map dump pinned /sys/fs/bpf/hypertier/control >"$tmp/control"
	echo "# moved $(status promoted) up and $(status demoted) down, wasted $(status wasted), held $(status held)"
	check_ejected thrash 5 bad_flip 'thrashing: [0-9]+ % of [0-9]+ pages came back'
	hypertier-load bad_flip.bpf.o 2>"$tmp/again.err"
	check "thrash: it may not come back at once" 7 $?
	epoch=$(status epoch)
	wait_for 60 status_is epoch "> $epoch + 20"
	check "thrash: the built-in policy stays" "1 range" "$(status ejections) $(status policy)"
	stop
	check "thrash: the loader ends well" 0 $status
	quit w
}

# A hot set in the fast tier, and a policy that goes by addresses alone: warm is mapped first and thus
# higher. Both regions get as many updates, so the larger one has a fraction by page.
test_worse()
{
	spawn v -b warm=plain:100:1 hot=plain:20:1 || return
	# shellcheck disable=SC2086
	load_wait worse $common $range || return
	wait_for 60 more_in_node v hot 0 0.8 && ok "worse: the hot set gets into the fast tier" ||
		not_ok "worse: the hot set gets into the fast tier ($(in_node v hot 0))"
	# Warm follows into what is left of the fast tier, for as long as one waits: it is not counted on below.
	wait_for 30 status_is fast_share "> 0.5"
	holds "worse: the fast share is high with it" "$(status fast_share) > 0.5"
	hypertier-load --set period=1000 bad_flip.bpf.o >"$tmp/worse.swap" 2>&1
	check "worse: a policy is swapped in that wants it out" "0 bad_flip" "$? $(status policy)"
	wait_for 90 status_is ejections "> 0"
	bpftool map dump pinned /sys/fs/bpf/hypertier/control >"$tmp/control"
	check_ejected worse 6 bad_flip "fast share [0-9]+ %, predecessor's [0-9]+ %"
	wait_for 60 more_in_node v hot 0 0.8 && ok "worse: the hot set comes back to the fast tier" ||
		not_ok "worse: the hot set comes back to the fast tier ($(in_node v hot 0))"
	# An average over epochs, those before the moves among them.
	wait_for 30 status_is fast_share "> 0.5"
	holds "worse: the fast share is high again" "$(status fast_share) > 0.5"
	stop
	check "worse: the loader ends well" 0 $status
	quit v
}

for t in ${TESTS:-thrash worse}; do
	test_$t
done
finish
