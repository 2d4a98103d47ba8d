#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The same filters on a link, where the kernel may have stripped the VLAN tag before the filter
# runs: what is kept is what tcpdump keeps of the file that was sent.
. "$(dirname "$0")/lib_common.sh"
. "$(dirname "$0")/lib_filters.sh"
test_begin "filters on a link keep what tcpdump keeps of the same packets"
link_up 1

python3 "$TAPLINE_SOURCE/tests/helpers/mixed_capture.py" "$WORK/mix.pcap" || die "no mixed capture"
total=$("$HELPERS/helper_framedump" "$WORK/mix.pcap" | wc -l)

one_filter() { # BACKEND EXPRESSION
	local backend=$1 expression=$2 wanted
	tcpdump -nr "$WORK/mix.pcap" -w "$WORK/judge.pcap" "$expression" 2>/dev/null ||
		die "tcpdump refuses '$expression'"
	rm -f "$WORK"/kept.*
	capture_start -i span0 -w "$WORK/kept.pcapng" --summary "$WORK/kept.json" \
		--backend "$backend" "$expression"
	bed_exec tap "$HELPERS/helper_framesend" gen0 "$WORK/mix.pcap" >"$WORK/sent.json"
	capture_stop
	is "$backend: '$expression': exit code" "$CAPTURE_RC" 0
	is "$backend: all frames were sent" "$(jq .sent "$WORK/sent.json")" "$total"
	"$HELPERS/helper_framedump" --no-time "$WORK/judge.pcap" >"$WORK/judge.txt"
	"$HELPERS/helper_framedump" --no-time "$WORK/kept.pcapng" >"$WORK/kept.txt"
	wanted=$(wc -l <"$WORK/judge.txt")
	fact "$backend: '$expression' keeps $wanted" diff -q "$WORK/judge.txt" "$WORK/kept.txt"
	summary_closes "$backend: '$expression'" "$WORK/kept.json" "$total"
	is "$backend: '$expression': the rest is counted as filtered" \
		"$(summary "$WORK/kept.json" .packets.filtered)" "$((total - wanted))"
}

for backend in $BACKENDS; do
	for expression in "${FILTERS_LINK[@]}"; do
		one_filter "$backend" "$expression"
	done
done
test_end
