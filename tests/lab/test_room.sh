#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# What is allocated when the fast tier is full of idle memory.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.12

sizes="-s node0_size=256M -s node1_size=512M"
boot room-6.12 guest-room.sh
exit $((failed > 0))
