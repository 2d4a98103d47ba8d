#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes a pcap of N packets, each of a flow of its own: random addresses, ports and protocols.

    random_flows.py OUT.pcap N [SEED]

TCP, UDP, SCTP, ICMP and ICMPv6 of all types, over both IP versions; and over IPv4 one without
ports (OSPF: tshark gives none of those an ID over IPv6).
"""
import random
import struct
import sys


def ip4(proto, payload, rng):
    return struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0, 64, proto, 0) + \
        rng.randbytes(8) + payload


def ip6(proto, payload, rng):
    return struct.pack("!IHBB", 6 << 28, len(payload), proto, 64) + b"\xfd" + rng.randbytes(15) + \
        b"\xfd" + rng.randbytes(15) + payload


def transport(proto, rng):
    ports = rng.randbytes(4)
    if proto == 6:
        return ports + struct.pack("!IIBBHHH", 1, 0, 0x50, 2, 1000, 0, 0)
    if proto == 17:
        # no port that a tunnel uses
        return struct.pack("!HHHH", rng.randrange(10000, 65536), rng.randrange(10000, 65536), 8, 0)
    if proto == 132:
        return ports + bytes(8)
    if proto in (1, 58):
        return bytes([rng.randrange(256), rng.randrange(16)]) + bytes(6 + 40)
    return bytes(8)


def main():
    path, count = sys.argv[1], int(sys.argv[2])
    rng = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for i in range(count):
            six = rng.random() < 0.4
            proto = rng.choice((6, 6, 6, 17, 17, 17, 132, 58 if six else 1, 6 if six else 89))
            make, ethertype = (ip6, 0x86DD) if six else (ip4, 0x0800)
            frame = bytes(12) + struct.pack("!H", ethertype) + \
                make(proto, transport(proto, rng), rng)
            out.write(struct.pack("<IIII", 1767225600 + i // 1000000, i % 1000000, len(frame),
                                  len(frame)) + frame)


main()
