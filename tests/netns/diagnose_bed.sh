#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# A dropped SYN on a real path is found live, and found again, the same, in the recorded file;
# healthy traffic beside it gives no warning.
. "$(dirname "$0")/lib_common.sh"
test_begin "a dropped SYN is found live and in the file, and nothing else is"
need nginx curl ping
routed_up

mkdir "$WORK/www"
head -c 300000 /dev/urandom | base64 >"$WORK/www/page"
cat >"$WORK/nginx.conf" <<CONF
daemon off; pid $WORK/nginx.pid; error_log $WORK/nginx.log; user root; worker_processes 1;
events { worker_connections 64; }
http { access_log off; server { listen 80; listen [::]:80; listen 8080; root $WORK/www; } }
CONF
bed_spawn server nginx -c "$WORK/nginx.conf" 2>/dev/null &
for ((i = 0; i < 50; i++)); do
	bed_exec client curl -sf -o /dev/null http://10.77.2.10/page && break
	sleep 0.1
done
findings() { # FILE -> kind and server of what is no mere information
	jq -rc 'select(.type == "finding" and .severity != "info") |
		[.kind, .severity, .server.ip, .server.port] | @csv' "$1"
}
healthy() {
	local i
	for i in 1 2 3; do
		bed_exec client curl -sf -o /dev/null http://10.77.2.10/page || return 1
		bed_exec client curl -sf -o /dev/null "http://[fd77:2::10]/page" || return 1
	done
	bed_exec client ping -qc3 -i0.2 10.77.2.10 >/dev/null
}

capture_start -i span0 -w "$WORK/h.pcapng"
fact "healthy traffic" healthy
capture_stop
fact "diagnose a healthy file" "$TAPLINE" diagnose -r "$WORK/h.pcapng" --json
"$TAPLINE" diagnose -r "$WORK/h.pcapng" --json >"$WORK/h.json" 2>"$WORK/h.err"
is "healthy traffic gives no warning and no error" "$(findings "$WORK/h.json")" ""
is "a capture_quality record closes it" "$(tail -n 1 "$WORK/h.json" | jq -r .type)" capture_quality

bed_drop tcp dport 8080
bed_spawn sensor "$TAPLINE" diagnose -i span0 --json >"$WORK/live.json" 2>"$WORK/live.err" &
diagnose=$!
for ((i = 0; i < 100; i++)); do
	grep -q 'capturing on' "$WORK/live.err" && break
	sleep 0.05
done
capture_start -i span0 -w "$WORK/f.pcapng"
fact "healthy traffic beside the fault" healthy
bed_exec client curl -s -m 8 -o /dev/null http://10.77.2.10:8080/page
is "curl to the dropped port gets no answer" $? 28
fact "healthy traffic after the fault" healthy
sleep 1
capture_stop
kill -INT "$diagnose"
wait "$diagnose"
is "live: exit code" $? 0
"$TAPLINE" diagnose -r "$WORK/f.pcapng" --json >"$WORK/f.json" 2>"$WORK/f.err"
is "file: exit code" $? 0
for where in live f; do
	is "$where: the finding, and nothing else" "$(findings "$WORK/$where.json")" \
		'"connect.no_answer","error","10.77.2.10",8080'
	is "$where: at least 3 SYNs, and the client" "$(jq -rc '
		select(.type == "finding" and .kind == "connect.no_answer") |
		[.details.syn_count >= 3, .client.ip]' "$WORK/$where.json")" '[true,"10.77.1.10"]'
done
"$TAPLINE" diagnose -r "$WORK/f.pcapng" --json --fail-on error >/dev/null 2>&1
is "--fail-on error: exit code" $? 3
"$TAPLINE" diagnose -r "$WORK/h.pcapng" --json --fail-on warning >/dev/null 2>&1
is "--fail-on warning, healthy: exit code" $? 0

# the filter of the finding selects at least the frames of its evidence
jq 'select(.type == "finding" and .kind == "connect.no_answer")' "$WORK/f.json" >"$WORK/finding.json"
filter=$(jq -r .display_filter "$WORK/finding.json")
tshark -nr "$WORK/f.pcapng" -Y "$filter" -T fields -e frame.number 2>/dev/null |
	sort >"$WORK/selected.txt"
jq -r '.evidence[].frame' "$WORK/finding.json" | sort >"$WORK/evidence.txt"
is "there is evidence" "$(($(wc -l <"$WORK/evidence.txt") >= 2))" 1
is "every frame of the evidence is selected" "$(comm -13 "$WORK/selected.txt" "$WORK/evidence.txt")" ""

# cut in two behind the first SYN of the finding, and given in the wrong order: each frame's file is named
first=$(jq -r '.evidence[0].frame' "$WORK/finding.json")
editcap -r "$WORK/f.pcapng" "$WORK/a.pcapng" "1-$first"
editcap -r "$WORK/f.pcapng" "$WORK/b.pcapng" "$((first + 1))-999999"
"$TAPLINE" diagnose -r "$WORK/b.pcapng" -r "$WORK/a.pcapng" --json >"$WORK/two.json" 2>"$WORK/two.err"
is "two files: the same finding" "$(findings "$WORK/two.json")" "$(findings "$WORK/f.json")"
jq -r 'select(.kind == "connect.no_answer") | .evidence[] | "\(.file) \(.frame) \(.time)"' \
	"$WORK/two.json" >"$WORK/places.txt"
is "two files: evidence is in both" "$(cut -d' ' -f1 "$WORK/places.txt" | sort -u | wc -l)" 2
while read -r file frame time; do
	echo "$file $frame $(TZ=UTC tshark -nr "$file" -Y "frame.number==$frame" -T fields \
		-e frame.time_epoch 2>/dev/null | sed 's/^/@/' | TZ=UTC date -u -f - +%FT%T.%NZ)"
done <"$WORK/places.txt" >"$WORK/shown.txt"
is "two files: each frame is where it is said to be" "$(cat "$WORK/shown.txt")" \
	"$(cat "$WORK/places.txt")"
test_end
