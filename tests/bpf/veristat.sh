#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# Every program of every policy object, through the verifier of this machine's kernel and of the lab's:
# each must load, do something (instructions > 0: a skipped program passes vacuously), and not cost the
# verifier 10 % more than the committed baseline says.
#
#   tests/bpf/veristat.sh             all kernels
#   tests/bpf/veristat.sh KERNEL...   some of: host 6.1 6.12 newest
#   tests/bpf/veristat.sh --update    writes the baseline anew (after a look at the table)
#
# A baseline row is kernel,clang,file,program,instructions; kernels and compilers without rows are
# checked for the rest only.
set -u
cd "$(dirname "$0")/../.."
BUILD=${BUILD:-build}
base=tests/bpf/veristat-baseline.csv
tolerance=10
out=$BUILD/results/veristat
failed=0
fresh=()

ok() { echo "ok - $1"; }
not_ok() { echo "not ok - $1"; failed=$((failed + 1)); }

update=0
if [ "${1:-}" = --update ]; then
	update=1
	shift
fi
kernels=("$@")
[ ${#kernels[@]} -gt 0 ] || kernels=(host 6.1 6.12 newest)
mkdir -p "$out"

shopt -s nullglob
objects=("$BUILD"/policies/*.bpf.o)
if [ ${#objects[@]} -eq 0 ]; then
	not_ok "there are policy objects in $BUILD/policies (make policies)"
	exit 1
fi
clang=$(${CLANG:-clang} --version | sed -nE 's/.*clang version ([0-9]+).*/\1/p')

# veristat KERNEL: CSV on stdout.
run_veristat()
{
	local cols=file,prog,verdict,insns

	if [ "$1" = host ]; then
		"$BUILD/lab/bin/veristat" -o csv -e $cols "${objects[@]}"
	else
		tools/lab/lab run -k "$1" -P -s smp=1 -t 600 -- \
			"uname -r; veristat -o csv -e $cols ${objects[*]}"
	fi
}

# This kernel may refuse what others take: no fentry without ftrace, and tracing programs need it.
refused_here()
{
	[ "$1" = host ] && [ "$2" = ht_perf_output ] &&
		! grep -qsw perf_event_output /sys/kernel/tracing/available_filter_functions
}

declare -A baseline
read_baseline()
{
	local row

	while read -r row; do baseline[${row%,*}]=${row##*,}; done < <(cat $base 2>/dev/null)
}

# check_row LABEL RELEASE FILE PROG VERDICT INSNS; prints a table row
check_row()
{
	local label=$1 rel=$2 file=$3 prog=$4 verdict=$5 insns=$6 was note=""

	if refused_here "$label" "$prog"; then
		printf '#   %-20s %-16s %-8s %8s  not attachable here\n' "$file" "$prog" - -
		return 0
	fi
	was=${baseline[$rel,$clang,$file,$prog]:-}
	fresh+=("$rel,$clang,$file,$prog,$insns")
	[ -n "$was" ] && note="baseline $was"
	printf '#   %-20s %-16s %-8s %8s  %s\n' "$file" "$prog" "$verdict" "$insns" "$note"
	[ "$verdict" = success ] && [ "$insns" -gt 0 ] || return 1
	if [ -n "$was" ] && [ $update = 0 ] &&
		[ $((insns * 100)) -gt $((was * (100 + tolerance) + 1000)) ]; then
		echo "#   ^ more than $tolerance % over the baseline"
		return 1
	fi
}

# Leaves an empty result where it fails.
run_kernel()
{
	local csv=$out/$1.csv

	[ "$1" = host ] || [ -d "$BUILD/lab/kernel/$1" ] || return
	echo "# $1: verifying ${#objects[@]} objects"
	run_veristat "$1" >"$csv" 2>"$csv.err" || : >"$csv"
}

# Instructions the verifier walked, all programs of an object together.
print_table()
{
	local k o files=()

	printf '#| %-20s' "verifier, insns"
	for k in "${kernels[@]}"; do
		[ -s "$out/$k.csv" ] && files+=("$out/$k.csv") && printf ' %14s' "$k"
	done
	echo
	for o in "${objects[@]##*/}"; do
		printf '#| %-20s' "${o%.bpf.o}"
		for k in "${files[@]}"; do
			tr -d '\r' <"$k" | awk -F, -v o="$o" '
				$1 == o { nr++; n += $4; bad += $3 != "success" }
				END { printf " %14s", sprintf("%d in %d%s", n, nr - bad, bad ? " of " nr : "") }'
		done
		echo
	done
}

check_kernel()
{
	local label=$1 csv=$out/$1.csv rel nr=0 bad=0 file prog verdict insns

	if [ "$label" = host ] && [ ! -x "$BUILD/lab/bin/veristat" ]; then
		not_ok "veristat is there ($BUILD/lab/bin/veristat; run tools/setup)"
		return
	fi
	if [ "$label" != host ] && [ ! -d "$BUILD/lab/kernel/$label" ]; then
		echo "ok - policies verify on $label # SKIP no such kernel in the lab (tools/setup --kernels all)"
		return
	fi
	if [ ! -s "$csv" ]; then
		not_ok "veristat runs on $label"
		tail -n 5 "$csv.err" | sed 's/^/#   /'
		return
	fi
	rel=$([ "$label" = host ] && uname -r || head -n 1 "$csv")
	rel=$(sed -E 's/^([0-9]+\.[0-9]+).*/\1/' <<<"$rel")
	while IFS=, read -r file prog verdict insns; do
		case $file in *.bpf.o) ;; *) continue ;; esac
		nr=$((nr + 1))
		check_row "$label" "$rel" "$file" "$prog" "$verdict" "$insns" || bad=$((bad + 1))
	done < <(tr -d '\r' <"$csv")
	if [ $nr -ge $((${#objects[@]} * 10)) ] && [ $bad = 0 ]; then
		ok "$nr programs of ${#objects[@]} objects verify on $label ($rel, clang $clang)"
	else
		not_ok "programs verify on $label ($rel): $bad of $nr failed"
	fi
}

# The guests' verifiers are busy on one CPU each.
for k in "${kernels[@]}"; do
	run_kernel "$k" &
	[ "$(jobs -pr | wc -l)" -lt 2 ] || wait -n
done
wait
read_baseline
for k in "${kernels[@]}"; do
	check_kernel "$k"
done
print_table

if [ $update = 1 ] && [ $failed = 0 ]; then
	{
		# Rows of kernels and compilers that were not run stay.
		for k in $(printf '%s\n' "${fresh[@]}" | cut -d, -f1,2 | sort -u); do
			echo "^$k,"
		done | grep -vEf - $base 2>/dev/null
		printf '%s\n' "${fresh[@]}"
	} | grep . | sort -t, -k1,1V -k2,2n -k3,4 >"$base.new" && mv "$base.new" $base
	echo "# wrote $base"
fi
[ $failed = 0 ]
