#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Every fuzz target for a second, from its seeds; planted bugs are found. The long run is make fuzz.
cd "$(dirname "$0")/../.." || exit 1
tests/fuzz/run --runs 20000 --seconds 1 --jobs 2
