#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# Verdicts on Linux' own TCP: downloads over a wire that loses, delays and reorders on both sides of
# a tap and writes down what became of each segment, which is the truth.
#
#     namespace client        namespace router                             namespace server
#    ┌───────────────┐       ┌────────────────────────────────────┐       ┌────────────────┐
#    │ curl       c0 ├───────┤ w0 ◄─ loss ─ TAP ◄─ loss ─ w1      ├───────┤ s0  http.server│
#    │   10.77.3.10  │       │    lossy_wire │                    │       │   10.77.3.20   │
#    └───────────────┘       └───────────────▼────────────────────┘       └────────────────┘
#                               tap.pcap and truth ─► verdicts_linux.py
#
# Triggers are held against the sending kernel's counters (nstat). Needs root, curl and python3.
# LARGE=6 SMALL=40: downloads of 2 MB and of 30 kB for each setting.

set -u
SOURCE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
BUILD="${TAPLINE_BUILD:-$SOURCE/build/release}"
HELPERS="${TAPLINE_HELPERS:-$BUILD/tests/helpers}"
OUT="${TAPLINE_BENCH_OUT:-$SOURCE/build/bench}/verdicts_linux"
LARGE=${LARGE:-6} SMALL=${SMALL:-40}
V4=10.77.3.20 V6='[fd77:3::20]'
# shellcheck source=../tests/lab/bed.sh
. "$SOURCE/tests/lab/bed.sh"

die() {
	echo "e2e_verdicts_linux: $*" >&2
	exit 1
}

network() {
	local role
	trap bed_down EXIT
	for role in client router server; do
		bed_add_ns "$role" || return 1
	done
	bed_add_veth client c0 router w0 && bed_add_veth router w1 server s0 || return 1
	bed_mute router w0
	bed_mute router w1
	bed_address client c0 10.77.3.10/24 fd77:3::10/64
	bed_address server s0 10.77.3.20/24 fd77:3::20/64
}

wire() { # DIR NAME=VALUE…
	local dir=$1
	shift
	bed_spawn router "$HELPERS/helper_lossy_wire" w0 w1 "$dir/tap.pcap" "$dir/truth" "$@" \
		2>"$dir/wire.log" &
	WIRE=$!
	for _ in $(seq 100); do
		grep -q ready "$dir/wire.log" && return 0
		sleep 0.05
	done
	die "$(cat "$dir/wire.log")"
}

download() { # HOST
	local i failed=0
	for ((i = 0; i < LARGE + SMALL; i++)); do
		local file=small
		[ $i -lt "$LARGE" ] && file=large
		bed_exec client curl -sg -m 100 -o /dev/null "http://$1:8000/$file" || failed=$((failed + 1))
	done
	[ $failed -eq 0 ] || echo "$failed downloads failed" >&2
}

setting() { # NAME HOST SYSCTL|- NAME=VALUE…
	local name=$1 host=$2 sysctl=$3 dir server_ns
	shift 3
	SETTING=$((SETTING + 1))
	dir="$OUT/$SETTING"
	mkdir -p "$dir"
	server_ns=$(bed_ns server)
	[ "$sysctl" = - ] || ip netns exec "$server_ns" sysctl -qw "net.ipv4.$sysctl=0"
	# what it remembers of the client's losses is of the setting before
	ip netns exec "$server_ns" ip tcp_metrics flush all >/dev/null 2>&1
	wire "$dir" seed="$SETTING" "$@"
	ip netns exec "$server_ns" nstat -n
	download "$host"
	ip netns exec "$server_ns" nstat -sz 'TcpRetransSegs' 'TcpExtTCP*' >"$dir/nstat"
	sleep 0.3
	kill -TERM "$WIRE"
	wait "$WIRE" 2>/dev/null
	[ "$sysctl" = - ] || ip netns exec "$server_ns" sysctl -qw "net.ipv4.$sysctl=1"
	"$BUILD/bench/bench_verdicts" -r "$dir/tap.pcap" >"$dir/verdicts"
	"$BUILD/tapline" diagnose --json -q -r "$dir/tap.pcap" >"$dir/findings"
	python3 "$SOURCE/bench/verdicts_linux.py" "$name" "$dir"
}

[ "$(id -u)" -eq 0 ] || die "needs root"
network || die "no network"
rm -rf "$OUT"
mkdir -p "$OUT/www"
head -c 2000000 /dev/urandom >"$OUT/www/large"
head -c 30000 /dev/urandom >"$OUT/www/small"
bed_spawn server python3 -m http.server 8000 --bind :: --directory "$OUT/www" >/dev/null 2>&1 &
sleep 1
export NSTAT_HISTORY="$OUT/nstat_history"
SETTING=0
METRO="delay_before=2000 delay_after=3000"
WAN="delay_before=10000 delay_after=40000"
python3 "$SOURCE/bench/verdicts_linux.py" --head
# shellcheck disable=SC2086
{
	setting "2 % before the tap" $V4 - $METRO loss_before=20
	setting "2 % after the tap" $V4 - $METRO loss_after=20
	setting "1 % on both sides, WAN" $V4 - $WAN loss_before=10 loss_after=10
	setting "1 % on both sides, IPv6" $V6 - $METRO loss_before=10 loss_after=10
	setting "4 % on both sides" $V4 - $METRO loss_before=40 loss_after=40
	setting "bursts on both sides" $V4 - $METRO loss_before=5 loss_after=5 burst=700
	setting "a full queue behind the tap" $V4 - $METRO rate=20 queue=30
	setting "reordering before the tap, no loss" $V4 - $METRO reorder_before=20 late=3000
	setting "reordering after the tap, no loss" $V4 - $METRO reorder_after=20 late=3000
	setting "reordering and 1 % on both sides" $V4 - $METRO reorder_before=10 late=3000 \
		loss_before=10 loss_after=10
	setting "ACKs lost, 1 % on both sides" $V4 - $METRO ack_loss=100 loss_before=10 loss_after=10
	setting "no timestamps, 1 % on both sides" $V4 tcp_timestamps $METRO loss_before=10 loss_after=10
	setting "no SACK, 1 % on both sides" $V4 tcp_sack $METRO loss_before=10 loss_after=10
	setting "LAN, 1 % on both sides" $V4 - delay_before=50 delay_after=100 loss_before=10 loss_after=10
}
