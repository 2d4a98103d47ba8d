#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The same capture file through tapline flows and its peers, side by side: how long each takes, and
# whether they count the same packets and bytes.
#
#     tapline bench --write ──► made.pcap ──┬─► tapline flows --json | --csv | --ipfix
#                                            ├─► nfpcapd ──► nfdump (the totals)
#                                            └─► argus ──► racount; softflowd; tshark conversations
#
# Every tool takes its turn, ROUNDS times, interleaved; the table gives medians of processor time
# (user and system), the figure to trust where the machine is not quiet, and of wall time. The file
# was read once before, so it comes from memory. Bytes are those of IP packets, but for argus and
# tshark, which count frames.
#
# ROUNDS=5 PACKETS=2000000 TOOLS="tapline-json tapline-csv nfpcapd argus softflowd tshark"

set -u
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD="${TAPLINE_BUILD:-$SOURCE/build/release}"
TAPLINE="${TAPLINE:-$BUILD/tapline}"
OUT="${TAPLINE_BENCH_OUT:-$SOURCE/build/bench}/flows"
ROUNDS=${ROUNDS:-5}
PACKETS=${PACKETS:-2000000}
TOOLS=${TOOLS:-tapline-json tapline-csv nfpcapd argus softflowd tshark}

die() {
	echo "e2e_flows: $*" >&2
	exit 1
}

tool_command() { # TOOL
	local file="$OUT/made.pcap"
	case $1 in
	tapline-json) COMMAND=("$TAPLINE" flows -r "$file" --json) ;;
	tapline-csv) COMMAND=("$TAPLINE" flows -r "$file" --csv -q) ;;
	nfpcapd) COMMAND=(nfpcapd -r "$file" -l "$OUT/nfpcapd" -t 3600) ;;
	argus) COMMAND=(argus -X -r "$file" -w "$OUT/argus.out") ;;
	softflowd) COMMAND=(softflowd -r "$file" -n 127.0.0.1:9) ;;
	tshark) COMMAND=(tshark -n -q -r "$file" -z "conv,tcp" -z "conv,udp") ;;
	*) die "$1: no such tool" ;;
	esac
}

program_of() { # TOOL
	case $1 in
	tapline-*) echo "$TAPLINE" ;;
	*) echo "$1" ;;
	esac
}

# Seconds of CPU and of wall time go to $OUT/times.TOOL.
run_once() { # TOOL
	rm -rf "$OUT/nfpcapd" "$OUT/argus.out"
	mkdir "$OUT/nfpcapd"
	tool_command "$1"
	/usr/bin/time -f '%U %S %e' -o "$OUT/time" "${COMMAND[@]}" >"$OUT/out.$1" 2>"$OUT/log.$1" ||
		die "$1 failed: $(tail -n 3 "$OUT/log.$1")"
	tail -n 1 "$OUT/time" | awk '{ print $1 + $2, $3 }' >>"$OUT/times.$1"
	[ "$1" = nfpcapd ] && count_nfpcapd
	[ "$1" = argus ] && command -v racount >/dev/null &&
		racount -r "$OUT/argus.out" 2>/dev/null |
		awk '$1 == "sum" { print $3, $6, "-" }' >"$OUT/sums.argus"
	return 0
}

count_nfpcapd() { # packets, bytes, flows
	nfdump -R "$OUT/nfpcapd" -I 2>/dev/null | awk '/^Packets:/ { p = $2 } /^Bytes:/ { b = $2 }
		/^Flows:/ { f = $2 } END { print p, b, f }' >"$OUT/sums.nfpcapd"
}

# Packets, bytes of IP and flows by tapline's own records.
count_tapline() {
	[ -e "$OUT/out.tapline-csv" ] || return 0
	awk -F, 'NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; next }
		{ p += $at["pkts_toserver"] + $at["pkts_toclient"]
		  b += $at["ip_bytes_toserver"] + $at["ip_bytes_toclient"] }
		END { printf "%d %d %d\n", p, b, NR - 1 }' "$OUT/out.tapline-csv" |
		tee "$OUT/sums.tapline-csv" >"$OUT/sums.tapline-json"
}

median() { # FILE COLUMN
	awk -v c="$2" '{ print $c }' "$1" | sort -n |
		awk '{ v[NR] = $1 } END { print (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2 }'
}

rm -rf "$OUT"
mkdir -p "$OUT"
"$TAPLINE" bench --write "$OUT/made.pcapng" --packets "$PACKETS" --flows 20000 --new-flows 0.02 \
	--size imix --protocols tcp:6,udp:3,tcp6:1,udp6:1,dns:1,http:1 --rate 100000 2>/dev/null ||
	die "the capture could not be made"
# microseconds: not every peer reads nanoseconds
editcap -F pcap "$OUT/made.pcapng" "$OUT/made.pcap" || die "editcap could not write the pcap file"
rm "$OUT/made.pcapng"

present=()
for tool in $TOOLS; do
	command -v "$(program_of "$tool")" >/dev/null && present+=("$tool")
done
for ((round = 1; round <= ROUNDS; round++)); do
	for tool in "${present[@]}"; do
		run_once "$tool"
	done
done
count_tapline

echo "$(uname -r), $(nproc) cores, load $(cut -d' ' -f1 /proc/loadavg), $(nfpcapd -V 2>&1 |
	grep -o 'Version: *[0-9.a-z-]*' | head -n 1); $PACKETS packets, $(stat -c %s "$OUT/made.pcap") bytes," \
	"$ROUNDS rounds"
printf '| %-12s | %8s | %8s | %8s | %10s | %9s | %11s | %7s |\n' tool "CPU s" "wall s" \
	"Mpps CPU" "x nfpcapd" packets bytes flows
echo "|---|---:|---:|---:|---:|---:|---:|---:|"
[ -e "$OUT/times.nfpcapd" ] && reference=$(median "$OUT/times.nfpcapd" 1)
for tool in "${present[@]}"; do
	cpu=$(median "$OUT/times.$tool" 1)
	sums=(- - -)
	[ -e "$OUT/sums.$tool" ] && read -ra sums <"$OUT/sums.$tool"
	awk -v tool="$tool" -v cpu="$cpu" -v wall="$(median "$OUT/times.$tool" 2)" -v n="$PACKETS" \
		-v peer="${reference:-0}" -v p="${sums[0]}" -v b="${sums[1]}" -v f="${sums[2]}" 'BEGIN {
		printf "| %-12s | %8.2f | %8.2f | %8.2f | %10.2f | %9s | %11s | %7s |\n", tool, cpu,
			wall, n / cpu / 1e6, peer / cpu, p, b, f }'
done
if [ -e "$OUT/sums.nfpcapd" ] && [ -e "$OUT/sums.tapline-csv" ]; then
	[ "$(cut -d' ' -f1,2 "$OUT/sums.nfpcapd")" = "$(cut -d' ' -f1,2 "$OUT/sums.tapline-csv")" ] ||
		die "nfdump's packets and bytes are not those of tapline"
	echo "packets and bytes are those that nfdump reports"
fi
rm -f "$OUT/made.pcap"
