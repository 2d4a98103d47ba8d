#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Rotation loses nothing: the files together hold every frame once, and each opens by itself.
# may run beside others: what is sent fits the ring
. "$(dirname "$0")/lib_common.sh"
test_begin "rotated files together hold every frame exactly once"
link_up 1

in_order() { # FILES… -> the same, oldest first
	local file
	for file; do
		echo "$("$HELPERS/helper_framedump" "$file" | head -n 1 | cut -d' ' -f1) $file"
	done | sort -n | cut -d' ' -f2
}

one_case() { # NAME LEAST_FILES FRAMEGEN_ARGS -- CAPTURE_ARGS…
	local name=$1 least=$2 args=$3 files file
	shift 4
	rm -rf "$WORK/r" && mkdir "$WORK/r"
	SENT=0
	capture_start -i span0 --summary "$WORK/r.json" "$@"
	# shellcheck disable=SC2086
	generate 0 $args --flows 50 --both
	capture_stop
	is "$name: exit code" "$CAPTURE_RC" 0
	mapfile -t files < <(in_order "$WORK"/r/*)
	is "$name: $least files or more (${#files[@]})" "$((${#files[@]} >= least))" 1
	frames_exact "$name: every frame once over all files" -e "0=$SENT" "${files[@]}"
	is "$name: statistics close every file" \
		"$("$HELPERS/helper_framecheck" "${files[@]}" | jq .interfaces_open)" 0
	summary_closes "$name" "$WORK/r.json" "$SENT"
	for file in "${files[@]}"; do
		opens "$file"
	done
}

one_case "-C" 5 "-n 60000 -r 60000 -s 60-1514" -- -w "$WORK/r/c.pcapng" -C 10
one_case "-G" 3 "-n 60000 -r 15000 -s 60-1514" -- -w "$WORK/r/g-%s.pcapng" -G 1
one_case "-b filesize" 5 "-n 60000 -r 60000 -s 60-1514" -- -w "$WORK/r/b.pcapng" -b filesize:10000
one_case "-b packets" 6 "-n 60000 -r 60000 -s 60-1514" -- -w "$WORK/r/p.pcapng" -b packets:10000
one_case "-b duration" 3 "-n 60000 -r 15000 -s 60-1514" -- -w "$WORK/r/d.pcapng" -b duration:1

# rings: only the newest files are kept, and they are whole
for ring in "-C 5 -W 3" "-b filesize:5000 -b files:3"; do
	rm -rf "$WORK/r" && mkdir "$WORK/r"
	# shellcheck disable=SC2086
	capture_start -i span0 -w "$WORK/r/w.pcapng" $ring
	generate 0 -n 60000 -r 60000 -s 60-1514
	capture_stop
	is "$ring: three files" "$(find "$WORK/r" -type f | wc -l)" 3
	for file in "$WORK"/r/*; do
		opens "$file"
	done
	mapfile -t files < <(in_order "$WORK"/r/*)
	is "$ring: the last frame is there" "$("$HELPERS/helper_framecheck" --may-miss "${files[@]}" |
		jq '.frames + .missing')" 60000
done

# the number of packets, and standard output
capture_start -i span0 -w "$WORK/n.pcapng" -c 1000
generate 0 -n 5000 -r 20000
capture_wait
is "-c ends by itself" "$CAPTURE_RC" 0
is "-c 1000 keeps 1000" "$("$HELPERS/helper_framedump" "$WORK/n.pcapng" | wc -l)" 1000
opens "$WORK/n.pcapng"

capture_start -i span0 -w - >"$WORK/o.pcapng"
generate 0 -n 20000 -r 20000 -s 60-1514
capture_stop
is "-w -: exit code" "$CAPTURE_RC" 0
frames_exact "-w -: every frame once" -e 0=20000 "$WORK/o.pcapng"
opens "$WORK/o.pcapng"
test_end
