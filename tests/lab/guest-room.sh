#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash disable=SC2154
#
# Idle memory fills the fast node down to where the kernel begins to look elsewhere; nothing hot is in
# the slow one, so nothing is to be exchanged.
. tests/lab/lib.sh
begin

node_free() { awk '/MemFree/ { print int($4 / 1024) }' "/sys/devices/system/node/node$1/meminfo"; }
# The marks below which the kernel looks elsewhere, and up to which it reclaims, in MiB.
mark() { awk -v m="$1" '$1 == "Node" { n = $2 } $1 == m && n == "0," { s += $2 } END { print int(s / 256) }' /proc/zoneinfo; }

low=$(mark low) high=$(mark high)
spawn w hot=plain:4:0 idle=plain:$(($(node_free 0) - (low + high) / 2 - 4)):0:cold
echo "# fast node: low $low MiB, high $high MiB, free $(node_free 0) MiB"
load_wait room --comm subject --json --stats 1 --epoch 250 $range
wait_for 20 stat_is room epoch "> 12"
check "nothing moves as long as nothing is missing" 0 "$(stat_of room demoted)"

tell w map new=plain:24:8:cold
tell w report
slow=$(say w new.node.1)
holds "new memory finds no room in the fast node" "$slow > 1000"
wait_for 20 stat_is room spilled ">= $slow"
holds "it is seen" "$(stat_of room spilled) >= $slow"
wait_for 20 stat_is room demoted ">= $slow"
holds "as much idle memory makes room" "$(stat_of room demoted) >= $slow"
holds "not much more" "$(stat_of room demoted) <= $slow + ($high - $low) * 256 + 1024"
holds "the idle memory's, by the kernel" "$(in_node w idle 1) > 0"

tell w map next=plain:8:8:cold
# Were there no more room than before, none of it would be there.
holds "what is allocated next finds it" "$(in_node w next 0) > 0.5"
check "what is hot stayed" 1 "$(in_node w hot 0)"
stop
check "exit status" 0 $status
quit w
finish
