#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# may run beside others
# The Community ID of each of many random flows is the one that tshark computes. TAPLINE_TEST_FLOWS is
# their number; the long form has 1000000.
. "$(dirname "$0")/lib_common.sh"
test_begin "flows: Community ID equals tshark's for random flows"
FLOWS=${TAPLINE_TEST_FLOWS:-20000}

python3 "$TAPLINE_SOURCE/tests/helpers/random_flows.py" "$WORK/random.pcap" "$FLOWS"
"$TAPLINE" flows -r "$WORK/random.pcap" --csv -q --flow-memory 1G >"$WORK/csv"
is "flows" "$(tail -n +2 "$WORK/csv" | wc -l)" "$FLOWS"
grep -o '1:[A-Za-z0-9+/]*=' "$WORK/csv" | sort >"$WORK/ours"
tshark -n -r "$WORK/random.pcap" --enable-protocol communityid -T fields -e communityid 2>/dev/null |
	cut -d, -f1 | sort >"$WORK/theirs"
# it has none for a few that it takes for malformed
is "tshark has an ID for 99.9 % of them" \
	"$(($(grep -c . "$WORK/theirs") * 1000 >= FLOWS * 999))" 1
is "IDs of tshark's that are not ours" \
	"$(grep . "$WORK/theirs" | comm -13 "$WORK/ours" - | wc -l)" 0
test_end
