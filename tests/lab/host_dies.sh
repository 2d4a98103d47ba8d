#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A host dies (power, link) while it serves: what is sent to it on the connections that stand is
# sent again and again, new ones get no answer. That is one story: connect.no_answer. Nobody says
# that it is gone: its neighbour still has its address.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "a host dies with connections open"
need nginx curl python3
nginx_up 80
lab_wants connect.no_answer ".severity == \"error\" and .server.ip == \"$SERVER\" and
	.server.port == 80 and .details.syn_count >= 3"
LAB_AFTER=told_as_consequence
told_as_consequence() {
	local what='.kind == "tcp.loss" and .severity == "info" and .details.where == "after_tap" and
		.details.rto >= 4'

	is "what was sent again is told beside it, as information" \
		"$(jq -s "any(.[]; .type == \"finding\" and $what)" "$WORK/file.json")" true
}
mac=$(ip -n "$(bed_ns server)" -j link show s0 | jq -r '.[0].address')
ip -n "$(bed_ns router)" neigh replace "$SERVER" lladdr "$mac" dev rs0 nud permanent
lab_watch
lab_spawn keepers client python3 "$PROGRAMS/keep_asking.py" "$SERVER" 80 4 12
keepers=$RET_PID
sleep 1.5
fact "the host is up" fetch "http://$SERVER/page"
ip -n "$(bed_ns server)" link set s0 down
sleep 1
fetch "http://$SERVER/page" -m 8
is "curl: no connection" $? 28
wait "$keepers"
lab_judge
