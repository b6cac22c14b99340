#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# Huge, locked, shared and pinned pages.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.12 newest

boot pages-6.12 guest-pages.sh
boot pages-newest guest-pages.sh -k newest
exit $((failed > 0))
