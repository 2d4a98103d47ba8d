#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tapline check says of each kind of interface which way a capture will take, and it does take it.
. "$(dirname "$0")/lib_common.sh"
test_begin "tapline check foretells the mode of a capture"
link_up 1
ns=$(bed_ns sensor)
ip -n "$ns" tuntap add tap0 mode tap
ip netns exec "$ns" sysctl -qw net.ipv6.conf.tap0.disable_ipv6=1
ip -n "$ns" link set tap0 up

of() { # IF JQ
	bed_exec sensor "$TAPLINE" check -i "$1" --json 2>/dev/null |
		jq -r "select(.interface == \"$1\") | $2"
}

foretold() { # IF DRIVER WHY SAMPLING
	is "$1: driver" "$(of "$1" .facts.driver)" "$2"
	fact "$1: why ($(of "$1" .facts.why))" grep -Eq "$3" <<<"$(of "$1" .facts.why)"
	fact "$1: sampling ($(of "$1" .facts.sampling))" \
		grep -Eq "$4" <<<"$(of "$1" .facts.sampling)"
	capture_start -i "$1" -w "$WORK/a.pcapng" --summary "$WORK/a.json"
	capture_stop
	is "$1: the backend is the one that was foretold" "$(summary "$WORK/a.json" .backend)" \
		"$(of "$1" .facts.mode | cut -d' ' -f1)"
	fact "$1: and so is the reason" grep -qF "$(of "$1" .facts.why)" \
		<<<"$(summary "$WORK/a.json" .mode)"
}

foretold span0 veth 'span0 is virtual \(veth\)' 'in the kernel \(native XDP\)'
foretold tap0 tun 'tap0 is virtual \(tun\)' 'in the kernel \(native XDP\)'
foretold lo none 'lo is not' 'not possible: lo is not Ethernet'

ip -n "$ns" addr add 192.0.2.1/24 dev span0
foretold span0 veth 'this host uses span0 \(address 192\.0\.2\.1\)' 'not possible: this host uses'
ip -n "$ns" addr flush dev span0

# while a capture with AF_XDP runs, the check says so and leaves it alone
capture_start -i span0 -w "$WORK/b.pcapng" --summary "$WORK/b.json" --backend afxdp
fact "another XDP program: the reason" grep -q 'another XDP program' <<<"$(of span0 .facts.why)"
fact "another XDP program: how to take it off" \
	grep -q 'ip link set dev span0 xdp off' <<<"$(of span0 '.advice[].command')"
generate 0 -n 1000 -r 50000
capture_stop
is "the capture got everything" "$(summary "$WORK/b.json" .packets.written)" 1000
test_end
