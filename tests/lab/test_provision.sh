#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# Three guests share 144 MiB of fast memory. The hot set of one is larger than a third of that, of the
# others smaller; whose it is changes. Then one of them floods the host with lies, and another gives
# back nothing. The daemon is killed at random moments all the while. What is asserted is what the
# hypervisors say, many times a second; the same guests with a third each are what it is compared with.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.12
# Three guests for two and a half minutes, on a machine with nothing else to do.
[ "${SLOW:-0}" = 1 ] || { skip "three guests share a fast tier" "takes 150 s: SLOW=1 make test T=provision"; exit 0; }
provision=$PWD/build/hypertier-provision memwatch=$PWD/build/tests/lab/memwatch
for f in "$provision" "$memwatch" build/tests/lab/hotshift; do
	[ -x "$f" ] || { echo "not ok - $f is missing: make test-programs"; exit 1; }
done
dir=build/results/lab/provision
capacity=144 guarantee=16 big=90 small=8
phase_s=${PHASE_S:-14}
pids=() killer='' watcher=''

# shellcheck disable=SC2317
cleanup()
{
	trap - EXIT
	touch $dir/calm 2>/dev/null
	kill "${pids[@]}" $killer $watcher 2>/dev/null
	[ ! -s $dir/daemon.pid ] || kill "$(cat $dir/daemon.pid)" 2>/dev/null
	wait 2>/dev/null
}
trap cleanup EXIT
trap 'exit 130' INT TERM

# guest NAME ENVIRONMENT: in the background, its output in $dir/NAME.log
guest()
{
	local n=$1

	nice -n 5 tools/lab/lab run -k 6.12 -t 600 -o "$dir/$n" -m "$dir/$n.qmp" -s smp=1 -s node0_cpus=0 \
		-s node0_size=128M -s node1_size=320M -s node0_hotplug=256M -s emu_model=1 -s emu_llc_size=2M \
		-a memhp_default_state=online_movable \
		-q "-chardev socket,id=rep,path=$dir/$n.rep,server=on,wait=off -device virtserialport,chardev=rep,nr=5,name=hypertier.report -chardev socket,id=qmp2,path=$dir/$n.qmp2,server=on,wait=off -mon chardev=qmp2,mode=control" \
		-f tests/lab/lib.sh:tests/lab/lib.sh -f build/tests/lab/jget:bin/jget -f build/tests/lab/hotshift:bin/hotshift \
		-f tests/lab/guest-provision.sh:tests/lab/guest-provision.sh \
		-- "PATH=/ht/bin:\$PATH PHASE_S=$phase_s $2 sh tests/lab/guest-provision.sh" \
		>"$dir/$n.log" 2>&1 &
	pids+=($!)
}

configure()
{
	cat >$dir/conf <<-CONF
	[daemon]
	period = 500ms
	state = $dir/state
	metrics = $dir/metrics.prom
	[rules]
	patience = 0
	decay = 0.7
	shrink-timeout = 5s
	backoff = 5s
	[tier fast]
	capacity = ${capacity}M
	[default]
	fast.device = vmem0
	fast.guarantee = ${guarantee}M
	CONF
	for n in a b c; do
		printf '[vm %s]\nqmp = %s\nreport = %s\n' $n "$dir/$n.qmp" "$dir/$n.rep" >>$dir/conf
	done
}

run_daemon()
{
	"$provision" run -v --run-dir $dir/run $dir/conf >>$dir/daemon.out 2>>$dir/daemon.err &
	disown
	echo $! >$dir/daemon.pid
}

# Each daemon lives for some seconds, as long as a random number says.
kill_at_random()
{
	RANDOM=1
	while :; do
		run_daemon
		for _ in $(seq $((25 + RANDOM % 40))); do
			[ ! -e $dir/calm ] || return
			sleep 0.1
		done
		kill -9 "$(cat $dir/daemon.pid)" && echo killed >>$dir/kills
		wait_for 5 gone "$(cat $dir/daemon.pid)"
	done
}

filled() { grep -q '^# filled' $dir/a.log && grep -q '^# filled' $dir/b.log && grep -q '^# filled' $dir/c.log; }

# phase_start GUEST N: in seconds since 1970; nothing if it did not get there.
phase_start() { awk -v n="$2" '$1 == "phase" && $2 == n { print $3 }' "$dir/$1/phases"; }

# reaches GUEST MIB FROM TO: seconds after FROM until the device has so much, before TO
reaches()
{
	awk -v n="$1" -v want="$2" -v from="$3" -v to="$4" '
		$2 == n { at = $1 / 1000; if (at > to) exit; size = $3
			if (size >= want) { print (at > from ? at - from : 0); found = 1; exit } }
		END { if (!found) print "never" }' $dir/sizes
}
start_guests() # ENVIRONMENT of a, b and c
{
	pids=()
	guest a "$1"
	guest b "$2"
	guest c "$3"
	wait_for 300 filled || { not_ok "the guests start"; tail -n 5 $dir/?.log | sed 's/^/# /'; exit 1; }
}

# model GUEST: modelled seconds for three phases of ten million updates
model() { awk '$2 <= 3 { s += $4 / 100 } END { printf "%.3f", s }' "$dir/$1/phases"; }

test_divided()
{
	rm -rf $dir
	mkdir -p $dir
	configure
	start_guests "REPORT=1 PHASES='$big $small $small $big' LAST=rest LAST_S=6" \
		"REPORT=1 PHASES='$small $big $small' LAST=lie LAST_S=$((phase_s + 2))" \
		"REPORT=1 PHASES='$small $small $big' LAST=refuse LAST_S=$((phase_s + 2))"
	"$memwatch" $dir/sizes $capacity a:$dir/a.qmp2:vmem0:$guarantee b:$dir/b.qmp2:vmem0:$guarantee \
		c:$dir/c.qmp2:vmem0:$guarantee >$dir/watch.log 2>&1 &
	watcher=$!
	kill_at_random &
	killer=$!
	# Long enough for the first grant to be seen, the tables to be filled and three phases and a half; the rest of the fourth is calm.
	granted=$(date +%s)
	while [ "$(date +%s)" -lt $((granted + 7 + 3 * phase_s + phase_s / 2)) ]; do sleep 0.5; done
	touch $dir/calm
	sleep $((phase_s / 2 - 3))
	"$provision" status --run-dir $dir/run >$dir/status.txt 2>&1
	"$provision" status --json --run-dir $dir/run >$dir/status.json 2>&1
	wait "${pids[@]}"
	kill "$(cat $dir/daemon.pid)"
	wait $killer
	rm -f $dir/daemon.pid
	kill $watcher 2>/dev/null
	wait $watcher
	watch_status=$?
}

judge_divided()
{
	local i g n from to got bigs=(a b c)

	for n in a b c; do
		check "guest $n ran to its end, with all data intact" "1 0" \
			"$(grep -c '^# complete' $dir/$n.log) $(grep -c '^not ok' $dir/$n.log)"
	done
	check "guarantees and capacity hold at every look ($(tail -n 1 $dir/watch.log))" 0 $watch_status
	holds "the hypervisors were looked at often enough" \
		"$(sed -n 's/^looks \([0-9]*\).*/\1/p' $dir/watch.log) > 200"
	holds "the daemon was killed at random moments" "$(wc -l <$dir/kills) >= 4"
	lacks "no daemon lost its state" $dir/daemon.err 'state file'
	for i in 0 1 2; do
		g=${bigs[$i]}
		from=$(phase_start $g $((i + 1)))
		to=$((from + phase_s))
		got=$(reaches $g $((big * 3 / 4)) "$from" "$to")
		echo "#| phase $((i + 1)): guest $g's hot set grows to $big MiB; has $((big * 3 / 4)) MiB of fast memory after $got s"
		holds "phase $((i + 1)): capacity follows the hot set" "${got/never/999} < $phase_s"
	done
}

# In the end b floods, c keeps what it has, and a wants much: it gets all that c leaves but b's guarantee.
judge_hostile()
{
	local j=$dir/status.json

	contains "the flood is noticed" $dir/daemon.err 'VM b floods'
	contains "who gives back nothing is in default" $dir/daemon.err 'VM c did not do as asked'
	sed 's/^/# /' $dir/status.txt
	holds "the others lose nothing to a flood of lies" \
		"$(mib_of a) >= $capacity - $(mib_of c) - $(mib_of b) - 8 && $(mib_of b) <= $guarantee + 8"
	holds "a guest that gives back nothing takes no guarantee" "$(mib_of a) >= $guarantee && $(mib_of b) >= $guarantee"
	contains "status as JSON" $j '"schema": *1'
	contains "Prometheus text" $dir/metrics.prom '^hypertier_provision_vm_size_bytes\{vm="a",tier="fast"\} [0-9]'
}

# Device size of a VM in the table of the status.
mib_of() { awk -v n="$1" '$1 == n && $3 == "fast" { print $4 }' $dir/status.txt; }

test_static()
{
	mv $dir $dir.divided
	mkdir -p $dir
	start_guests "PHASES='$big $small $small'" "PHASES='$small $big $small'" "PHASES='$small $small $big'"
	for n in a b c; do
		"$memwatch" --set $dir/$n.qmp vmem0 $((capacity / 3)) || not_ok "guest $n gets its third"
	done
	wait "${pids[@]}"
	rm -rf $dir.static
	mv $dir $dir.static
	mv $dir.divided $dir
}

compare()
{
	local n sum=0 fixed=0 d s

	for n in a b c; do
		d=$(model $n)
		s=$(dir=$dir.static model $n)
		echo "#| guest $n: modelled time $d s, with a third each $s s"
		sum=$(awk "BEGIN { print $sum + $d }") fixed=$(awk "BEGIN { print $fixed + $s }")
	done
	echo "#| in all: $sum s against $fixed s, $(awk "BEGIN { printf \"%.1f\", 100 * (1 - $sum / $fixed) }") % less"
	holds "total modelled time is down against a static equal split" "$sum < 0.97 * $fixed && $sum > 0"
}

rm -rf $dir.divided $dir.static
test_divided
judge_divided
judge_hostile
test_static
compare
exit $((failed > 0))
