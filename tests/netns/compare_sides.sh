#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# may run beside others
# Two captures on both sides of a router that drops by its own count, translates addresses, and
# lowers the TTL: `tapline compare` says exactly what the router's counters say.
#
#   client c0 (A) ── rc0 router rs0: nft drops, masquerade ── s0 (B) server
. "$(dirname "$0")/lib_common.sh"
test_begin "compare: what passes one side of a router alone is no loss"
need nginx curl ping
routed_up

mkdir "$WORK/www"
head -c 300000 /dev/urandom | base64 >"$WORK/www/page"
cat >"$WORK/nginx.conf" <<CONF
daemon off; pid $WORK/nginx.pid; error_log $WORK/nginx.log; user root; worker_processes 1;
events { worker_connections 64; }
http { access_log off; server { listen 80; root $WORK/www; } }
CONF
bed_spawn server nginx -c "$WORK/nginx.conf" 2>/dev/null &
for ((i = 0; i < 50; i++)); do
	bed_exec client curl -sf -o /dev/null http://10.77.2.10/page && break
	sleep 0.1
done

bed_exec router nft -f - <<'NFT' || die "no nft rules"
table ip compare {
	counter up { }
	counter down { }
	chain forward {
		type filter hook forward priority 0;
		ip saddr 10.77.1.0/24 meta l4proto tcp numgen inc mod 90 == 89 counter name up drop
		ip saddr 10.77.2.0/24 meta l4proto tcp numgen inc mod 60 == 59 counter name down drop
	}
	chain post {
		type nat hook postrouting priority 100;
		oifname "rs0" masquerade
	}
}
NFT

side() { # ROLE INTERFACE FILE -> its process in RET_PID, capturing
	bed_spawn "$1" "$TAPLINE" capture -i "$2" -w "$3" 2>"$3.log" &
	RET_PID=$!
	for ((i = 0; i < 100; i++)); do
		grep -q 'capturing on' "$3.log" && return
		sleep 0.05
	done
	die "no capture on $2"
}

traffic() {
	local i
	# of one side alone: with the router itself, and of the link
	bed_exec client ping -qc 10 -i 0.02 10.77.1.1 >/dev/null
	bed_exec client ping -qc 2 -i 0.2 ff02::1%c0 >/dev/null
	for ((i = 0; i < 12; i++)); do
		bed_exec client curl -sf -m 30 -o /dev/null http://10.77.2.10/page || return 1
	done
	bed_exec client ping -qc 20 -i 0.02 10.77.2.10 >/dev/null
}

dropped() { # COUNTER
	bed_exec router nft -j list counter ip compare "$1" |
		jq '.nftables[] | select(.counter) | .counter.packets'
}

side client c0 "$WORK/a.pcapng"
side_a=$RET_PID
side server s0 "$WORK/b.pcapng"
side_b=$RET_PID
# what both see before and after the faults: the captures overlap
bed_exec client ping -qc 5 -i 0.02 10.77.2.10 >/dev/null
fact "pages through a lossy router" traffic
sleep 0.3
kill -INT "$side_a" "$side_b"
wait "$side_a" "$side_b"

"$TAPLINE" compare --json "$WORK/a.pcapng" "$WORK/b.pcapng" >"$WORK/said" 2>"$WORK/err"
is "exit code" $? 0
said() { # JQ of the closing record
	jq -c "select(.type == \"comparison\") | $1" "$WORK/said"
}
up=$(dropped up) down=$(dropped down)
is "the router dropped both ways" "$((up > 0 && down > 0))" 1
is "lost from A to B" "$(said .lost.a_to_b)" "$up"
is "lost from B to A" "$(said .lost.b_to_a)" "$down"
is "nothing was changed or missed" "$(said '[.modified, .missed_by_capture.a, .missed_by_capture.b,
	.outside.a, .outside.b, .given_up]')" "[0,0,0,0,0,0]"
is "pings of the router are no loss" "$(said '.not_compared.a >= 20')" true
is "one clock" "$(said '(.clock_offset_ms | fabs) <= .clock_bound_ms')" true
is "the NAT map" "$(jq -r 'select(.kind == "compare.nat") | .details.map' "$WORK/said")" \
	"10.77.1.10 -> 10.77.2.1"
is "and nothing else" "$(jq -rs '[.[] | select(.type == "finding" and .kind != "compare.delayed") |
	.kind] | sort | join(" ")' "$WORK/said")" "compare.lost compare.lost compare.nat"

"$TAPLINE" compare --json "$WORK/b.pcapng" "$WORK/a.pcapng" >"$WORK/said" 2>"$WORK/err"
is "the files swapped" "$(said '[.lost.b_to_a, .lost.a_to_b]')" "[$up,$down]"
test_end
