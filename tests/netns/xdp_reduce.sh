#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What is reduced in the kernel: samples, headers, the first bytes of a flow. Each packet that was
# sent is in one counter, with the driver's XDP and with the generic one.
. "$(dirname "$0")/lib_common.sh"
test_begin "samples, headers only and cut-off add up to what was sent"
link_up 1
N=20000

record() { # NAME OPTIONS…
	local name=$1
	shift
	SENT=0
	capture_start -i span0 -w "$WORK/$name.pcapng" --summary "$WORK/$name.json" \
		--backend afxdp "$@"
	generate 0 -n $N -r 50000 -s 60-1514 --flows 200 --both
	capture_stop
	is "$name: exit code" "$CAPTURE_RC" 0
	summary_closes "$name" "$WORK/$name.json" "$SENT"
	opens "$WORK/$name.pcapng"
}

for xdp in native generic; do
	record "$xdp-sample" --xdp $xdp --sample 50
	is "$xdp: one packet in 50 is written" \
		"$(summary "$WORK/$xdp-sample.json" .packets.written)" $((N / 50))
	is "$xdp: the others are sampled out" \
		"$(summary "$WORK/$xdp-sample.json" .packets.sampled_out)" $((N - N / 50))

	record "$xdp-flows" --xdp $xdp --sample-flows 5
	kept=$(tshark -nr "$WORK/$xdp-flows.pcapng" -T fields -e ip.src -e ip.dst -e udp.srcport \
		-e udp.dstport | awk '{ a = $1 ":" $3; b = $2 ":" $4; print a < b ? a b : b a }' |
		sort | uniq -c | awk '{ n++; if ($1 != '$((N / 200))') bad++ } END { print n, bad + 0 }')
	fact "$xdp: flows are kept whole, some and not all ($kept)" \
		awk -v k="$kept" 'BEGIN { split(k, a); exit !(a[1] > 10 && a[1] < 100 && a[2] == 0) }'

	record "$xdp-headers" --xdp $xdp --headers-only
	is "$xdp: of each packet the headers are kept, 14 + 20 + 8" "$(tshark -nr \
		"$WORK/$xdp-headers.pcapng" -T fields -e frame.cap_len | sort -u | tr '\n' ' ')" "42 "
	is "$xdp: lengths on the wire stay" "$(tshark -nr "$WORK/$xdp-headers.pcapng" \
		-T fields -e frame.len | sort -n | sed -n '1p;$p' | tr '\n' ' ')" "60 1514 "

	record "$xdp-cutoff" --xdp $xdp --cutoff 20000
	fact "$xdp: each flow has its first 20000 bytes, and no whole packet more" sh -c \
		"tshark -nr '$WORK/$xdp-cutoff.pcapng' -T fields -e ip.src -e ip.dst -e udp.srcport \
		-e udp.dstport -e frame.len | awk '{ a = \$1 \":\" \$3; b = \$2 \":\" \$4
			k = a < b ? a b : b a; s[k] += \$5; l[k] = \$5 }
		END { for (k in s) { n++; if (s[k] < 20000 || s[k] - l[k] >= 20000) bad++ }
			exit !(n == 200 && !bad) }'"
done
test_end
