#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Cause 4, NAT without a way back: a stateless box gives the client's packets another source, and
# what comes back to that address is not mapped to the client.
#
#   10.77.1.10 ── nft: saddr 10.77.1.20 ── rc0 (mirror) ── server;  SYN-ACK to 10.77.1.20: nobody
. "$(dirname "$0")/lib_lab.sh"
lab_begin "cause 4: NAT maps one way only"
need nginx curl
nginx_up 80 8080
ns=$(bed_ns client)
mac=$(ip -n "$ns" -j link show c0 | jq -r '.[0].address')
ip -n "$(bed_ns router)" neigh replace 10.77.1.20 lladdr "$mac" dev rc0 nud permanent
bed_exec client nft -f - <<'NFT' || die "no nft"
table ip box {
	chain out {
		type filter hook postrouting priority 300;
		tcp dport 8080 ip saddr set 10.77.1.20
	}
}
NFT
lab_wants connect.return_path ".severity != \"info\" and .server.ip == \"$SERVER\" and
	.server.port == 8080 and .client.ip == \"10.77.1.20\" and .details.syn_count >= 3 and
	.details.synack_count >= 3"
lab_watch
fact "what is not mapped works" fetch "http://$SERVER/page"
fetch "http://$SERVER:8080/page" -m 8
is "curl: time out" $? 28
fact "what is not mapped works" fetch "http://$SERVER/page"
lab_judge
