#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# One long capture under load (`tools/dev soak SECONDS`): a ring of files, the analyzers beside it.
# Every minute at most it looks at the memory and the descriptors of the process, and at the end
# every frame must be in one counter. Not a ctest: it takes as long as it is told.
#
#     gen0 ──► span0 ──► tapline capture --diagnose -b filesize:… -b files:3

set -u
. "$(dirname "${BASH_SOURCE[0]}")/../netns/lib_common.sh"
seconds=${1:-600}
test_begin "a capture of $seconds s under load stays within its memory and counts every frame"
link_up 1
MEMORY_SLACK_KB=$((32 * 1024))

memory_kb() {
	awk '/^VmRSS/ { print $2 }' "/proc/$CAPTURE_PID/status"
}

descriptors() {
	find "/proc/$CAPTURE_PID/fd" -mindepth 1 | wc -l
}

capture_start -i span0 -w "$WORK/soak.pcapng" --summary "$WORK/soak.json" --diagnose \
	-b filesize:50000 -b files:3 >/dev/null
slice=$((seconds / 4 < 60 ? seconds / 4 : 60))
[ "$slice" -ge 1 ] || slice=1
end=$((SECONDS + seconds))
first_memory=
while [ $SECONDS -lt $end ]; do
	# other flows and sizes each time, so that tables fill and empty
	generate 0 -t "$slice" -r 50000 -s "60-$((RANDOM % 1400 + 100))" \
		--flows $((RANDOM % 40000 + 1)) --both --first "$SENT"
	[ "$first_memory" ] || { first_memory=$(memory_kb) first_descriptors=$(descriptors); }
	echo "$SENT frames, $(memory_kb) kB, $(descriptors) descriptors"
done
last_memory=$(memory_kb)
last_descriptors=$(descriptors)
capture_stop
is "exit code" "$CAPTURE_RC" 0
is "memory stays ($first_memory kB, then $last_memory kB)" \
	"$((last_memory <= first_memory + MEMORY_SLACK_KB))" 1
is "descriptors stay ($first_descriptors, then $last_descriptors)" \
	"$((last_descriptors <= first_descriptors + 4))" 1
summary_closes "soak" "$WORK/soak.json" "$SENT"
for file in "$WORK"/soak*.pcapng; do
	opens "$file"
done
test_end
