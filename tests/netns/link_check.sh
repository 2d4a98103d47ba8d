#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tapline check: true facts, --fix and --restore, and exit codes.
. "$(dirname "$0")/lib_common.sh"
test_begin "tapline check says what is, sets what helps, and puts it back"
link_up 1
ns=$(bed_ns sensor)

check() { # ARGS…
	bed_exec sensor "$TAPLINE" check "$@" 2>"$WORK/err"
}

gro() {
	ip netns exec "$ns" ethtool -k span0 | sed -n 's/^generic-receive-offload: //p'
}

of() { # JQ_FILTER -> of span0's object
	check -i span0 --json | jq -c "select(.interface == \"span0\") | $1"
}

ip netns exec "$ns" ethtool -K span0 gro on
check -i span0 --json >"$WORK/check.json"
is "exit code when ready" $? 0
is "two objects: the host and the interface" "$(jq -s length "$WORK/check.json")" 2
is "driver" "$(of .facts.driver)" '"veth"'
is "MTU" "$(of .facts.mtu)" "$(ip -n "$ns" -j link show span0 | jq '.[0].mtu')"
is "GRO is on" "$(of .facts.gro)" '"on"'
is "the command that turns it off" "$(of '[.advice[].command] | index("ethtool -K span0 gro off") != null')" true
is "the mode" "$(of '.facts.mode | startswith("afpacket (TPACKET_V3")')" true
is "native XDP of veth" "$(of '.facts.xdp | startswith("native")')" true
is "checking changes nothing" "$(gro)" on

check -i span0 --fix >/dev/null
is "--fix: exit code" $? 0
is "--fix turns GRO off" "$(gro)" off
fact "--fix says how to undo it" grep -q -- "tapline check -i span0 --restore" "$WORK/err"
capture_start -i span0 -w "$WORK/a.pcapng" --backend afpacket
capture_stop
is "a capture leaves the fix in place" "$(gro)" off
check -i span0 --restore >/dev/null
is "--restore: exit code" $? 0
is "--restore turns it on again" "$(gro)" on

# the capture and what watches over its settings are killed: the check puts things back
capture_start -i span0 -w "$WORK/a.pcapng" --backend afpacket
is "GRO is off during a capture" "$(gro)" off
keeper=$(cat "/proc/$CAPTURE_PID/task/$CAPTURE_PID/children")
# shellcheck disable=SC2086
kill -KILL $keeper "$CAPTURE_PID"
capture_wait
is "everything killed: GRO is left off" "$(gro)" off
check -i span0 --restore >/dev/null
is "--restore after a crash" "$(gro)" on

ip -n "$ns" link set span0 down
check -i span0 >"$WORK/down.txt"
is "an interface that is down: exit code" $? 1
fact "and the command that brings it up" grep -q "ip link set span0 up" "$WORK/down.txt"

check -i nothere >/dev/null
is "no such interface: exit code" $? 1
fact "and which there are" grep -q "nothere: no such interface; interfaces here: lo, span0" "$WORK/err"
check --fix >/dev/null
is "--fix without an interface: exit code" $? 2
check -i span0 --fix --restore >/dev/null
is "--fix and --restore: exit code" $? 2
check span0 >/dev/null
is "an operand: exit code" $? 2
check --help >"$WORK/help.txt"
is "--help: exit code" $? 0
fact "--help names --restore" grep -q -- --restore "$WORK/help.txt"
test_end
