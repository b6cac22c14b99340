#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154
#
# Kinds of pages: which move, which must not, and that each stays what it was.
. tests/lab/lib.sh
begin
echo madvise >/sys/kernel/mm/transparent_hugepage/enabled

# Those shared with a child come first: what is mapped when it forks is shared as well.
spawn w cow=cow:4:1 shmem=shmem:4:1 plain=plain:6:1 thp=thp:12:1 lock=mlock:6:1 pin=pinned:2:1
tell w report
for r in cow shmem plain thp lock pin; do
	check "$r: in the slow tier at first" "$(say w $r.pages)" "$(say w $r.node.1)"
done
check "thp: huge pages" 12288 "$(say w thp.huge_kb)"

load_wait pages --comm subject --json --stats 1 --epoch 250 $range
for r in plain thp lock; do
	if wait_for 40 more_in_node w $r 0 0.98; then
		ok "$r: promoted"
	else
		not_ok "$r: promoted ($(in_node w $r 0) of it)"
	fi
done
check "thp: still huge pages" 12288 "$(say w thp.huge_kb)"
check "lock: still locked" 6144 "$(say w lock.locked_kb)"
wait_for 20 stat_is pages outcomes.ebusy "> 0"
holds "pin: the pages were tried, and are busy" "$(stat_of pages outcomes.ebusy) > 0"
check "pin: none moved" 0 "$(say w pin.node.0)"
check "cow: pages shared with a child are left alone" 0 "$(say w cow.node.0)"
check "shmem: pages mapped by two processes are left alone" 0 "$(say w shmem.node.0)"
tell w verify
check "all data is intact" true "$(say w intact)"

tell w unpin pin
if wait_for 60 more_in_node w pin 0 0.98; then
	ok "pin: tried again, and promoted once no longer pinned"
else
	not_ok "pin: tried again, and promoted once no longer pinned ($(in_node w pin 0) of it)"
fi

tell w map skew=skew:16:1
wait_for 40 stat_is pages thp_skewed "> 0"
holds "huge pages of which a 32th is used are told" "$(stat_of pages thp_skewed) > 0"
tell w report
check "they stay huge, for all that is hot fits" 16384 "$(say w skew.huge_kb)"
check "none was asked to be split" 0 "$(stat_of pages thp_split)$(stat_of pages thp_split_failed | tr -d 0)"
stop
check "exit status" 0 $status
holds "the books agree: moved = promoted + demoted, huge pages being 512" \
	"($(stat_of pages promoted) + $(stat_of pages demoted) - $(stat_of pages outcomes.moved)) % 511 == 0"

# The children that share them are targets as well now.
load_wait shared --comm subject --comm sharer --json --stats 1 --epoch 250 $range
for r in cow shmem; do
	if wait_for 40 more_in_node w $r 0 0.98; then
		ok "$r: promoted, as all that map it are targets"
	else
		not_ok "$r: promoted, as all that map it are targets ($(in_node w $r 0) of it)"
	fi
done
tell w verify
check "shared data is intact" true "$(say w intact)"
stop
quit w

# Fast memory full of what is warm: for the cold part of a huge page there is no room now. khugepaged would
# put together what is split.
khugepaged=/sys/kernel/mm/transparent_hugepage/khugepaged
echo 3600000 >$khugepaged/scan_sleep_millisecs
free=$(awk '/MemFree/ { print int($4 / 1024) }' /sys/devices/system/node/node0/meminfo)
spawn v warm=plain:$((free - 40)):0 skew=skew:64:1
used_in_fast() { tell v report && true_that "$(say v "$1.used.0") >= $2 * ($(say v "$1.used.0") + $(say v "$1.used.1"))"; }

load_wait split --pid "$pid_v" --json --stats 1 --epoch 250 $range
wait_for 60 stat_is split thp_split ">= 28"
holds "huge pages of which a 32th is used are split" "$(stat_of split thp_split) >= 28"
if wait_for 40 used_in_fast skew 0.95; then
	ok "the pages that are used are promoted"
else
	not_ok "the pages that are used are promoted ($(say v skew.used.0) in the fast tier, $(say v skew.used.1) not)"
fi
holds "and few of the others" "$(say v skew.node.0) < 4096"
holds "the kernel knows fewer huge pages" "$(say v skew.huge_kb) <= 8192"
tell v verify
check "all data of split pages is intact" true "$(say v intact)"

# 32 pages, each put together again at once: each is split again after 4 s, then 8, 16 ...
echo 100000 >$khugepaged/pages_to_scan
echo 100 >$khugepaged/scan_sleep_millisecs
collapsed() { tell v report && [ "$(say v skew.huge_kb)" -gt 32768 ]; }
if wait_for 40 collapsed; then ok "khugepaged puts them together"; else not_ok "khugepaged puts them together"; fi
wait_for 30 stat_is split epoch "> $(stat_of split epoch) + 40"
holds "splitting does not fight it" "$(stat_of split thp_split) <= 5 * 32"
echo 3600000 >$khugepaged/scan_sleep_millisecs
stop
check "exit status" 0 $status

tell v unmap skew
tell v map whole=skew:64:1
load_wait whole --pid "$pid_v" --no-split --json --stats 1 --epoch 250 $range
wait_for 60 stat_is whole thp_skewed ">= 24"
holds "--no-split: they are told" "$(stat_of whole thp_skewed) >= 24"
wait_for 30 stat_is whole epoch "> $(stat_of whole epoch) + 12"
tell v report
check "--no-split: none is split by us" 0 "$(stat_of whole thp_split)"
# That they stay whole nobody promises: the kernel splits what is to move to a node without free memory in
# one piece.
echo "# $(say v whole.huge_kb) KiB of 65536 are in huge pages"
check "and none was asked to be" 0 "$(stat_of whole thp_split_failed)"
stop
quit v
finish
