#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Case 7, 5 % of calls fail: a client with a fixed source port comes back while the server still
# holds the connection before. Its SYN meets a challenge ACK, the client answers with a RST, and
# only its next SYN gets through.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "case 7: a 4-tuple comes back too early"
need python3 nginx
nginx_up 80 9090
lab_wants tcp.port_reuse ".severity != \"info\" and .client.port == 8081 and
	.server.port == 9090 and .details.outcome == \"challenged\" and
	.details.age_ms >= 500 and .details.age_ms < 10000"
lab_watch
fact "other clients" fetch "http://$SERVER:9090/page"
fact "calls from one port, 2 of them after a crash" bed_exec client \
	python3 "$PROGRAMS/reuse_port.py" "$SERVER" 9090 8081
fact "other clients" fetch "http://$SERVER:9090/page"
lab_judge
