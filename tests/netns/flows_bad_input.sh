#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# may run beside others
# Captures that nobody should send: tapline flows and tapline diagnose read each to its end, every packet is
# in the account, and what is wrong with fragments stands in the record of their flow.
. "$(dirname "$0")/lib_common.sh"
test_begin "flows: clocks set back, forty tunnels, cut headers, wrong lengths, fragments that overlap"

PYTHONDONTWRITEBYTECODE=1 python3 "$TAPLINE_SOURCE/tests/helpers/bad_capture.py" "$WORK" >"$WORK/list" ||
	die "no captures"
while IFS=$'\t' read -r name frames; do
	json="$WORK/$name.json"
	fact "$name: flows reads it to its end" sh -c '"$1" flows -r "$2" --json >"$3"' - "$TAPLINE" \
		"$WORK/$name.pcap" "$json"
	is "$name: every packet is in a flow, or in none" "$(jq -s '(map(select(.type == "flow").flow |
		.pkts_toserver + .pkts_toclient) | add) + (map(select(.type == "stats").no_flow_packets) | add)' \
		"$json")" "$frames"
	is "$name: no flow ends before it begins" "$(jq -s 'map(select(.type == "flow").flow |
		select(.end < .start)) | length' "$json")" 0
	fact "$name: diagnose reads it to its end" sh -c '"$1" diagnose -r "$2" --json >"$3"' - "$TAPLINE" \
		"$WORK/$name.pcap" "$WORK/findings"
	is "$name: and closes with the quality" "$(tail -n 1 "$WORK/findings" | jq -r '[.type, .packets] | join(" ")')" \
		"capture_quality $frames"
done <"$WORK/list"

stats() { # NAME FILTER
	jq -c "select(.type == \"stats\") | $2" "$WORK/$1.json"
}
is "a clock set back does not split a flow" "$(jq -s 'map(select(.type == "flow" and
	.flow.start < "2026-01-02")) | length' "$WORK/backwards.json")" 10
is "a day later it is another one" "$(jq -s 'map(select(.type == "flow")) | length' "$WORK/backwards.json")" 20
is "the outermost tunnel is told" "$(jq -r 'select(.type == "flow") | .tunnel.type' "$WORK/deep.json" |
	sort | uniq -c | awk '{ print $2 ":" $1 }' | xargs)" "geneve:1 gre:1 gtpu:1 ipip:1 vxlan:1"

# flow -> what is said of its fragments, IPv4 and IPv6 alike
while read -r port wanted; do
	is "fragments of flow $port" "$(jq -r --argjson port "$port" 'select(.type == "flow" and .src_port == $port) |
		.flow.fragments | to_entries | map(select(.value).key) | join("+") | if . == "" then "-" else . end' \
		"$WORK/fragments.json" | xargs)" "$wanted $wanted"
done <<-'EOF'
	1000 -
	1001 -
	1002 overlap
	1003 overlap
	1004 overlap
	1005 invalid
	1006 invalid
EOF
is "and counted" "$(stats fragments .fragments)" \
	'{"packets":34,"no_flow":0,"duplicate":4,"overlap":6,"tiny":0,"invalid":4}'
is "a flood makes no flow but those of its first fragments" "$(stats flood '[.flows, .fragments.packets,
	.fragments.no_flow]')" "[500,100000,50000]"
test_end
