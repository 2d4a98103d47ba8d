#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Tags that the kernel strips are back in the file: TPID, priority, DEI and both tags of QinQ.
. "$(dirname "$0")/lib_common.sh"
test_begin "VLAN and QinQ frames are recorded byte for byte"
link_up 1

one_case() { # NAME BACKEND FRAMEGEN_ARGS…
	local name=$1 backend=$2
	shift 2
	SENT=0
	capture_start -i span0 -w "$WORK/a.pcapng" --summary "$WORK/a.json" --backend "$backend"
	generate 0 -n 20000 -r 50000 --flows 20 --both "$@"
	capture_stop
	frames_exact "$backend: $name" -e 0=20000 "$WORK/a.pcapng"
	is "$backend: $name: each has its tags" \
		"$("$HELPERS/helper_framecheck" "$WORK/a.pcapng" | jq .tagged)" 20000
	summary_closes "$backend: $name" "$WORK/a.json" 20000
}

for backend in $BACKENDS; do
	one_case "802.1Q with priority and DEI" "$backend" -s 64-1518 --vlan 0x7064
	one_case "802.1ad" "$backend" -s 64-1518 --vlan 0x88a8:300
	one_case "QinQ" "$backend" -s 68-1522 --vlan 0x88a8:0x612c --vlan 0x8100:0x3064
	one_case "802.1Q twice" "$backend" -s 68-1522 --vlan 0x8100:400 --vlan 0x8100:200
	is "$backend: tshark reads both tags" \
		"$(tshark -nr "$WORK/a.pcapng" -c 1 -T fields -e vlan.id)" 400,200
done
test_end
