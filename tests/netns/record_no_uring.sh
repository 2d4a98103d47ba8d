#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Without io_uring the plain writer gives the same guarantees, and the summary says that it was used.
. "$(dirname "$0")/lib_common.sh"
test_begin "without io_uring nothing is lost either"
[ -e /proc/sys/kernel/io_uring_disabled ] || skip "this kernel has no io_uring_disabled"
link_up 1

before=$(cat /proc/sys/kernel/io_uring_disabled)
at_end "echo $before >/proc/sys/kernel/io_uring_disabled"
echo 2 >/proc/sys/kernel/io_uring_disabled || skip "the sysctl cannot be set here"

capture_start -i span0 -w "$WORK/a.pcapng" --summary "$WORK/a.json"
generate 0 -n "$FRAMES" -r "$RATE" -s 60-1514 --flows 200 --both
capture_stop
is "exit code" "$CAPTURE_RC" 0
frames_exact "every frame once, in order, whole" -e "0=$FRAMES" "$WORK/a.pcapng"
summary_closes "pwrite" "$WORK/a.json" "$SENT"
is "the summary says so" "$(summary "$WORK/a.json" 'tostring | test("pwrite")')" true
opens "$WORK/a.pcapng"

mkdir "$WORK/r"
SENT=0
capture_start -i span0 -w "$WORK/r/c.pcapng" -b packets:10000
generate 0 -n 50000 -r 50000 -s 60-1514
capture_stop
mapfile -t files < <(find "$WORK/r" -type f | sort)
frames_exact "rotation: every frame once" -e 0=50000 "${files[@]}"

captures_first
capture_start -i span0 -w "$WORK/q.pcapng"
quiet_link "$WORK/q.pcapng" 5
is "a quiet link's packets are on disk within 100 ms, the slowest after $SLOWEST_MS ms" \
	"$((SLOWEST_MS <= 100))" 1
capture_stop
test_end
