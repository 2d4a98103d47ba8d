#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What is reduced in the kernel: samples, headers, the first bytes of a flow. Each packet that was
# sent is in one counter, with the driver's XDP and with the generic one, with AF_XDP and with
# AF_PACKET behind the same program.
. "$(dirname "$0")/lib_common.sh"
test_begin "samples, headers only and cut-off add up to what was sent"
link_up 1
N=20000

record() { # NAME OPTIONS… -> with $backend
	local name=$1
	shift
	SENT=0
	capture_start -i span0 -w "$WORK/$name.pcapng" --summary "$WORK/$name.json" \
		--backend "$backend" "$@"
	generate 0 -n $N -r 50000 -s 60-1514 --flows 200 --both
	capture_stop
	is "$name: exit code" "$CAPTURE_RC" 0
	summary_closes "$name" "$WORK/$name.json" "$SENT"
	opens "$WORK/$name.pcapng"
}

for way in "afxdp native" "afxdp generic" "afpacket native" "afpacket generic"; do
	read -r backend xdp <<<"$way"
	name=$backend-$xdp
	record "$name-sample" --xdp "$xdp" --sample 50
	is "$name: one packet in 50 is written" \
		"$(summary "$WORK/$name-sample.json" .packets.written)" $((N / 50))
	is "$name: the others are sampled out" \
		"$(summary "$WORK/$name-sample.json" .packets.sampled_out)" $((N - N / 50))

	record "$name-flows" --xdp "$xdp" --sample-flows 5
	kept=$(tshark -nr "$WORK/$name-flows.pcapng" -T fields -e ip.src -e ip.dst -e udp.srcport \
		-e udp.dstport | awk '{ a = $1 ":" $3; b = $2 ":" $4; print a < b ? a b : b a }' |
		sort | uniq -c | awk '{ n++; if ($1 != '$((N / 200))') bad++ } END { print n, bad + 0 }')
	fact "$name: flows are kept whole, some and not all ($kept)" \
		awk -v k="$kept" 'BEGIN { split(k, a); exit !(a[1] > 10 && a[1] < 100 && a[2] == 0) }'

	if [ "$backend" = afxdp ]; then
		record "$name-headers" --xdp "$xdp" --headers-only
		is "$name: of each packet the headers are kept, 14 + 20 + 8" "$(tshark -nr \
			"$WORK/$name-headers.pcapng" -T fields -e frame.cap_len | sort -u | tr '\n' ' ')" "42 "
		is "$name: lengths on the wire stay" "$(tshark -nr "$WORK/$name-headers.pcapng" \
			-T fields -e frame.len | sort -n | sed -n '1p;$p' | tr '\n' ' ')" "60 1514 "
	fi

	record "$name-cutoff" --xdp "$xdp" --cutoff 20000
	fact "$name: each flow has its first 20000 bytes, and no whole packet more" sh -c \
		"tshark -nr '$WORK/$name-cutoff.pcapng' -T fields -e ip.src -e ip.dst -e udp.srcport \
		-e udp.dstport -e frame.len | awk '{ a = \$1 \":\" \$3; b = \$2 \":\" \$4
			k = a < b ? a b : b a; s[k] += \$5; l[k] = \$5 }
		END { for (k in s) { n++; if (s[k] < 20000 || s[k] - l[k] >= 20000) bad++ }
			exit !(n == 200 && !bad) }'"

	# the filter comes first: of 10000 packets to the server, one in 50
	record "$name-both" --xdp "$xdp" --sample 50 'udp dst port 9'
	is "$name: what is filtered out is not sampled" "$(summary "$WORK/$name-both.json" \
		'.packets | "\(.filtered) \(.sampled_out) \(.written)"')" "10000 9800 200"
done
test_end
