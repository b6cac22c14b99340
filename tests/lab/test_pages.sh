#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# Huge, locked, shared and pinned pages.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.12 newest

# All that is hot has to fit above the fast node's watermarks, beside what the kernel keeps there.
sizes="-s node0_size=256M -s node1_size=512M"
boot pages-6.12 guest-pages.sh
boot pages-newest guest-pages.sh -k newest
exit $((failed > 0))
