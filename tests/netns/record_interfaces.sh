#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Two interfaces into one file: merged by time, each with its own statistics.
. "$(dirname "$0")/lib_common.sh"
test_begin "two interfaces are recorded into one file"
link_up 2

half=$((FRAMES / 2))
capture_start -i span0 -i span1 -w "$WORK/a.pcapng" --summary "$WORK/a.json"
# in the background SENT is lost: both counts are known, and framegen fails when it can't keep them
generate 0 -n "$half" -r $((RATE / 2)) -s 60-1514 --flows 50 --both --stream 0 &
other=$!
generate 1 -n "$half" -r $((RATE / 2)) -s 60-1514 --flows 50 --both --stream 1
wait "$other"
is "the second sender" $? 0
capture_stop
is "exit code" "$CAPTURE_RC" 0
frames_exact "every frame of both once, in order" -e "0=$half" -e "1=$half" "$WORK/a.pcapng"
summary_closes "two interfaces" "$WORK/a.json" $((2 * half))
is "two interface descriptions" \
	"$("$HELPERS/helper_framecheck" "$WORK/a.pcapng" | jq .interfaces)" 2
is "statistics close both" \
	"$("$HELPERS/helper_framecheck" "$WORK/a.pcapng" | jq .interfaces_open)" 0
# Ethernet is not taken apart: it is the file's interfaces that are asked for
is "tshark counts the frames of both" "$(tshark --disable-protocol eth_withoutfcs \
	-nr "$WORK/a.pcapng" -T fields -e frame.interface_name 2>/dev/null |
	sort | uniq -c | awk '{ print $2, $1 }' | tr '\n' ' ')" "span0 $half span1 $half "
opens "$WORK/a.pcapng"
test_end
