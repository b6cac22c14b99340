#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# Every way a loader can end: what it leaves, what the next one does about it.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.1 6.12

boot lifecycle-6.12 guest-lifecycle.sh
# There the kernel keeps to the fast node for all it allocates for itself.
sizes="-s node0_size=320M -s node1_size=512M"
guest_env="TESTS='kill_moving:KILL knobs'" boot lifecycle-6.1 guest-lifecycle.sh -k 6.1
exit $((failed > 0))
