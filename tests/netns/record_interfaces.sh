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

# "any" is what is up here: both, and the loopback, each under its own name
bed_exec sensor ip link set lo up
capture_start -i any -i span1 -w "$WORK/any.pcapng" --summary "$WORK/any.json"
SENT=0
generate 0 -n 1000 -r 10000 -s 60-1514 --flows 50 --both --stream 0
generate 1 -n 500 -r 10000 -s 60-1514 --flows 50 --both --stream 1
capture_stop
is "any: exit code" "$CAPTURE_RC" 0
summary_closes "any" "$WORK/any.json" 1500
is "any: each interface once, by its name" "$(jq -r .interface "$WORK/any.json" |
	tr , '\n' | sort | tr '\n' ' ')" "lo span0 span1 "
is "any: tshark counts the frames of both" "$(tshark --disable-protocol eth_withoutfcs \
	-nr "$WORK/any.pcapng" -T fields -e frame.interface_name 2>/dev/null |
	sort | uniq -c | awk '{ print $2, $1 }' | tr '\n' ' ')" "span0 1000 span1 500 "
interfaces=()
for ((i = 0; i < 33; i++)); do
	interfaces+=(-i lo)
done
is "more interfaces than a run takes" \
	"$(bed_exec sensor "$TAPLINE" capture "${interfaces[@]}" -c 1 2>&1)" \
	"tapline: -i: 33 interfaces: a run takes at most 32"
for interface in lo span0 span1; do
	bed_exec sensor ip link set "$interface" down
done
is "any: nothing is up" "$(bed_exec sensor "$TAPLINE" capture -i any -c 1 2>&1)" \
	"tapline: -i any: no interface is up; bring one up: ip link set IF up"
test_end
