#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# Policies that change while the loader runs, on this machine's kernel: a process faults pages all the
# time, page faults are the samples, one tier suffices for --dry-run. What is swapped has to keep what
# is known and to leave nothing; what fails has to keep the old policy; what misbehaves has to go.
#
#   tests/bpf/test_swap.sh [TEST...]    all, or some of the names at the end
#   SWAPS=250                           how often policies are swapped under load: 100 times otherwise
#   SOAK=1                              1,000 times, and with real back-off times
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
BUILD=${BUILD:-build}
[ "${SOAK:-0}" != 1 ] || SWAPS=${SWAPS:-1000}
name=swap-$$
other=$name-b
tmp=$(mktemp -d /tmp/ht-swap.XXXXXX)
pins=/sys/fs/bpf/hypertier
policies=$BUILD/policies bad=$BUILD/tests/bpf
slack=$((2 * $(nproc))) # samples that are being counted while counters are read

end()
{
	# Children of this shell, whose numbers nobody else can have yet.
	kill -9 $(jobs -p)
	wait 2>/dev/null
	rm -f $pins/$name/* $pins/$other/*
	rmdir $pins/$name $pins/$other $pins
	rm -rf /run/hypertier/$name /run/hypertier/$other "$tmp"
} 2>/dev/null
trap end EXIT
trap 'exit 1' INT TERM

for need in hypertier-load tests/lab/faults tests/lab/jget tests/bpf/bad_slow.bpf.o; do
	[ -e "$BUILD/$need" ] && continue
	not_ok "$BUILD/$need is there (make test-programs)"
	exit 1
done
if [ "$(id -u)" != 0 ] || ! bpftool prog show >/dev/null 2>&1; then
	skip "policies are swapped" "needs root, BPF and bpftool"
	exit 0
fi

# ---- the loader and its kernel objects ----

load=$BUILD/hypertier-load
ht() { $load --instance "$name" "$@"; }

killed()
{
	kill -9 "$1"
	wait "$1" 2>/dev/null
}

fault() # starts a process that faults; its pid: $faulter
{
	"$BUILD/tests/lab/faults" "${1:-64}" &
	faulter=$!
}

answers() { ht --status --json >"$tmp/status" 2>/dev/null; }
up_or_gone() { answers || gone $loader; }

# start LOG OPTIONS...: a loader for $faulter; its pid: $loader
start()
{
	local log=$1

	shift
	# Not by ht(), whose pid would be that of a shell.
	$load --instance "$name" --dry-run --source page-fault --pid "$faulter" --epoch 100ms "$@" \
		>"$tmp/$log.out" 2>"$tmp/$log.err" &
	loader=$!
	wait_for 30 up_or_gone && answers && return 0
	not_ok "a loader starts ($*)"
	tail -n 12 "$tmp/$log.err" | sed 's/^/# /'
	exit 1
}

# stat KEY: from the status that answers() fetched last; now KEY fetches it.
stat() { "$BUILD/tests/lab/jget" "$tmp/status" "$1"; }
now() { answers && stat "$1"; }
epochs_past() { true_that "$(now epoch) > $1"; }
some_epochs() { wait_for 30 epochs_past $(($(now epoch) + ${1:-3})); }

unload() # $status: the loader's own
{
	ht --unload
	wait $loader
	status=$?
}

fds() { ls /proc/$loader/fd | wc -l; }
mappings() { grep -c bpf-map /proc/$loader/maps; }
rss_kib() { awk '/VmRSS/ { print $2 }' /proc/$loader/status; }

# Whatever refers to the loader's maps is its own: programs, and the maps of these programs, and (there
# are programs that use none of the maps that it holds) the programs of these maps. Prints the number of
# programs and of maps, then their ids.
objects()
{
	local ids

	ids=$(cat /proc/$loader/fdinfo/* 2>/dev/null | sed -nE 's/^map_id:[[:blank:]]*//p')
	bpftool prog show | awk -v ids="$(echo $ids)" '
		BEGIN { n = split(ids, a, " "); for (i = 1; i <= n; i++) map[a[i]] }
		/^[0-9]+:/ { id = $1 + 0 }
		match($0, /map_ids [0-9,]+/) { maps[id] = substr($0, RSTART + 8, RLENGTH - 8) }
		END {
			for (pass = 0; pass < 2; pass++)
				for (p in maps) {
					n = split(maps[p], m, ",")
					for (i = 1; i <= n; i++)
						if (m[i] in map)
							prog[p]
					if (p in prog)
						for (i = 1; i <= n; i++)
							map[m[i]]
				}
			for (p in prog) { np++; list = list " p" p }
			for (i in map) { nm++; list = list " m" i }
			print np + 0, nm + 0, list
		}'
}
object_numbers() { objects | cut -d' ' -f1,2; }
numbers_are() { [ "$(object_numbers)" = "$1" ]; }

# none_left ID...: these kernel objects are gone. The kernel frees them a little later.
none_left()
{
	local id

	bpftool prog show >"$tmp/progs"
	bpftool map show >"$tmp/maps"
	for id in "$@"; do
		grep -q "^${id#?}: " "$tmp/$([ "${id:0:1}" = p ] && echo progs || echo maps)" && return 1
	done
	return 0
}

# ---- swaps under load ----

gallery=(recency threshold histogram range)

# Counters only grow, the targets stay, the heat map is not begun anew.
check_monotonic()
{
	local k v

	for k in epoch seconds samples_seen samples_counted samples_due swaps generation bpf_ns loader_ns ops_ns; do
		v=$(stat $k)
		true_that "$v >= ${last[$k]:-0}" || { echo "# $k went from ${last[$k]} to $v"; bad_counts=$((bad_counts + 1)); }
		last[$k]=$v
	done
	[ "$(stat targets)" = 1 ] || { echo "# $(stat targets) targets"; bad_counts=$((bad_counts + 1)); }
	true_that "$(stat tiles) >= 16" || { echo "# $(stat tiles) tiles"; bad_counts=$((bad_counts + 1)); }
}

swap_once()
{
	ht "$policies/${gallery[$1 % 4]}.bpf.o" >"$tmp/swap.out" 2>"$tmp/swap.err" && return
	echo "# swap $1 failed: $(head -n 1 "$tmp/swap.err")"
	bad_swaps=$((bad_swaps + 1))
}

swap_many()
{
	local i=0 t0 t1 spent=0 cpu0=$(stat loader_ns) most=${SWAPS:-100} said=$SECONDS

	while [ $i -lt "$most" ]; do
		t0=${EPOCHREALTIME/./}
		swap_once $i
		t1=${EPOCHREALTIME/./}
		spent=$((spent + t1 - t0))
		i=$((i + 1))
		[ $((i % 10)) != 0 ] || { answers && check_monotonic; }
		# In between there are policies with more maps of their own.
		[ $((i % 12)) != 0 ] || [ "$(fds)" = "$fds" ] || { sleep 0.1; [ "$(fds)" = "$fds" ]; } || bad_fds=$((bad_fds + 1))
		[ $((SECONDS - said)) -lt 10 ] || { said=$SECONDS; echo "# $i swaps"; }
	done
	swapped=$i
	echo "#| $i swaps, $((spent / i / 1000)) ms each, client included; of the loader's CPU time," \
		"epochs included, $((($(now loader_ns) - cpu0) / i / 1000000)) ms; load average $(cut -d' ' -f1 /proc/loadavg)"
}

test_swaps()
{
	local fds objects maps rss0 rss1 bad_swaps=0 bad_counts=0 bad_fds=0 swapped generation former counted
	declare -A last=()

	fault 64
	start swaps "$policies/range.bpf.o"
	some_epochs 10
	# The first ones fill caches and pools.
	for i in 0 1 2 3; do swap_once "$i"; done
	answers
	fds=$(fds) maps=$(mappings) rss0=$(rss_kib)
	objects=$(object_numbers) former=$(objects | cut -d' ' -f3-)
	generation=$(stat generation) counted=$(stat samples_counted)
	swap_many
	some_epochs
	check "every swap of $swapped succeeds" 0 $bad_swaps
	holds "there were enough of them" "$swapped >= 100"
	check "the generation counts them" $((generation + swapped)) "$(now generation)"
	check "counters grow, targets and tiles stay" 0 $bad_counts
	holds "samples are counted all the time" "$(stat samples_counted) > $counted + 100 * $swapped"
	holds "samples due are not forgotten at a swap" "$(stat samples_due) >= $(stat samples_seen) / 2"
	# As before: numbers differ between policies by their private maps.
	ht "$policies/range.bpf.o" >/dev/null
	check "the loader's file descriptors stay the same in number" "0 $fds" "$bad_fds $(fds)"
	check "and its mappings of maps" "$maps" "$(mappings)"
	if wait_for 10 numbers_are "$objects"; then
		ok "programs and maps stay the same in number ($objects)"
	else
		not_ok "programs and maps stay the same in number (want $objects, got $(object_numbers))"
	fi
	# shellcheck disable=SC2046
	set -- $(comm -23 <(tr ' ' '\n' <<<"$former" | sort) <(objects | cut -d' ' -f3- | tr ' ' '\n' | sort))
	if [ $# -ge 10 ] && wait_for 10 none_left "$@"; then
		ok "the $# programs and maps of a policy that left are gone"
	else
		not_ok "the $# programs and maps of a policy that left are gone"
	fi
	rss1=$(rss_kib)
	holds "memory stays flat" "$rss1 <= $rss0 + 512"
	check_frozen
	check_unload
}

# The loader may take page detail back meanwhile; what a tile is and has been sampled stays.
heat_of_tiles()
{
	bpftool map dump pinned $pins/$name/heat | grep -E '"(key|total|writes)"' | md5sum
}

# With the target asleep nothing changes but what a swap changes.
check_frozen()
{
	local heat targets counted

	kill -STOP "$faulter"
	some_epochs 4
	heat=$(heat_of_tiles)
	targets=$(bpftool map dump pinned $pins/$name/targets)
	counted=$(now samples_counted)
	holds "there is heat to keep" "$(bpftool map dump pinned $pins/$name/heat | grep -c '"total": [1-9]') >= 16"
	ht "$policies/recency.bpf.o" >/dev/null
	some_epochs 4
	check "a swap keeps the heat of every tile" "$heat" "$(heat_of_tiles)"
	check "and the map of targets" "$targets" "$(bpftool map dump pinned $pins/$name/targets)"
	check "and the number of samples" "$counted" "$(now samples_counted)"
	holds "samples seen = counted + dropped, over all policies" \
		"($(stat samples_seen) - $(stat samples_counted) - $(stat +dropped)) ^ 2 <= $slack ^ 2"
	kill -CONT "$faulter"
	some_epochs 4
	holds "the new policy counts on" "$(now samples_counted) > $counted"
}

# When --unload returns, all is gone; what comes next finds no obstacle.
check_unload()
{
	# shellcheck disable=SC2046
	set -- $(objects | cut -d' ' -f3-)
	timeout 30 $load --instance "$name" --unload >"$tmp/unload.out" 2>&1
	check "--unload: exit status" 0 $?
	# The shell's child is a zombie then.
	check "it returns when the loader is gone" "" "$(ls /proc/$loader/fd 2>/dev/null)"
	check "pins and socket are gone" "" "$(ls -d $pins/$name /run/hypertier/$name/control 2>/dev/null)"
	start again "$policies/none.bpf.o"
	ok "the next one starts at once"
	unload
	check "the loader's exit status" 0 $status
	if wait_for 10 none_left "$@"; then ok "no program or map is left"; else not_ok "no program or map is left"; fi
	ht --unload 2>"$tmp/unload.err"
	check "--unload without a loader: exit status" 1 $?
	contains "it says so" "$tmp/unload.err" "no loader $name runs"
	killed "$faulter"
}

# ---- what fails keeps the old policy ----

# refused WHAT PATTERN ARGS...: exit status 7, a reason, nothing changed
refused()
{
	local what=$1 pattern=$2 before after rc

	shift 2
	answers
	before="$(stat policy) $(stat object) $(stat generation) $(stat swaps) $(stat tiering) $(stat last_exit_reason) $(fds)"
	timeout 60 $load --instance "$name" "$@" >"$tmp/refused.out" 2>"$tmp/refused.err"
	rc=$?
	answers
	after="$(stat policy) $(stat object) $(stat generation) $(stat swaps) $(stat tiering) $(stat last_exit_reason) $(fds)"
	check "$what: exit status 7, nothing changed" "7 $before" "$rc $after"
	contains "$what: the reason is told" "$tmp/refused.err" "not swapped, the old policy stays: .*$pattern"
}

test_failures()
{
	local objects

	fault 16
	start failures "$policies/range.bpf.o"
	some_epochs 3
	objects=$(object_numbers)
	head -c 20000 "$policies/range.bpf.o" >"$tmp/half.bpf.o"
	echo "no policy" >"$tmp/text.bpf.o"
	refused "a program" "is no HyperTier policy" /bin/true
	refused "a text" "is no HyperTier policy" "$tmp/text.bpf.o"
	refused "half a policy" "is no HyperTier policy" "$tmp/half.bpf.o"
	refused "a directory" "not a regular file" "$tmp"
	refused "a device" "not a regular file" /dev/zero
	refused "a missing file" "No such file or directory" "$tmp/nosuch.bpf.o"
	refused "a missing file, relative" "$PWD/nosuch.bpf.o: No such file" nosuch.bpf.o
	contains "... where it was looked for is told" "$tmp/refused.err" \
		"no policy 'nosuch.bpf.o': neither a file here nor in .*policies, which has: .*random range"
	refused "another ABI" "another ABI" "$bad/policy_abi.bpf.o"
	refused "rejected by the verifier" "rejected by the kernel: Permission denied" "$bad/bad_verifier.bpf.o"
	contains "the loader's log has the verifier's words" "$tmp/failures.err" "invalid mem access"
	refused "init declines" "declined to start" "$bad/bad_init.bpf.o"
	contains "the loader's log has what init returned" "$tmp/failures.err" "init returned 77"
	refused "no such knob" "--set nosuch=1: no such knob" --set nosuch=1 "$bad/bad_slow.bpf.o"
	refused "a knob's value is no number" "not NAME=NUMBER" --set us=fast "$bad/bad_slow.bpf.o"
	refused "a knob's value is out of range" "out of range" --set us=1000001 "$bad/bad_slow.bpf.o"
	refused "writes over what it is shown" "cannot rank: it wrote over what it was shown" "$bad/bad_garbage.bpf.o"
	refused "too slow in its trial" "too slow: [0-9]+ ms to rank" "$bad/bad_slow.bpf.o"
	if wait_for 10 numbers_are "$objects"; then ok "none of them left a program or map"; else
		not_ok "none of them left a program or map (want $objects, got $(object_numbers))"; fi
	ht --budget 5 "$policies/recency.bpf.o" >"$tmp/ok.out" 2>"$tmp/ok.err"
	check "a good one is taken all the same" "0 recency" "$? $(now policy)"
	contains "who meant to start a loader is warned" "$tmp/ok.err" "only --set counts; .*--instance"
	survives
	unload
	killed "$faulter"
}

# Policies that are no good, but do no harm: the loader goes on, and answers.
survives()
{
	local p epoch

	for p in bad_const "bad_const --set lowest=1" bad_thrash; do
		# shellcheck disable=SC2086
		set -- $p
		ht "$bad/$1.bpf.o" "${@:2}" >"$tmp/ok.out" 2>&1 || { not_ok "$p is taken"; tail -n 3 "$tmp/ok.out"; continue; }
		epoch=$(now epoch)
		some_epochs 20 && check "$p: the loader survives 20 epochs" "$1 true" "$(now policy) $(stat tiering)" ||
			not_ok "$p: the loader survives 20 epochs (at $(now epoch) of $epoch + 20)"
	done
	ht "$policies/range.bpf.o" >/dev/null
	check "and changes back" "0 range" "$? $(now policy)"
}

# ---- ejection ----

ejected() { true_that "$(now ejections) >= $1"; }

# What everybody can see of an ejection: the built-in policy, and why.
check_ejected()
{
	contains "$1: the reason is printed" "$tmp/$1.err" "policy 'bad_slow' is ejected: too slow: ops took"
	contains "$1: and the last epoch" "$tmp/$1.err" "last epoch [0-9]+: [0-9]+ ranges"
	ht --status >"$tmp/status.txt"
	contains "$1: it is in --status" "$tmp/status.txt" "the policy before left: too slow"
	check "$1: and in its JSON" "4 too" "$(stat last_exit_kind) $(stat last_exit_reason | cut -d' ' -f1)"
	bpftool map dump pinned $pins/$name/control >"$tmp/control"
	contains "$1: and in the pinned map, kind" "$tmp/control" '"kind": 4'
	contains "$1: and in the pinned map, reason" "$tmp/control" '"reason": "too slow: ops took'
}

test_ejection()
{
	local epoch

	fault 16
	start ejection "$policies/recency.bpf.o"
	some_epochs 3
	ht --set after=5 "$bad/bad_slow.bpf.o" >/dev/null
	check "a policy that is fast at first is taken" "0 bad_slow" "$? $(now policy)"
	epoch=$(stat epoch)
	wait_for 30 ejected 1
	check "when it gets slow, the built-in one takes over" "range built-in range true 1" \
		"$(now policy) $(stat object) $(stat tiering) $(stat ejections)"
	# 5 ticks until it is slow, 3 slow epochs, and some that pass until we look.
	holds "within a few epochs" "$(stat epoch) - $epoch < 20"
	check_ejected ejection
	refused "it may not come back at once" "was ejected: it may come back in [0-9]+ s" \
		--set after=5 "$bad/bad_slow.bpf.o"
	some_epochs 30
	check "the built-in one is not ejected" "1 range" "$(now ejections) $(stat policy)"
	ht "$policies/recency.bpf.o" >/dev/null
	check "others may come" "0 recency" "$? $(now policy)"
	# Longer than a lower fast share is put up with: half of the memory is given back all the time.
	some_epochs 45
	check "and stay, where nothing can be moved anyway" "1 recency" "$(now ejections) $(stat policy)"
	[ "${SOAK:-0}" != 1 ] || check_backoff
	unload
	check "the loader ends well" 0 $status
	killed "$faulter"
}

is_taken() { ht --set after=5 "$bad/bad_slow.bpf.o" >/dev/null 2>&1; }
check_backoff()
{
	local n

	for n in 2 3; do
		echo "# back-off $((n - 1))"
		wait_for $((60 * n)) is_taken || not_ok "it may come back after its back-off"
		wait_for 30 ejected $n
		check "ejected once more" "$n range" "$(now ejections) $(stat policy)"
	done
	refused "after three times it stays out" "ejected 3 times: it stays out" --set after=5 "$bad/bad_slow.bpf.o"
}

# Slow from the start: there is no trial before the first policy.
test_eject_first()
{
	fault 16
	start first --set after=3 "$bad/bad_slow.bpf.o"
	wait_for 30 ejected 1
	check "the first policy can be ejected too" "range built-in range" "$(now policy) $(stat object)"
	check_ejected first
	unload
	killed "$faulter"
}

stopped() { [ "$(now tiering)" = false ]; }
test_eject_stop()
{
	local ops counted

	fault 16
	start stop --on-eject stop --set after=3 "$bad/bad_slow.bpf.o"
	wait_for 30 stopped
	check "--on-eject stop: tiering stops" "false bad_slow 1" "$(now tiering) $(stat policy) $(stat ejections)"
	check_ejected stop
	contains "--on-eject stop: --status says so" "$tmp/status.txt" "TIERING STOPPED"
	ops=$(stat ops_ns) counted=$(stat samples_counted)
	some_epochs 10
	holds "--on-eject stop: samples are still counted" "$(now samples_counted) > $counted"
	check "--on-eject stop: its ops are not called any more" "$ops" "$(stat ops_ns)"
	refused "--on-eject stop: it may not come back" "may come back in" --set us=0 "$bad/bad_slow.bpf.o"
	ht "$policies/recency.bpf.o" >/dev/null
	check "--on-eject stop: another policy tiers again" "0 recency true" "$? $(now policy) $(stat tiering)"
	unload
	killed "$faulter"
}

# ---- several loaders ----

test_instances()
{
	local a b fa

	fault 16
	fa=$faulter
	start a "$policies/range.bpf.o"
	a=$loader
	name=$other
	fault 16
	start b "$policies/recency.bpf.o"
	b=$loader
	name=${other%-b}
	# Each counts its target from its first epoch on.
	for _ in {1..50}; do
		ht --list >"$tmp/list"
		[[ $(grep -c ' targets 1 ' "$tmp/list") -ge 2 ]] && break
		sleep 0.2
	done
	contains "--list has the one" "$tmp/list" "^$name +pid $a +policy range .* targets 1 "
	contains "--list has the other" "$tmp/list" "^$other +pid $b +policy recency .* targets 1 "
	ht --list --json >"$tmp/list"
	check "--list --json has both" "$a range $b recency" "$(for i in $name $other; do
		"$BUILD/tests/lab/jget" "$tmp/list" "[instance=$i].pid"
		"$BUILD/tests/lab/jget" "$tmp/list" "[instance=$i].policy"; done | xargs)"
	# Keys of the map of targets, in hexadecimal and little endian; bpftool prints them by their type.
	contains "the one's target" <(bpftool map dump pinned $pins/$name/targets) "\"tgid\": $fa,"
	lacks "is not the other's" <(bpftool map dump pinned $pins/$other/targets) "\"tgid\": $fa,"
	ht "$policies/threshold.bpf.o" >/dev/null
	check "a swap changes the one" threshold "$(now policy)"
	name=$other
	check "and not the other" "recency 0" "$(now policy) $(stat swaps)"
	name=${other%-b}
	killed "$fa"
	loader=$a
	unload
	check "the one ends, with its pins" "0 " "$status $(ls -d $pins/$name 2>/dev/null)"
	name=$other loader=$b
	some_epochs 5 && ok "the other goes on" || not_ok "the other goes on"
	check "its pins are there" 8 "$(ls $pins/$name | wc -l)"
	ht --list >"$tmp/list"
	lacks "--list has the one no more" "$tmp/list" "^${other%-b} "
	unload
	check "it ends, with its pins" "0 " "$status $(ls -d $pins/$name 2>/dev/null)"
	name=${other%-b}
	killed "$faulter"
}

# ---- loaders that were killed ----

test_killed()
{
	fault 16
	start victim "$policies/range.bpf.o"
	# shellcheck disable=SC2046
	set -- $(objects | cut -d' ' -f3-)
	killed $loader
	check "kill -9 leaves a socket and pins" "8 socket" "$(ls $pins/$name | wc -l) $([ -S /run/hypertier/$name/control ] && echo socket)"
	ht --status 2>"$tmp/status.err"
	check "--status: nobody" 1 $?
	contains "--status says so" "$tmp/status.err" "no loader $name runs"
	ht --list >"$tmp/list" 2>&1
	lacks "--list does not have it" "$tmp/list" "$name"
	start next "$policies/recency.bpf.o"
	contains "the next start cleans up" "$tmp/next.err" "cleaned up after a loader that was killed: 8 things"
	check "and works" "recency 1 8" "$(some_epochs; now policy) $(stat targets) $(ls $pins/$name | wc -l)"
	ht "$policies/range.bpf.o" >/dev/null
	check "and can be swapped" "0 range" "$? $(now policy)"
	if wait_for 10 none_left "$@"; then ok "the killed one's programs and maps are gone"; else
		not_ok "the killed one's programs and maps are gone"; fi
	check_killed_while_asked
	check_two_at_once
	unload
	check "all is clean in the end" "0 " "$status $(ls -d $pins/$name /run/hypertier/$name/control 2>/dev/null)"
	killed "$faulter"
}

# Who asks a loader that is killed before it answers becomes the loader.
check_killed_while_asked()
{
	local old=$loader

	kill -STOP $old
	$load --instance "$name" --dry-run --source page-fault --pid "$faulter" --epoch 100ms \
		"$policies/threshold.bpf.o" \
		>"$tmp/asked.out" 2>"$tmp/asked.err" &
	loader=$!
	sleep 0.5
	killed $old
	wait_for 30 up_or_gone
	check "a client whose loader is killed becomes one" "threshold $loader" "$(now policy) $(stat pid)"
	contains "having cleaned up" "$tmp/asked.err" "cleaned up after a loader that was killed"
}

# Two starts at once: one loader. The other asks it, or, too early for that, is told that it is there.
check_two_at_once()
{
	local rc i p=() one=0 said=0

	unload
	for i in 0 1; do
		$load --instance "$name" --dry-run --source page-fault --pid "$faulter" --epoch 100ms \
			"$policies/range.bpf.o" \
			>"$tmp/race$i.out" 2>"$tmp/race$i.err" &
		p+=($!)
	done
	wait -n "${p[@]}"
	rc=$?
	wait_for 30 answers
	for i in 0 1; do
		[ "${p[i]}" = "$(now pid)" ] && { one=$((one + 1)); loader=${p[i]}; continue; }
		grep -q "took over" "$tmp/race$i.out" && said=0
		grep -q "another hypertier-load runs" "$tmp/race$i.err" && said=8
	done
	check "two starts at once: one loader, the other is told (exit $rc)" "1 $rc" "$one $said"
}

for t in "${@:-swaps failures ejection eject_first eject_stop instances killed}"; do
	for one in $t; do "test_$one"; done
done
echo "# $SECONDS s"
exit $((failed > 0))
