#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# The guide's policy and command, taken from docs/writing-a-policy.md as they stand, outside of the tree.
set -u
cd "$(dirname "$0")/../.."
HT=$PWD BUILD=$PWD/${BUILD:-build}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
rc=0

# check NAME COMMAND...: what it prints is in the file log for those that follow
check() {
	local name=$1
	shift
	if "$@" >new 2>&1; then
		echo "ok - $name"
	else
		sed 's/^/# /' new
		echo "not ok - $name"
		rc=1
	fi
	[[ ! -s new ]] || mv new log
}

# block LANGUAGE NUMBER: that code block of the guide
block() {
	awk -v lang="\`\`\`$1" -v nr="$2" '
		$0 == "```" { inside = 0 } inside { print } $0 == lang { inside = ++n == nr }' \
		"$HT/docs/writing-a-policy.md"
}

cd "$dir" || exit 1
block c 1 >stores.bpf.c
block sh 1 >build.sh
block sh 2 >look.sh
export HT
check "the guide has a policy and its commands" test -s stores.bpf.c -a -s build.sh -a -s look.sh
check "it builds outside of the tree by one command" bash -e build.sh
check "the object is there" test -s stores.bpf.o
if [[ $(id -u) -ne 0 ]]; then
	echo "ok - it runs # SKIP needs root"
	exit $rc
fi
check "its knobs are listed, and it replays" bash -e look.sh
check "the knob is named" grep -q '^weight .*loads that one store counts for' log
check "it places well" awk '/^policy stores: fast share/ { found = 1; exit $5 < 70 } END { if (!found) exit 1 }' log
check "an unknown knob is refused" bash -c "! $BUILD/replay stores.bpf.o --set heavy=1"
check "the refusal names the knobs there are" grep -q 'its knobs are: weight' log
check "--json lists them for programs, as --set leaves them" bash -c "set -o pipefail; $BUILD/hypertier-load \
	--help-policy stores.bpf.o --set weight=3 --json >knobs.json &&
	$BUILD/tests/lab/jget knobs.json 'knobs.[name=weight].value' | grep -qx 3"
check "a value out of range is refused" bash -c "! $BUILD/hypertier-load --help-policy stores.bpf.o --set weight=1000000"
exit $rc
