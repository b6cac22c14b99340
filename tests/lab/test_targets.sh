#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# Who is tiered, and what becomes of heat when processes and memory come and go.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.12

boot targets guest-targets.sh
exit $((failed > 0))
