#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Each wrong call or input gets one line that says what, on what; the exit code tells which.
# may run beside others
. "$(dirname "$0")/lib_common.sh"
test_begin "bad input gets one line and the right exit code"
link_up 1
cap=("$TAPLINE" capture)

in_sensor=(ip netns exec "$(bed_ns sensor)")
python3 "$TAPLINE_SOURCE/tests/helpers/mixed_capture.py" "$WORK/mix.pcap"

complains "an unknown interface" 1 "eth7.*span0" \
	"${in_sensor[@]}" "${cap[@]}" -i eth7 -w "$WORK/a.pcapng"
complains "a filter that does not compile" "1 2" "tcp prot 80|syntax|filter" \
	"${in_sensor[@]}" "${cap[@]}" -i span0 -w "$WORK/a.pcapng" "tcp prot 80"
complains "the same over a file" "1 2" "tcp prot 80|syntax|filter" \
	"${cap[@]}" -r "$WORK/mix.pcap" -w "$WORK/a.pcapng" "tcp prot 80"
complains "a filter file that is not there" "1 2" "nofilter" \
	"${cap[@]}" -r "$WORK/mix.pcap" -w "$WORK/a.pcapng" -F "$WORK/nofilter"
complains "an unknown option" 2 "frobnicate" "${cap[@]}" --frobnicate -r "$WORK/mix.pcap"
complains "an option without its value" 2 "-w|value|argument" "${cap[@]}" -r "$WORK/mix.pcap" -w
complains "an unknown subcommand" 2 "frobnicate" "$TAPLINE" frobnicate
complains "a number that is none" 2 "many" "${cap[@]}" -r "$WORK/mix.pcap" -c many
complains "neither interface nor file" 2 "-i|-r|interface" "${cap[@]}" -w "$WORK/a.pcapng"
complains "a backend that is none" 2 "magic" \
	"${in_sensor[@]}" "${cap[@]}" -i span0 --backend magic -w "$WORK/a.pcapng"
complains "more workers than there can be" 2 "65.*64" \
	"${in_sensor[@]}" "${cap[@]}" -i span0 --workers 65 -w "$WORK/a.pcapng"
complains "more readers than there can be" 2 "65.*64" \
	"$TAPLINE" diagnose -r "$WORK/mix.pcap" --workers 65
complains "a file that is not there" 1 "nothing.pcap" \
	"${cap[@]}" -r "$WORK/nothing.pcap" -w "$WORK/a.pcapng"
complains "a directory in place of a file" 1 "$WORK" "${cap[@]}" -r "$WORK" -w "$WORK/a.pcapng"

echo "this is no capture, only a line of text" >"$WORK/text"
complains "a file that is no capture" 1 "text" "${cap[@]}" -r "$WORK/text" -w "$WORK/a.pcapng"
: >"$WORK/empty"
complains "an empty file" 1 "empty" "${cap[@]}" -r "$WORK/empty" -w "$WORK/a.pcapng"
complains "no capture, for diagnose" 1 "text" "$TAPLINE" diagnose -r "$WORK/text"

# cut off: one line, and what came before the cut is kept
size=$(stat -c %s "$WORK/mix.pcap")
head -c $((size - 10)) "$WORK/mix.pcap" >"$WORK/cut.pcap"
complains -s "a cut-off pcap" 1 "cut" "${cap[@]}" -r "$WORK/cut.pcap" -w "$WORK/a.pcapng"
is "all frames before the cut are kept" "$("$HELPERS/helper_framedump" "$WORK/a.pcapng" | wc -l)" 1223
opens "$WORK/a.pcapng"
fact "a whole pcap" "${cap[@]}" -r "$WORK/mix.pcap" -w "$WORK/whole.pcapng"
size=$(stat -c %s "$WORK/whole.pcapng")
for cut in 1000 20000 77777; do
	head -c $((size - cut)) "$WORK/whole.pcapng" >"$WORK/cut.pcapng"
	complains -s "a pcapng cut by $cut" 1 "cut" \
		"${cap[@]}" -r "$WORK/cut.pcapng" -w "$WORK/a.pcapng"
	is "cut by $cut: all whole frames are kept" \
		"$("$HELPERS/helper_framedump" "$WORK/a.pcapng" | wc -l)" \
		"$("$HELPERS/helper_framedump" "$WORK/cut.pcapng" 2>/dev/null | wc -l)"
done

complains -s "a cut-off file with three readers" 1 "cut" \
	"$TAPLINE" diagnose -r "$WORK/cut.pcapng" --workers 3
complains "a directory that is not there" 1 "missing" \
	"${in_sensor[@]}" "${cap[@]}" -i span0 -w "$WORK/missing/a.pcapng"
complains "a directory that cannot be written" 1 "/proc/a.pcapng" \
	"${in_sensor[@]}" "${cap[@]}" -i span0 -w /proc/a.pcapng

# without privileges: nobody, no capability
chmod 755 "$WORK"
cp "$TAPLINE" "$WORK/tapline-copy" # where it was built, nobody may not be able to go
complains "no privileges" 1 "permi|privilege|cap_net|root" "${in_sensor[@]}" \
	setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --bounding-set=-all \
	"$WORK/tapline-copy" capture -i span0 -w /dev/null
is "--explain without a kind lists them, each one that it explains" \
	"$("$TAPLINE" diagnose --explain | grep -cx 'tcp.loss\|dns.slow')" 2
fact "and ends well" "$TAPLINE" diagnose --explain
test_end
