#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# On a quiet link a packet is on disk within 100 ms, whole, while the capture goes on. One of 20 may
# be later, up to a second: the look at the disk itself can be held up on a busy host.
. "$(dirname "$0")/lib_common.sh"
test_begin "a quiet link's packet is on disk within 100 ms"
link_up 1

for backend in auto afpacket; do
	capture_start -i span0 -w "$WORK/q.pcapng" --backend "$backend"
	worst=0 late=0
	for ((number = 0; number < 20; number++)); do
		generate 0 -n 1 --first "$number" -s 200
		start=$(date +%s%N)
		deadline=$((start + 2000000000))
		while [ "$("$HELPERS/helper_framedump" "$WORK/q.pcapng" 2>/dev/null | wc -l)" -le "$number" ]; do
			[ "$(date +%s%N)" -gt "$deadline" ] && break
			sleep 0.005
		done
		took=$((($(date +%s%N) - start) / 1000000))
		[ "$took" -gt "$worst" ] && worst=$took
		[ "$took" -gt 100 ] && late=$((late + 1))
		sleep 0.05
	done
	is "$backend: $late of 20 after more than 100 ms, the slowest after $worst ms" \
		"$((late <= 1 && worst <= 1000))" 1
	capture_stop
	frames_exact "$backend: all 20 are there" -e 0=20 "$WORK/q.pcapng"
done
test_end
