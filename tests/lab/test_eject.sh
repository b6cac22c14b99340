#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# The watchdog on two real tiers: policies that thrash, or do worse than their predecessor.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.12

boot eject-6.12 guest-eject.sh -f build/tests/bpf/bad_flip.bpf.o:bad_flip.bpf.o
exit $((failed > 0))
