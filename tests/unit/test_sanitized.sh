#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# Unit tests that take seconds, with AddressSanitizer, leak detection and UBSan. All of them: make sanitize.
cd "$(dirname "$0")/../.." || exit 1
read -r -a names <<<"$(sed -n 's/^SAN_SHORT := //p' Makefile)"
for n in "${names[@]}"; do
	[ -x "${BUILD:-build}/asan/tests/unit/test_$n" ] && continue
	echo "not ok - build/asan/tests/unit/test_$n is missing: make test"
	exit 1
done
BUILD=${BUILD:-build}/asan exec tests/sanitize "${names[@]/#/test_}"
