#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A program that listens and accepts no more: its queue of accepted connections fills up. Those that
# find a place wait for an answer; of those that come when it is full the host drops the ACK, and
# repeats its SYN-ACK, or it drops the SYN.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "a listener that accepts no more, with clients who go on to come"
lab_spawn stuck server python3 "$PROGRAMS/stuck_server.py" 8080 4 10
lab_ready stuck listens server 8080
lab_wants connect.queue_overflow '.severity == "error" and .server.port == 8080 and
	.details.synack_count >= 2'
# those in the queue, and those whose SYN is dropped
lab_also app.no_response '.server.port == 8080 and .details.waited_ms >= 5000'
lab_also connect.no_answer '.server.port == 8080 and (.cause | test("accept queue"))'
lab_watch
for ((i = 0; i < 10; i++)); do
	fetch "http://$SERVER:8080/" || break
done
is "quick answers" $i 10
# a slow way back: they are all there before the first one's ACK
tc -n "$(bed_ns server)" qdisc add dev s0 root tbf rate 24kbit burst 200 latency 5s ||
	skip "no tbf in this kernel"
bed_exec client python3 "$PROGRAMS/crowd.py" "$SERVER" 8080 8 12 &
sleep 1.5
tc -n "$(bed_ns server)" qdisc del dev s0 root
wait $!
lab_judge
