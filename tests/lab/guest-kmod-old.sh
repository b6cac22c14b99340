#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# The kernel helper on a kernel that is too old for it: refused, and the loader does without.
. tests/lab/lib.sh
begin

insmod build/kmod/hypertier.ko exchange=1 2>/tmp/insmod
check "the kernel refuses the module" 1 "$(($? != 0))"
dmesg >/tmp/dmesg
contains "... and its log says why" /tmp/dmesg 'hypertier: (version magic .* should be|disagrees about version of symbol)'
check "nothing of it is there" "" "$(grep hypertier /proc/modules)$(ls -d /dev/hypertier 2>/dev/null)"
hypertier-load features >/tmp/features 2>&1
contains "features says so" /tmp/features 'the kernel helper is not loaded'
spawn v warm=plain:20:1
load_wait run --comm subject --json --stats 1 $none
check "the loader moves pages by move_pages" move_pages "$(status migration)"
stop
check "it ends well" 0 "$status"
load never --backend exchange --comm subject $none
wait "$loader"
check "... and does not start where the exchange is asked for" 1 "$(($? != 0))"
contains "... but says why" "$tmp/never.err" 'the kernel helper is not loaded'
quit v
finish
