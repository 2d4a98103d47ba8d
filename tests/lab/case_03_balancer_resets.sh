#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Case 3, resets by a load balancer: its health check has so short a timeout that a busy
# backend counts as down, and its sessions, which were fine, are cut by RSTs.
#
#   curl ×6 ── router ── balancer :8080 ── nginx 127.0.0.1:9001 (serves, slowly by its rate limit)
#                                      └── slow_http.py :9002, /health: 300 ms when it is busy
. "$(dirname "$0")/lib_lab.sh"
lab_begin "case 3: a load balancer's short health-check timeout kills good connections"
need nginx python3 curl
seq 1 600000 >"$WORK/www/big"
mkdir -p "$WORK/nginx.d"
echo "server { listen 127.0.0.1:9001; root $WORK/www; location /big { limit_rate 100k; } }" \
	>"$WORK/nginx.d/backend.conf"
nginx_up 80
echo 0 >"$WORK/delay"
lab_spawn health server python3 "$PROGRAMS/slow_http.py" 9002 "$WORK/delay"
lab_ready health listens server 9002
lab_spawn balancer server python3 "$PROGRAMS/balancer.py" "$SERVER" 8080 9001 9002 0.1
lab_ready balancer listens server 8080
lab_wants tcp.reset ".severity != \"info\" and .server.port == 8080 and
	.details.sender == \"server\" and .details.phase == \"transfer\" and
	.details.in_window == true and .details.flows == 6"
# what the users have of it
lab_also http.body_mismatch '.server.port == 8080 and .details.side == "response"'
lab_watch
fact "the balancer serves" fetch "http://$SERVER:8080/page"
downloads=()
for ((i = 0; i < 6; i++)); do
	lab_spawn "curl$i" client curl -s -o /dev/null "http://$SERVER:8080/big"
	downloads+=("$RET_PID")
done
sleep 3
echo 0.3 >"$WORK/delay"
reset=0
for pid in "${downloads[@]}"; do
	wait "$pid"
	[ $? = 56 ] && reset=$((reset + 1))
done
is "curls that say: connection reset by peer" $reset 6
echo 0 >"$WORK/delay"
sleep 2
fact "the balancer serves again" fetch "http://$SERVER:8080/page"
lab_judge
