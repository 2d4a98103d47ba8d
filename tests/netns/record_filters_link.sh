#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The same filters on a link, where the kernel may have stripped the VLAN tag before the filter
# runs: what is kept is what tcpdump keeps of the file that was sent. Four at a time, each on a link
# of its own.
# may run beside others: what is sent fits the ring
. "$(dirname "$0")/lib_common.sh"
. "$(dirname "$0")/lib_filters.sh"
test_begin "filters on a link keep what tcpdump keeps of the same packets"
LINKS=4
link_up $LINKS

python3 "$TAPLINE_SOURCE/tests/helpers/mixed_capture.py" "$WORK/mix.pcap" || die "no mixed capture"
total=$("$HELPERS/helper_framedump" "$WORK/mix.pcap" | wc -l)

judge() { # BACKEND LINK EXPRESSION RC
	local backend=$1 of=$WORK/$2 expression=$3 wanted
	is "$backend: '$expression': exit code" "$4" 0
	is "$backend: all frames were sent" "$(jq .sent "$of.sent")" "$total"
	tcpdump -nr "$WORK/mix.pcap" -w "$of.pcap" "$expression" 2>/dev/null ||
		die "tcpdump refuses '$expression'"
	"$HELPERS/helper_framedump" --no-time "$of.pcap" >"$of.judge"
	"$HELPERS/helper_framedump" --no-time "$of.pcapng" >"$of.kept"
	wanted=$(wc -l <"$of.judge")
	fact "$backend: '$expression' keeps $wanted" diff -q "$of.judge" "$of.kept"
	summary_closes "$backend: '$expression'" "$of.json" "$total"
	is "$backend: '$expression': the rest is counted as filtered" \
		"$(summary "$of.json" .packets.filtered)" "$((total - wanted))"
}

at_once() { # BACKEND EXPRESSION…
	local backend=$1 link pids=() rc
	shift
	local expressions=("$@")
	rm -f "$WORK"/[0-9].*
	for link in "${!expressions[@]}"; do
		capture_start -i "span$link" -w "$WORK/$link.pcapng" --summary "$WORK/$link.json" \
			--backend "$backend" -B 16384 "${expressions[link]}"
		pids+=("$CAPTURE_PID")
	done
	for link in "${!expressions[@]}"; do
		bed_exec tap "$HELPERS/helper_framesend" "gen$link" "$WORK/mix.pcap" \
			>"$WORK/$link.sent"
	done
	sleep 0.3
	kill -INT "${pids[@]}"
	for link in "${!expressions[@]}"; do
		CAPTURE_PID=${pids[link]}
		capture_wait
		rc=$CAPTURE_RC
		judge "$backend" "$link" "${expressions[link]}" "$rc"
	done
}

for backend in $BACKENDS; do
	for ((first = 0; first < ${#FILTERS_LINK[@]}; first += LINKS)); do
		at_once "$backend" "${FILTERS_LINK[@]:first:LINKS}"
	done
done
test_end
