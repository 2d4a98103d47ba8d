#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Cause 6, the application hangs: nginx is stopped (SIGSTOP). The kernel goes on to accept and to
# ACK, no answer comes; later it goes on.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "cause 6: an application hangs with requests before it"
need nginx curl
nginx_up 80
echo 0 >"$WORK/delay"
lab_spawn healthy server python3 "$PROGRAMS/slow_http.py" 8081 "$WORK/delay"
lab_ready healthy listens server 8081
lab_wants app.no_response ".severity != \"info\" and .server.port == 80 and
	.details.protocol == \"http\" and .details.waited_ms >= 4000"
# those whose answer came in the end
lab_also app.slow '.server.port == 80'
lab_watch
for ((i = 0; i < 10; i++)); do
	fetch "http://$SERVER/page" || break
done
is "quick answers" $i 10
mapfile -t stopped < <(echo "$NGINX"; ps -o pid= --ppid "$NGINX" | tr -d ' ')
kill -STOP "${stopped[@]}"
for i in 1 2 3; do
	fetch "http://$SERVER/page" -m 6 &
	sleep 0.2
done
fact "another server answers" fetch "http://$SERVER:8081/"
sleep 7
kill -CONT "${stopped[@]}"
fact "quick again" fetch "http://$SERVER/page"
lab_judge
