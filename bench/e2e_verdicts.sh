#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# How right the verdicts on TCP segments are, beside tshark's and tcptrace's, on captures whose truth
# is known: bench_verdicts simulates the links and writes, for each setting, a capture and the truth
# of each frame; the three programs judge the same files.
#
#   simulated ends ─► tap ─► mirror ─► NN.pcap ─► tapline's tracker · tshark · tcptrace
#                      └──────► NN.truth ────────────────┴─► verdicts_table.py ─► two tables
#
# Needs tshark, tcptrace (Debian: tcptrace) and python3; no root. TAPLINE_BENCH_OUT keeps the files.

set -eu
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD="${TAPLINE_BUILD:-$SOURCE/build/release}"
OUT="${TAPLINE_BENCH_OUT:-$SOURCE/build/bench}/verdicts"

for program in tshark tcptrace python3; do
	command -v "$program" >/dev/null || {
		echo "e2e_verdicts: $program is not installed" >&2
		exit 77
	}
done
mkdir -p "$OUT"
rm -f "$OUT"/*.pcap "$OUT"/*.truth "$OUT"/*.tshark "$OUT"/*.tcptrace
"$BUILD/bench/bench_verdicts" "$OUT" >"$OUT/own.md"

FIELDS=()
for field in retransmission fast_retransmission spurious_retransmission out_of_order keep_alive \
	zero_window_probe; do
	FIELDS+=(-e "tcp.analysis.$field")
done
for pcap in "$OUT"/*.pcap; do
	tshark -n -r "$pcap" -T fields -e frame.number "${FIELDS[@]}" >"${pcap%.pcap}.tshark" 2>/dev/null
	tcptrace --csv -n -l "$pcap" >"${pcap%.pcap}.tcptrace" 2>/dev/null
done
python3 "$SOURCE/bench/verdicts_table.py" "$OUT"
