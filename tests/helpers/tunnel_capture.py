#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes captures of everything that can arrive on a mirror port, each with the flow that is inside.

    tunnel_capture.py DIR

One pcap file a case, DIR/NAME.pcap; on standard output a line for each, tab-separated:

    NAME    src    sport    dst    dport    proto    packets of that flow

Each holds a UDP datagram 10.9.8.7:1111 -> 10.9.8.6:2222 (or its IPv6 sister) in some packaging,
and its answer. Frames are put together by hand here, so what the decoder thinks is not asked.
"""
import ipaddress
import os
import struct
import sys

DATA = b"inner payload, 24 bytes."


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ip4(proto, payload, src, dst, frag=0, ident=7):
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), ident, frag, 64, proto, 0,
                       ipaddress.IPv4Address(src).packed, ipaddress.IPv4Address(dst).packed)
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(proto, payload, src, dst):
    return struct.pack("!IHBB16s16s", 6 << 28, len(payload), proto, 64,
                       ipaddress.IPv6Address(src).packed,
                       ipaddress.IPv6Address(dst).packed) + payload


def udp(sport, dport, payload):
    return struct.pack("!HHHH", sport, dport, 8 + len(payload), 0) + payload


def eth(ethertype, payload, tags=()):
    head = bytes([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1])
    for tpid, vid in tags:
        head += struct.pack("!HH", tpid, vid)
    return head + struct.pack("!H", ethertype) + payload


A4, B4, A6, B6 = "10.9.8.7", "10.9.8.6", "fd09::7", "fd09::6"


def inner4(back):
    a, b, p, q = (B4, A4, 2222, 1111) if back else (A4, B4, 1111, 2222)
    return ip4(17, udp(p, q, DATA), a, b)


def inner6(back, extensions=b"", first=17):
    a, b, p, q = (B6, A6, 2222, 1111) if back else (A6, B6, 1111, 2222)
    return ip6(first, extensions + udp(p, q, DATA), a, b)


def outer(proto, payload, back=False):
    src, dst = ("172.16.0.2", "172.16.0.1") if back else ("172.16.0.1", "172.16.0.2")
    return eth(0x0800, ip4(proto, payload, src, dst))


def gre(ethertype, payload, key=None, sequence=None):
    flags = (0x2000 if key is not None else 0) | (0x1000 if sequence is not None else 0)
    head = struct.pack("!HH", flags, ethertype)
    for field in (key, sequence):
        if field is not None:
            head += struct.pack("!I", field)
    return head + payload


def in_udp(port, payload, back):
    return outer(17, udp(40000, port, payload), back)


def whole(back):
    return eth(0x0800, inner4(back))


ERSPAN2 = struct.pack("!II", 1 << 28 | 5 << 16 | 77, 3)
ERSPAN3 = struct.pack("!III", 2 << 28 | 5 << 16 | 77, 123456, 0)
VXLAN = struct.pack("!II", 0x08000000, 4242 << 8)
GENEVE = struct.pack("!BBHI", 1, 0, 0x6558, 4343 << 8)  # one option word
HOP = bytes([60, 0, 1, 4, 0, 0, 0, 0])  # hop-by-hop, then destination options
DEST = bytes([43, 0, 1, 4, 0, 0, 0, 0])  # then routing
ROUTE = bytes([17, 0, 0, 0, 0, 0, 0, 0])

ETHERNET = {
    "plain": whole,
    "vlan": lambda b: eth(0x0800, inner4(b), [(0x8100, 12)]),
    "qinq": lambda b: eth(0x0800, inner4(b), [(0x88A8, 100), (0x8100, 12)]),
    "qinq9100": lambda b: eth(0x0800, inner4(b), [(0x9100, 100), (0x8100, 12)]),
    "mpls": lambda b: eth(0x8847, struct.pack("!II", 16 << 12 | 64, 17 << 12 | 0x100 | 64) + inner4(b)),
    "pppoe": lambda b: eth(0x8864, struct.pack("!BBHHH", 0x11, 0, 9, 2 + len(inner4(b)), 0x21) + inner4(b)),
    "gre": lambda b: outer(47, gre(0x0800, inner4(b)), b),
    "gre_key": lambda b: outer(47, gre(0x0800, inner4(b), key=99, sequence=1), b),
    "gre_teb": lambda b: outer(47, gre(0x6558, whole(b), key=7), b),
    "erspan1": lambda b: outer(47, gre(0x88BE, whole(b)), b),
    "erspan2": lambda b: outer(47, gre(0x88BE, ERSPAN2 + whole(b), sequence=1), b),
    "erspan3": lambda b: outer(47, gre(0x22EB, ERSPAN3 + whole(b), sequence=1), b),
    "vxlan": lambda b: in_udp(4789, VXLAN + whole(b), b),
    "geneve": lambda b: in_udp(6081, struct.pack("!BBHI", 0, 0, 0x6558, 43 << 8) + whole(b), b),
    "geneve_option": lambda b: in_udp(6081, GENEVE + b"\0\1\2\0" + whole(b), b),
    "ipip": lambda b: outer(4, inner4(b), b),
    "6in4": lambda b: outer(41, inner6(b), b),
    "4in6": lambda b: eth(0x86DD, ip6(4, inner4(b), "fd01::1", "fd01::2")),
    "6in6": lambda b: eth(0x86DD, ip6(41, inner6(b), "fd01::1", "fd01::2")),
    "gtpu": lambda b: in_udp(2152, struct.pack("!BBHI", 0x30, 255, len(inner4(b)), 0x1234) + inner4(b), b),
    "gtpu_sequence": lambda b: in_udp(2152, struct.pack("!BBHIHBB", 0x32, 255, 4 + len(inner4(b)), 0x1234,
                                                        1, 0, 0) + inner4(b), b),
    "ipv6": lambda b: eth(0x86DD, inner6(b)),
    "extensions": lambda b: eth(0x86DD, inner6(b, HOP + DEST + ROUTE, 0)),
    "vlan_vxlan_gre": lambda b: eth(0x0800, ip4(17, udp(40000, 4789, VXLAN + outer(
        47, gre(0x0800, inner4(b)), b)), "172.16.0.1", "172.16.0.2"), [(0x8100, 5)]),
}


def fragments(back):
    """Three fragments of one datagram, the first one with the ports."""
    a, b, p, q = (B4, A4, 2222, 1111) if back else (A4, B4, 1111, 2222)
    whole_datagram = udp(p, q, bytes(1200))
    cuts = [(0, 400, 0x2000), (400, 800, 0x2000), (800, len(whole_datagram), 0)]
    return [eth(0x0800, ip4(17, whole_datagram[i:j], a, b, more | i // 8, 100 + back))
            for i, j, more in cuts]


def sll(back):
    return struct.pack("!HHH8sH", 0, 1, 6, bytes(8), 0x0800) + inner4(back)


def sll2(back):
    return struct.pack("!HHIHBB8s", 0x0800, 0, 3, 1, 0, 6, bytes(8)) + inner4(back)


OTHER_LINKS = {
    "sll": (113, sll), "sll2": (276, sll2), "raw4": (101, inner4), "raw6": (101, inner6),
    "null": (0, lambda b: struct.pack("<I", 2) + inner4(b)),
    "null6": (0, lambda b: struct.pack("<I", 30) + inner6(b)),
    "loop": (108, lambda b: struct.pack("!I", 2) + inner4(b)),
    "ipv4_link": (228, inner4), "ipv6_link": (229, inner6),
}


def write(path, link, frames):
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link))
        for i, frame in enumerate(frames):
            out.write(struct.pack("<IIII", 1767225600, i * 1000, len(frame), len(frame)) + frame)


def main():
    folder = sys.argv[1]
    cases = {name: (1, [make(False), make(True)]) for name, make in ETHERNET.items()}
    cases.update({name: (link, [make(False), make(True)]) for name, (link, make) in OTHER_LINKS.items()})
    cases["fragments"] = (1, fragments(False) + fragments(True))
    for name, (link, frames) in cases.items():
        write(os.path.join(folder, name + ".pcap"), link, frames)
        six = name in ("6in4", "6in6", "ipv6", "extensions", "raw6", "null6", "ipv6_link")
        print(name, A6 if six else A4, 1111, B6 if six else B4, 2222, "UDP", len(frames), sep="\t")


if __name__ == "__main__":
    main()
