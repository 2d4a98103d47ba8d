#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An interface that its host uses keeps its traffic; nothing stays attached, not after a kill either.
. "$(dirname "$0")/lib_common.sh"
test_begin "AF_XDP leaves the interface and its host alone"
link_up 1

for signal in INT KILL; do
	before=$(offloads_of sensor span0)
	capture_start -i span0 -w "$WORK/a.pcapng" --backend afxdp
	fact "$signal: a program is attached meanwhile" sh -c \
		"ip -n $(bed_ns sensor) -d link show span0 | grep -q prog/xdp"
	capture_stop $signal
	sleep 0.2
	is "$signal: afterwards none is, and the flags are as before" "$(offloads_of sensor span0 |
		grep -v ': \(on\|off\)')" "$(grep -v ': \(on\|off\)' <<<"$before")"
done

ip -n "$(bed_ns sensor)" addr add 192.0.2.1/24 dev span0
complains "an interface with an address is refused" 1 'address 192\.0\.2\.1' \
	ip netns exec "$(bed_ns sensor)" "$TAPLINE" capture -i span0 --backend afxdp -w "$WORK/b.pcapng"
ip -n "$(bed_ns sensor)" addr flush dev span0
test_end
