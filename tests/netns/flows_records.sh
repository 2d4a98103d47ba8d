#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# may run beside others
# tapline flows: what its records add up to is what nfdump counts in the same file, whichever records
# are asked for, and what nfcapd gets as IPFIX; the closing record holds the same sums.
. "$(dirname "$0")/lib_common.sh"
test_begin "flows: records add up to what nfdump counts, as JSON, CSV and IPFIX"
need nfpcapd nfcapd nfdump

# 10 s of packet time; the last flows are cut off by its end.
"$TAPLINE" bench --write "$WORK/made.pcapng" --packets 100000 --flows 1000 --new-flows 0.01 \
	--size imix --protocols tcp:4,udp:2,http:1,dns:1,tcp6:1,udp6:1 --rate 10000 2>/dev/null
mkdir "$WORK/peer" "$WORK/ipfix" "$WORK/deltas"
nfpcapd -r "$WORK/made.pcapng" -l "$WORK/peer" -t 3600 >"$WORK/nfpcapd.log" 2>&1

nfdump_sums() { # DIR -> packets bytes
	nfdump -R "$1" -I 2>/dev/null | awk '/^Packets:/ { p = $2 } /^Bytes:/ { print p, $2 }'
}
wanted=$(nfdump_sums "$WORK/peer")
is "packets by nfdump" "${wanted% *}" 100000

"$TAPLINE" flows -r "$WORK/made.pcapng" --json >"$WORK/json"
is "JSON: packets and bytes of IP" "$(jq -s 'map(select(.type == "flow").flow) |
	(map(.pkts_toserver + .pkts_toclient) | add), (map(.ip_bytes_toserver + .ip_bytes_toclient) | add)
	' "$WORK/json" | xargs)" "$wanted"
is "JSON: bytes of frames" "$(jq -s 'map(select(.type == "flow").flow) |
	map(.bytes_toserver + .bytes_toclient) | add' "$WORK/json")" \
	"$(capinfos -TmrdN "$WORK/made.pcapng" | cut -d, -f2)"
is "the closing record comes last, once" "$(jq -r .type "$WORK/json" | uniq -c | awk '{ print $2 }' |
	xargs)" "flow stats"
is "it has the same sums" "$(tail -n1 "$WORK/json" |
	jq -c '[.packets, .flows, .histograms.packet_bytes.count]')" \
	"[100000,$(($(wc -l <"$WORK/json") - 1)),100000]"

"$TAPLINE" flows -r "$WORK/made.pcapng" --csv -q >"$WORK/csv"
is "CSV: packets and bytes of IP" "$(python3 -c '
import csv, sys
rows = list(csv.DictReader(open(sys.argv[1])))
add = lambda name: sum(int(row[name + "toserver"]) + int(row[name + "toclient"]) for row in rows)
print(add("pkts_"), add("ip_bytes_"))' "$WORK/csv")" "$wanted"

"$TAPLINE" flows -r "$WORK/made.pcapng" --json --records end,start,active --active-timeout 2s \
	>"$WORK/all"
is "each flow begins and ends once" "$(jq -r .record "$WORK/all" | grep -c start)" \
	"$(jq -r .record "$WORK/all" | grep -c end)"
is "long flows are told more than once" \
	"$(($(grep -c '"record":"active"' "$WORK/all") > 100))" 1
is "records of a flow are in order, and its counters only grow" "$(jq -s 'group_by(.flow_id) |
	all(.[]; .[0].record == "start" and .[-1].record == "end" and
		(map(.flow.pkts_toserver + .flow.pkts_toclient) | . == sort))' "$WORK/all")" true
is "end records alone add up" "$(jq -s 'map(select(.record == "end").flow) |
	map(.pkts_toserver + .pkts_toclient) | add' "$WORK/all")" 100000

collect() { # DIR ARGS… -> nfdump's sums of what nfcapd was sent
	local dir=$1 port=$((20000 + RANDOM % 20000)) collector
	shift
	nfcapd -l "$dir" -p "$port" -b 127.0.0.1 -t 3600 -B 8000000 >"$WORK/nfcapd.log" 2>&1 &
	collector=$!
	sleep 1
	"$TAPLINE" flows -r "$WORK/made.pcapng" --ipfix "127.0.0.1:$port" --records "$@" || echo failed
	sleep 1
	kill "$collector"
	wait "$collector"
	nfdump_sums "$dir"
}
is "IPFIX: packets and bytes" "$(collect "$WORK/ipfix" end)" "$wanted"
is "flows" "$(nfdump -R "$WORK/ipfix" -I 2>/dev/null | awk '/^Flows:/ { print $2 }')" \
	"$(grep -c '"type":"flow"' "$WORK/json")"
is "IPFIX with active records: still" \
	"$(collect "$WORK/deltas" end,active --active-timeout 2s)" "$wanted"
is "both directions in one record" "$(nfdump -R "$WORK/ipfix" -B -q -o csv 'proto tcp' 2>/dev/null |
	head -n 2000 | awk -F, '$13 > 0 && $15 > 0' | wc -l | awk '{ print ($1 > 0) }')" 1

complains "nobody listens" 1 "refused" "$TAPLINE" flows -r "$WORK/made.pcapng" \
	--ipfix 127.0.0.1:9 --records end
complains "no such collector" 2 "HOST:PORT" "$TAPLINE" flows -r "$WORK/made.pcapng" --ipfix :
complains "no such record" 2 "start, active" "$TAPLINE" flows -r "$WORK/made.pcapng" --records ends
complains "two forms" 2 "together" "$TAPLINE" flows -r "$WORK/made.pcapng" --json --csv
test_end
