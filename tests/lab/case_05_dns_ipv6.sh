#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Case 5, DNS that fails after a while: a dual-stack resolver (unbound) forwards to a server by IPv4
# and IPv6, and the IPv6 path breaks.
#
#   dig ── unbound 127.0.0.1 (client) ── router ── dnsmasq 10.77.2.10 and fd77:2::10 (server)
#                                          └ later drops IPv6 to port 53
. "$(dirname "$0")/lib_lab.sh"
lab_begin "case 5: the IPv6 path to a DNS server is broken, the IPv4 path is not"
need dnsmasq unbound dig
dnsmasq_up
cat >"$WORK/unbound.conf" <<CONF
server:
	interface: 127.0.0.1
	access-control: 127.0.0.0/8 allow
	username: ""
	chroot: ""
	directory: "$WORK"
	pidfile: "$WORK/unbound.pid"
	use-syslog: no
	do-daemonize: no
	module-config: "iterator"
	prefer-ip6: yes
	num-threads: 1
	domain-insecure: "example"
	qname-minimisation: no
remote-control:
	control-enable: no
forward-zone:
	name: "."
	forward-addr: $SERVER
	forward-addr: $SERVER6
CONF
lab_spawn unbound client unbound -d -c "$WORK/unbound.conf"
lab_ready unbound ask A ready.shop.example 127.0.0.1
lab_wants dns.no_answer ".severity != \"info\" and .server.ip == \"$SERVER6\" and
	.server.port == 53 and .client.ip == \"fd77:1::10\" and
	(.details.qname | endswith(\"shop.example\"))"
lab_watch
resolve() { # COUNT PREFIX -> how many were resolved
	local i n=0
	for ((i = 0; i < $1; i++)); do
		ask A "$2$i.shop.example" 127.0.0.1 && n=$((n + 1))
	done
	echo $n
}
is "all resolve at first" "$(resolve 5 before)" 5
bed_drop meta nfproto ipv6 udp dport 53
for ((i = 0; i < 6; i++)); do
	resolve 1 "after$i-" >/dev/null
	sleep 0.5
done
sleep 6
# silence alone is not in the file: a packet shows that time passed
ask A last.shop.example "$SERVER"
lab_judge
