#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Cause 1, a firewall on the server's host: one port is dropped, one rejected by a RST, one by ICMP.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "cause 1: a host's firewall drops one port and rejects two"
need nginx curl
nginx_up 80 8080 8081 8082
bed_exec server nft -f - <<'NFT' || die "no nft"
table inet host {
	chain input {
		type filter hook input priority 0;
		tcp dport 8080 drop
		tcp dport 8081 reject with tcp reset
		tcp dport 8082 reject with icmpx type admin-prohibited
	}
}
NFT
lab_wants connect.no_answer ".severity == \"error\" and .server.port == 8080"
lab_wants connect.refused ".severity != \"info\" and .server.port == 8081"
lab_wants connect.unreachable ".severity != \"info\" and .server.port == 8082 and
	.details.icmp_code == 13 and .details.reported_by == \"$SERVER\""
lab_watch
fact "port 80 is open" fetch "http://$SERVER/page"
for port in 8080 8081 8082; do
	for i in 1 2; do
		fetch "http://$SERVER:$port/page" -m 8 &
	done
done
sleep 9
fact "port 80 is still open" fetch "http://$SERVER/page"
lab_judge
