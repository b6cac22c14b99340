#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# Which capabilities a loader keeps, that each is needed, and that nothing needs more.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.12

sizes="-s node0_size=320M -s node1_size=512M"
boot privs guest-privs.sh
exit $((failed > 0))
