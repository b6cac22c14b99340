#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash disable=SC2034,SC2154,SC2086,SC2046,SC2317
#
# Faults while a loader moves a workload that checks its data: see test_faults.sh. KILLS is how often a
# loader is killed, SEED what their moments follow from. One loader lives through all others, over and
# over for CHURN seconds, once if that is 0. TESTS names some of kill helper oom_loader churn.
. tests/lab/lib.sh
. tests/lab/faults-lib.sh
. tests/lab/faults-process.sh
. tests/lab/faults-machine.sh
begin

# ---- the loader killed ----

sources="auto auto auto hint-fault damon"
# narrow: a start took no longer than $delay, or longer than expected: the next moments follow it.
narrow()
{
	span=$(awk -v span="$span" -v delay="$delay" -v started="$1" 'BEGIN {
		if (started && span > 2 * delay)
			span = 2 * delay
		else if (!started && delay > 0.6 * span)
			span *= 1.4
		print span }')
}

test_kill()
{
	fault=kill at_start=0 running=0 moving=0 bad=0 i=0 kills=${KILLS:-20} seed=${SEED:-7}
	# From before the first change to well after the last: about as long again as a start takes.
	from=$(uptime)
	load_wait kill $options $mover && epochs 2 || return
	span=$(awk -v s="$from" '{ print $1 - s }' /proc/uptime)
	stop
	awk -v seed="$seed" -v n="$kills" 'BEGIN {
		srand(seed)
		for (i = 0; i < n; i++)
			printf "%.3f %d\n", rand(), 1 + int(5 * rand())
	}' >"$tmp/points"
	begun=$(uptime)
	while read -r point source; do
		# Of those asked for as many as there is time for, and until both kinds were hit.
		[ "$i" -lt 8 ] || true_that "$(uptime) - $begun < ${KILL_SECONDS:-10}" ||
			true_that "$at_start * ($running + $moving) == 0" || break
		# Something to move, soon.
		fresh_hot 8
		i=$((i + 1)) before=$(moved) delay=$(awk -v p="$point" -v s="$span" 'BEGIN { printf "%.2f", p * s }')
		load kill$i $options --source "$(echo $sources | cut -d' ' -f"$source")" $mover
		sleep "$delay"
		kill -9 $loader
		wait $loader 2>/dev/null
		if [ "$(moved)" != "$before" ]; then moving=$((moving + 1)); narrow 1
		elif started kill$i; then running=$((running + 1)); narrow 1
		else at_start=$((at_start + 1)); narrow 0; fi
		wait_for 10 nothing_alive && continue
		bad=$((bad + 1))
		echo "# after kill $i: $(alive)"
	done <"$tmp/points"
	kills=$i
	check "kill: $kills kills leave no program, link, map or event alive" 0 $bad
	holds "kill: they hit loaders that start, and loaders that run" "$at_start > 0 && $running + $moving > 0"
	tell w verify
	check "kill: the workload's data is intact" true "$(say w intact)"
	load_wait kill-after $options $range && epochs 2
	stop
	check "kill: the last start works and ends well" 0 $status
	cat "$tmp"/kill*.err >"$tmp/said"
	lacks "kill: what is left behind can be put back" "$tmp/said" 'cannot|could not|ignored|unknown'
	check_nothing_left kill
	result "kill -9 at $kills moments, of $span s at the end (seed $seed): $at_start while starting, $running running, $moving moving pages;" \
		"$(grep -l 'cleaned up after' "$tmp"/kill*.err | wc -l) starts had something to clean up"
}

# Who cleans up is the one that lives through what comes next.
test_oom_loader()
{
	fault=oom_loader
	fresh_hot 16
	load_wait oom $options $mover || return
	epochs 2
	echo 1000 >/proc/$loader/oom_score_adj
	echo f >/proc/sysrq-trigger
	wait_for 20 gone $loader || { not_ok "oom_loader: the kernel kills it"; kill -9 $loader; }
	wait $loader
	check "oom_loader: killed by the kernel" 137 $?
	dmesg | grep -q 'Out of memory: Killed process.*hypertier' && ok "oom_loader: for want of memory" ||
		not_ok "oom_loader: for want of memory"
	wait_for 10 nothing_alive || not_ok "oom_loader: nothing of it lives ($(alive))"
	up churn $range || return
	contains "oom_loader: the next one cleans up" "$tmp/churn.err" 'cleaned up after a loader that was killed'
	enter oom_loader
	leave
	result "loader killed by the OOM killer: the next start put $(sed -n 's/.*killed: \([0-9]*\) thing.*/\1/p' "$tmp/churn.err")" \
		"things back; $figures"
}

# ---- all of it, over and over ----

# "KiB FILES MAP_KIB": resident, open files, memory of the maps
size_of()
{
	echo "$(awk '/^VmRSS/ { print $2 }' /proc/$loader/status) $(ls /proc/$loader/fd | wc -l)" \
		"$(cat /proc/$loader/fdinfo/* 2>/dev/null | awk '/^memlock/ { n += $2 } END { print n / 1024 }')"
}

test_churn()
{
	[ "$load" = churn ] || up churn $range || return
	begun=$(uptime)
	: >"$tmp/sizes"
	while [ ! -s "$tmp/sizes" ] || true_that "$(uptime) < $begun + ${CHURN:-0}"; do
		for t in $faults; do
			each=$(uptime)
			case $t in
			use:*) use ${t#use:} ;;
			*) test_$t ;;
			esac
			echo "# $t took $(awk -v s="$each" '{ print $1 - s }' /proc/uptime) s"
		done
		gone $loader && { not_ok "churn: the loader lives"; tail -n 5 "$tmp/churn.err" | sed 's/^/# /'; break; }
		wait_for 20 no_target
		epochs 4
		echo "$(awk -v s="$begun" '{ print $1 - s }' /proc/uptime) $(size_of) $(trouble left | awk '{ print $1, $7 }')" \
			"$(awk '/^Slab/ { print $2 }' /proc/meminfo)" | tee -a "$tmp/sizes" | sed 's/^/# size /'
	done
	ejections="$(status ejections) ejections, $(status swaps) swaps, $(status samples_lost) samples lost"
	rounds=$(wc -l <"$tmp/sizes")
	result "churn: $rounds rounds in $(awk -v s="$begun" '{ printf "%.0f", $1 - s }' /proc/uptime) s, $(status epoch) epochs, $(status promoted) pages promoted, $(status demoted) demoted," \
		"$(status failed) failed, $ejections"
	[ "$rounds" -ge 4 ] || return
	# The first round is the time to warm up. By least squares: growth over the rest, of resident memory.
	awk -v rounds="$rounds" '
		NR == 1 || NR == int((rounds + 1) / 2) || NR == rounds {
			printf "#| churn at %4.0f s: %d KiB resident, %d files, %d KiB of maps, %d programs, %d maps, %d KiB slab\n",
				$1, $2, $3, $4, $5, $6, $7 }' "$tmp/sizes"
	grew=$(awk 'NR > 1 { n++; x += $1; y += $2; xx += $1 * $1; xy += $1 * $2; if (n == 1) a = $1; b = $1 }
		END { d = n * xx - x * x; print d ? (n * xy - x * y) / d * (b - a) : 0 }' "$tmp/sizes")
	rss=$(awk 'NR == 2 { print $2 }' "$tmp/sizes")
	result "churn: resident memory grew by $grew KiB"
	holds "churn: resident memory is flat" "$grew < 512 || $grew < 0.03 * ${rss:-0}"
	holds "churn: files are flat" "$(awk 'NR > 1 { if (!min || $3 < min) min = $3; if ($3 > max) max = $3 }
		END { print max - min }' "$tmp/sizes") <= 2"
	holds "churn: memory of the maps is flat" "$(awk 'NR > 1 { if (!min || $4 < min) min = $4; if ($4 > max) max = $4 }
		END { print max - min }' "$tmp/sizes") < 64"
}

booted=$(awk -v now="$(date +%s)" '{ print now - $1 }' /proc/uptime)
hot="" stuck="" faults=${FAULTS:-policy full reuse use:$mover offline oom_target storm restless fail clock overrun}
alive_first=$(alive) changed_first=$(changed)
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
spawn w keep=plain:8:1 thp=thp:8:1 lock=mlock:4:1 pin=pinned:2:1
for what in ${TESTS:-kill helper oom_loader churn}; do
	began=$(uptime)
	test_$what
	echo "# $what took $(awk -v s="$began" '{ print $1 - s }' /proc/uptime) s"
done
[ "$load" != churn ] || down churn
quit w
dmesg >"$tmp/dmesg"
lacks "the kernel has nothing to complain of" "$tmp/dmesg" 'WARNING|BUG:|Oops|bad page|Bad page|refcount_t|general protection'
finish
