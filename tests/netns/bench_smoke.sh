#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tapline bench measures every stage, says what it measured, and its traffic is what was asked for.
. "$(dirname "$0")/lib_common.sh"
test_begin "bench: every stage is measured, its capture holds what was asked for"
small=(--packets 20000 --repeats 2 --flows 1000 --buffer 8M)

fact "all stages for one and two workers" "$TAPLINE" bench "${small[@]}" --workers 2 \
	--disk "$WORK/disk.pcapng" --plot "$WORK/plot.svg" --json
"$TAPLINE" bench "${small[@]}" --workers 2 --disk "$WORK/disk.pcapng" --json >"$WORK/rows"
is "rows" "$(jq -s length "$WORK/rows")" 14
is "stages in order" "$(jq -r 'select(.workers == 1).stage' "$WORK/rows" | tr '\n' ' ')" \
	"source +decode +flow +tracker +analyzers +record to null +record to disk "
is "all took time" "$(jq -s 'all(.ns_per_packet > 0 and .cpu_ns_per_packet > 0)' "$WORK/rows")" true
is "the flows asked for are alive" \
	"$(jq -r 'select(.stage == "+flow") | .flows_alive' "$WORK/rows" | tr '\n' ' ')" "1000 2000 "
is "both workers' packets count" \
	"$(jq -s 'map(select(.stage == "+flow").packets) | .[1] == 2 * .[0]' "$WORK/rows")" true
is "what was recorded is gone" "$(find "$WORK" -name 'disk*' | wc -l)" 0
is "the plot is whole XML with a bar a row" "$(python3 -c '
import sys, xml.etree.ElementTree as tree
print(len(tree.parse(sys.argv[1]).findall(".//{*}line")))' "$WORK/plot.svg")" 14

fact "a capture of it" "$TAPLINE" bench --write "$WORK/made.pcapng" --packets 5000 --flows 100 \
	--size imix --protocols tcp:3,udp:2,http:1,dns:1,tcp6:1 --new-flows 0.02
opens "$WORK/made.pcapng"
is "its packets" "$(tshark -r "$WORK/made.pcapng" -T fields -e frame.number 2>/dev/null | wc -l)" 5000
is "no wrong checksum" "$(tshark -r "$WORK/made.pcapng" -o ip.check_checksum:TRUE \
	-o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE \
	-Y 'ip.checksum.status==0 || tcp.checksum.status==0 || udp.checksum.status==0' 2>/dev/null |
	wc -l)" 0
is "nothing looks lost to tshark" "$(tshark -r "$WORK/made.pcapng" -Y 'tcp.analysis.retransmission ||
	tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment' 2>/dev/null | wc -l)" 0

complains "a size that cannot be made" 2 "--size 20.*60" "$TAPLINE" bench --size 20
complains "a protocol that is none" 2 "ipx" "$TAPLINE" bench --protocols ipx
complains "too many new flows" 2 "0.5" "$TAPLINE" bench --new-flows 0.5
complains "an operand" 2 "file" "$TAPLINE" bench file
test_end
