#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# The filter is reread under load, again and again: a packet that both filters accept is never lost,
# and a bad filter leaves the old one.
. "$(dirname "$0")/lib_common.sh"
test_begin "replacing the filter loses nothing that both accept"
link_up 1

echo "udp and greater 60" >"$WORK/filter"
capture_start -i span0 -w "$WORK/a.pcapng" --summary "$WORK/a.json" --backend afxdp \
	-F "$WORK/filter"
pid=$CAPTURE_PID
(
	for ((i = 0; i < 100; i++)); do
		case $((i % 3)) in
		0) echo "ip and udp" >"$WORK/filter" ;;
		1) echo "len >= 60 and not tcp" >"$WORK/filter" ;;
		2) echo "udp and (" >"$WORK/filter" ;;
		esac
		kill -HUP "$pid" || exit 1
		sleep 0.02
	done
) &
swapper=$!
generate 0 -n 100000 -r 40000 -s 60-200 --flows 50
wait $swapper
is "the process took every signal" $? 0
capture_stop
is "exit code" "$CAPTURE_RC" 0
frames_exact "every frame once" -e 0=100000 "$WORK/a.pcapng"
summary_closes "swap" "$WORK/a.json" "$SENT"
test_end
