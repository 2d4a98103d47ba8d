#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# On a quiet link a packet is on disk within 100 ms, whole, while the capture goes on.
. "$(dirname "$0")/lib_common.sh"
test_begin "a quiet link's packet is on disk within 100 ms"
link_up 1
captures_first

for backend in $BACKENDS; do
	capture_start -i span0 -w "$WORK/q.pcapng" --backend "$backend"
	quiet_link "$WORK/q.pcapng" 20
	is "$backend: each of 20 within 100 ms, the slowest after $SLOWEST_MS ms" \
		"$((SLOWEST_MS <= 100))" 1
	is "$backend: half of them within 40 ms, $MEDIAN_MS ms" "$((MEDIAN_MS <= 40))" 1
	capture_stop
	frames_exact "$backend: all 20 are there" -e 0=20 "$WORK/q.pcapng"
done
test_end
