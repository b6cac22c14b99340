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
check "they stay huge" 16384 "$(say w skew.huge_kb)"
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
finish
