#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# An interface that goes down, or is removed and made again, under AF_XDP: the capture goes on within
# a second after it is back, also when the process has given up its rights; nothing is lost that came
# before or after, and the account closes over all of it.
. "$(dirname "$0")/lib_common.sh"
test_begin "AF_XDP goes on after its interface was away"
link_up 1
ns=$(bed_ns sensor)

remake() {
	ip -n "$ns" link delete span0
	sleep 0.3
	BED_MTU=9300 bed_add_veth tap gen0 sensor span0
	bed_mute tap gen0
	bed_mute sensor span0
}

# The program is attached again: what waits for packets can be sent to. Sets BACK_MS.
wait_back() {
	local start tries
	start=$(date +%s%3N)
	for ((tries = 0; tries < 300; tries++)); do
		ip -n "$ns" -d link show span0 | grep -q prog/xdp && break
		sleep 0.01
	done
	BACK_MS=$(($(date +%s%3N) - start))
}

for workers in 1 2; do
	for user in "" nobody; do
		name="$workers worker(s)${user:+, as $user}"
		rm -f "$WORK"/a.*
		chmod 777 "$WORK"
		SENT=0
		capture_start -i span0 -w "$WORK/a.pcapng" --summary "$WORK/a.json" --backend afxdp \
			--workers $workers ${user:+-Z $user}
		generate 0 -n 5000 -r 50000 --flows 50
		sleep 0.3
		ip -n "$ns" link set span0 down
		sleep 0.3
		ip -n "$ns" link set span0 up
		sleep 0.3
		generate 0 -n 5000 -r 50000 --flows 50 --first 5000
		sleep 0.3
		# without capabilities, once: the memory of one more socket was registered before
		for first in 10000 ${user:-15000}; do
			[ "$first" = "$user" ] && break
			remake
			wait_back
			fact "$name: captures again within 1 s (${BACK_MS} ms)" [ "$BACK_MS" -le 1000 ]
			generate 0 -n 5000 -r 50000 --flows 50 --first "$first"
			sleep 0.3
		done
		fact "$name: promiscuous again" \
			sh -c "ip -n $ns -d link show span0 | grep -q 'promiscuity [1-9]'"
		capture_stop
		is "$name: exit code" "$CAPTURE_RC" 0
		# Two workers open their queues anew one after the other: a packet of the first
		# moment may then stand one place late in the file. None may be missing or twice.
		is "$name: every frame once" "$("$HELPERS/helper_framecheck" --by-flow -e "0=$SENT" \
			"$WORK/a.pcapng" | jq -c '[.frames, .missing, .duplicated, .corrupted,
			.ts_backwards <= 2]')" "[$SENT,0,0,0,true]"
		summary_closes "$name" "$WORK/a.json" "$SENT"
		fact "$name: the summary tells of it" \
			jq -e '[.notes[] | select(test("span0 came back"))] | length > 0' "$WORK/a.json"
	done
done
test_end
