#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Cause 5, packet loss: 3 % of what a server sends is lost at random. Of port 80 the router drops it,
# before the mirror sees it; of port 8080 the client's host, after it.
. "$(dirname "$0")/lib_lab.sh"
lab_begin "cause 5: 3 % of the packets are lost, before the mirror and after it"
need nginx curl
nginx_up 80 8080 8081
head -c 6000000 /dev/urandom >"$WORK/www/download"
bed_drop ip saddr "$SERVER" tcp sport 80 'numgen random mod 100 < 3'
bed_exec client nft -f - <<'NFT' || die "no nft"
table ip host {
	chain input {
		type filter hook input priority 0;
		tcp sport 8080 numgen random mod 100 < 3 drop
	}
}
NFT
lab_wants tcp.loss ".severity != \"info\" and .server.port == 80 and
	.details.where == \"before_tap\" and .details.lost_segments >= 60 and
	.details.rate > 0.015 and .details.rate < 0.05"
# the rate is that of all that passes on the client's side: what loses nothing may count, too, so it is little
lab_wants tcp.loss ".severity != \"info\" and .client.ip == \"$CLIENT\" and
	.details.where == \"after_tap\" and .details.lost_segments >= 60 and
	.details.rate > 0.005 and .details.rate < 0.05"
# true as well, where a transfer waits for what is lost
lab_also latency.breakdown '.details.blame == "network"'
lab_watch
fact "a download, before the mirror" fetch "http://$SERVER/download" -m 20
fact "a download, after the mirror" fetch "http://$SERVER:8080/download" -m 20
fact "a download without loss" fetch "http://$SERVER:8081/page"
lab_judge
