#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A ring that is nearly full is emptied first: packets are recorded, and their analysis is left out
# and counted. Here the program is behind because it was stopped for a while.
. "$(dirname "$0")/lib_common.sh"
test_begin "under overload the analysis is shed before packets, and counted"
link_up 1

overload() { # BACKEND FRAMES BYTES: more than three quarters of a ring of 64 MiB
	local backend=$1 shed written
	SENT=0
	capture_start -i span0 --backend "$backend" --workers 1 -B 65536 --diagnose --json \
		-w "$WORK/$backend.pcapng" --summary "$WORK/$backend.sum" >"$WORK/$backend.json"
	generate 0 -n 2000 -r 20000 -s 200 --flows 1
	sleep 0.5
	kill -STOP "$CAPTURE_PID"
	generate 0 -n "$2" -s "$3" --flows 1 --first "$SENT"
	kill -CONT "$CAPTURE_PID"
	sleep 1
	generate 0 -n 2000 -r 20000 -s 200 --flows 1 --first "$SENT"
	capture_stop
	is "$backend: exit code" "$CAPTURE_RC" 0
	summary_closes "$backend" "$WORK/$backend.sum" "$SENT"
	# AF_PACKET's own timer may drop one that comes just as it closes a block
	written=$(summary "$WORK/$backend.sum" .packets.written)
	fact "$backend: every packet is recorded ($written)" test "$written" -ge $((SENT - 2))
	shed=$(jq 'select(.type == "capture_quality") | .analysis_shed_packets' "$WORK/$backend.json")
	fact "$backend: of the rush, some were not analyzed ($shed)" \
		test "${shed:-0}" -gt 0 -a "${shed:-0}" -le "$2"
	is "$backend: all others were, before and behind it" "$(jq 'select(.type == "capture_quality") |
		.packets' "$WORK/$backend.json")" $((written - shed))
}

overload afpacket 38000 1400
overload afxdp 14500 200
test_end
