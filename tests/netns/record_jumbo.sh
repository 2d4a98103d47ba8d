#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Frames up to 9018 bytes, whole; and a snap length that keeps the wire length.
# may run beside others: what is sent fits the ring
. "$(dirname "$0")/lib_common.sh"
test_begin "jumbo frames are recorded whole, a snap length keeps the length on the wire"
link_up 1

for backend in auto afpacket; do
	SENT=0
	capture_start -i span0 -w "$WORK/a.pcapng" --summary "$WORK/a.json" --backend "$backend"
	generate 0 -n 30000 -r 20000 -s 60-9018 --flows 20 --both
	capture_stop
	frames_exact "$backend: jumbo frames" -e 0=30000 "$WORK/a.pcapng"
	summary_closes "$backend" "$WORK/a.json" "$SENT"
done

SENT=0
capture_start -i span0 -w "$WORK/s.pcapng" --summary "$WORK/s.json" -s 96
generate 0 -n 20000 -r 50000 -s 60-1514 --flows 20
capture_stop
frames_exact "snap length 96: every frame once" --may-truncate -e 0=20000 "$WORK/s.pcapng"
is "no more than 96 bytes of each" \
	"$("$HELPERS/helper_framedump" "$WORK/s.pcapng" | awk '$2 > 96 || ($3 > 96 && $2 != 96)' | wc -l)" 0
long=$("$HELPERS/helper_framedump" "$WORK/s.pcapng" | awk '$3 > 1400' | wc -l)
is "lengths on the wire are kept ($long over 1400)" "$((long > 1000))" 1
summary_closes "snap length" "$WORK/s.json" "$SENT"
opens "$WORK/s.pcapng"
test_end
