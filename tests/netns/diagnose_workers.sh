#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What is found while recording equals, byte for byte, what is found in the recorded file: with one
# worker and with two, whose packets a merger brings together.
. "$(dirname "$0")/lib_common.sh"
test_begin "findings live and from the file are the same, byte for byte"
need nginx curl ping
routed_up

mkdir "$WORK/www"
head -c 100000 /dev/urandom | base64 >"$WORK/www/page"
cat >"$WORK/nginx.conf" <<CONF
daemon off; pid $WORK/nginx.pid; error_log $WORK/nginx.log; user root; worker_processes 1;
events { worker_connections 64; }
http { access_log off; server { listen 80; listen [::]:80; root $WORK/www; } }
CONF
bed_spawn server nginx -c "$WORK/nginx.conf" 2>/dev/null &
for ((i = 0; i < 50; i++)); do
	bed_exec client curl -sf -o /dev/null http://10.77.2.10/page && break
	sleep 0.1
done
bed_drop tcp dport 8080

faults() {
	local i
	for i in 1 2 3; do
		bed_exec client curl -sf -o /dev/null "http://[fd77:2::10]/page"
		bed_exec client curl -s -m 2 -o /dev/null http://10.77.2.10:7070/ # refused
	done
	bed_exec client curl -s -m 5 -o /dev/null http://10.77.2.10:8080/page & # dropped
	local first=$!
	bed_exec client curl -s -m 5 -o /dev/null "http://[fd77:2::10]:8080/page"
	wait "$first"
	bed_exec client ping -qc3 -i0.2 10.77.2.10 >/dev/null
}

for workers in 1 2; do
	truncate -s 0 "$WORK/live.err" "$WORK/live.json"
	bed_spawn sensor "$TAPLINE" diagnose -i span0 --backend afpacket --workers "$workers" \
		-w "$WORK/w$workers.pcapng" --json >"$WORK/live.json" 2>"$WORK/live.err" &
	diagnose=$!
	for ((i = 0; i < 200; i++)); do
		grep -q 'capturing on' "$WORK/live.err" && break
		sleep 0.05
	done
	faults
	sleep 0.3
	kill -INT "$diagnose"
	wait "$diagnose"
	is "$workers worker(s), live: exit code" $? 0
	"$TAPLINE" diagnose -r "$WORK/w$workers.pcapng" --json >"$WORK/file.json" 2>"$WORK/file.err"
	for where in live file; do
		jq -c 'select(.type == "finding")' "$WORK/$where.json" >/dev/null ||
			not_ok "$where: each line is JSON"
		grep '"type":"finding"' "$WORK/$where.json" | sort >"$WORK/$where.findings"
	done
	is "$workers worker(s): refused and unanswered are found" "$(jq -r .kind "$WORK/file.findings" |
		sort -u | paste -sd,)" connect.no_answer,connect.refused
	fact "$workers worker(s): the findings are equal" diff "$WORK/live.findings" "$WORK/file.findings"
	is "$workers worker(s): each piece of evidence has its frame" "$(jq '.evidence[] |
		select(.frame == null)' "$WORK/live.findings" | wc -l)" 0
	fact "$workers worker(s): told early" grep -q '"type":"finding_open"' "$WORK/live.json"
done

# One flow goes to one worker; the others, to which nothing comes, do not hold its finding back.
for backend in afpacket afxdp; do
	truncate -s 0 "$WORK/live.err" "$WORK/live.json"
	bed_spawn sensor "$TAPLINE" diagnose -i span0 --backend "$backend" --workers 2 --json \
		'tcp port 7070' >"$WORK/live.json" 2>"$WORK/live.err" &
	diagnose=$!
	for ((i = 0; i < 200; i++)); do
		grep -q 'capturing on' "$WORK/live.err" && break
		sleep 0.05
	done
	bed_exec client curl -s -m 2 -o /dev/null http://10.77.2.10:7070/
	for ((i = 0; i < 100; i++)); do
		grep -q '"type":"finding_open"' "$WORK/live.json" && break
		sleep 0.1
	done
	fact "$backend: one flow, two workers: told while it goes on" \
		grep -q '"type":"finding_open"' "$WORK/live.json"
	kill -INT "$diagnose"
	wait "$diagnose"
done
test_end
