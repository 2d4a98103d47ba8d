#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Recording at the full sending rate, beside tcpdump and dumpcap, on the same veth link in one run:
#
#     tap: gen0 ──► span0: sensor          sender on core 0, the recorder on core 1
#
# For each way of sending and each size, every recorder takes its turn, ROUNDS times, interleaved;
# the table gives medians. Kept: frames in the file, counted by the judge of the tests; CPU: user
# and system seconds of the recording process for a million frames kept. On a machine with two
# cores the sender and the kernel's receive path share one: no absolute figures.
#
#   socket  sendmmsg: the sender pays for the packets    live  made by the kernel, redirected (XDP)
#
# ROUNDS=3 SECONDS_EACH=3 SIZES="60 1500" MODES="socket live" RECORDERS="tapline-afxdp tapline-afpacket tcpdump dumpcap"

set -u
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD="${TAPLINE_BUILD:-$SOURCE/build/release}"
TAPLINE="${TAPLINE:-$BUILD/tapline}"
HELPERS="${TAPLINE_HELPERS:-$BUILD/tests/helpers}"
OUT="${TAPLINE_BENCH_OUT:-$SOURCE/build/bench}"
ROUNDS=${ROUNDS:-3}
SECONDS_EACH=${SECONDS_EACH:-3}
SIZES=${SIZES:-60 1500}
MODES=${MODES:-socket live}
RECORDERS=${RECORDERS:-tapline-afxdp tapline-afpacket tcpdump dumpcap}
# shellcheck source=../tests/lab/bed.sh
. "$SOURCE/tests/lab/bed.sh"

die() {
	echo "e2e_record: $*" >&2
	exit 1
}

recorder_command() { # RECORDER
	case $1 in
	tapline-afxdp) COMMAND=("$TAPLINE" capture -i span0 -w "$OUT/kept" --workers 1 --cpus 1
		--backend afxdp) ;;
	tapline-afpacket) COMMAND=("$TAPLINE" capture -i span0 -w "$OUT/kept" -B 262144 --workers 1 --cpus 1
		--backend afpacket) ;;
	tcpdump) COMMAND=(tcpdump -i span0 -n -B 262144 -w "$OUT/kept") ;;
	dumpcap) COMMAND=(dumpcap -q -i span0 -B 256 -w "$OUT/kept") ;;
	*) die "$1: no such recorder" ;;
	esac
}

# A frame redirected into a veth needs GRO (or an XDP program) at the far end, so GRO is on for that,
# also where the recorder has just turned it off; UDP is not merged by it.
prepare_link() { # MODE
	local state=off
	[ "$1" = live ] && state=on
	ip netns exec "$(bed_ns sensor)" ethtool -K span0 gro $state >/dev/null 2>&1
}

# Seconds of CPU that a process and its threads have used.
cpu_seconds() { # PID
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) / hz }' "/proc/$1/stat"
}

wait_ready() { # PID
	local i
	for ((i = 0; i < 200; i++)); do
		kill -0 "$1" 2>/dev/null || return 1
		if awk 'NR > 1 && $6 == 1 { found = 1 } END { exit !found }' "/proc/$1/net/packet" ||
			ip -n "$(bed_ns sensor)" link show span0 | grep -q prog/xdp; then
			sleep 0.5
			return 0
		fi
		sleep 0.05
	done
	return 1
}

# Prints: mode size recorder sent rate kept cpu-seconds
one_run() { # MODE SIZE RECORDER
	local mode=$1 size=$2 recorder=$3 pid report cpu sent rate kept
	rm -f "$OUT/kept"
	sync
	prepare_link "$mode"
	recorder_command "$recorder"
	bed_spawn sensor taskset -c 1 "${COMMAND[@]}" >/dev/null 2>"$OUT/recorder.log" &
	pid=$!
	wait_ready "$pid" || die "$recorder did not start: $(tail -n 2 "$OUT/recorder.log")"
	prepare_link "$mode"
	report=$(bed_exec tap taskset -c 0 "$HELPERS/helper_framegen" -i gen0 -t "$SECONDS_EACH" \
		-s "$size" --flows 64 --both --mode "$mode") || die "framegen failed"
	sleep 1.5
	cpu=$(cpu_seconds "$pid")
	kill -INT "$pid"
	wait "$pid" 2>/dev/null
	kept=$("$HELPERS/helper_framecheck" --may-miss --by-flow "$OUT/kept") ||
		echo "e2e_record: $recorder, $mode, $size: $kept" >&2
	kept=$(jq .frames <<<"$kept")
	sent=$(jq .sent <<<"$report") rate=$(jq .rate <<<"$report")
	echo "$mode $size $recorder $sent $rate $kept $cpu"
}

# The median of each figure over the rounds, as a table.
print_table() { # RUNS
	python3 - "$1" <<'PY'
import statistics
import sys
runs = {}
for line in open(sys.argv[1]):
    mode, size, recorder, sent, rate, kept, cpu = line.split()
    sent, rate, kept, cpu = float(sent), float(rate), float(kept), float(cpu)
    runs.setdefault((mode, int(size), recorder), []).append(
        (rate, 100 * kept / sent if sent else 0, kept / (sent / rate) if sent else 0,
         cpu / (kept / 1e6) if kept else float("nan")))
print("| sending | bytes | recorder | sent, kpps | kept | kept, kpps | CPU s / M frames | rounds |")
print("|---|---:|---|---:|---:|---:|---:|---:|")
for (mode, size, recorder), rows in runs.items():
    rate, share, kept, cpu = (statistics.median(column) for column in zip(*rows))
    print(f"| {mode} | {size} | {recorder} | {rate / 1e3:.0f} | {share:.2f} % | {kept / 1e3:.0f} | "
          f"{cpu:.3f} | {len(rows)} |")
PY
}

[ "$(id -u)" = 0 ] || die "needs root (network namespaces)"
[ -x "$TAPLINE" ] || die "$TAPLINE is not built: tools/dev build"
mkdir -p "$OUT" || exit 1
bed_link 1 || die "the link did not come up"
: >"$OUT/runs.txt"
for ((round = 0; round < ROUNDS; round++)); do
	for mode in $MODES; do
		for size in $SIZES; do
			for recorder in $RECORDERS; do
				one_run "$mode" "$size" "$recorder" >>"$OUT/runs.txt" || exit 1
			done
		done
	done
done
rm -f "$OUT/kept"
{
	echo "$(nproc) cores, kernel $(uname -r), $(date -u +%F), $SECONDS_EACH s a run"
	echo
	print_table "$OUT/runs.txt"
} | tee "$OUT/e2e_record.md"
