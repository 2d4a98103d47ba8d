#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Numbered frames at 200 kpps, each in the file exactly once, with each backend.
. "$(dirname "$0")/lib_common.sh"
test_begin "each numbered frame is recorded exactly once, in order, byte for byte"
link_up 1

for backend in auto $BACKENDS; do
	SENT=0
	capture_start -i span0 -w "$WORK/a.pcapng" --summary "$WORK/a.json" --backend "$backend"
	generate 0 -n "$FRAMES" -r "$RATE" -s 60-1514 --flows 200 --both
	capture_stop
	is "$backend: exit code" "$CAPTURE_RC" 0
	frames_exact "$backend: every frame once, in order, whole" -e "0=$FRAMES" "$WORK/a.pcapng"
	summary_closes "$backend" "$WORK/a.json" "$SENT"
	is "$backend: all are written" "$(summary "$WORK/a.json" .packets.written)" "$FRAMES"
	is "$backend: the summary names the interface" \
		"$(summary "$WORK/a.json" '.interface | tostring | contains("span0")')" true
	is "$backend: the summary names the file" \
		"$(summary "$WORK/a.json" '.files | tostring | contains("a.pcapng")')" true
	is "$backend: statistics close each interface" \
		"$("$HELPERS/helper_framecheck" "$WORK/a.pcapng" | jq .interfaces_open)" 0
	opens "$WORK/a.pcapng"
	[ "$backend" = auto ] ||
		is "$backend: it is the one used" "$(summary "$WORK/a.json" .backend)" "$backend"
	rm -f "$WORK"/a.*
done
test_end
