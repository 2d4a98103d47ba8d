#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Several workers share a file that is read once: what they say is what one says, byte for byte, and
# who interrupts them loses nothing that was told.
. "$(dirname "$0")/lib_common.sh"
test_begin "workers that share a file say what one says"
need jq

"$TAPLINE" bench --write "$WORK/f.pcapng" --packets 300000 --flows 3000 --size imix --new-flows 0.02 \
	--protocols http:5,dns:2,tcp:3,udp:1 --rate 1000000 >/dev/null 2>&1 || die "no capture was made"
# a day of silence in it, and a clock that goes back
"$TAPLINE" bench --write "$WORK/g.pcapng" --packets 2000 --flows 50 --size 200 --rate 20 >/dev/null 2>&1 ||
	die "no capture was made"
editcap -t 86400 "$WORK/g.pcapng" "$WORK/late.pcapng"
editcap -t -3 "$WORK/g.pcapng" "$WORK/early.pcapng"
mergecap -a -w "$WORK/odd.pcapng" "$WORK/g.pcapng" "$WORK/late.pcapng" "$WORK/early.pcapng"

for file in f odd; do
	"$TAPLINE" diagnose --json --workers 1 -r "$WORK/$file.pcapng" >"$WORK/one.json" 2>"$WORK/one.err"
	is "$file: one worker: exit code" $? 0
	for workers in 2 3 8; do
		"$TAPLINE" diagnose --json --workers "$workers" -r "$WORK/$file.pcapng" \
			>"$WORK/many.json" 2>"$WORK/many.err"
		is "$file: $workers workers: exit code" $? 0
		fact "$file: $workers workers say the same" cmp "$WORK/one.json" "$WORK/many.json"
	done
done

for pause in 0.02 0.05 0.1; do
	"$TAPLINE" diagnose --json --workers 2 -r "$WORK/f.pcapng" >"$WORK/cut.json" 2>"$WORK/cut.err" &
	diagnose=$!
	for ((i = 0; i < 1000; i++)); do # its workers run: signals are heard
		tasks=("/proc/$diagnose/task/"*)
		[ ${#tasks[@]} -gt 1 ] && break
		sleep 0.002
	done
	sleep "$pause"
	kill -INT "$diagnose" 2>/dev/null
	wait "$diagnose"
	is "interrupted after $pause s: exit code" $? 0
	is "interrupted after $pause s: observations lost" \
		"$(jq 'select(.type == "capture_quality").observations_lost' "$WORK/cut.json")" 0
done
test_end
