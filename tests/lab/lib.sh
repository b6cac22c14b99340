# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# What the end-to-end tests share; read by the scripts on the host (bash) and in the guest (busybox).
# A check prints "ok - what" or "not ok - what", and what it saw as "# ..." when it failed.

failed=0

ok() { echo "ok - $1"; }
skip() { echo "ok - $1 # SKIP $2"; }
not_ok()
{
	echo "not ok - $1"
	failed=$((failed + 1))
}

# check WHAT WANT GOT
check()
{
	if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1 (want '$2', got '$3')"; fi
}

# A comparison of numbers, for instance "0.1 < 0.8 && 3 > 2"; false when one of them is missing.
true_that() { awk "BEGIN { exit !($1) }" 2>/dev/null </dev/null; }
holds()
{
	set -- "$1" "$(printf %s "$2" | tr -s '\n\t ' ' ')"
	if true_that "$2"; then ok "$1 ($2)"; else not_ok "$1 (not true: $2)"; fi
}

# contains WHAT FILE PATTERN, an extended regular expression
contains()
{
	if grep -qE -e "$3" "$2"; then
		ok "$1"
	else
		not_ok "$1 (no /$3/ in $2)"
		tail -n 12 "$2" | sed 's/^/# /'
	fi
}

lacks()
{
	if grep -qE -e "$3" "$2"; then
		not_ok "$1 (/$3/ in $2)"
		grep -E -e "$3" "$2" | head -n 3 | sed 's/^/# /'
	else
		ok "$1"
	fi
}

# wait_for SECONDS COMMAND...: true as soon as the command is. By the clock that nobody sets. What takes
# longer is looked at less often: in an emulated guest a look may cost as much as what is waited for.
wait_for()
{
	local wait_now wait_end wait_step=1

	read -r wait_now _ </proc/uptime
	wait_end=$((${wait_now%.*} + $1))
	shift
	until "$@"; do
		read -r wait_now _ </proc/uptime
		[ "${wait_now%.*}" -le $wait_end ] || return 1
		sleep 0.$wait_step
		[ $wait_step -ge 4 ] || wait_step=$((wait_step + 1))
	done
}

# ---- on the host -----------------------------------------------------------------------------

# No lab, no test: says so and ends the script.
need_lab()
{
	for k in "$@"; do
		[ -f "build/lab/stamp/kernel-$k" ] && [ -f build/lab/stamp/root ] && continue
		skip "$(basename "$0" .sh)" "kernel $k is not fetched: tools/setup --kernels $k"
		exit 0
	done
	for k in jget subject tiles where privilege emushare; do
		[ -x build/tests/lab/$k ] && continue
		echo "not ok - build/tests/lab/$k is missing: make test-programs"
		exit 1
	done
}

# boot NAME SCRIPT [LAB OPTIONS...]: runs tests/lab/SCRIPT in a guest and counts its failures. What it
# leaves in /out comes to $out, its output to $out/log. A guest that stops half-way has failed.
# $guest_env is put before the command: NAME='value' ... $sizes are -s options, by default those of a
# two-tier guest with some 100 MiB of free fast memory; $limit is how many seconds it may take.
boot()
{
	local k

	name=$1 script=$2
	shift 2
	out=build/results/lab/$name
	from=$(date +%s)
	# shellcheck disable=SC2086
	set -- -o "$out" -t "${limit:-280}" ${sizes:--s node0_size=192M -s node1_size=512M} -f tests/lab/lib.sh \
		-f "tests/lab/$script" "$@"
	for k in build/tests/lab/*; do
		[ -f "$k" ] && [ -x "$k" ] && set -- -f "$k" "$@"
	done
	run_guest "$@"
	# Guests' clocks were seen to jump, ahead or back; the likely cause is this machine having been paused.
	if ! clock_is_right; then
		echo "# $name: the guest's clock jumped; once more"
		run_guest "$@"
	fi
	sed -e "s/^ok - /ok - $name: /" -e "s/^not ok - /not ok - $name: /" "$out/log"
	failed=$((failed + $(grep -c '^not ok' "$out/log")))
	echo "# $name: $(($(date +%s) - from)) s"
	grep -q '^# complete$' "$out/log" || not_ok "$name: the guest's script ran to its end"
}

run_guest()
{
	rm -rf "$out"
	mkdir -p "$out"
	tools/lab/lab run "$@" -- "${guest_env:-} sh tests/lab/$script" >"$out/log" 2>&1
}

# To within 20 s, or it was not told.
clock_is_right()
{
	clock=$(sed -n 's/^# clock //p' "$out/log")
	[ -z "$clock" ] || true_that "$clock - $(date +%s) < 20 && $(date +%s) - $clock < 20"
}

# ---- in the guest ----------------------------------------------------------------------------

# Every guest script begins with this and ends with finish.
begin()
{
	export PATH=/ht/build/tests/lab:$PATH
	# The kernel's own balancing would move pages that only the loader should.
	echo 0 >/proc/sys/kernel/numa_balancing
	# Where slow memory is for movable pages alone, a workload must leave the kernel some of the fast:
	# between the marks at which the one looks elsewhere and the other gives up.
	echo 1000 >/proc/sys/vm/watermark_scale_factor
	range=build/policies/range.bpf.o none=build/policies/none.bpf.o
	tmp=/tmp/t
	mkdir -p $tmp /out
}

finish()
{
	echo "# clock $(date +%s)"
	echo "# complete"
	exit $((failed > 0))
}

# ---- the loader

# load NAME ARGS...: starts a loader; its output is $tmp/NAME.out and .err, its pid $loader.
load()
{
	load=$1
	shift
	: >"$tmp/$load.out"
	hypertier-load "$@" >"$tmp/$load.out" 2>"$tmp/$load.err" &
	loader=$!
}

started() { grep -qE '^epoch |"event": *"start"' "$tmp/$1.out"; }
gone() { ! kill -0 "$1" 2>/dev/null; }
started_or_gone() { started "$1" || gone "$2"; }

# The same, until it runs. Its absence fails the test once, here.
load_wait()
{
	load "$@"
	wait_for 60 started_or_gone "$load" "$loader"
	started "$load" && return 0
	not_ok "the loader starts ($*)"
	sed 's/^/# /' "$tmp/$load.err" | tail -n 20
	return 1
}

# stop [SIGNAL]: ends the loader; its status is $status.
stop()
{
	kill "-${1:-INT}" "$loader" 2>/dev/null
	wait_for 30 gone "$loader" || {
		not_ok "the loader stops at SIG${1:-INT} within 30 s"
		kill -9 "$loader"
	}
	wait "$loader"
	status=$?
}

# stat NAME KEY: from the newest statistics of a loader that was started with --json --stats 1.
stat_of() { jget "$tmp/$1.out" "$2" 2>/dev/null; }
stat_is() { true_that "$(stat_of "$1" "$2") $3"; }

# status KEY: what the unnamed loader answers. It gives who asks 200 ms to say what, so on a busy machine
# a second try may be needed.
status()
{
	for _ in 1 2 3 4 5; do
		if hypertier-load --status --json >"$tmp/status" 2>"$tmp/status.err"; then
			jget "$tmp/status" "$1"
			return
		fi
	done
	return 1
}
status_is() { true_that "$(status "$1") $2"; }

# ---- processes to tier

# spawn NAME REGION...: starts a subject and waits until its memory is in place. Its pid: $pid_NAME.
# $program is the program's name, if not subject.
spawn()
{
	spawn=$1
	shift
	mkfifo "$tmp/$spawn.in"
	: >"$tmp/$spawn.log"
	"${program:-subject}" "$@" <"$tmp/$spawn.in" >"$tmp/$spawn.log" 2>"$tmp/$spawn.err" &
	eval "pid_$spawn=$!"
	# Held open, so that it does not read the end of the file after each command.
	sleep infinity >"$tmp/$spawn.in" &
	eval "hold_$spawn=$!"
	wait_for 60 answered "$spawn" 1 && return 0
	not_ok "subject $spawn starts"
	sed 's/^/# /' "$tmp/$spawn.err"
	return 1
}

lives() { eval "kill -0 \$pid_$1" 2>/dev/null; }
answers() { wc -l <"$tmp/$1.log"; }
answered() { [ "$(answers "$1")" -ge "$2" ]; }

# tell NAME COMMAND...: gives a command and waits for the answer, which say NAME KEY reads.
tell()
{
	told=$1 n=$(($(answers "$1") + 1))
	shift
	lives "$told" && echo "$*" >"$tmp/$told.in" && wait_for 30 answered "$told" "$n" && return 0
	not_ok "subject $told answers '$*'"
}

say() { jget "$tmp/$1.log" "$2"; }

# in_node NAME REGION NODE: share of the region's pages in the node, from a fresh report.
in_node()
{
	tell "$1" report
	awk "BEGIN { print $(say "$1" "$2.node.$3") / $(say "$1" "$2.pages") }"
}
more_in_node() { true_that "$(in_node "$1" "$2" "$3") >= $4"; }

# quit NAME: ends a subject; checks that no byte of its memory changed on the way.
quit()
{
	# Nobody would read it.
	lives "$1" || { not_ok "subject $1 lives"; return; }
	echo quit >"$tmp/$1.in"
	eval "wait \$pid_$1"
	check "the data of $1 is intact" 0 $?
	eval "kill \$hold_$1"
	rm -f "$tmp/$1.in"
}
