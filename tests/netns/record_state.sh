#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What a capture changes at an interface is as before when it ends, whichever way it ends.
# may run beside others
. "$(dirname "$0")/lib_common.sh"
test_begin "offloads, promiscuous mode and XDP programs are as before at the end"
link_up 1
ns=$(bed_ns sensor)

# a capture must find something to change
ip netns exec "$ns" ethtool -K span0 gro on rx on tx on sg on tso on gso on >/dev/null 2>&1
offloads_of sensor span0 >"$WORK/before.txt"
fact "GRO is on before" grep -q '^generic-receive-offload: on' "$WORK/before.txt"

as_before() { # WHAT
	offloads_of sensor span0 >"$WORK/after.txt"
	fact "$1: the interface is as before" diff "$WORK/before.txt" "$WORK/after.txt"
}

for backend in $BACKENDS; do
	for signal in INT TERM; do
		capture_start -i span0 -w "$WORK/a.pcapng" --backend "$backend"
		fact "$backend: promiscuous while it runs" \
			bash -c "ip -n $ns -d link show span0 | grep -q 'promiscuity [1-9]'"
		fact "$backend: GRO is off while it runs" \
			bash -c "ip netns exec $ns ethtool -k span0 | grep -q '^generic-receive-offload: off'"
		generate 0 -n 1000 -r 10000
		capture_stop "$signal"
		is "$backend: SIG$signal: exit code" "$CAPTURE_RC" 0
		as_before "$backend: SIG$signal"
		frames_exact "$backend: SIG$signal: all flushed" -e 0=1000 "$WORK/a.pcapng"
	done
	capture_start -i span0 -w "$WORK/a.pcapng" --backend "$backend" -c 100
	generate 0 -n 1000 -r 10000
	capture_wait
	is "$backend: -c: exit code" "$CAPTURE_RC" 0
	as_before "$backend: -c"
done

# a start that fails puts back what it had changed
bed_exec sensor "$TAPLINE" capture -i span0 -w /nonexistent/a.pcapng 2>/dev/null
is "a directory that is not there: exit code" $? 1
as_before "a failed start"

capture_start -i span0 -w "$WORK/p.pcapng" -p --backend afpacket
fact "-p: not promiscuous" \
	bash -c "! ip -n $ns -d link show span0 | grep -q 'promiscuity [1-9]'"
capture_stop
as_before "-p"
test_end
