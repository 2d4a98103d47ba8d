#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Which way is taken, and that the start and the summary say why; what stands in the way of XDP is
# told in one line, and the next best way is taken where there is one.
. "$(dirname "$0")/lib_common.sh"
test_begin "the way to the packets is chosen, with a reason"
link_up 1
ns=$(bed_ns sensor)
ip -n "$ns" tuntap add tap0 mode tap
ip netns exec "$ns" sysctl -qw net.ipv6.conf.tap0.disable_ipv6=1
ip -n "$ns" link set tap0 up

# A start and its end; what it says is in $SAID, the summary in $WORK/c.json.
try() { # OPTIONS…
	rm -f "$WORK"/c.*
	capture_start -w "$WORK/c.pcapng" --summary "$WORK/c.json" "$@"
	SAID=$(grep '^tapline: capturing on ' "$CAPTURE_LOG")
	SENT=0
}

chooses() { # WHAT BACKEND PATTERN OPTIONS…
	local what=$1 backend=$2 pattern=$3
	shift 3
	try "$@"
	capture_stop
	is "$what: $backend" "$(summary "$WORK/c.json" .backend)" "$backend"
	fact "$what: the start says why ($SAID)" grep -Eq -- "$pattern" <<<"$SAID"
	fact "$what: so does the summary" \
		jq -e --arg p "$pattern" '[.mode, .notes[]] | any(test($p))' "$WORK/c.json"
}

refused() { # WHAT PATTERN OPTIONS…
	local what=$1 pattern=$2
	shift 2
	complains "$what" "1 2" "$pattern" ip netns exec "$ns" "$TAPLINE" capture \
		-w "$WORK/r.pcapng" "$@"
}

chooses "a virtual mirror port" afpacket 'span0 is virtual \(veth\): AF_XDP would cost it' -i span0
chooses "a tap device" afpacket 'tap0 is virtual' -i tap0
chooses "the loopback" afpacket 'AF_XDP is for Ethernet, which lo is not' -i lo
chooses "--xdp off" afpacket 'ruled out by --xdp off' -i span0 --xdp off
chooses "samples" afxdp 'AF_XDP, native, copy' -i span0 --sample 10
chooses "samples on a tap device" afxdp 'AF_XDP, native, copy' -i tap0 --sample 10
chooses "samples with AF_PACKET" afpacket 'behind an XDP program, native' \
	-i span0 --sample 10 --backend afpacket
chooses "AF_XDP asked for on a tap device" afxdp 'AF_XDP, native' -i tap0 --backend afxdp
refused "headers only with AF_PACKET" 'needs AF_XDP' -i span0 --backend afpacket --headers-only
refused "samples of the loopback" 'lo: XDP is for Ethernet' -i lo --sample 10
refused "samples with --xdp off" 'rules out' -i span0 --sample 10 --xdp off

# an interface that its host uses
ip -n "$ns" addr add 192.0.2.1/24 dev span0
chooses "an address" afpacket 'this host uses span0 \(address 192\.0\.2\.1\)' -i span0
for backend in auto afxdp afpacket; do
	refused "an address: samples, $backend" 'address 192\.0\.2\.1' -i span0 --sample 10 \
		--backend $backend
done
ip -n "$ns" addr flush dev span0
ip -n "$ns" link add br0 type bridge
ip -n "$ns" link set span0 master br0
chooses "a bridge's port" afpacket 'br0 is built on it' -i span0
refused "a bridge's port: samples" 'br0 is built on it' -i span0 --sample 10
ip -n "$ns" link set span0 nomaster
if ip -n "$ns" link add link span0 name upper0 type macvlan 2>/dev/null ||
	ip -n "$ns" link add link span0 name upper0 type vlan id 5 2>/dev/null; then
	chooses "an interface on top of it" afpacket 'upper0 is built on it' -i span0
	ip -n "$ns" link delete upper0
fi

# one of two interfaces decides for both
chooses "one of two" afpacket 'AF_XDP is for Ethernet, which lo is not' -i lo -i span0

# another program holds XDP
try -i span0 --backend afxdp
first=$CAPTURE_PID
program=$(ip -n "$ns" -d -j link show span0 | jq .[0].xdp.prog.id)
refused "another XDP program: AF_XDP" "another XDP program \(id $program\) is attached" \
	-i span0 --backend afxdp
refused "another XDP program: samples with AF_PACKET" "another XDP program \(id $program\)" \
	-i span0 --sample 10 --backend afpacket
chooses "another XDP program" afpacket "another XDP program \(id $program\) is attached" -i span0
kill -INT "$first"
wait "$first" 2>/dev/null

# filters that do not fit into the kernel
try -i span0 --backend afxdp 'ip6 protochain 6'
generate 0 -n 1000 -r 50000
capture_stop
fact "protochain: in user space, and said so" grep -q 'filter in user space' <<<"$SAID"
is "protochain: all are filtered" "$(summary "$WORK/c.json" .packets.filtered)" 1000
chooses "samples, unless the filter must come after" afxdp 'filter in user space' \
	-i span0 --sample-flows 10 'ip6 protochain 6'
refused "protochain before a sample" 'cannot run in the kernel' -i span0 --sample 10 \
	'ip6 protochain 6'

# little memory may be locked, and the process may not lock more
locked() { # KIB -> LOCKED: what to put before the command
	LOCKED=(ip netns exec "$ns" prlimit --memlock=$(($1 * 1024)) setpriv
		--bounding-set='-ipc_lock,-sys_resource' --inh-caps='-ipc_lock,-sys_resource'
		"$TAPLINE" capture -w "$WORK/l.pcapng" -a duration:1 --backend afxdp -i span0)
}
locked 7168
"${LOCKED[@]}" 2>"$WORK/locked.err"
is "7 MiB may be locked: exit code" $? 0
fact "7 MiB may be locked: 2 MiB for each queue" grep -q 'capturing on .* 512 frames each' \
	"$WORK/locked.err"
complains "a buffer that may not be locked" 1 'may be locked: raise ulimit -l' \
	"${LOCKED[@]}" -B 262144
locked 1024
complains "1 MiB may be locked" 1 'may be locked: raise ulimit -l' "${LOCKED[@]}"

# neither a bpffs nor rights to load programs
ip netns exec "$ns" "$TAPLINE" capture -i span0 --backend afxdp -w "$WORK/n.pcapng" \
	-a duration:1 2>"$WORK/nofs.err"
is "no bpffs: exit code" $? 0
complains "no rights to load programs" 1 'CAP_BPF, CAP_NET_ADMIN' ip netns exec "$ns" \
	setpriv --bounding-set=-bpf,-sys_admin --inh-caps=-bpf,-sys_admin \
	"$TAPLINE" capture -i span0 --backend afxdp -w "$WORK/n.pcapng"
test_end
