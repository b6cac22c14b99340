#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# What runs with privileges starts no programs: no shell, no exec, in none of its object files.
cd "$(dirname "$0")/../.." || exit 1
BUILD=${BUILD:-build}
calls='system|popen|exec(l|lp|le|v|vp|ve|vpe)|fexecve|execveat|posix_spawnp?'
rc=0
for archive in loader provision; do
	[[ -f $BUILD/$archive.a ]] || { echo "not ok - $BUILD/$archive.a is missing: make"; exit 1; }
	found=$(nm -A --undefined-only "$BUILD/$archive.a" 2>/dev/null | grep -E " U ($calls)(@|\$)")
	if [[ -z $found ]]; then
		echo "ok - $archive starts no program"
	else
		echo "not ok - $archive starts programs"
		echo "$found"
		rc=1
	fi
done
# The list above would find one.
if nm -D --undefined-only "$(command -v make)" | grep -qE " U ($calls)(@|\$)"; then
	echo "ok - a program that does is found"
else
	echo "not ok - make is not seen to start programs"
	rc=1
fi
exit $rc
