#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The kernel's fast path on a veth link, as tables. Figures beside each other are taken in one run,
# interleaved; the tables give medians (drop: of ROUNDS).
#
#     tap: gen0 ──► span0: sensor          sender on core 0, the recorder on core 1
#
#   drop    a filter that matches nothing, at the full sending rate: packets that the interface
#           took, by its own counter, under a bare XDP_DROP, Tapline's filter, and tcpdump's
#   disk    60-byte frames to a file: the highest rate of RATES (kpps) at which nothing is lost, and
#           the recorder's CPU seconds for a million frames at that rate; `full`: as fast as the
#           kernel makes them. The figure is what was really sent, not what was asked for
#   exact   numbered frames over two queues and two workers; the same with a recorder that is
#           stopped for a while, so that its rings overflow; what is reduced; a filter that is
#           replaced under load: each account must close to the packet
#
# At full rate the sender makes frames inside the kernel and redirects them (XDP), as a driver hands
# them over; at a given rate it sends them from a socket. The link's receive path runs on the
# sender's core, so a rate is that of both together.
#
# ROUNDS=9 SECONDS_EACH=2 RATES="50 100 … full" PARTS="drop disk exact" FRAMES=1000000 SWAPS=1000

set -u
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD="${TAPLINE_BUILD:-$SOURCE/build/release}"
TAPLINE="${TAPLINE:-$BUILD/tapline}"
HELPERS="${TAPLINE_HELPERS:-$BUILD/tests/helpers}"
OUT="${TAPLINE_BENCH_OUT:-$SOURCE/build/bench}/xdp"
ROUNDS=${ROUNDS:-9}
SECONDS_EACH=${SECONDS_EACH:-2}
RATES=${RATES:-50 100 150 200 300 400 full}
PARTS=${PARTS:-drop disk exact}
FRAMES=${FRAMES:-1000000}
SWAPS=${SWAPS:-1000}
NOTHING='tcp port 12345 and host 192.0.2.1'
# shellcheck source=../tests/lab/bed.sh
. "$SOURCE/tests/lab/bed.sh"

die() {
	echo "e2e_xdp: $*" >&2
	exit 1
}

# A frame redirected into a veth needs GRO (or an XDP program) at the far end.
gro_on() {
	ip netns exec "$(bed_ns sensor)" ethtool -K span0 gro on >/dev/null 2>&1
}

# Frames that span0 took, by its own counters.
taken() {
	ip netns exec "$(bed_ns sensor)" ethtool -S span0 |
		awk '/rx_queue_[0-9]+_xdp_packets/ { sum += $2 } END { print sum }'
}

received() {
	ip -n "$(bed_ns sensor)" -s -j link show span0 | jq '.[0].stats64.rx.packets'
}

cpu_seconds() { # PID
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) / hz }' "/proc/$1/stat"
}

# Starts a program in the sensor and waits until it says PATTERN. Sets PID.
start() { # PATTERN COMMAND…
	local pattern=$1 i
	shift
	: >"$OUT/start.err"
	bed_spawn sensor taskset -c 1 "$@" >/dev/null 2>"$OUT/start.err" &
	PID=$!
	for ((i = 0; i < 200; i++)); do
		grep -q "$pattern" "$OUT/start.err" && break
		kill -0 "$PID" 2>/dev/null || die "$1 did not start: $(tail -n 2 "$OUT/start.err")"
		sleep 0.05
	done
	gro_on
	sleep 0.3
	CPU_BEFORE=$(cpu_seconds "$PID")
}

# Sets CPU: seconds since the start was over.
finish() {
	sleep 0.5
	CPU=$(awk -v a="$CPU_BEFORE" -v b="$(cpu_seconds "$PID")" 'BEGIN { print b - a }')
	kill -INT "$PID"
	wait "$PID" 2>/dev/null
}

send() { # FRAMEGEN_ARGS… -> its report
	bed_exec tap taskset -c 0 "$HELPERS/helper_framegen" -i gen0 --flows 64 --both "$@" ||
		die "framegen failed"
}

packets() { # JQ
	jq -r ".packets | $1" "$OUT/summary.json"
}

# --- a filter that matches nothing ----------------------------------------------------------

make_drop() {
	cat >"$OUT/drop.bpf.c" <<'C'
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("xdp")
int drop_all(struct xdp_md *ctx)
{
	return XDP_DROP;
}
char LICENSE[] SEC("license") = "GPL";
C
	clang -target bpf -O2 -I"/usr/include/$(gcc -print-multiarch)" -c "$OUT/drop.bpf.c" \
		-o "$OUT/drop.o" || die "clang cannot compile the bare program"
}

# What the attached program takes for a frame, alone: ns, measured by the kernel.
program_ns() {
	local id
	id=$(ip -n "$(bed_ns sensor)" -d -j link show span0 | jq '.[0].xdp.prog.id // empty')
	[ -n "$id" ] || id=$(ip -n "$(bed_ns sensor)" -d -j link show span0 | jq '.[0].xdp.attached[0].prog.id')
	bpftool prog run id "$id" data_in "$OUT/frame" repeat 2000000 2>/dev/null |
		sed -n 's/.*average): \([0-9]*\)ns.*/\1/p'
}

# Prints: name packets-a-second filtered-equals-taken ns
drop_run() { # NAME
	local before after exact=- seconds ns=-
	case $1 in
	xdp-drop) bed_exec sensor ip link set span0 xdpdrv obj "$OUT/drop.o" sec xdp ||
		die "the bare program cannot be attached" ;;
	tapline) start 'capturing on' "$TAPLINE" capture -i span0 --backend afxdp \
		--summary "$OUT/summary.json" "$NOTHING" ;;
	tcpdump) start 'listening on' tcpdump -i span0 -n -B 262144 -w /dev/null "$NOTHING" ;;
	esac
	before=$(taken) && [ "$1" = tcpdump ] && before=$(received)
	seconds=$(send -t "$SECONDS_EACH" -s 60 --mode live | jq .seconds)
	[ "$1" = tcpdump ] || after=$(taken)
	[ "$1" = tcpdump ] && after=$(received)
	if [ "$1" = xdp-drop ]; then
		ns=$(program_ns)
		ip -n "$(bed_ns sensor)" link set span0 xdpdrv off
	else
		finish
	fi
	if [ "$1" = tapline ]; then
		exact=no
		[ "$(packets .filtered)" = $((after - before)) ] && exact=yes
		start 'capturing on' "$TAPLINE" capture -i span0 --backend afxdp "$NOTHING"
		ns=$(program_ns)
		finish
	fi
	echo "$1 $(awk -v n=$((after - before)) -v s="$seconds" 'BEGIN { print n / s }') $exact ${ns:--}"
}

drop_part() {
	local round i names=(xdp-drop tapline tcpdump)
	make_drop
	head -c 60 /dev/zero >"$OUT/frame"
	: >"$OUT/drop.txt"
	# the machine's speed wanders: each round is compared with itself, and each name leads in turn
	for ((round = 0; round < ROUNDS; round++)); do
		for ((i = 0; i < 3; i++)); do
			drop_run "${names[(round + i) % 3]}" >>"$OUT/drop.txt" || exit 1
		done
	done
	python3 - "$OUT/drop.txt" <<'PY'
import statistics
import sys
runs = {}
for line in open(sys.argv[1]):
    name, rate, exact, ns = line.split()
    runs.setdefault(name, []).append((float(rate), exact, ns))
base = [rate for rate, _, _ in runs["xdp-drop"]]
print("| a filter that matches nothing | kpps taken | of XDP_DROP | program alone, ns | "
      "every packet counted as filtered |")
print("|---|---:|---:|---:|---|")
for name, rows in runs.items():
    rate = statistics.median(rate for rate, _, _ in rows)
    took = [float(ns) for _, _, ns in rows if ns != "-"]
    exact = [e for _, e, _ in rows if e != "-"]
    exact = f"{exact.count('yes')} of {len(exact)} runs" if exact else "-"
    ratio = statistics.median(row[0] / bare for row, bare in zip(rows, base))
    print(f"| {name} | {rate / 1e3:.0f} | {ratio:.2f} | "
          f"{statistics.median(took) if took else '-'} | "
          f"{exact} |")
PY
}

# --- to disk --------------------------------------------------------------------------------

# Prints: lost cpu-seconds-a-million sent-a-second
disk_run() { # RECORDER KPPS
	local report sent kept
	rm -f "$OUT/kept"
	sync
	case $1 in
	tapline) start 'capturing on' "$TAPLINE" capture -i span0 -w "$OUT/kept" --workers 1 \
		--backend afxdp ;;
	tcpdump) start 'listening on' tcpdump -i span0 -n -B 262144 -w "$OUT/kept" ;;
	dumpcap) start 'File: ' dumpcap -q -i span0 -B 256 -w "$OUT/kept" ;;
	esac
	if [ "$2" = full ]; then
		report=$(send -t "$SECONDS_EACH" -s 60 --mode live)
	else
		report=$(send -t "$SECONDS_EACH" -r "${2}000" -s 60)
	fi
	finish
	sent=$(jq .sent <<<"$report")
	kept=$("$HELPERS/helper_framecheck" --may-miss --by-flow "$OUT/kept" | jq .frames)
	awk -v s="$sent" -v k="$kept" -v c="$CPU" -v r="$(jq .rate <<<"$report")" \
		'BEGIN { print s - k, c / (s / 1e6), r / 1e3 }'
}

# The recorders take turns at each rate; one that loses twice at a rate is out.
disk_part() {
	local kpps recorder round lost cpu rate
	declare -A out=() best=() cost=()
	for kpps in $RATES; do
		for recorder in tapline tcpdump dumpcap; do
			[ -z "${out[$recorder]:-}" ] || continue
			for round in 1 2; do
				read -r lost cpu rate < <(disk_run "$recorder" "$kpps")
				[ "$lost" = 0 ] && break
			done
			if [ "$lost" = 0 ]; then
				best[$recorder]=$rate cost[$recorder]=$cpu
			else
				out[$recorder]=1
			fi
		done
	done
	echo "| to disk, 60 bytes | highest rate without loss, kpps sent | CPU s / M frames there |"
	echo "|---|---:|---:|"
	for recorder in tapline tcpdump dumpcap; do
		printf '| %s | %.0f | %.2f |\n' "$recorder" "${best[$recorder]:-0}" \
			"${cost[$recorder]:-0}"
	done
	rm -f "$OUT/kept"
}

# --- accounts ---------------------------------------------------------------------------------

closes() { # SENT
	packets "if .received == $1 and .received == .filtered + .sampled_out + .cut_off + .captured
		+ .dropped.nic + .dropped.ring_full + .dropped.fill_empty + .dropped.kernel
		and .captured == .written + .dropped.writer then \"yes\" else \"NO\" end"
}

row() { # NAME SENT
	printf '| %s | %s | %s | %s |\n' "$1" "$2" \
		"$(packets '[to_entries[] | select(.key != "received" and (.value | type) == "number"
			and .value > 0) | "\(.key) \(.value)"] + [.dropped | to_entries[] |
			select(.value > 0) | "dropped \(.key) \(.value)"] | join(", ")')" "$(closes "$2")"
}

account() { # NAME FRAMES FRAMEGEN_ARGS -- CAPTURE_ARGS
	local name=$1 sent args=(-n "$2")
	shift 2
	while [ "$1" != -- ]; do
		args+=("$1")
		shift
	done
	shift
	start 'capturing on' "$TAPLINE" capture -i span0 -w "$OUT/kept" --backend afxdp \
		--summary "$OUT/summary.json" "$@"
	[ -z "${STALL:-}" ] || {
		kill -STOP "$PID"
		(sleep 2 && kill -CONT "$PID") &
	}
	[ -z "${SWAPPING:-}" ] || swap "$PID" &
	sent=$(send "${args[@]}" | jq .sent)
	[ -z "${STALL:-}${SWAPPING:-}" ] || sleep 2
	finish
	row "$name" "$sent"
	rm -f "$OUT/kept"
}

swap() { # PID
	local i
	for ((i = 0; i < SWAPS; i++)); do
		[ $((i % 2)) = 0 ] && echo "ip and udp" >"$OUT/filter"
		[ $((i % 2)) = 1 ] && echo "len >= 60 and not tcp" >"$OUT/filter"
		kill -HUP "$1" 2>/dev/null || return
		sleep 0.012
	done
	echo "$i" >"$OUT/swapped"
}

exact_part() {
	echo "| account | sent | outcome | closes to the packet |"
	echo "|---|---:|---|---|"
	account "two queues, two workers" "$FRAMES" -r 150000 -s 60-1514 -- --workers 2
	STALL=1 account "the recorder stopped for 2 s" "$FRAMES" --mode live -- -B 16384
	STALL=1 account "the same, two workers" "$FRAMES" --mode live -- -B 16384 --workers 2
	account "--sample 100" 200000 -r 150000 -- --sample 100
	account "--sample-flows 10" 200000 -r 150000 -- --sample-flows 10
	account "--headers-only" 200000 -r 150000 -- --headers-only
	account "--cutoff 10000" 200000 -r 150000 -- --cutoff 10000
	rm -f "$OUT/swapped"
	echo udp >"$OUT/filter"
	SWAPPING=1 account "the filter replaced $SWAPS times" $((SWAPS * 1000)) -r 60000 -- \
		-F "$OUT/filter"
	[ -e "$OUT/swapped" ] || echo "(the sender was done before the last replacement)"
}

[ "$(id -u)" = 0 ] || die "needs root (network namespaces)"
[ -x "$TAPLINE" ] || die "$TAPLINE is not built: tools/dev build"
mkdir -p "$OUT" || exit 1
trap bed_down EXIT
if ! { bed_add_ns tap && bed_add_ns sensor && bed_add_veth tap gen0 sensor span0; }; then
	die "the link did not come up"
fi
bed_mute tap gen0
bed_mute sensor span0
gro_on
{
	echo "$(nproc) cores, kernel $(uname -r), $(date -u +%F), $SECONDS_EACH s a run, load" \
		"$(cut -d' ' -f1 /proc/loadavg)"
	for part in $PARTS; do
		echo
		"${part}_part"
	done
} | tee "$OUT/e2e_xdp.md"
