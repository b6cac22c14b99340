#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# Three guests share 72 MiB of fast memory. The hot set of one is larger than a third of that, of the
# others smaller; whose it is changes. The daemon divides by its default rules: how many epochs until
# capacity has followed is counted. Then it is killed at random moments, again and again, and in the end a
# guest turns hostile, forges its reports and floods the host with noise. What is asserted is what the
# hypervisors say, many times a second from the first grant to the end.
#
# SLOW=1 adds what takes minutes: phases of so much work that modelled time can be compared with that of
# a fixed third for each, and of a division that knows all and is at once, which go before; and a guest that
# gives nothing back, until it is told to quit.
#
# Runs alone: three guests are enough for two CPUs, and what follows when is timed.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
need_lab 6.12
provision=$PWD/build/hypertier-provision memwatch=$PWD/build/tests/lab/memwatch
for f in "$provision" "$memwatch" build/tests/lab/hotshift; do
	[ -x "$f" ] || { echo "not ok - $f is missing: make test-programs"; exit 1; }
done
dir=build/results/lab/provision${RUN:+-$RUN}
capacity=72 guarantee=8 big=46 small=4 table=64
# How soon a guest has three quarters of its hot set's size, from the moment that it is told of the new set: in
# epochs of the guests, which on a busy machine are longer than they should be.
enough=$((big * 3 / 4)) epochs=${EPOCHS:-14}
# Of one phase, for each guest, where time is compared. By work, not by the clock: a busy machine makes it
# longer, no other. A hot set of real memory stays hot for minutes and an epoch is a second or less; here,
# where an update takes some ten times as long, so many updates are some 30 epochs and more.
slow=${SLOW:-0} updates=${UPDATES:-10000000}
# What it would be best to give: the big hot set its memory, and no more than is left to the others.
ideal_big=44 ideal_small=14
# What a moved page is charged, as the tiering itself does in the lab (loader/mover.h).
page_ns=1200
result=build/results/provision.json
guests='a b c'
pids=() killer='' watcher='' phase=0

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

# ---- guests

# guest NAME: in the background, its output in $dir/NAME.log
guest()
{
	local n=$1

	mkfifo "$dir/$n.cmd.in" "$dir/$n.cmd.out"
	tools/lab/lab run -k 6.12 -t $((slow ? 1200 : 600)) -o "$dir/$n" -m "$dir/$n.qmp" -s smp=1 \
		-s node0_size=128M -s node1_size=320M -s node0_hotplug=192M -s emu_model=1 -s emu_llc_size=1M \
		-a memhp_default_state=online_movable \
		-q "-chardev socket,id=rep,path=$dir/$n.rep,server=on,wait=off -device virtserialport,chardev=rep,nr=5,name=hypertier.report -chardev pipe,id=cmd,path=$dir/$n.cmd -device virtserialport,chardev=cmd,nr=6,name=commands -chardev socket,id=qmp2,path=$dir/$n.qmp2,server=on,wait=off -mon chardev=qmp2,mode=control" \
		-f tests/lab/lib.sh:tests/lab/lib.sh -f build/tests/lab/jget:bin/jget -f build/tests/lab/hotshift:bin/hotshift \
		-f tests/lab/guest-provision.sh:tests/lab/guest-provision.sh \
		-- "PATH=/ht/bin:\$PATH TABLE=$table sh tests/lab/guest-provision.sh" >"$dir/$n.log" 2>&1 &
	pids+=($!)
}

tell_guest() { echo "$2" >"$dir/$1.cmd.in"; }
said() { grep -q "^$2" "$dir/$1.log"; }
all_said()
{
	local n

	for n in $guests; do said $n "$1" || return 1; done
}

# await SECONDS WHAT COMMAND...: without it the rest makes no sense.
await()
{
	local n what=$2

	wait_for "$1" "${@:3}" && return
	not_ok "$what"
	for n in $guests; do tail -n 5 "$dir/$n.log" | sed "s/^/# $n: /"; done
	tail -n 20 $dir/daemon.err 2>/dev/null | sed 's/^/# /'
	exit 1
}

gone=''
# want GUEST [UPDATES]: its hot set becomes the big one, at the table's other end, the others' small ones.
want()
{
	local n

	for n in $guests; do
		[ "$n" = "$gone" ] && continue
		if [ "$n" = "$1" ]; then
			tell_guest $n "hot 0 $big ${2:-0}"
		else
			tell_guest $n "hot $((table - small)) $small ${2:-0}"
		fi
	done
	phase=$((phase + 1))
	began=$(date +%s%3N)
}

# ---- the daemon

configure()
{
	cat >$dir/conf <<-CONF
	[daemon]
	state = $dir/state
	metrics = $dir/metrics.prom
	record = $dir/trace.json
	[rules]
	${RULES:-}
	$1
	[tier fast]
	capacity = ${capacity}M
	[default]
	fast.device = vmem0
	fast.guarantee = ${guarantee}M
	CONF
	for n in $guests; do
		printf '[vm %s]\nqmp = %s\nreport = %s\n' $n "$dir/$n.qmp" "$dir/$n.rep" >>$dir/conf
	done
}

run_daemon()
{
	"$provision" run -v --run-dir $dir/run $dir/conf >>$dir/daemon.out 2>>$dir/daemon.err &
	daemon_began=$(date +%s%3N)
	disown
	echo $! >$dir/daemon.pid
}

kill_daemon()
{
	local pid

	pid=$(cat $dir/daemon.pid)
	kill -9 "$pid" && echo "killed $(date +%s.%N)" >>$dir/kills
	wait_for 5 gone "$pid"
}

# Each daemon lives for one to four seconds, as long as a random number says.
kill_at_random()
{
	RANDOM=${SEED:-1}
	while :; do
		run_daemon
		for _ in $(seq $((10 + RANDOM % 30))); do
			[ ! -e $dir/calm ] || return
			sleep 0.1
		done
		kill_daemon
	done
}

status() { "$provision" status --run-dir $dir/run "$@"; }
# field GUEST N: of the table of the status: 2 state, 4 size in MiB, 6 target
field() { status 2>/dev/null | awk -v n="$1" -v f="$2" '$1 == n && $3 == "fast" { print $f }'; }
size_is() { true_that "$(field "$1" 4) $2"; }
state_is() { [ "$(field "$1" 2)" = "$2" ]; }

# ---- what happened

# reached GUEST: ms since the last want until its device had enough, as the hypervisor told; nothing if not yet
reached()
{
	awk -v n="$1" -v want=$enough -v from="$began" '
		$2 == n { size = $3; if ($1 >= from && size >= want) { print $1 - from; found = 1; exit } at = 1 }
		END { if (!found && at && size >= want) print 0 }' $dir/sizes
}
has_enough() { [ -n "$(reached "$1")" ]; }

# epochs_in MS: since the last want, of the guest that had most of them: each is a report that the daemon recorded
epochs_in()
{
	awk -F '[:,]' -v from=$((began - daemon_began)) -v ms="$1" '
		$1 == "{\"t\"" && $2 >= from && $2 < from + ms && ++nr[$4] > most { most = nr[$4] }
		END { print most + 0 }' $dir/trace.json
}

# least GUEST FROM: the smallest size it ever had since then
least()
{
	awk -v n="$1" -v from="$2" '$2 == n { if ($1 / 1000 < from || min == "") min = $3
		else if ($3 < min) min = $3 } END { print min }' $dir/sizes
}

# model GUEST FIRST: modelled seconds of the work of three phases, and of the moves from before them to the
# end; what of it were moves; and ns per update of each phase
model()
{
	awk -v from="$2" -v updates=$updates -v page_ns=$page_ns '
		$1 == "moves" { pages = $3 - moved; moved = $3 }
		$1 == "phase" && $2 >= from && $2 < from + 3 { s += $3 * updates / 1e9; ns = ns " " $3; n++ }
		$1 == "moves" && n == 3 { printf "%.3f %.3f%s", s + pages * page_ns / 1e9, pages * page_ns / 1e9, ns; exit }
		' "$dir/$1.log"
}

start()
{
	rm -rf $dir
	mkdir -p $dir
	for n in $guests; do guest $n; done
	await 240 "the guests start" all_said '# filled'
	echo "# booted after $SECONDS s"
	for n in $guests; do "$memwatch" --set "$dir/$n.qmp" vmem0 $((capacity / 3)) || not_ok "guest $n gets its third"; done
	"$memwatch" $dir/sizes $capacity a:$dir/a.qmp2:vmem0:$guarantee b:$dir/b.qmp2:vmem0:$guarantee \
		c:$dir/c.qmp2:vmem0:$guarantee >$dir/watch.log 2>&1 &
	watcher=$!
	await 120 "the guests tier" all_said '# tiering'
	echo "# ready after $SECONDS s"
}

set_size() { "$memwatch" --set "$dir/$1.qmp" vmem0 "$2" || not_ok "guest $1 is asked for $2 MiB"; }
has_size() { [ "$("$memwatch" --get "$dir/$1.qmp" vmem0)" = "$2 $2" ]; }

# divide_for GUEST: whose hot set is the big one. The others give back, then it takes.
divide_for()
{
	local n others=${guests/$1/}

	for n in $others; do set_size $n $ideal_small; done
	for n in $others; do wait_for 30 has_size $n $ideal_small || not_ok "guest $n gives back"; done
	set_size $1 $ideal_big
	wait_for 30 has_size $1 $ideal_big || not_ok "guest $1 takes its memory"
}

count_moves()
{
	for n in $guests; do tell_guest $n moves; done
	await 60 "moves are counted" all_said "moves $phase "
}

declare -A began_with
# three_phases fixed, ideal or divided: work that is compared. In turn, the hot set of each is the big one; the
# first follows c's.
three_phases()
{
	local n ms got took=()

	[ $1 = ideal ] && divide_for c
	want c $((updates / 4))
	await 300 "phase $phase is done" all_said "phase $phase "
	count_moves
	began_with[$1]=$((phase + 1))
	for n in $guests; do
		want $n $updates
		[ $1 = ideal ] && divide_for $n
		await 300 "phase $phase is done" all_said "phase $phase "
		[ $1 = divided ] || continue
		note_follow $n
		took+=("${got:-1000000}")
	done
	count_moves
	echo "# $1: phases ${began_with[$1]} to $phase ended after $SECONDS s"
	[ $1 = divided ] || return 0
	most_follow "${took[@]}"
}

# most_follow EPOCHS...: of three. One may meet what else the machine does, or a report by which another guest seemed
# to need two MiB more: what was divided by that stays so for the ten seconds of the rules.
most_follow()
{
	local got

	got=$(printf '%s\n' "$@" | sort -n | sed -n 2p)
	holds "capacity follows hot sets within $epochs epochs, most times" "$got <= $epochs && $got > 0"
}

# note_follow GUEST: how long until capacity had followed its hot set, into ms and got (epochs); empty if never
note_follow()
{
	ms=$(reached "$1")
	got=${ms:+$(epochs_in "$ms")}
	followed+=("{\"guest\":\"$1\",\"ms\":${ms:-null},\"epochs\":${got:-null}}")
	echo "#| guest $1's hot set grows to $big MiB: it has $enough MiB of fast memory after ${got:-no} epochs, ${ms:-no} ms"
	[ -n "$ms" ] || status | sed 's/^/# /'
}

followed=()
test_follow()
{
	local n ms got took=()

	want c
	await 60 "the first hot set has its memory" has_enough c
	# The others' demands have come to rest as well.
	sleep 2
	for n in $guests; do
		want $n
		wait_for 20 has_enough $n
		note_follow $n
		check "capacity follows guest $n's hot set" yes "$(has_enough $n && echo yes || echo no)"
		took+=("${got:-1000000}")
		sleep 2
	done
	most_follow "${took[@]}"
	echo "# followed after $SECONDS s"
}

killed_enough() { true_that "$(wc -l <$dir/kills) >= 3"; }
test_killed()
{
	local n

	kill_daemon
	cp $dir/trace.json $dir/followed.json
	kill_at_random &
	killer=$!
	for n in b c; do
		want $n
		sleep 5
	done
	wait_for 30 killed_enough
	touch $dir/calm
	wait $killer
	killer=''
	wait_for 20 has_enough c
	holds "the daemon was killed at random moments" "$(wc -l <$dir/kills) >= 3"
	lacks "no daemon lost its state" $dir/daemon.err 'state file'
	check "capacity follows all the same" yes "$(has_enough c && echo yes || echo no)"
}

compared='null'
compare()
{
	local how n ns each json=()
	declare -A total moves less

	for how in fixed ideal divided; do
		each=$(for n in $guests; do model $n ${began_with[$how]}; echo; done)
		read -r total[$how] moves[$how] < <(awk '{ s += $1; m += $2 } END { printf "%.3f %.3f\n", s, m }' <<<"$each")
		less[$how]=$(awk "BEGIN { printf \"%.1f\", 100 * (1 - ${total[$how]} / ${total[fixed]}) }")
		ns=$(cut -d ' ' -f 3- <<<"$each" | tr ' ' , | paste -sd ' ')
		echo "#| $how: modelled time ${total[$how]} s, of it moves ${moves[$how]} s; ns per update of ${guests// /, }: $ns"
		json+=("\"$how\":{\"seconds\":${total[$how]},\"moves_seconds\":${moves[$how]},\"less_percent\":${less[$how]},\"ns_per_update\":[[${ns// /],[}]]}")
	done
	compared="{\"updates\":$updates,$(IFS=,; echo "${json[*]}")}"
	summary="modelled time ${less[divided]} % less than with a fixed third each, ${less[ideal]} % with an ideal division"
	echo "#| $summary"
	holds "total modelled time is down against a static equal split" \
		"${total[divided]} < ${total[fixed]} && ${total[divided]} > 0"
}

# ---- hostile guests; times are short, so that they need not be waited for long

reload()
{
	configure "shrink-timeout = 2s
	backoff = ${1}
	evict-after = ${2}"
	"$provision" reload --run-dir $dir/run || not_ok "the configuration is read again"
}

# soon WHAT COMMAND...
soon()
{
	if wait_for 60 "${@:2}"; then ok "$1"; else
		not_ok "$1"
		status | sed 's/^/# /'
		tail -n 10 $dir/daemon.err | sed 's/^/# /'
	fi
}

size_in_all() { size_is a ">= $1" && size_is b ">= $1"; }
daemon_says() { grep -qE "$1" $dir/daemon.err; }
ticks_of() { awk '{ print $14 + $15 }' "/proc/$1/stat"; }

test_liar()
{
	local from

	reload 3s 0
	want a
	tell_guest b lie
	soon "a guest with forged reports gets what one without reports would" size_in_all $((capacity / 3))
	# The watcher may see it a little later than the daemon.
	sleep 1
	from=$(date +%s.%N)
	sleep 3
	holds "... and another's fair share is its own at every look" "$(least a $from) >= $((capacity / 3))"
}

test_flood()
{
	local daemon before

	daemon=$(cat $dir/daemon.pid)
	tell_guest b flood
	soon "a flood is noticed" daemon_says 'VM b floods'
	before=$(ticks_of $daemon)
	soon "... takes nothing: who wants memory has it" size_is a ">= $enough"
	sleep 2
	holds "... and costs the daemon little (CPU ticks)" "$(($(ticks_of $daemon) - before)) < 200"
	check "... and ends the flooder's claims" abuse "$(field b 2)"
}

# c_refuses: it has much, and pins it
c_refuses()
{
	want c
	soon "$1: c gets much" size_is c ">= $enough"
	tell_guest c pin
	await 30 "c pins its memory" said c pinned
	want a
}

in_default() { state_is c default; }

test_refuser()
{
	c_refuses "busy blocks"
	soon "who gives back nothing is in default" daemon_says 'VM c did not do as asked'
	sed -n 's/.*\(VM c did not do as asked.*\)/# \1/p' $dir/daemon.err
	status | sed 's/^/# /'
	kill_daemon
	run_daemon
	soon "a killed daemon's successor knows of the default" in_default
	tell_guest c unpin
	soon "asked again, the guest complies, and others get the memory" size_is a ">= $enough"
	soon "... and it is in good standing" state_is c ready
}

test_evict()
{
	reload 1s 2
	c_refuses "evict-after"
	soon "who refuses again and again is told to quit" daemon_says 'VM c keeps memory .* told to quit'
	soon "... is gone" state_is c absent
	gone=c
	soon "... and what it kept is the others'" size_is a ">= $enough"
}

# resident GUEST: MiB of its device that the hypervisor's process has; its size is no other mapping's
resident()
{
	awk '/^[0-9a-f]+-/ { hit = 0 } /^Size:/ { hit = $2 == 192 * 1024 } /^Rss:/ && hit { print int($2 / 1024) }' \
		"/proc/$(status --json | awk -v n="\"$1\"" -F '[:,] *' '$1 ~ /"name"/ { hit = $2 == n } $1 ~ /"pid"/ && hit { print $2 }')/smaps"
}

discarded() { true_that "$(resident "$1") <= $(field "$1" 4) + 2"; }

check_shown()
{
	soon "what b gave back is discarded (MiB resident, MiB plugged)" discarded b
	status --json >$dir/status.json
	contains "status as JSON" $dir/status.json '"schema": *1'
	contains "Prometheus text" $dir/metrics.prom '^hypertier_provision_vm_size_bytes\{vm="a",tier="fast"\} [0-9]'
	"$provision" simulate $dir/followed.json --json >$dir/simulated.json
	check "what the daemon recorded can be simulated" 0 $?
	sed 's/^/# /' $dir/simulated.json
}

finish_all()
{
	kill $watcher
	wait $watcher
	check "guarantees, capacity and sizes are right at every look ($(tail -n 1 $dir/watch.log))" 0 $?
	watcher=''
	for n in $guests; do [ "$n" = "$gone" ] || tell_guest $n end; done
	wait "${pids[@]}"
	kill "$(cat $dir/daemon.pid)"
	rm -f $dir/daemon.pid
	holds "the hypervisors were looked at often enough" \
		"$(sed -n 's/^looks \([0-9]*\).*/\1/p' $dir/watch.log) > 200"
	for n in $guests; do
		[ "$n" = "$gone" ] && continue
		check "guest $n ran to its end, with all data intact" "1 0" \
			"$(grep -c '^# complete' $dir/$n.log) $(grep -c '^not ok' $dir/$n.log)"
	done
}

write_result()
{
	mkdir -p build/results
	printf '{"schema":1,"capacity_mib":%d,"enough_mib":%d,"epochs_allowed":%d,"followed":[%s],"kills":%d,"compared":%s,"looks":%d,"failed":%d}\n' \
		$capacity $enough $epochs "$(IFS=,; echo "${followed[*]}")" "$(wc -l <$dir/kills)" \
		"$compared" "$(sed -n 's/^looks \([0-9]*\).*/\1/p' $dir/watch.log)" $failed >$result
}

start
configure ''
if [ "$slow" = 1 ]; then
	three_phases fixed
	three_phases ideal
	run_daemon
	three_phases divided
	compare
else
	run_daemon
	test_follow
	skip "modelled time against a static equal split" "takes minutes: SLOW=1 make test T=provision"
fi
test_killed
echo "# killed after $SECONDS s"
test_liar
test_flood
if [ "$slow" = 1 ]; then
	test_refuser
	test_evict
fi
check_shown
echo "# hostile after $SECONDS s"
finish_all
write_result
echo "# $SECONDS s${summary:+; $summary}"
exit $((failed > 0))
