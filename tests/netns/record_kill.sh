#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# kill -9 while capturing: the file holds whole blocks up to its end or a padded tail, and
# `tapline repair` makes it one that every reader opens; what was on disk before is still there.
. "$(dirname "$0")/lib_common.sh"
test_begin "a killed capture leaves a file that can be read"
link_up 1

for round in 1 2 3 4 5; do
	capture_start -i span0 -w "$WORK/k.pcapng"
	bed_spawn tap "$HELPERS/helper_framegen" -i gen0 -t 10 -r 20000 -s 60-1514 --flows 20 \
		>/dev/null &
	sender=$!
	sleep "0.$((RANDOM % 90 + 10))"
	sleep 0.3
	before=$("$HELPERS/helper_framedump" "$WORK/k.pcapng" 2>/dev/null | wc -l)
	kill -KILL "$CAPTURE_PID"
	wait "$CAPTURE_PID" 2>/dev/null
	CAPTURE_PID=
	kill -INT "$sender"
	wait "$sender"
	after=$("$HELPERS/helper_framedump" "$WORK/k.pcapng" 2>/dev/null | wc -l)
	is "$round: frames were on disk ($before)" "$((before > 1000))" 1
	is "$round: none of them is gone ($after)" "$((after >= before))" 1
	fact "$round: repair" "$TAPLINE" repair "$WORK/k.pcapng"
	opens "$WORK/k.pcapng"
	repaired=$("$HELPERS/helper_framedump" "$WORK/k.pcapng" | wc -l)
	is "$round: repair keeps all ($repaired)" "$((repaired >= after))" 1
	frames_exact "$round: the frames are whole and without a gap" "$WORK/k.pcapng"
	rm -f "$WORK"/k.*
done

# the last packets before a kill: at most 100 ms old on disk, at 20 packets a second
capture_start -i span0 -w "$WORK/k.pcapng"
bed_spawn tap "$HELPERS/helper_framegen" -i gen0 -t 10 -r 20 -s 200 >"$WORK/slow.json" &
sender=$!
sleep 2
kill -INT "$sender"
wait "$sender"
sleep 0.1
kill -KILL "$CAPTURE_PID"
wait "$CAPTURE_PID" 2>/dev/null
CAPTURE_PID=
is "a slow link: all that was sent 100 ms before is there" \
	"$("$HELPERS/helper_framedump" "$WORK/k.pcapng" 2>/dev/null | wc -l)" "$(jq .sent "$WORK/slow.json")"
test_end
