#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1 OR BSD-2-Clause
#
# hypertier-provision as its user meets it: commands, exit codes, what survives kill -9. No VM runs.
set -uo pipefail
cd "$(dirname "$0")/../.." || exit 1
. tests/lab/lib.sh
provision=$PWD/${BUILD:-build}/hypertier-provision
[ -x "$provision" ] || { echo "not ok - $provision is missing: make"; exit 1; }
tmp=$(mktemp -d)
daemon=''
# shellcheck disable=SC2317
cleanup()
{
	[ -z "$daemon" ] || kill -9 "$daemon" 2>/dev/null
	rm -rf "$tmp"
}
trap cleanup EXIT

cat >"$tmp/conf" <<CONF
[daemon]
period = 100ms
state = $tmp/state
metrics = $tmp/metrics.prom # blank, then # begins a comment
record = $tmp/record
[tier fast]
capacity = 1G
[class gold]
price = 3
[default]
fast.device = vmem0
[vm a]
qmp = $tmp/a.qmp
fast.guarantee = 512M
fast.class = gold
[vm b]
qmp = $tmp/b.qmp
fast.guarantee = 256M
CONF

# rc WHAT WANT COMMAND...
rc()
{
	local what=$1 want=$2

	shift 2
	"$provision" --run-dir "$tmp/run" "$@" >"$tmp/out" 2>"$tmp/err"
	check "$what" "$want" $?
}

start()
{
	"$provision" --run-dir "$tmp/run" "$@" run "$tmp/conf" >>"$tmp/daemon.out" 2>>"$tmp/daemon.err" &
	daemon=$!
	wait_for 10 "$provision" --run-dir "$tmp/run" status >"$tmp/out" 2>&1 || not_ok "the daemon answers"
}

rc "--help is 0" 0 --help
contains "... and names the commands" "$tmp/out" '^ *simulate TRACE'
rc "--version is 0" 0 --version
contains "... and says it" "$tmp/out" '^hypertier-provision [0-9]'
rc "no command is 2" 2
rc "an unknown command is 2" 2 fly
rc "a command without its argument is 2" 2 run
rc "a good configuration is 0" 0 check "$tmp/conf"
contains "... and says what is guaranteed" "$tmp/out" '768 guaranteed'
sed -n '/^## Configuration/,/^A new VM/s/^    //p' docs/provision.md >"$tmp/documented"
rc "the file of docs/provision.md is a good configuration" 0 check "$tmp/documented"
sed 's/256M/600M/' "$tmp/conf" >"$tmp/greedy"
rc "more guaranteed than there is is 3" 3 check "$tmp/greedy"
contains "... and names line and VM" "$tmp/err" 'greedy:[0-9]+: VM b does not fit'
rc "no such configuration is 3" 3 check "$tmp/none"
sed 's/256M/256M\ncid = 3/' "$tmp/conf" >"$tmp/cid"
rc "cid without vsock-port is 3" 3 check "$tmp/cid"
rc "status without a daemon is 5" 5 status
rc "a made-up fleet is decided" 0 simulate --generate 100 --steps 10
rc "... by other rules" 0 simulate --generate 100 --steps 10 --rule confirm=2 --rule period=1s
rc "a wrong rule is 2" 2 simulate --generate 100 --rule confirm=99
contains "... and says why" "$tmp/err" 'confirm must be a number from'
rc "a fleet is written" 0 simulate --generate 30 --steps 20 --write "$tmp/fleet"
rc "... and read" 0 simulate "$tmp/fleet" --mode benefit
contains "... whole" "$tmp/out" '^30 VMs, [0-9]+ decisions'
rc "10,000 VMs are decided for" 0 simulate --generate 10000 --steps 10 --json
holds "... each time within a second (ms)" "$(sed 's/.*"decide_max_ms":\([0-9.]*\).*/\1/' "$tmp/out") < 1000"
rc "simulate without a fleet is 2" 2 simulate
reported() { echo "{\"t\":$2,\"vm\":\"$1\",\"base\":0,\"curve\":[[0,0],[1048576,1]],\"hot\":1048576}"; }
{ grep -v '"t":' "$tmp/fleet"; reported vm3 0; echo '{"vm":"late"}'; reported late 500; echo '{"vm":"vm3"}'; reported vm3 900; } >"$tmp/joined"
rc "one to which a VM came later is 0" 0 simulate "$tmp/joined"
contains "... and has it once" "$tmp/out" '^31 VMs, '
echo nonsense >"$tmp/trace"
rc "simulate with nonsense is 3" 3 simulate "$tmp/trace"

start
check "the control socket's mode" 600 "$(stat -c %a "$tmp/run/control")"
rc "a second daemon is 4" 4 run "$tmp/conf"
rc "status" 0 status
contains "... has the VMs" "$tmp/out" '^a +absent +fast'
rc "status as JSON" 0 status --json
contains "... has the schema" "$tmp/out" '"schema": *1'
rc "set" 0 set a fast.limit=700M
rc "set beyond what is not promised is refused" 1 set b fast.guarantee=600M
contains "... with the reason" "$tmp/err" 'VM b does not fit'
rc "set of what cannot be changed is refused" 1 set a qmp=/x
rc "set of an unknown VM is refused" 1 set nobody fast.limit=1M
rc "pause of one" 0 pause b
rc "drain" 0 drain a
rc "pause of all" 0 pause
wait_for 5 grep -qs '"version":1,"paused":true' "$tmp/state" || not_ok "the state file is written"
kill -9 $daemon
wait $daemon 2>/dev/null
start
"$provision" --run-dir "$tmp/run" status --json >"$tmp/out"
contains "after kill -9: all paused" "$tmp/out" '"paused": *true'
contains "... and what was set" "$tmp/out" '"limit": *734003200'
cp "$tmp/conf" "$tmp/good"
cp "$tmp/greedy" "$tmp/conf"
rc "a new configuration that does not fit is refused" 1 reload
cat "$tmp/good" - >"$tmp/conf" <<CONF
[vm c]
qmp = $tmp/c.qmp
CONF
rc "a VM more" 0 reload
rc "... is there" 0 drain c
rc "resume of all" 0 resume
contains "metrics" "$tmp/metrics.prom" '^hypertier_provision_vm_guarantee_bytes\{vm="a",tier="fast"\} 536870912$'
kill -TERM $daemon
wait $daemon
check "SIGTERM is 0" 0 $?
check "the metrics went with it" no "$([ -e "$tmp/metrics.prom" ] && echo yes || echo no)"
contains "the recording has the fleet" "$tmp/record" '^\{"vm":"b","fast":\{"guarantee":268435456,'
check "the control socket is gone" no "$([ -e "$tmp/run/control" ] && echo yes || echo no)"
rm -f "$tmp/state"
start -n
rc "dry run" 0 status
contains "... is told" "$tmp/out" 'dry run'
kill -TERM $daemon
wait $daemon
check "... and leaves no state" no "$([ -e "$tmp/state" ] && echo yes || echo no)"
echo '{"version":9}' >"$tmp/state"
rc "a state file of another version is 1" 1 run "$tmp/conf"
contains "... and says what to do" "$tmp/err" 'move it away'
daemon=''
exit $((failed > 0))
