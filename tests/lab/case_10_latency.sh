#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Case 10, a slow API behind a quick server: the gateway's QoS takes the API's answers for bulk, and
# they queue in a class of 600 kbit/s; other traffic has a class of its own and is quick.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "case 10: a QoS class of too low a rate delays an API's answers"
need nginx curl tc
nginx_up 80 8080
head -c 300000 /dev/zero | tr '\0' x >"$WORK/www/api"
ns=$(bed_ns server)
tc -n "$ns" -batch - 2>"$WORK/tc.err" <<'TC' || die "no htb: $(cat "$WORK/tc.err")"
qdisc add dev s0 root handle 1: htb default 10
class add dev s0 parent 1: classid 1:1 htb rate 1gbit
class add dev s0 parent 1:1 classid 1:10 htb rate 900mbit ceil 1gbit prio 0
class add dev s0 parent 1:1 classid 1:20 htb rate 600kbit ceil 600kbit prio 7
filter add dev s0 parent 1: protocol ip u32 match ip sport 8080 0xffff flowid 1:20
TC
lab_wants latency.breakdown ".severity != \"info\" and .server.port == 8080 and
	.details.blame == \"network\" and .details.total_ms >= 3000 and
	.details.response_ms >= 3000 and .details.server_ms <= 500"
lab_watch
fact "port 80 is quick" fetch "http://$SERVER/page"
for i in 1 2 3; do
	seconds=$(bed_exec client curl -s -m 10 -o /dev/null -w '%{time_total}' \
		"http://$SERVER:8080/api")
	is "the API takes seconds ($seconds)" "$(jq -n "$seconds > 3")" true
done
fact "port 80 is quick" fetch "http://$SERVER/page"
lab_judge
