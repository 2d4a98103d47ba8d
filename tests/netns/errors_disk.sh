#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A full disk loses nothing that was captured before: one line, counted drops, a file that opens.
. "$(dirname "$0")/lib_common.sh"
test_begin "a full disk is said, counted, and leaves a file that opens"
link_up 1

mkdir "$WORK/small"
mount -t tmpfs -o size=1m tmpfs "$WORK/small" || skip "no tmpfs here"
at_end "umount '$WORK/small' 2>/dev/null"

# more than the writer's buffers hold
capture_start -i span0 -w "$WORK/small/f.pcapng" --summary "$WORK/f.json"
generate 0 -n 150000 -r 50000 -s 1000
sleep 0.5
if kill -0 "$CAPTURE_PID" 2>/dev/null; then
	ok "the capture goes on"
else
	not_ok "the capture goes on" "it ended"
fi
rows=$(grep -ci 'space' "$CAPTURE_LOG")
is "it says that there is no space, not once a packet ($rows)" "$((rows >= 1 && rows <= 5))" 1
# room again: recording goes on within a second
mount -o remount,size=512m "$WORK/small"
sleep 1
generate 0 -n 5000 -r 20000 -s 1000 --first 150000
capture_stop
summary_closes "full disk" "$WORK/f.json" "$SENT"
is "what did not fit is counted" "$(summary "$WORK/f.json" '.packets.dropped.writer > 10000')" true
opens "$WORK/small/f.pcapng"
written=$(summary "$WORK/f.json" .packets.written)
is "written is what is in the file" \
	"$("$HELPERS/helper_framedump" "$WORK/small/f.pcapng" | wc -l)" "$written"
"$HELPERS/helper_framecheck" --may-miss "$WORK/small/f.pcapng" >"$WORK/check.json"
is "the frames are whole, in order, none twice" $? 0
last=$(tshark -nr "$WORK/small/f.pcapng" -T fields -e data.data 2>/dev/null | tail -n 1)
is "the last frame, sent after there was room, is there" \
	"$((16#${last:12:16}))" 154999

# a file in place of an interface fills the disk: the command fails with one line
umount "$WORK/small" && mount -t tmpfs -o size=100k tmpfs "$WORK/small"
python3 "$TAPLINE_SOURCE/tests/helpers/mixed_capture.py" "$WORK/mix.pcap"
complains -s "a file into a full disk" 1 "space" \
	"$TAPLINE" capture -r "$WORK/mix.pcap" -w "$WORK/small/g.pcapng"
opens "$WORK/small/g.pcapng"
test_end
