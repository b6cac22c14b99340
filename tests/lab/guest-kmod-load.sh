#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# A loader with the kernel helper: it exchanges pages, its policy is asked about each pair in the
# kernel, replaced there when it is swapped, ejected by the helper, and gone when the loader is killed.
. tests/lab/lib.sh
begin

info() { exchange info | sed -n "s/^$1 //p"; }
info_is() { true_that "$(info "$1") $2"; }
attached() { [ "$(info policy)" = "$1" ]; }
goes_on()
{
	now=$(info pages)
	wait_for 60 info_is pages "> $now"
	check "$1: exchanges go on" 0 $?
}

insmod build/kmod/hypertier.ko exchange=1
check "the module loads" 0 $?
spawn v warm=plain:100:1 hot=plain:20:1
# It admits all it is offered, whatever a move costs here.
load_wait run --comm subject --json --stats 1 --epoch 250 build/policies/random.bpf.o
check "the status names the backend" exchange "$(status migration)"
contains "the log names the kernel's hook" "$tmp/run.err" "policy 'random' is attached to the kernel helper"
check "the helper has the policy" random "$(info policy)"
wait_for 90 info_is admits "> 0"
check "it is asked about pairs in the kernel" 0 $?
wait_for 60 info_is pages "> 1000"
check "pages are exchanged" 0 $?
holds "... each after a question" "$(info admits) >= $(info pages) / 1024"
hypertier-load build/policies/momentum.bpf.o >"$tmp/swap" 2>&1
check "another policy is swapped in" 0 $?
check "the link was updated" momentum "$(info policy)"
goes_on "after the swap"
# Any time is too long then. Who comes after momentum has everything to move, and is asked at once.
echo 0 >/sys/module/hypertier/parameters/admit_ms
before=$(status ejections)
hypertier-load build/policies/random.bpf.o >"$tmp/swap" 2>&1
check "a third policy is swapped in" 0 $?
wait_for 60 status_is ejections "> $before"
check "the helper's watchdog ejects a policy whose admit is too slow" 0 $?
echo 20 >/sys/module/hypertier/parameters/admit_ms
contains "... and the loader says why" "$tmp/run.err" "policy 'random' is ejected: .*admit took"
check "... the built-in policy took over, which has no admit" "range " "$(status policy) $(info policy)"
hypertier-load build/policies/benefit.bpf.o >"$tmp/swap" 2>&1
check "the next policy attaches" "0 benefit" "$? $(info policy)"
kill -9 "$loader"
wait "$loader" 2>/dev/null
wait_for 10 attached ""
check "the loader is killed: its policy is detached" 0 $?
quit v
rmmod hypertier
check "the module unloads" 0 $?
dmesg >/tmp/dmesg
lacks "the kernel has nothing to complain of" /tmp/dmesg \
	'WARNING|BUG:|Oops|Call Trace|bad page|Bad page|refcount_t|general protection|stall'
finish
