#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a filter keeps of a file is what tcpdump keeps, to the byte and the time.
# may run beside others
. "$(dirname "$0")/lib_common.sh"
. "$(dirname "$0")/lib_filters.sh"
test_begin "filters over a file keep what tcpdump keeps"

python3 "$TAPLINE_SOURCE/tests/helpers/mixed_capture.py" "$WORK/mix.pcap" || die "no mixed capture"

kept_some=0
for expression in "${FILTERS_LINK[@]}" "${FILTERS_FILE[@]}"; do
	if ! tcpdump -nr "$WORK/mix.pcap" -w "$WORK/judge.pcap" "$expression" 2>"$WORK/judge.err"; then
		# what libpcap does not compile for a file, tapline does not either
		complains "'$expression' is refused" "1 2" '.' "$TAPLINE" capture -r "$WORK/mix.pcap" \
			-w "$WORK/kept.pcapng" "$expression"
		continue
	fi
	if ! "$TAPLINE" capture -r "$WORK/mix.pcap" -w "$WORK/kept.pcapng" \
		--summary "$WORK/kept.json" "$expression" 2>"$WORK/kept.err"; then
		not_ok "'$expression'" "$(head -c 300 "$WORK/kept.err")"
		continue
	fi
	"$HELPERS/helper_framedump" "$WORK/judge.pcap" >"$WORK/judge.txt"
	"$HELPERS/helper_framedump" "$WORK/kept.pcapng" >"$WORK/kept.txt"
	wanted=$(wc -l <"$WORK/judge.txt")
	[ "$wanted" -gt 0 ] && [ "$wanted" -lt 1224 ] && kept_some=$((kept_some + 1))
	fact "'$expression' keeps $wanted" diff -q "$WORK/judge.txt" "$WORK/kept.txt"
	is "'$expression' is accounted for" "$(summary "$WORK/kept.json" '.packets |
		[.received, .filtered, .captured, .written] | tostring')" \
		"[1224,$((1224 - wanted)),$wanted,$wanted]"
done
# a list whose filters all match nothing would prove nothing
is "at least 60 filters tell packets apart" "$((kept_some >= 60))" 1
opens "$WORK/kept.pcapng"
test_end
