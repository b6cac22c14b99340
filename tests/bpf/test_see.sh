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

# on_tty NAME [ROWS COLUMNS]: top on a terminal that does what stdin says (tests/lab/tty.c).
on_tty()
{
	"$BUILD/tests/lab/tty" "${2:-24}" "${3:-80}" "$top" -i "$name" -d 0.3 >"$tmp/$1" 2>&1
	sed -n "s/^\(not ok\|ok\) - /\1 - top, $1: /p; /^not ok/,/^ok/s/^#/#/p" "$tmp/$1"
	failed=$((failed + $(grep -c '^not ok' "$tmp/$1")))
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

check "the recording tells the period, which was not asked for" 1 "$(od -An -tu8 -j16 -N8 "$tmp/trace" | tr -d ' ')"

# ---- top
on_tty keys <<END
until 9 sort by heat
until 9 faults
print $tmp/screen
keys d
until 9 sort by density
keys r
until 9 sort by recent
keys p
until 9 sort by pages
keys a
until 9 sort by address
keys s
until 9 sort by heat
keys \\e[B\\e[B\\e[Bjkxyz
keys  $(: a blank)
until 9 paused
keys  $(: a blank)
gone 9 paused
keys q
end 9 0
restored
END
for what in hypertier-top Fast Moves Source Policy TIER COMMAND ADDRESS FLAGS 'faults ' page-fault 'dry run' 'q quit'; do
	contains "top shows $what on 80 x 24" "$tmp/screen" "$what"
done
check "and uses no column or line more" "24 1" "$(awk 'length > 80 { bad = 1 } END { print NR, !bad }' "$tmp/screen")"
on_tty sizes <<END
until 9 sort by heat
size 40 132
until 9 page-faults every 1
print $tmp/wide
size 12 60
gone 9 page-faults every 1
until 9 q quit
print $tmp/small
size 5 20
until 9 needs 60 x 12
size 1 1
size 24 80
until 9 sort by heat
keys Q
end 9 0
restored
END
check "a wide screen has its keys in the last line" 40 "$(grep -n 'q quit' "$tmp/wide" | cut -d: -f1)"
check "so has a small one" 12 "$(grep -n 'q quit' "$tmp/small" | cut -d: -f1)"
for sig in 2 15 1 3 11 6 8; do # INT TERM HUP QUIT, SEGV ABRT FPE
	[ $sig = 11 ] && ulimit -c 0
	case $sig in 11 | 6 | 8) rc=$((128 + sig)) ;; *) rc=0 ;; esac
	# Not through a pipe: its right side could not fail this script.
	on_tty "signal $sig" < <(printf '%s\n' 'until 9 sort by heat' "signal $sig" "end 9 $rc" restored)
done
on_tty silence <<END
until 9 sort by heat
run kill -STOP $loader
until 9 NO ANSWER
run kill -CONT $loader
gone 9 NO ANSWER
keys q
end 9 0
restored
END
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

# ---- the end, of which top tells
on_tty end <<END
until 9 sort by heat
run kill -INT $loader
until 20 has ended
end 9 1
restored
END
wait $loader
check "the loader ends well" 0 $?
check "the file for Prometheus goes with it" "" "$(ls "$tmp/ht.prom" 2>/dev/null)"

# ---- who reads the output ends first, as by Ctrl-C in a pipe
"$BUILD/hypertier-load" --instance "$name" --dry-run --source page-fault --pid $faulter --epoch 100ms \
	--stats 1 --duration 2 "$BUILD/policies/range.bpf.o" 2>&1 | true
check "with nobody to read what it prints, the loader runs on and ends well" "0 0" "${PIPESTATUS[*]}"
check "and leaves nothing" "" "$(ls $pins/$name /run/hypertier/$name/journal 2>/dev/null)"
{ kill -9 $faulter; wait $faulter; } 2>/dev/null

# ---- heat map and replay of the recording
"$map" "$tmp/trace" -o "$tmp/h.svg" -o "$tmp/h.png" >"$tmp/heat" 2>&1
check "a heat map of a recording" 0 $?
hot=$(sed -nE 's/.*class="row" data-pid="([0-9]+)".*data-heat="([0-9]+)".*/\1 \2/p' "$tmp/h.svg" | awk '$2 > m { m = $2; p = $1 } END { print p }')
check "its hottest row is the target's" $faulter "$hot"
holds "half of the memory is hot, not all" "$(grep -c 'class="row".*data-heat="[0-9]\{4,\}"' "$tmp/h.svg") >= 14"
contains "what lies between two regions is folded" "$tmp/h.svg" '>  gap [0-9.]+ [TG]iB<'

# ---- a picture of which everything is known: tests/lab/picture.c
picture=$BUILD/tests/lab/picture
color() { "$picture" pixel "$tmp/k.png" "$1" "$2"; }
"$picture" record "$tmp/known"
"$map" "$tmp/known" -o "$tmp/k.svg" -o "$tmp/k.png" >"$tmp/known.out"
check "known: exit status" 0 $?
contains "known: what it says" "$tmp/known.out" \
	'^2 regions, 16 rows of 2 MiB, 10 columns, 5.0 s, [0-9]+ samples; too few samples in 2 columns$'
"$picture" compare "$tmp/k.png" "$tmp/k.svg" >"$tmp/compare"
check "known: the PNG shows what the SVG says, pixel by pixel" \
	"16 16 2 2 true" "$(for k in cells same few hatched size_same; do "$BUILD/tests/lab/jget" "$tmp/compare" $k; done | paste -sd' ')"
"$picture" info "$tmp/k.png" >"$tmp/info"
holds "known: half a terabyte takes no room" "$("$BUILD/tests/lab/jget" "$tmp/info" height) < 600"
contains "known: the gap is told" "$tmp/k.svg" '>  gap 512 GiB<'
check "known: hot in the fast tier is the darkest red" a50f15 "$(color 200 100)"
check "known: in each column that has samples" a50f15 "$(color 490 100)"
cold=$(color 200 300)
holds "known: cold in the slow tier is a light blue ($cold)" \
	"$((16#${cold:4:2})) > $((16#${cold:0:2})) + 32 && $((16#${cold:0:2})) > 100"
"$picture" compare "$tmp/h.png" "$tmp/h.svg" >"$tmp/compare"
check "the recording's PNG shows what its SVG says" "$("$BUILD/tests/lab/jget" "$tmp/compare" cells)" \
	"$("$BUILD/tests/lab/jget" "$tmp/compare" same)"
"$BUILD/replay" --trace "$tmp/trace" "$BUILD/policies/range.bpf.o" >"$tmp/replay" 2>&1
check "the recording replays" 0 $?
lacks "what the best share would be is not known" "$tmp/replay" '-100'
"$BUILD/replay" --trace "$tmp/trace" --json /dev/full range >"$tmp/replay" 2>&1
check "a result that cannot be written, and a policy by name" 1 $?
contains "it is said" "$tmp/replay" "cannot write /dev/full"

# ---- page rates as the evaluation records them: every eighth of 1024 pages is a hundred times as hot
{
	printf 'HTEVCNT1\1\0\0\0\20\0\0\0\0\4\0\0\0\0\0\0'
	head -c 24 /dev/zero
	for ((i = 0; i < 1024; i++)); do
		printf -v page '\\x%02x\\x%02x\\0\\0\\0\\0\\0\\0\\x%02x\\0\\0\\0' $((i & 255)) $((i >> 8)) $((i % 8 ? 1 : 100))
		# shellcheck disable=SC2059 # bytes
		printf "$page"
	done
} >"$tmp/rates"
"$BUILD/replay" --rates "$tmp/rates" --dense 3 --samples 200 -n 30 -e 0 range >"$tmp/replay" 2>&1
check "page rates are replayed" 0 $?
best=$(sed -nE "s/.* of the oracle's ([0-9.]+) %.*/\1/p" "$tmp/replay")
check "the best share is that of the hottest quarter" 94.39 "$best"
holds "the hot pages are found" "$(sed -nE 's/.*\(([0-9.]+) % of the.*/\1/p' "$tmp/replay") > 90"
head -c 1000 "$tmp/rates" >"$tmp/short"
: >"$tmp/empty"
for f in short trace empty missing; do
	"$BUILD/replay" --rates "$tmp/$f" range >"$tmp/replay" 2>&1
	check "no rates: $f" 1 $?
	contains "no rates: $f: it says so" "$tmp/replay" "not counts of an evaluation|No such file"
done

# ---- hostile recordings
hostile() { "$map" "$1" -o "$tmp/x.svg" >"$tmp/hostile" 2>&1; check "$2" 1 $?; contains "$2: it says why" "$tmp/hostile" "$3"; }
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
