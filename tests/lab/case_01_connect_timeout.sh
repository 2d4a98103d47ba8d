#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Case 1, connection timeout: a firewall on the way drops the SYNs to an HTTPS server; the same
# host's port 80 goes on answering.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "case 1: SYNs to tcp/443 are dropped on the way"
need nginx curl
nginx_up 80 443
bed_drop tcp dport 443
lab_wants connect.no_answer ".severity == \"error\" and .server.ip == \"$SERVER\" and
	.server.port == 443 and .client.ip == \"$CLIENT\" and .details.syn_count >= 3 and
	.details.waited_ms >= 3000 and .confidence >= 0.9"
lab_watch
fact "port 80 answers" fetch "http://$SERVER/page"
fetch "https://$SERVER/" -m 8
is "curl: connection timed out" $? 28
fact "port 80 still answers" fetch "http://$SERVER/page"
lab_judge
