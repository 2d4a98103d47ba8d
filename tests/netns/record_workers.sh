#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Two workers: one file in time order, nothing lost or doubled between them.
. "$(dirname "$0")/lib_common.sh"
test_begin "two workers record into one file in time order"
link_up 1

for backend in $BACKENDS; do
	SENT=0
	capture_start -i span0 -w "$WORK/a.pcapng" --summary "$WORK/a.json" \
		--backend "$backend" --workers 2
	[ "$(nice)" != 0 ] || is "$backend: what takes packets and writes them comes before other work" \
		"$(ps -L -o comm=,ni= -p "$CAPTURE_PID" | awk '/worker|merger|writer/ && $2 == -5' | wc -l)" 4
	generate 0 -n "$FRAMES" -r "$RATE" -s 60-1514 --flows 500 --both
	capture_stop
	is "$backend: exit code" "$CAPTURE_RC" 0
	# the order of two flows may change between two queues; the order within one may not
	frames_exact "$backend: every frame once, flows in order, time never back" \
		--by-flow -e "0=$FRAMES" "$WORK/a.pcapng"
	summary_closes "$backend" "$WORK/a.json" "$SENT"
	is "$backend: all are written" "$(summary "$WORK/a.json" .packets.written)" "$FRAMES"
	rm -f "$WORK"/a.*
done
test_end
