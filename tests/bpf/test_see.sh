#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# What one can see of a running loader: hypertier-top on a terminal of 80 x 24 and without one,
# hypertier-heatmap live and of a recording, the file for Prometheus, every command of docs/inspect.md.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
BUILD=${BUILD:-build}
name=see-$$
tmp=$(mktemp -d /tmp/ht-see.XXXXXX)
pins=/sys/fs/bpf/hypertier
top=$BUILD/hypertier-top map=$BUILD/hypertier-heatmap

end()
{
	kill -9 $(jobs -p)
	wait 2>/dev/null
	rm -f $pins/$name/*
	rmdir $pins/$name $pins
	rm -rf /run/hypertier/$name "$tmp"
} 2>/dev/null
trap end EXIT

if [ "$(id -u)" != 0 ] || ! bpftool prog show >/dev/null 2>&1; then
	skip "a loader is looked at" "needs root, BPF and bpftool"
	exit 0
fi

answers() { "$BUILD/hypertier-load" --instance "$name" --status --json >"$tmp/status" 2>/dev/null; }
counted() { answers && [ "$("$BUILD/tests/lab/jget" "$tmp/status" samples_counted)" -gt 10000 ]; }

# on_tty LOG COMMAND: in a shell on a terminal of its own; the terminal's state before and after.
on_tty()
{
	TERM=xterm script -qec "stty rows 24 cols 80; stty -g >$tmp/before; $2; echo \$? >$tmp/rc; stty -g >$tmp/after" \
		"$tmp/$1" >/dev/null 2>&1 <"${3:-/dev/null}"
	check "$1: the terminal is as it was" "$(cat "$tmp/before")" "$(cat "$tmp/after")"
	check "$1: full-screen mode was left" 1 \
		"$(awk 'BEGIN { RS = "\033" } /^\[\?1049h/ { on = 1 } /^\[\?1049l/ { on = 0; left = 1 } END { print left && !on }' "$tmp/$1")"
}

# ---- nobody runs
"$top" -i "$name" >"$tmp/none" 2>&1
check "top without a loader: exit status" 1 $?
contains "it says so" "$tmp/none" "no loader $name runs: start one"
"$map" -i "$name" -o "$tmp/x.svg" 2>"$tmp/none"
check "heatmap without a loader: exit status" 1 $?
contains "it says so" "$tmp/none" "no loader runs in .*$name"

"$BUILD/tests/lab/faults" 64 &
faulter=$!
"$BUILD/hypertier-load" --instance "$name" --dry-run --source page-fault --pid $faulter --epoch 100ms \
	--record "$tmp/trace" --prometheus "$tmp/ht.prom" "$BUILD/policies/range.bpf.o" >"$tmp/out" 2>"$tmp/err" &
loader=$!
wait_for 30 counted || { not_ok "the loader counts"; cat "$tmp/err"; exit 1; }

# ---- top
on_tty keys "$top -i $name -d 0.3 -n 6"
for what in hypertier-top Fast Moves Source Policy TIER COMMAND ADDRESS faults page-fault 'dry run'; do
	contains "top shows $what" "$tmp/keys" "$what"
done
check "top ends well" 0 "$(cat "$tmp/rc")"
for sig in INT TERM HUP QUIT SEGV ABRT; do
	on_tty "top-$sig" "$top -i $name -d 0.3 </dev/tty & p=\$!; (sleep 0.8; kill -$sig \$p) & wait \$p"
done
"$top" -i "$name" --once >"$tmp/once" </dev/null
check "top --once" 0 $?
contains "it shows the target" "$tmp/once" "$faulter faults"
check "in 80 columns" 1 "$(awk 'length > 80 { bad = 1 } END { print !bad }' "$tmp/once")"
"$top" -i "$name" --json --count 2 -d 0.3 >"$tmp/json"
check "top --json: a line for each look" 2 "$("$BUILD/tests/lab/jget" "$tmp/json" -n)"
check "top --json: ranges and targets" "$faulter $faulter" \
	"$("$BUILD/tests/lab/jget" "$tmp/json" range_list.0.pid) $("$BUILD/tests/lab/jget" "$tmp/json" target_list.0.pid)"

# ---- Prometheus
contains "the file for Prometheus" "$tmp/ht.prom" "^hypertier_samples_counted_total\{loader=\"$name\"\} [1-9]"
check "each series has help and type" 1 "$(awk '/^# HELP/ { h[$3] } /^# TYPE/ { t[$3] }
	/^[a-z]/ { sub(/[{ ].*/, ""); if (!($0 in h) || !($0 in t)) bad = 1 } END { print !bad }' "$tmp/ht.prom")"

# ---- docs/inspect.md
n=0
while read -r cmd; do
	n=$((n + 1))
	if $cmd >"$tmp/bpftool" 2>&1 && [ -s "$tmp/bpftool" ]; then ok "$cmd"; else not_ok "$cmd: $(head -n 1 "$tmp/bpftool")"; fi
done < <(sed -nE "s,^    (bpftool .*),\1,p" docs/inspect.md | sed "s,/sys/fs/bpf/hypertier/,$pins/$name/,")
holds "docs/inspect.md has commands" "$n >= 10"

# ---- heat map, live
"$map" -i "$name" -d 1 -o "$tmp/live.svg" -o "$tmp/live.png" >"$tmp/live" 2>&1
check "a live heat map" 0 $?
contains "of the target" "$tmp/live.svg" "class=\"row\" data-pid=\"$faulter\""

# ---- the end
kill -INT $loader
wait $loader
check "the loader ends well" 0 $?
check "the file for Prometheus goes with it" "" "$(ls "$tmp/ht.prom" 2>/dev/null)"
{ kill -9 $faulter; wait $faulter; } 2>/dev/null

# ---- heat map and replay of the recording
"$map" "$tmp/trace" -o "$tmp/h.svg" -o "$tmp/h.png" >"$tmp/heat" 2>&1
check "a heat map of a recording" 0 $?
hot=$(sed -nE 's/.*class="row" data-pid="([0-9]+)".*data-heat="([0-9]+)".*/\1 \2/p' "$tmp/h.svg" | awk '$2 > m { m = $2; p = $1 } END { print p }')
check "its hottest row is the target's" $faulter "$hot"
holds "half of the memory is hot, not all" "$(grep -c 'class="row".*data-heat="[0-9]\{4,\}"' "$tmp/h.svg") >= 14"
check "the PNG is one" 89504e470d0a1a0a "$(head -c 8 "$tmp/h.png" | od -An -tx1 | tr -d ' ')"
"$BUILD/replay" --trace "$tmp/trace" "$BUILD/policies/range.bpf.o" >"$tmp/replay" 2>&1
check "the recording replays" 0 $?

# ---- hostile recordings
hostile() { "$map" "$1" -o "$tmp/x.svg" >"$tmp/hostile" 2>&1; check "$2" 1 $?; contains "$2: it says why" "$tmp/hostile" "$3"; }
: >"$tmp/empty"
hostile "$tmp/empty" "an empty file" "not a recording"
head -c 4000 /dev/urandom >"$tmp/noise"
hostile "$tmp/noise" "noise" "not a recording"
{ head -c 32 "$tmp/trace"; head -c 1600 /dev/zero | tr '\0' '\377'; } >"$tmp/ones"
hostile "$tmp/ones" "records of ones" "damaged"
head -c 32 "$tmp/trace" >"$tmp/head"
hostile "$tmp/head" "no records" "nothing to draw"
head -c 7 "$tmp/trace" >"$tmp/seven"
hostile "$tmp/seven" "half a header" "not a recording"
head -c $((32 + 16 * 5 + 3)) "$tmp/trace" >"$tmp/few"
"$map" "$tmp/few" -o "$tmp/few.svg" >"$tmp/few.out" 2>&1
check "a recording cut short is drawn" 0 $?
contains "its end is told" "$tmp/few.out" "middle of a record"
contains "too few samples are shown as such" "$tmp/few.svg" 'class="few"'
exit $((failed > 0))
