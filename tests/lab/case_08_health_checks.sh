#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Case 8, a link that fills without more users: haproxy checks the health of a server every
# millisecond.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "case 8: health checks every millisecond"
need nginx haproxy curl
nginx_up 80 8080
cat >"$WORK/haproxy.cfg" <<CONF
defaults
	mode tcp
	timeout connect 1s
	timeout client 5s
	timeout server 5s
listen shop
	bind 127.0.0.1:8080
	server one $SERVER:8080 check inter 1
CONF
# haproxy's is a loop: a check, 1 ms, the next. That it is a clock is the finding; who knocks so often
# is information beside it.
lab_wants traffic.top_talker ".client.ip == \"$CLIENT\" and
	.details.connections_per_s >= 100"
lab_wants traffic.periodic ".severity != \"info\" and .client.ip == \"$CLIENT\" and .server.ip == \"$SERVER\" and
	.server.port == 8080 and .details.period_ms >= 0.5 and .details.period_ms <= 8"
lab_watch
# its clock shall tick whatever else the host does
first=()
chrt -f 1 true 2>/dev/null && first=(chrt -f 1)
lab_spawn haproxy client "${first[@]}" haproxy -db -f "$WORK/haproxy.cfg"
for ((i = 0; i < 8; i++)); do
	fetch "http://$SERVER/page" || break
	sleep 0.9
done
is "users are served" $i 8
kill "$RET_PID"
lab_judge
