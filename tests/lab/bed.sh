# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Test networks made of namespaces; source it, as root. Several can live at once: each has names of
# its own, tl-ID-…, and bed_down (an EXIT trap is set) takes away what bed_up or bed_link made.
#
#   bed_up: a routed path with a mirror port. Each packet passes rc0 once and is mirrored once.
#
#     namespace client        namespace router                      namespace server
#    ┌───────────────┐       ┌────────────────────────────┐        ┌────────────────┐
#    │            c0 ├───────┤ rc0      forward       rs0 ├────────┤ s0             │
#    │    10.77.1.10 │       │ 10.77.1.1        10.77.2.1 │        │ 10.77.2.10     │
#    │ fd77:1::10/64 │       │ fd77:1::1        fd77:2::1 │        │ fd77:2::10/64  │
#    └───────────────┘       │  │ tc ingress and egress:    │       └────────────────┘
#                            │  ▼ mirror                   │
#                            │ mir0                        │
#                            └──┬─────────────────────────┘
#                               │         namespace sensor
#                            ┌──┴────┐
#                            │ span0 │    no address, nothing of its own to say
#                            └───────┘
#
#   bed_link N: N bare links for numbered frames, gen0 … in `tap` to span0 … in `sensor`.
#
#     namespace tap   gen0 ├──────┤ span0   namespace sensor
#                     gen1 ├──────┤ span1
#
# Offloads are off on every end, so that frames are on the wire as a NIC would send them.

BED_ID="${BED_ID:-$$$(printf %03d $((RANDOM % 1000)))}"
BED_NAMESPACES=()
BED_TCPDUMP=

bed_ns() { # ROLE -> the namespace's name
	echo "tl-$BED_ID-$1"
}

# What runs in a namespace finds a bpffs where libxdp looks for it: `ip netns exec` brings a fresh
# /sys, without one.
# shellcheck disable=SC2016
BED_ENTER=(sh -c 'mount -t bpf bpf /sys/fs/bpf 2>/dev/null; exec "$@"' sh)

bed_exec() { # ROLE COMMAND…
	local ns
	ns=$(bed_ns "$1")
	shift
	ip netns exec "$ns" "${BED_ENTER[@]}" "$@"
}

# For the background alone, `bed_spawn … &`: the shell's $! is the command itself, so a signal
# reaches it.
bed_spawn() { # ROLE COMMAND…
	local ns
	ns=$(bed_ns "$1")
	shift
	exec ip netns exec "$ns" "${BED_ENTER[@]}" "$@"
}

bed_add_ns() { # ROLE
	local ns
	ns=$(bed_ns "$1")
	ip netns add "$ns" || return 1
	BED_NAMESPACES+=("$ns")
	ip netns exec "$ns" sysctl -qw \
		net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
		net.ipv6.conf.all.router_solicitations=0 \
		net.ipv6.conf.default.router_solicitations=0 \
		net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
		net.ipv4.conf.all.send_redirects=0 net.ipv4.conf.default.send_redirects=0
	ip -n "$ns" link set lo up
}

# One veth pair with two queues a side, offloads off, up.
bed_add_veth() { # ROLE_A IF_A ROLE_B IF_B
	local a b
	a=$(bed_ns "$1") b=$(bed_ns "$3")
	ip -n "$a" link add "$2" mtu "${BED_MTU:-1500}" numtxqueues 2 numrxqueues 2 type veth \
		peer name "$4" mtu "${BED_MTU:-1500}" numtxqueues 2 numrxqueues 2 netns "$b" || return 1
	bed_offloads_off "$1" "$2"
	bed_offloads_off "$3" "$4"
}

bed_offloads_off() { # ROLE IF
	ip netns exec "$(bed_ns "$1")" ethtool -K "$2" rx off tx off sg off tso off gso off gro off \
		>/dev/null 2>&1
	return 0
}

# An interface that only listens: no IPv6, no ARP, nothing sent on its own.
bed_mute() { # ROLE IF
	local ns
	ns=$(bed_ns "$1")
	ip netns exec "$ns" sysctl -qw "net.ipv6.conf.$2.disable_ipv6=1"
	ip -n "$ns" link set "$2" arp off multicast off up
}

bed_address() { # ROLE IF IPV4/LEN IPV6/LEN
	local ns
	ns=$(bed_ns "$1")
	ip -n "$ns" link set "$2" up
	ip -n "$ns" addr add "$3" dev "$2"
	ip -n "$ns" addr add "$4" dev "$2" nodad
}

# What passes an interface of the router, both ways, goes to mir0 too.
bed_mirror() { # IF
	local ns way
	ns=$(bed_ns router)
	tc -n "$ns" qdisc add dev "$1" clsact || return 1
	for way in ingress egress; do
		tc -n "$ns" filter add dev "$1" "$way" matchall \
			action mirred egress mirror dev mir0 2>/dev/null ||
			tc -n "$ns" filter add dev "$1" "$way" protocol all u32 match u32 0 0 \
				action mirred egress mirror dev mir0 || return 1
	done
}

bed_up() {
	local role
	trap bed_down EXIT
	for role in client router server sensor; do
		bed_add_ns "$role" || return 1
	done
	bed_add_veth client c0 router rc0 && bed_add_veth router rs0 server s0 &&
		bed_add_veth router mir0 sensor span0 || return 1
	ip netns exec "$(bed_ns router)" sysctl -qw net.ipv4.ip_forward=1 \
		net.ipv6.conf.all.forwarding=1
	bed_mute router mir0
	bed_mute sensor span0
	bed_address router rc0 10.77.1.1/24 fd77:1::1/64
	bed_address router rs0 10.77.2.1/24 fd77:2::1/64
	bed_address client c0 10.77.1.10/24 fd77:1::10/64
	bed_address server s0 10.77.2.10/24 fd77:2::10/64
	ip -n "$(bed_ns client)" route add default via 10.77.1.1
	ip -n "$(bed_ns client)" -6 route add default via fd77:1::1
	ip -n "$(bed_ns server)" route add default via 10.77.2.1
	ip -n "$(bed_ns server)" -6 route add default via fd77:2::1
	# both sides know their router from here on: no first packet waits for ARP
	bed_exec client ping -qc1 -W2 10.77.2.10 >/dev/null &&
		bed_exec client ping -qc1 -W2 fd77:2::10 >/dev/null || return 1
	bed_mirror rc0
}

bed_link() { # [N]
	local i BED_MTU=9300
	trap bed_down EXIT
	bed_add_ns tap && bed_add_ns sensor || return 1
	for ((i = 0; i < ${1:-1}; i++)); do
		bed_add_veth tap "gen$i" sensor "span$i" || return 1
		bed_mute tap "gen$i"
		bed_mute sensor "span$i"
	done
}

# Drops what the rule matches on its way through the router: bed_drop tcp dport 8080
bed_drop() { # NFT_MATCH…
	local ns
	ns=$(bed_ns router)
	ip netns exec "$ns" nft add table inet bed
	ip netns exec "$ns" nft add chain inet bed forward \
		'{ type filter hook forward priority 0 ; }'
	ip netns exec "$ns" nft add rule inet bed forward "$@" counter drop
}

bed_drop_clear() {
	ip netns exec "$(bed_ns router)" nft delete table inet bed 2>/dev/null
	return 0
}

# An independent recording of span0 by tcpdump, to judge by.
bed_capture_start() { # FILE [FILTER]
	local file=$1 tries
	shift
	bed_spawn sensor tcpdump -i span0 -n -U --immediate-mode -B 65536 -w "$file" "$@" \
		2>"$file.log" &
	BED_TCPDUMP=$!
	for ((tries = 0; tries < 100; tries++)); do
		grep -q 'listening on' "$file.log" 2>/dev/null && return 0
		sleep 0.05
	done
	return 1
}

bed_capture_stop() {
	[ -n "$BED_TCPDUMP" ] || return 0
	sleep 0.2
	kill -INT "$BED_TCPDUMP" 2>/dev/null
	wait "$BED_TCPDUMP" 2>/dev/null
	BED_TCPDUMP=
	return 0
}

# Takes everything down, programs in the namespaces included. Fit for a trap, and for calling twice.
bed_down() {
	local ns pid
	bed_capture_stop
	for ns in "${BED_NAMESPACES[@]}"; do
		for pid in $(ip netns pids "$ns" 2>/dev/null); do
			kill -KILL "$pid" 2>/dev/null
			wait "$pid" 2>/dev/null # or the shell reports that it was killed
		done
		ip netns delete "$ns" 2>/dev/null
	done
	BED_NAMESPACES=()
	return 0
}
