#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
#
# The main job on real traffic (`tools/dev demo`): a mirror port, healthy traffic, and a service
# whose SYNs a firewall drops. Tapline records and diagnoses live, then reads the file again.
#
#     client ──── router ──── server: nginx on 80 (healthy) and on 8080
#                   │ nft drops tcp/8080
#                   ▼ mirror of the client's side
#                 span0 ──► tapline capture -w demo.pcapng --diagnose
#
# Exit 0 only if the dropped service was found, live and in the file, and nothing else was accused.

set -u
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
SOURCE="${TAPLINE_SOURCE:-$(cd "$HERE/../.." && pwd)}"
TAPLINE="${TAPLINE:-${TAPLINE_BUILD:-$SOURCE/build/release}/tapline}"
OUT="${TAPLINE_DEMO_OUT:-$SOURCE/build/demo}"
PORT=8080
# shellcheck source=bed.sh
. "$HERE/bed.sh"

say() {
	printf '\n== %s\n' "$*"
}

fail() {
	echo "demo: $*" >&2
	[ -s "$OUT/capture.log" ] && tail -n 5 "$OUT/capture.log" >&2
	exit 1
}

finish() {
	[ -n "${CAPTURE:-}" ] && kill -KILL "$CAPTURE" 2>/dev/null
	bed_down
}

start_services() {
	local i
	mkdir -p "$OUT/www"
	seq 1 60000 >"$OUT/www/page"
	cat >"$OUT/nginx.conf" <<CONF
daemon off; user root; worker_processes 1; pid $OUT/nginx.pid; error_log $OUT/nginx.log;
events { worker_connections 64; }
http { access_log off; server { listen 80; listen [::]:80; listen $PORT; root $OUT/www; } }
CONF
	bed_spawn server nginx -c "$OUT/nginx.conf" 2>/dev/null &
	bed_spawn server dnsmasq --keep-in-foreground --no-resolv --no-hosts --conf-file=/dev/null \
		--pid-file= --address=/shop.example/10.77.2.10 --listen-address=10.77.2.10 \
		--bind-interfaces --user=root 2>/dev/null &
	for ((i = 0; i < 60; i++)); do
		bed_exec client curl -sf -m 2 -o /dev/null http://10.77.2.10/page &&
			bed_exec client curl -sf -m 2 -o /dev/null "http://10.77.2.10:$PORT/page" &&
			return 0
		sleep 0.1
	done
	return 1
}

# A DNS query for an A record, by hand: no resolver in the namespace is needed.
ask_dns() {
	bed_exec client python3 - <<'PY'
import socket, struct
query = struct.pack("!HHHHHH", 0x1234, 0x0100, 1, 0, 0, 0)
query += b"\4shop\7example\0" + struct.pack("!HH", 1, 1)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(2)
    s.sendto(query, ("10.77.2.10", 53))
    assert s.recv(512)[:2] == b"\x12\x34"
PY
}

healthy_traffic() {
	bed_exec client curl -sf -m 5 -o /dev/null http://10.77.2.10/page &&
		bed_exec client curl -sf -m 5 -o /dev/null "http://[fd77:2::10]/page" &&
		bed_exec client ping -qc3 -i0.2 10.77.2.10 >/dev/null && ask_dns
}

start_capture() {
	local i
	bed_spawn sensor "$TAPLINE" capture -i span0 -w "$OUT/demo.pcapng" \
		--summary "$OUT/summary.json" --diagnose > >(tee "$OUT/live.txt") \
		2> >(tee "$OUT/capture.log" >&2) &
	CAPTURE=$!
	for ((i = 0; i < 100; i++)); do
		kill -0 "$CAPTURE" 2>/dev/null || return 1
		grep -q 'capturing on' "$OUT/capture.log" 2>/dev/null && return 0
		sleep 0.05
	done
	return 1
}

# kind, severity, server and port of each finding that accuses
accusations() { # FILE
	jq -rc 'select(.type == "finding" and .severity != "info") |
		[.kind, .severity, .server.ip, .server.port] | map(tostring) | join(" ")' "$1"
}

[ "$(id -u)" = 0 ] || { echo "demo: needs root (network namespaces)"; exit 77; }
[ -x "$TAPLINE" ] || fail "$TAPLINE is not built: tools/dev build"
rm -rf "$OUT" && mkdir -p "$OUT" || exit 1

say "a network with a mirror port: client, router, server, and span0 for the sensor"
bed_up || fail "the network did not come up"
trap finish EXIT
trap 'exit 1' INT TERM
start_services || fail "the services did not come up"
bed_drop tcp dport $PORT
echo "nginx serves on port 80; the router's firewall now drops SYNs to port $PORT"

say "tapline capture -i span0 -w demo.pcapng --diagnose"
start_capture || fail "tapline did not start"
healthy_traffic || fail "healthy traffic did not get through"
echo "client: curl http://10.77.2.10:$PORT/ (gives up after 8 s)"
bed_exec client curl -s -m 8 -o /dev/null "http://10.77.2.10:$PORT/page" &&
	fail "the firewall lets the dropped service through"
healthy_traffic || fail "healthy traffic did not get through"
sleep 1
kill -INT "$CAPTURE"
wait "$CAPTURE"
rc=$?
CAPTURE=
[ "$rc" = 0 ] || fail "tapline capture ended with exit code $rc"
sleep 0.2

say "tapline diagnose -r demo.pcapng"
"$TAPLINE" diagnose -r "$OUT/demo.pcapng" || fail "diagnose -r failed"
"$TAPLINE" diagnose -r "$OUT/demo.pcapng" --json >"$OUT/findings.json" 2>/dev/null ||
	fail "diagnose -r --json failed"

say "files, in $OUT"
echo "demo.pcapng    the recording, for Wireshark"
echo "findings.json  what was found in it"
echo "summary.json   what was received, kept and dropped"
echo "live.txt       what was said while it ran"
said=$(accusations "$OUT/findings.json")
[ "$said" = "connect.no_answer error 10.77.2.10 $PORT" ] ||
	fail "wanted the dropped service and nothing else, got: ${said:-nothing}"
grep -q 'connect\.no_answer' "$OUT/live.txt" "$OUT/capture.log" ||
	fail "the fault was not said live"
say "found: connections to 10.77.2.10:$PORT get no answer; nothing healthy was accused"
