#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tapline flows on an interface: a start record leaves while the flow stands, and the records at the end say of
# fragments what those of the same frames in a file say.
. "$(dirname "$0")/lib_common.sh"
test_begin "flows live: records leave soon, fragments are judged as in a file"
link_up 1

PYTHONDONTWRITEBYTECODE=1 python3 "$TAPLINE_SOURCE/tests/helpers/bad_capture.py" "$WORK" >"$WORK/list" ||
	die "no captures"
bed_spawn sensor "$TAPLINE" flows -i span0 --json --records start,end,stats >"$WORK/live" 2>"$WORK/live.err" &
CAPTURE_PID=$!
for ((i = 0; i < 200; i++)); do
	grep -q 'on span0' "$WORK/live.err" && break
	sleep 0.05
done
bed_exec tap "$HELPERS/helper_framesend" gen0 "$WORK/fragments.pcap" >"$WORK/sent" || die "nothing was sent"
is "all frames were sent" "$(jq .sent "$WORK/sent")" 34
for ((i = 0; i < 100; i++)); do
	[ "$(grep -c '"record":"start"' "$WORK/live")" = 14 ] && break
	sleep 0.1
done
is "its start is told while a flow stands" "$(grep -c '"record":"start"' "$WORK/live")" 14
kill -INT "$CAPTURE_PID"
capture_wait
is "exit code" "$CAPTURE_RC" 0

fragments_of() { # FILE
	jq -c 'select(.record == "end") | [.src_ip, .src_port, .flow.fragments]' "$1" | sort
}
"$TAPLINE" flows -r "$WORK/fragments.pcap" --json >"$WORK/file"
is "each flow's fragments are told as from the file" "$(fragments_of "$WORK/live")" "$(fragments_of "$WORK/file")"
is "and counted" "$(jq -c 'select(.type == "stats").fragments' "$WORK/live")" \
	"$(jq -c 'select(.type == "stats").fragments' "$WORK/file")"
test_end
