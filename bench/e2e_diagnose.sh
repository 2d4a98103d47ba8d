#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The diagnosis of a capture, beside tshark's expert information on the same file, in one run and in
# turn, ROUNDS times; the table has medians. Whole processes: wall clock, CPU (all threads), the largest
# resident memory. Tapline once as it chooses, once with a single reader.
#
# The capture is made by `tapline bench --write`: PACKETS packets of FLOWS flows at a time, of which
# each hundredth packet begins a new one.
#
# PACKETS=600000 FLOWS=5000 ROUNDS=3 MIXES="http:5,dns:2,tcp:3,udp:1 tcp http"

set -u
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD="${TAPLINE_BUILD:-$SOURCE/build/release}"
TAPLINE="${TAPLINE:-$BUILD/tapline}"
OUT="${TAPLINE_BENCH_OUT:-$SOURCE/build/bench}/diagnose"
PACKETS=${PACKETS:-600000}
FLOWS=${FLOWS:-5000}
ROUNDS=${ROUNDS:-3}
MIXES=${MIXES:-http:5,dns:2,tcp:3,udp:1 tcp http}

die() {
	echo "e2e_diagnose: $*" >&2
	exit 1
}

# Prints: mix program wall cpu KiB
timed() { # MIX PROGRAM COMMAND…
	local mix=$1 program=$2
	shift 2
	cat "$OUT/capture.pcap" >/dev/null # from memory, whoever reads it
	command time -f '%e %U %S %M' -o "$OUT/time" "$@" >/dev/null 2>"$OUT/err" ||
		die "$program failed: $(tail -n 1 "$OUT/err")"
	awk -v mix="$mix" -v program="$program" '{ print mix, program, $1, $2 + $3, $4 }' "$OUT/time"
}

print_table() { # RUNS
	python3 - "$1" "$PACKETS" <<'PY'
import statistics
import sys
runs, packets = {}, int(sys.argv[2])
for line in open(sys.argv[1]):
    mix, program, *figures = line.split()
    runs.setdefault(mix, {}).setdefault(program, []).append([float(f) for f in figures])
print("| packets | program | wall s | CPU s | µs CPU a packet | MiB | times faster than tshark | its CPU | "
      "memory |")
print("|---|---|---:|---:|---:|---:|---:|---:|---:|")
for mix, programs in runs.items():
    median = {p: [statistics.median(c) for c in zip(*rows)] for p, rows in programs.items()}
    tshark_wall, cpu, kib = median["tshark"]
    for program, (wall, c, k) in median.items():
        print(f"| {mix} | {program} | {wall:.2f} | {c:.2f} | {c / packets * 1e6:.2f} | {k / 1024:.0f} | "
              f"{tshark_wall / wall:.0f} | 1/{cpu / c:.0f} | {k / kib:.2f} |")
PY
}

[ -x "$TAPLINE" ] || die "$TAPLINE is not built: tools/dev build"
command -v tshark >/dev/null || die "tshark is not installed"
mkdir -p "$OUT" || exit 1
for mix in $MIXES; do
	"$TAPLINE" bench --write "$OUT/capture.pcap" --packets "$PACKETS" --flows "$FLOWS" \
		--protocols "$mix" --size imix --new-flows 0.01 --rate 1000000 >/dev/null 2>&1 ||
		die "the capture could not be made"
	sync "$OUT/capture.pcap"
	for ((round = 0; round < ROUNDS; round++)); do
		timed "$mix" tapline "$TAPLINE" diagnose -r "$OUT/capture.pcap"
		timed "$mix" one_reader "$TAPLINE" diagnose --workers 1 -r "$OUT/capture.pcap"
		timed "$mix" tshark tshark -r "$OUT/capture.pcap" -2 -q -z expert
	done
done >"$OUT/runs.txt"
rm -f "$OUT/capture.pcap"
{
	echo "$(nproc) cores, kernel $(uname -r), $(date -u +%F), $PACKETS packets, load" \
		"$(cut -d' ' -f1 /proc/loadavg)"
	echo
	print_table "$OUT/runs.txt"
} | tee "$OUT/e2e_diagnose.md"
