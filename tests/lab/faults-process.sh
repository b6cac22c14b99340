# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash disable=SC2034,SC2086,SC2046,SC2154,SC2317
#
# Faults of processes: policies that misbehave, targets that are killed, come and go by the dozen, take each
# other's number, or change their memory while it moves. Read by guest-faults.sh.

# ---- policies ----

ejected() { status_is ejections "> $ejections"; }
# eject NAME REASON [OPTIONS...]: a policy that is fast and honest for its first ticks.
eject()
{
	bad=$1 reason=$2
	shift 2
	ejections=$(status ejections) from=$(status epoch)
	if ! hypertier-load --set after=3 "$@" "$bad.bpf.o" >"$tmp/swap" 2>&1; then
		contains "policy: $bad may not come back yet" "$tmp/swap" 'was ejected'
		return
	fi
	if wait_for 40 ejected; then ok "policy: $bad is ejected"; else not_ok "policy: $bad is ejected"; fi
	check "policy: after $bad, the built-in one decides" "range built-in range true" \
		"$(status policy) $(status object) $(status tiering)"
	contains "policy: $bad: the reason" "$tmp/$load.err" "policy '$bad' is ejected: $reason"
	result "policy $bad: ejected after $(($(status epoch) - from)) epochs of 250 ms:" \
		"$(sed -n "s/.*'$bad' is ejected: //p" "$tmp/$load.err" | tail -n 1)"
}

test_policy()
{
	enter policy
	use $range
	eject bad_slow 'too slow' --set us=20000
	eject bad_garbage 'its ops failed: .*wrote'
	use $range
	leave
}

group=/sys/fs/cgroup/oom
no_target() { status_is targets "== 1"; }
test_oom_target()
{
	enter oom_target
	mkdir -p $group
	spawn v hot=plain:24:1 || return
	wait_for 20 status_is targets "== 2" || not_ok "oom_target: a second target"
	echo "$pid_v" >$group/cgroup.procs
	echo 8M >$group/memory.max
	# What it has is the parent's to pay.
	echo map more=plain:32:1 >"$tmp/v.in"
	wait_for 20 gone "$pid_v" || { not_ok "oom_target: the target is killed"; kill -9 "$pid_v"; }
	wait "$pid_v" 2>/dev/null
	kill "$hold_v"
	rm -f "$tmp/v.in"
	wait_for 20 no_target || not_ok "oom_target: it is dropped"
	check "oom_target: none of its heat is left" "0 0" "$(tiles "$pid_v")"
	oom=$(awk '$1 == "oom_kill" { print $2 }' $group/memory.events)
	rmdir $group
	leave
	result "target killed for want of memory ($oom by its cgroup): $figures"
}

only_w() { [ "$(tiles | cut -d' ' -f1)" = "$(tiles "$pid_w" | cut -d' ' -f1)" ]; }
test_storm()
{
	enter storm
	late=$(status late_epochs)
	disturb storm 3000
	wait_for 20 status_is targets "> 3" || not_ok "storm: its processes are tiered"
	sleep 2
	seen=$(status targets)
	calm
	said_more processes 50
	wait_for 20 no_target || not_ok "storm: the dead are dropped ($(status targets) targets)"
	wait_for 5 only_w || not_ok "storm: no heat of the dead is left ($(tiles) tiles, heat, free; of w: $(tiles "$pid_w"))"
	leave
	result "storm: $said, ${seen:-?} targets at the end of it; $(($(status late_epochs) - late)) epochs were" \
		"late; $figures"
}

# pages_of PID: "NODE0 NODE1" of the memory that trouble life maps
pages_of()
{
	awk '/^200000000000 / { for (i = 2; i <= NF; i++) if (split($i, n, "=") == 2) v[n[1]] = n[2] }
		END { print v["N0"] + 0, v["N1"] + 0 }' "/proc/$1/numa_maps"
}
lived()
{
	kill -TERM "$1" 2>/dev/null
	wait_for 20 gone "$trouble" || kill -9 "$1" $trouble
	wait $trouble
	check "reuse: data of process $1" 0 $?
}
alive_again() { [ -s "$tmp/trouble" ] || gone $trouble; }
be() { disturb life "$@"; wait_for 30 alive_again; number=$(cat "$tmp/trouble"); }
life="200000000000 200010000000"
is_hot() { true_that "$(tiles "$number" $life | cut -d' ' -f2) > 500"; }

# A target's number comes back, at once, as a process with memory at the very same address.
test_reuse()
{
	enter reuse
	be 0 8 hot
	first=$number
	wait_for 30 is_hot || {
		not_ok "reuse: the first one is hot ($(cat "$tmp/trouble.err"))"
		return
	}
	set -- $(pages_of $first)
	was="$(tiles $first $life | cut -d' ' -f2) samples, $1 of $(($1 + $2)) pages promoted"
	for stopped in no yes; do
		# Of a loader that stands still nothing can be noticed in between.
		[ $stopped = no ] || kill -STOP $loader
		lived "$number"
		be "$first" 8 idle
		check "reuse: the number is the same" "$first" "$number"
		[ $stopped = no ] || kill -CONT $loader
		[ -n "$number" ] || break
		epochs 5 || not_ok "reuse: the loader goes on"
		holds "reuse: no heat is inherited" "$(tiles "$number" $life | cut -d' ' -f2) < 50"
		check "reuse: no page is moved by what its predecessor did" "0 2048" "$(pages_of "$number")"
	done
	lived "$number"
	wait_for 20 no_target || not_ok "reuse: it is dropped"
	leave
	result "process number used again: the first had $was; its two successors at the same address kept all pages" \
		"where they were; $figures"
}

# Threads that fork, mprotect, unmap and split what is being moved.
test_restless()
{
	enter restless
	disturb restless
	wait_for 30 said_so ready || not_ok "restless: it starts"
	before=$(loader_moved)
	wait_for 20 moved_since $before 100 || not_ok "restless: its memory is moved"
	sleep 2
	failed_moves=$(status failed)
	calm
	for did in mprotects unmaps splits; do said_more $did 0; done
	wait_for 20 no_target || not_ok "restless: it is dropped"
	leave
	result "memory that changes while it moves: $said; $failed_moves moves failed; $figures"
}
