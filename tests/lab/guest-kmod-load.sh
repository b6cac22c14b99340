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

# New memory in the slow tier that is used from now on: something to exchange for what is cold.
more_hot()
{
	tell v map "$1=plain:12:1"
}

insmod build/kmod/hypertier.ko exchange=1
check "the module loads" 0 $?
# The fast tier is full but for the loader and the kernel: what goes there must take another's place.
free=$(awk '/MemFree/ { print int($4 / 1024) }' /sys/devices/system/node/node0/meminfo)
spawn v "fill=plain:$((free - 45)):0:cold" hot=plain:24:1
# The policies admit all they are asked about: under emulation, on a busy host, no move pays.
load_wait run --comm subject --json --stats 1 --epoch 250 build/tests/bpf/policy_eager.bpf.o
check "the status names the backend" exchange "$(status migration)"
contains "the log names the kernel's hook" "$tmp/run.err" "policy 'eager' is attached to the kernel helper"
check "the helper has the policy" eager "$(info policy)"
wait_for 90 info_is admits "> 0"
check "it is asked about pairs in the kernel" 0 $?
wait_for 60 info_is pages "> 1000"
check "pages are exchanged" 0 $?
holds "... each after a question" "$(info admits) >= $(info pages) / 1024"
hypertier-load build/tests/bpf/policy_keen.bpf.o >"$tmp/swap" 2>&1
check "another policy is swapped in" 0 $?
check "the link was updated" keen "$(info policy)"
more_hot second
goes_on "after the swap"
# Any time is too long then.
echo 0 >/sys/module/hypertier/parameters/admit_ms
more_hot third
wait_for 60 status_is ejections "> 0"
check "the helper's watchdog ejects a policy whose admit is too slow" 0 $?
echo 20 >/sys/module/hypertier/parameters/admit_ms
contains "... and the loader says why" "$tmp/run.err" "policy 'keen' is ejected: .*admit took"
check "... the built-in policy took over, which has no admit" "range " "$(status policy) $(info policy)"
hypertier-load build/policies/random.bpf.o >"$tmp/swap" 2>&1
check "the next policy attaches" "0 random" "$? $(info policy)"
kill -9 "$loader"
wait "$loader" 2>/dev/null
wait_for 10 attached ""
check "the loader is killed: its policy is detached" 0 $?
quit v
rmmod hypertier
check "the module unloads" 0 $?
dmesg >/tmp/dmesg
lacks "the kernel has nothing to complain of" /tmp/dmesg \
	'WARNING|(^|[^E])BUG[: ]|Oops|Call Trace|bad page|Bad page|refcount_t|general protection|stall'
finish
