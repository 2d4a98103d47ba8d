#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Cause 3, the host is down: its interface is off, and the router finds no neighbour. Then it comes
# back, but the process does not: RSTs.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "cause 3: a host is down, then up without its service"
need nginx curl
nginx_up 80
lab_wants connect.unreachable ".severity != \"info\" and .server.ip == \"$SERVER\" and
	.server.port == 8080 and .details.icmp_code == 1 and .details.reported_by == \"10.77.1.1\""
lab_wants connect.refused ".severity != \"info\" and .server.ip == \"$SERVER\" and
	.server.port == 8080"
lab_watch
fact "the host is up" fetch "http://$SERVER/page"
ip -n "$(bed_ns server)" link set s0 down
ip -n "$(bed_ns router)" neigh flush dev rs0
for i in 1 2; do
	fetch "http://$SERVER:8080/" -m 5
done
ip -n "$(bed_ns server)" link set s0 up
ip -n "$(bed_ns server)" route replace default via 10.77.2.1
fact "the host is back" lab_until 5 fetch "http://$SERVER/page"
for i in 1 2 3; do
	fetch "http://$SERVER:8080/"
	is "curl: refused" $? 7
done
lab_judge
