#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
# shellcheck shell=dash
#
# What the loader refuses, with which status and which words; $PART says which guest this is.
. tests/lab/lib.sh
begin

# refuses WHAT STATUS PATTERN COMMAND...: the status, the reason on stderr, and nothing else done.
refuses()
{
	what=$1 want=$2 pattern=$3
	shift 3
	timeout 60 "$@" >"$tmp/out" 2>"$tmp/err"
	check "$what: exit status" "$want" $?
	contains "$what: the reason" "$tmp/err" "$pattern"
	check "$what: no pin is left" "" "$(ls /sys/fs/bpf 2>/dev/null)"
}

bad_options()
{
	refuses "no policy" 2 'which policy' hypertier-load
	refuses "two policies" 2 'one too many' hypertier-load a.bpf.o b.bpf.o
	refuses "unknown option" 2 'unrecognized option' hypertier-load --nonsense $range
	refuses "--pid of a word" 2 '--pid must be' hypertier-load --pid init $range
	refuses "--pid 0" 2 '--pid must be' hypertier-load --pid 0 $range
	refuses "--pid -1" 2 '--pid must be' hypertier-load --pid=-1 $range
	refuses "--epoch 1ms" 2 '--epoch must be' hypertier-load --epoch 1ms $range
	refuses "--epoch nan" 2 '--epoch must be' hypertier-load --epoch nan $range
	refuses "--heat-memory 1K" 2 '--heat-memory must be' hypertier-load --heat-memory 1K $range
	refuses "--stats 0" 2 '--stats must be' hypertier-load --stats 0 $range
	refuses "--source tea-leaves" 2 'unknown source' hypertier-load --source tea-leaves $range
	refuses "--drain slowly" 2 '--drain is' hypertier-load --drain slowly $range
	refuses "--fast 9" 2 '9' hypertier-load --fast 9 --slow 1 $range
	refuses "--fast x" 2 'x' hypertier-load --fast x $range
	refuses "--fast and --slow overlap" 2 '0' hypertier-load --fast 0 --slow 0-1 $range
	refuses "--cgroup of nothing" 2 'no such cgroup' hypertier-load --cgroup /nowhere $range
}

bad_policies()
{
	refuses "no such file" 7 'No such file' hypertier-load --duration 1 /nowhere.bpf.o
	refuses "a directory" 7 'not a regular file' hypertier-load --duration 1 /tmp
	: >$tmp/empty.bpf.o
	refuses "an empty file" 7 'not a BPF object' hypertier-load --duration 1 $tmp/empty.bpf.o
	refuses "a text" 7 'not a BPF object' hypertier-load --duration 1 /etc/passwd
	refuses "a program for this machine" 7 'not a BPF object' hypertier-load --duration 1 /bin/busybox
	size=$(wc -c <$range)
	for part in 1 2 3; do
		head -c $((size * part / 4)) $range >$tmp/cut.bpf.o
		refuses "$part/4 of an object" 7 'cut.bpf.o' hypertier-load --duration 1 $tmp/cut.bpf.o
	done
	refuses "a BPF object that is no policy" 7 'not a HyperTier policy' hypertier-load --duration 1 bad/nopolicy.bpf.o
	refuses "another ABI" 7 'ABI 999\.[0-9]+, this loader speaks ABI [0-9]+\.[0-9]+: rebuild' hypertier-load --duration 1 bad/abi.bpf.o
	refuses "a policy the verifier rejects" 7 "policy 'rejected'.*rejected by the kernel" \
		hypertier-load --duration 1 bad/rejected.bpf.o
	contains "the verifier's own words are shown" $tmp/err "invalid mem access 'scalar'"
	refuses "a policy that declines" 7 "'declines' declined to start: init returned 7" \
		hypertier-load --duration 1 bad/declines.bpf.o
}

drop_all_but()
{
	args='' c=0
	while [ $c -le "$(cat /proc/sys/kernel/cap_last_cap)" ]; do
		case " $1 " in
		*" $c "*) ;;
		*) args="$args --drop $c" ;;
		esac
		c=$((c + 1))
	done
	shift
	# shellcheck disable=SC2086
	privilege $args -- "$@"
}

privileges()
{
	refuses "without CAP_BPF" 3 'missing CAP_BPF:' privilege --drop 39 -- hypertier-load $range
	refuses "without CAP_PERFMON" 3 'missing CAP_PERFMON:' privilege --drop 38 -- hypertier-load $range
	refuses "without CAP_SYS_NICE" 3 'missing CAP_SYS_NICE:' privilege --drop 23 -- hypertier-load $range
	refuses "as a user" 3 'missing CAP_BPF.*CAP_SYS_PTRACE' privilege --uid 1000 -- hypertier-load $range
	privilege --uid 1000 -- hypertier-load features >"$tmp/out" 2>"$tmp/err"
	check "features work for a user" 0 $?
	contains "and tell what is missing" "$tmp/out" '^privilege  missing CAP_BPF'
	spawn w hot=plain:4:1
	drop_all_but "19 23 38 39" timeout 60 hypertier-load --comm subject --duration 6 --json \
		--stats-file "$tmp/end" "$range" >"$tmp/out" 2>"$tmp/err"
	check "the capabilities it asks for are enough" 0 $?
	if [ -s "$tmp/end" ]; then
		holds "and pages move with them" "$(jget "$tmp/end" promoted) > 0"
	else
		not_ok "and pages move with them"
		sed 's/^/# /' "$tmp/err"
	fi
	quit w
}

kernels()
{
	refuses "an old kernel" 4 'kernel 2\.6.* is too old.*6\.1' privilege --old -- hypertier-load $range
	mount -t tmpfs none /sys/kernel/btf
	refuses "a kernel without BTF" 4 'no BTF.*CONFIG_DEBUG_INFO_BTF' hypertier-load $range
	hypertier-load features >"$tmp/out" 2>&1
	check "features work without BTF" 0 $?
	contains "and tell of it" "$tmp/out" '^BTF +no'
	umount /sys/kernel/btf
}

sources()
{
	refuses "--source pebs" 6 'pebs cannot be used: .*(Intel|PMU|CPU)' hypertier-load --duration 1 --source pebs $range
	refuses "--source ibs" 6 'ibs cannot be used: .*ibs_op' hypertier-load --duration 1 --source ibs $range
	refuses "a ring that is none" 6 'emulated cannot be used' \
		hypertier-load --duration 1 --source emulated --ring /etc/passwd $range
}

features()
{
	hypertier-load features >"$tmp/out" 2>"$tmp/err"
	check "features: exit status" 0 $?
	for word in '^kernel +[0-9]' '^BTF +yes' '^lockdown ' '^privilege +sufficient' '^tiers +2' \
		'tier 0 \(fastest\): node 0,.* 80 ns' 'tier 1: node 1,.* 250 ns' 'no +pebs' 'no +ibs' \
		'yes +emulated' 'yes +hint-fault' 'yes +move_pages' 'yes +portable'; do
		contains "features name $word" "$tmp/out" "$word"
	done
	hypertier-load features --json >"$tmp/json" 2>"$tmp/err"
	check "features --json: exit status" 0 $?
	check "features --json: one object" 1 "$(jget "$tmp/json" -n)"
	for key in schema kernel kernel_ok btf bpffs lockdown missing_caps tiers.0.nodes.0.read_ns \
		tiers.1.nodes.0.node tiers.0.kernel_tier sources.0.usable 'sources.[name=pebs].why' hooks.0 \
		migration.0; do
		jget "$tmp/json" "$key" >/dev/null && continue
		not_ok "features --json has $key"
	done
	check "features --json: BTF is there" true "$(jget "$tmp/json" btf)"
	check "features --json: node 1 is the slow tier" 1 "$(jget "$tmp/json" tiers.1.nodes.0.node)"
	check "features --json: its latency" 250 "$(jget "$tmp/json" tiers.1.nodes.0.read_ns)"
}

# Real samples of a buffer whose address is known.
probe()
{
	hypertier-load features --probe --json >"$tmp/probe" 2>"$tmp/err"
	check "features --probe: exit status" 0 $?
	for s in emulated damon hint-fault page-fault; do
		p="sources.[name=$s]"
		if [ "$(jget "$tmp/probe" "$p.usable")" != true ]; then
			skip "probe of $s" "$(jget "$tmp/probe" "$p.why")"
			continue
		fi
		# A kernel thread that gets no CPU looks at little.
		least=1000
		[ $s != damon ] || least=1
		holds "probe of $s: samples came, their addresses in the buffer" \
			"$(jget "$tmp/probe" "$p.probe.seen") >= $least && \
			$(jget "$tmp/probe" "$p.probe.in_buffer") >= $least"
		check "probe of $s: no sample without address" 0 "$(jget "$tmp/probe" "$p.probe.zero_addr")"
	done
	check "probe of pebs: not tried" false "$(jget "$tmp/probe" 'sources.[name=pebs].usable')"
	check "probes leave no kdamond" 0 "$(cat /sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds || echo 0)"
	check "probes leave NUMA balancing off" 0 "$(cat /proc/sys/kernel/numa_balancing)"
}

one_tier()
{
	refuses "one tier" 5 'only one memory tier.*--dry-run' hypertier-load $range
	spawn w hot=plain:8:0
	timeout 60 hypertier-load --dry-run --comm subject --duration 4 --json --stats-file "$tmp/end" \
		"$range" >"$tmp/out" 2>"$tmp/err"
	check "one tier: --dry-run works" 0 $?
	holds "one tier: it samples and moves nothing" "$(jget "$tmp/end" samples_counted) > 100 &&
		$(jget "$tmp/end" +outcomes) == 0 && $(jget "$tmp/end" tiles) > 0"
	hypertier-load features >"$tmp/out" 2>&1
	contains "one tier: features say so" "$tmp/out" '^tiers +1 \(tiering needs two\)'
	quit w
}

confidentiality()
{
	refuses "lockdown=confidentiality" 3 'locked down \(confidentiality\).*lockdown=integrity' \
		hypertier-load $range
	mount -t securityfs none /sys/kernel/security
	refuses "lockdown=confidentiality, securityfs mounted" 3 'locked down \(confidentiality\)' \
		hypertier-load $range
	hypertier-load features >"$tmp/out" 2>&1
	check "features work there" 0 $?
	contains "features tell of it" "$tmp/out" '^lockdown +confidentiality'
}

integrity()
{
	mount -t securityfs none /sys/kernel/security
	echo integrity >/sys/kernel/security/lockdown
	hypertier-load features >"$tmp/out" 2>"$tmp/err"
	contains "lockdown=integrity: features tell of it" "$tmp/out" '^lockdown +integrity'
	sed -n '/^sources/,/^hooks/p' "$tmp/out" | sed 's/^/# /'
	contains "lockdown=integrity: the ring is refused, with the reason" "$tmp/out" 'not permitted'
	contains "lockdown=integrity: another source is there" "$tmp/out" '^  yes (damon|hint-fault)'
	unset HT_LAB_RING # nor may the workload map it
	spawn w hot=plain:8:1
	load_wait integrity --comm subject --json --stats 1 $range
	echo "# source: $(jget "$tmp/integrity.out" -e start source_why)"
	wait_for 60 stat_is integrity samples_counted "> 0"
	stop
	check "lockdown=integrity: it runs" 0 $status
	holds "lockdown=integrity: it samples" "$(stat_of integrity samples_counted) > 0"
	quit w
}

for p in $PARTS; do
	$p
done
finish
