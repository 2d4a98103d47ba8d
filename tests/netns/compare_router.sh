#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# may run beside others
# tapline compare on real TCP, captured on both sides of a router: what it says was lost is what
# nftables and a queue counted, through source NAT, whichever file comes first, and when a file was
# cut, converted, or begins late.
. "$(dirname "$0")/lib_common.sh"
test_begin "compare: both sides of a router, the losses as nftables and a queue counted them"
need tcpdump nft socat editcap
routed_up

BYTES=3000000
head -c "$BYTES" /dev/urandom >"$WORK/data"

# What passes both interfaces of the router, A on the client's side.
captures_begin() {
	local side if tries
	PIDS=()
	for side in A B; do
		if=rc0
		[ "$side" = A ] || if=rs0
		bed_spawn router tcpdump -i "$if" -n -U -B 65536 --time-stamp-precision=nano \
			-w "$WORK/$side.pcap" ip 2>"$WORK/$side.log" &
		PIDS+=($!)
		for ((tries = 0; tries < 200; tries++)); do
			grep -q 'listening on' "$WORK/$side.log" && break
			sleep 0.05
		done
	done
}

captures_end() {
	sleep 1
	kill -INT "${PIDS[@]}"
	wait "${PIDS[@]}" 2>/dev/null
	is "tcpdump lost nothing" "$(grep -hc '^0 packets dropped by kernel' "$WORK"/[AB].log |
		xargs)" "1 1"
}

# Both ways at once.
transfer() {
	local server
	bed_spawn server socat -u -T 5 TCP-LISTEN:9001,reuseaddr OPEN:/dev/null &
	server=$!
	bed_spawn server socat -U -T 5 TCP-LISTEN:9002,reuseaddr "OPEN:$WORK/data,rdonly" &
	sleep 0.5
	bed_exec client socat -u -T 20 "OPEN:$WORK/data,rdonly" TCP:10.77.2.10:9001 &
	bed_exec client socat -u -T 20 TCP:10.77.2.10:9002 OPEN:/dev/null
	wait "$!" "$server"
}

compare() { # A B
	"$TAPLINE" compare --json "$WORK/$1" "$WORK/$2" >"$WORK/said.json"
}

said() { # JQ, of .c (the comparison) and .f (the findings)
	jq -rs '{ f: [.[] | select(.type == "finding")], c: (.[] | select(.type == "comparison")) }
		| '"$1" "$WORK/said.json"
}

lost() {
	said '"\(.c.lost.a_to_b) \(.c.lost.b_to_a)"'
}

nft_count() { # CHAIN
	bed_exec router nft -j list chain ip faults "$1" |
		jq '[.nftables[].rule? | .expr[]? | .counter?.packets // empty] | add'
}

bed_exec router nft -f - <<'NFT'
table ip faults {
	chain forward { type filter hook forward priority 0; iifname rc0 jump up; iifname rs0 jump down; }
	chain up { tcp dport 9001 meta length > 200 numgen random mod 1000 < 5 counter drop; }
	chain down { tcp sport 9002 meta length > 200 numgen random mod 1000 < 3 counter drop; }
	chain nat { type nat hook postrouting priority 100; oifname rs0 masquerade; }
}
NFT
captures_begin
transfer
captures_end
wanted="$(nft_count up) $(nft_count down)"
fact "packets were dropped both ways" test "${wanted% *}" -gt 2 -a "${wanted#* }" -gt 0

compare A.pcap B.pcap
is "lost each way, through NAT" "$(lost)" "$wanted"
is "nothing altered, doubled or missed" \
	"$(said '[.c.modified, .c.duplicated.a, .c.duplicated.b, .c.given_up] | add')" 0
is "kinds" "$(said '[.f[].kind] | unique | join(" ")')" "compare.lost compare.nat"
fact "the clock is within its bound" test "$(said \
	'(.c.clock_offset_ms | fabs) <= .c.clock_bound_ms + 0.001')" = true
compare B.pcap A.pcap
is "files swapped" "$(lost)" "${wanted#* } ${wanted% *}"

# The other precision and format; only headers; a clock five hours ahead.
editcap -F pcap -s 96 "$WORK/B.pcap" "$WORK/B2.pcap"
editcap -F pcapng -t 18000 "$WORK/A.pcap" "$WORK/A2.pcapng"
compare A2.pcapng B2.pcap
is "pcapng against a cut pcap, 5 h apart" "$(lost)" "$wanted"
is "the clock's offset" "$(said '.c.clock_offset_ms / 1000 | round')" -18000

# One file without its first and last packets: no loss there.
total=$(capinfos -TmrcQ "$WORK/B.pcap" 2>/dev/null | cut -d, -f2)
[[ "$total" =~ ^[0-9]+$ ]] || total=$(said .c.packets.a)
editcap "$WORK/B.pcap" "$WORK/B3.pcap" 1-1000 "$((total - 1000))-$total"
compare A.pcap B3.pcap
fact "B begins late and ends early: no more than is lost in between" \
	test "$(said '.c.lost.a_to_b + .c.lost.b_to_a')" -le $((${wanted% *} + ${wanted#* }))
fact "and the rest is outside" test "$(said .c.outside.a)" -gt 1000

# A slow queue: what it dropped, and how long the others waited.
bed_exec router nft delete table ip faults
bed_exec router tc qdisc add dev rs0 root tbf rate 40mbit burst 10kb limit 60kb
captures_begin
transfer
captures_end
dropped=$(bed_exec router tc -s -j qdisc show dev rs0 | jq '[.[] | select(.kind == "tbf").drops] | add')
compare A.pcap B.pcap
is "lost in a full queue" "$(lost)" "$dropped 0"
fact "packets waited there, one way" test "$(said \
	'.c.delay_ms.a_to_b.p99 - .c.delay_ms.b_to_a.p50 > 2')" = true
test_end
