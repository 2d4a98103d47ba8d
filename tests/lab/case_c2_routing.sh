#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Cause 2, routing: the router has no route to one network and says so; the server has lost its
# route back to the client, and so can't answer.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "cause 2: a route is missing, on the way there and on the way back"
need nginx curl
nginx_up 80
lab_wants connect.unreachable ".severity != \"info\" and .server.ip == \"10.99.0.5\" and
	.server.port == 8080 and .details.icmp_code == 0 and .details.reported_by == \"10.77.1.1\""
lab_wants connect.no_answer ".severity == \"error\" and .server.ip == \"$SERVER\" and
	.server.port == 80"
lab_watch
fact "all is well" fetch "http://$SERVER/page"
fetch http://10.99.0.5:8080/
is "curl: no route" $? 7
ip -n "$(bed_ns server)" route del default
fetch "http://$SERVER/page" -m 8
is "curl: time out" $? 28
ip -n "$(bed_ns server)" route add default via 10.77.2.1
fact "all is well again" fetch "http://$SERVER/page"
lab_judge
