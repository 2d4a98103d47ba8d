#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# may run beside others
# Whatever a flow is packed in, its record names the flow inside, and tshark's innermost addresses and
# ports are the same: tags, labels, tunnels, extension headers, fragments, other link types.
. "$(dirname "$0")/lib_common.sh"
test_begin "flows: the innermost flow of every packaging, as tshark sees it"

python3 "$TAPLINE_SOURCE/tests/helpers/tunnel_capture.py" "$WORK" >"$WORK/list" || die "no captures"

column() { # NAME CSV -> the value in the first record
	python3 -c 'import csv, sys; print(next(csv.DictReader(open(sys.argv[2])))[sys.argv[1]])' "$@"
}

# One direction of each: the frames that were sent first.
tshark_tuple() { # FILE
	tshark -n -r "$1" -c 1 -E occurrence=l -T fields -e ip.src -e ipv6.src -e udp.srcport \
		-e ip.dst -e ipv6.dst -e udp.dstport -o ip.defragment:FALSE 2>/dev/null
}

while IFS=$'\t' read -r name src sport dst dport proto packets; do
	csv="$WORK/$name.csv"
	"$TAPLINE" flows -r "$WORK/$name.pcap" --csv -q >"$csv"
	is "$name: one flow, the one inside" "$(tail -n +2 "$csv" |
		awk -F, '{ print $3, $4, $5, $6, $7, $9 + $10 }')" \
		"$src $sport $dst $dport $proto $packets"
	read -ra seen < <(tshark_tuple "$WORK/$name.pcap" | tr '\t' '\n' |
		grep -Fx -e "$src" -e "$dst" -e "$sport" -e "$dport" | xargs)
	is "$name: as tshark sees it" "${seen[*]}" "$src $sport $dst $dport"
done <"$WORK/list"

is "tags are kept, the outer one first" "$(column vlan "$WORK/qinq.csv")" 100.12
is "a tunnel and its number" "$(column tunnel "$WORK/erspan3.csv")" erspan3:77
is "the outermost of two tunnels" "$(column tunnel "$WORK/vlan_vxlan_gre.csv")" vxlan:4242
is "and the tag around it" "$(column vlan "$WORK/vlan_vxlan_gre.csv")" 5
is "a TEID" "$(column tunnel "$WORK/gtpu.csv")" gtpu:$((0x1234))
test_end
