#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Case 9, corruption: a box on the way rewrites a payload byte of packets with a certain pattern and
# puts the checksum right, so that no end notices. Two vantage points do:
#
#   client ── rc0 (mirror: A) ── BPF on rs0: byte 300 of 0x2a becomes 0x55 ── s0 (B) ── server
. "$(dirname "$0")/lib_lab.sh"
lab_begin "case 9: a box between A and B rewrites payload and checksum"
need python3 tc clang gcc tshark
ns=$(bed_ns router)
compared() { # JQ -> of the records of compare
	jq -rc "$1" "$WORK/compare.json"
}
clang -O2 -g -target bpf -I"/usr/include/$(gcc -print-multiarch)" -c "$PROGRAMS/rewrite.bpf.c" \
	-o "$WORK/rewrite.o" || die "the middlebox does not build"
tc -n "$ns" qdisc add dev rs0 clsact || die "no clsact"
bed_exec router tc filter add dev rs0 egress bpf direct-action obj "$WORK/rewrite.o" sec tc ||
	die "the middlebox does not load"
lab_spawn sink server python3 "$PROGRAMS/transfer.py" receive 9000 "$WORK/received"
lab_ready sink listens server 9000
python3 -c 'import random, sys
sys.stdout.buffer.write(random.Random(9).randbytes(2000000))' >"$WORK/sent"
lab_spawn b server "$TAPLINE" capture -i s0 -w "$WORK/b.pcapng"
side_b=$RET_PID
lab_ready b grep -q 'capturing on' "$WORK/b.log"
lab_watch
fact "an upload" bed_exec client python3 "$PROGRAMS/transfer.py" send "$SERVER" 9000 "$WORK/sent"
sleep 0.5
kill -INT "$side_b"
wait "$side_b"
is "B: exit code" $? 0
# of each packet it takes, the box changes one byte
n=$(cmp -l "$WORK/sent" "$WORK/received" | awk '$2 == 52 && $3 == 125' | wc -l)
is "the server got other bytes ($n)" "$(jq -n "$n > 0")" true
is "all that differ are the work of the box" "$(cmp -l "$WORK/sent" "$WORK/received" | wc -l)" "$n"
# A alone shows nothing wrong: no finding is wanted of it
LAB_AFTER=compare_sides
compare_sides() {
	local said wanted changed
	# a packet that had to be sent again was changed again: byte 300 of IP, behind 14 of Ethernet
	changed=$(tshark -nr "$WORK/f.pcapng" -Y 'tcp.dstport == 9000 && frame[314:1] == 2a' 2>/dev/null | wc -l)
	wanted="[\"compare.modified\",9000,$changed,true]"
	is "A has what the box took for its own" "$(jq -n "$changed >= $n")" true
	[ -z "${TAPLINE_LAB_OUT:-}" ] || cp "$WORK/b.pcapng" "$TAPLINE_LAB_OUT/$LAB_CASE/"
	"$TAPLINE" compare "$WORK/f.pcapng" "$WORK/b.pcapng" --json >"$WORK/compare.json" \
		2>"$WORK/compare.err"
	is "compare: exit code" $? 0
	# byte 300 less 20 of IPv4 and 32 of TCP with its timestamps
	said=$(compared "select(.type == \"finding\" and .severity != \"info\") | [.kind,
		.server.port, .details.packets, (.details.offsets | tostring | test(\"248\"))]")
	is "compare: the packets that were modified, where, and nothing else" "$said" "$wanted"
	is "compare: every packet is at both sides" "$(compared 'select(.type == "comparison") |
		[.only_in_a, .only_in_b]')" "[0,0]"
	table_line compare.modified - "$(yes_no test "$said" = "$wanted")" yes -
}
lab_judge
