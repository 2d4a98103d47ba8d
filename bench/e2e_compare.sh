#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# `tapline compare` on pairs of captures whose truth is known (tests/helpers/pairgen.c): each fault
# alone, found exactly and nothing else said; the clock's offset within the bound that is stated; and
# files of TAPLINE_BENCH_PACKETS packets a side (10 million) against the clock, with bounded memory.
#
#   pairgen ─► A.pcap, B.pcap, truth ─► tapline compare --json ─► the same numbers?
#
# No root. TAPLINE_BENCH_OUT keeps the files of the last pair.

set -u
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD="${TAPLINE_BUILD:-$SOURCE/build/release}"
OUT="${TAPLINE_BENCH_OUT:-$SOURCE/build/bench}/compare"
PACKETS="${TAPLINE_BENCH_PACKETS:-10000000}"
FAILED=0

command -v jq >/dev/null || {
	echo "e2e_compare: jq is not installed" >&2
	exit 77
}
mkdir -p "$OUT"
trap '[ -n "${TAPLINE_BENCH_OUT:-}" ] || rm -rf "$OUT"' EXIT

declare -A TRUTH

generate() { # NAME=NUMBER…
	local line
	TRUTH=()
	while read -r line; do
		TRUTH[${line%=*}]=${line#*=}
	done < <("$BUILD/tests/helpers/helper_pairgen" "$OUT/A.pcap" "$OUT/B.pcap" "$@")
}

compare() { # A B
	"$BUILD/tapline" compare --json "$OUT/$1.pcap" "$OUT/$2.pcap" >"$OUT/said.json" || FAILED=1
}

# All that the expression looks at, of one object: findings by kind, and the closing record.
said() { # EXPRESSION
	jq -rs '{ f: [.[] | select(.type == "finding")], c: (.[] | select(.type == "comparison")) }
		| '"$1" "$OUT/said.json"
}

kinds() {
	said '[.f[].kind] | sort | join(" ")'
}

check() { # NAME EXPECTED ACTUAL
	if [ "$2" = "$3" ]; then
		printf '%-28s ok    %s\n' "$1" "$3"
	else
		printf '%-28s FAILED: expected %s, said %s\n' "$1" "$2" "$3"
		FAILED=1
	fi
}

lost() {
	said '"\(.c.lost.a_to_b) \(.c.lost.b_to_a)"'
}

# Is the offset that was said within its own bound of the truth? The truth in the middle of the
# overlap, for the clock may drift.
check_clock() { # NAME OFFSET_NS DRIFT_PPB
	check "$1" true "$(said "(.c.first | .[0:19] + \"Z\" | fromdate) as \$from
		| (.c.last | .[0:19] + \"Z\" | fromdate) as \$to
		| ((\$from + \$to) / 2 + 0.5 - 1795341600) as \$middle
		| ($2 / 1e6 + \$middle * $3 / 1e6) as \$truth
		| ((.c.clock_offset_ms - \$truth) | fabs)
			<= .c.clock_bound_ms + 0.001 + ($3 / 1e6 | fabs)")"
	said '"    offset \(.c.clock_offset_ms) ± \(.c.clock_bound_ms) ms, drift \(.c.clock_drift_ppm) ppm"'
}

faults() {
	generate packets=200000
	compare A B
	check "nothing wrong" "" "$(kinds)"
	check "  all matched" 200000 "$(said .c.matched)"
	compare A A
	check "a file with itself" "" "$(kinds)"
	check "  all matched" 200000 "$(said .c.matched)"

	generate packets=200000 lose_up=100 offset_ns=7200000000000
	compare A B
	check "loss one way" "compare.lost" "$(kinds)"
	check "  exact" "${TRUTH[lost_up]} 0" "$(lost)"
	compare B A
	check "  files swapped" "0 ${TRUTH[lost_up]}" "$(lost)"

	generate packets=200000 lose_up=1000 lose_down=77 vlan=12 nat=1 twice=50
	compare A B
	check "loss, NAT, VLAN, copies" "${TRUTH[lost_up]} ${TRUTH[lost_down]}" "$(lost)"
	check "  kinds" "compare.duplicated compare.lost compare.lost compare.nat" "$(kinds)"
	check "  copies" "${TRUTH[doubled]}" "$(said .c.duplicated.b)"

	generate packets=200000 usec_a=1 snap_b=96 lose_down=500
	compare A B
	check "microseconds, short snap" "0 ${TRUTH[lost_down]}" "$(lost)"
	check "  kinds" "compare.lost" "$(kinds)"

	generate packets=200000 late_b=500 early_b=400
	compare A B
	check "B begins late, ends early" "" "$(kinds)"

	generate packets=100000 seed=5
	mv "$OUT/A.pcap" "$OUT/C.pcap"
	generate packets=100000 seed=99
	compare C B
	check "captures of other traffic" "" "$(kinds)"
	check "  nothing matched" 0 "$(said .c.matched)"
	check "  and so it says" "Nothing can be compared" \
		"$("$BUILD/tapline" compare "$OUT/C.pcap" "$OUT/B.pcap" | head -n 1 | cut -d : -f 1)"
}

clocks() {
	generate packets=400000 rate=20000 offset_ns=10800123456789 drift_ppb=100000
	compare A B
	check_clock "3 h ahead, +100 ppm" 10800123456789 100000
	check "  nothing else" "" "$(kinds)"
	generate packets=400000 rate=20000 offset_ns=-86400000000000 drift_ppb=-100000
	compare A B
	check_clock "a day behind, -100 ppm" -86400000000000 -100000
	check "  nothing else" "" "$(kinds)"
	generate packets=400000 rate=20000 offset_ns=5000000 up_us=9000 down_us=1000
	compare A B
	check_clock "9 ms there, 1 ms back" 5000000 0
	check "  nothing else" "" "$(kinds)"
}

one_in_a_million() {
	generate packets=1000000 alter=777778
	compare A B
	check "1 altered in a million" 1 "$(said .c.modified)"
	check "  its byte, its checksum" "60 recomputed" \
		"$(said '.f[] | select(.kind == "compare.modified")
			| "\(.details.offsets) \(.details.checksum)"')"
	check "  nothing else" "compare.modified" "$(kinds)"
}

large() {
	generate packets="$PACKETS" rate=500000 lose_up=1000 offset_ns=3600000000000 drift_ppb=20000
	/usr/bin/time -f '%e %M %U' -o "$OUT/time" \
		"$BUILD/tapline" compare --json "$OUT/A.pcap" "$OUT/B.pcap" >"$OUT/said.json"
	check "$PACKETS packets a side" "${TRUTH[lost_up]} 0" "$(lost)"
	check "  nothing judged early" 0 "$(said .c.given_up)"
	awk '{ printf "    %.1f s (%.1f s of CPU), at most %.0f MB of memory\n", $1, $3, $2 / 1024 }' \
		"$OUT/time"
}

faults
clocks
one_in_a_million
large
exit "$FAILED"
