#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes captures that nobody should send, for what reads them: tests/netns/flows_bad_input.sh.

    bad_capture.py DIR

    backwards.pcap  ten flows, and a clock that is set back an hour and forward a day between them
    deep.pcap       tunnels in tunnels, forty of each kind
    cut.pcap        every packaging of tunnel_capture.py cut to each of 0 to 99 bytes
    lengths.pcap    each 16-bit word of the headers of every packaging set to 0, 1, 8000h and ffffh
    fragments.pcap  the names of what its fragments are, by flow: see FRAGMENTS
    flood.pcap      50000 first fragments, and as many later ones of datagrams without a first one

On standard output a line for each, tab-separated: NAME, frames.
"""
import os
import struct
import sys

import tunnel_capture as tunnels

START = 1767225600

# flow (by its source port) -> fragments: offset, bytes, more to come, byte that fills it
FRAGMENTS = {
    1000: [(0, 800, 1, 65), (800, 800, 1, 65), (1600, 100, 0, 65)],  # nothing wrong
    1001: [(0, 800, 1, 65), (0, 800, 1, 65), (800, 100, 0, 65), (800, 100, 0, 65)],  # copies
    1002: [(0, 800, 1, 65), (792, 800, 0, 65)],  # overlap by 8 bytes
    1003: [(0, 800, 1, 65), (400, 8, 1, 66), (800, 100, 0, 65)],  # within (teardrop)
    1004: [(0, 800, 1, 65), (0, 800, 1, 66)],  # other bytes in the same place
    1005: [(0, 800, 1, 65), (65528, 800, 0, 65)],  # beyond 65535
    1006: [(0, 804, 1, 65)],  # no multiple of 8
}


def write(path, packets):
    """Packets: (seconds since START, frame, bytes captured)."""
    with open(path, "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for seconds, frame, kept in packets:
            whole = int(START + seconds)
            out.write(struct.pack("<IIII", whole, int(seconds % 1 * 1e6), kept, len(frame)) + frame[:kept])
    return len(packets)


def in_order(frames):
    return [(i / 1000, frame, len(frame)) for i, frame in enumerate(frames)]


def backwards():
    packets = []
    for i in range(400):
        jump = -3600 if 100 <= i < 200 else 86400 if i >= 300 else 0
        frame = tunnels.eth(0x0800, tunnels.ip4(17, tunnels.udp(1000 + i % 10, 53, b"x" * 20), "10.0.0.1", "10.0.0.2"))
        packets.append((i / 10 + jump, frame, len(frame)))
    return packets


def deep():
    frames = []
    for kind in range(6):
        inner = tunnels.inner4(False)
        for level in range(40):
            which = kind if kind < 5 else level % 5
            src, dst = f"10.1.{level}.1", f"10.1.{level}.2"
            if which == 0:
                inner = tunnels.ip4(4, inner, src, dst)
            elif which == 1:
                inner = tunnels.ip4(47, tunnels.gre(0x0800, inner), src, dst)
            elif which == 2:
                inner = tunnels.ip4(17, tunnels.udp(1, 4789, tunnels.VXLAN + tunnels.eth(0x0800, inner)), src, dst)
            elif which == 3:
                head = struct.pack("!BBHI", 0, 0, 0x6558, 43 << 8)
                inner = tunnels.ip4(17, tunnels.udp(1, 6081, head + tunnels.eth(0x0800, inner)), src, dst)
            else:
                head = struct.pack("!BBHI", 0x30, 255, len(inner), 1)
                inner = tunnels.ip4(17, tunnels.udp(1, 2152, head + inner), src, dst)
        frames.append(tunnels.eth(0x0800, inner))
    return in_order(frames)


def cut():
    return [(i / 1000, frame, kept) for make in tunnels.ETHERNET.values() for frame in [make(False)]
            for i, kept in enumerate(range(min(100, len(frame) + 1)))]


def lengths():
    frames = []
    for make in tunnels.ETHERNET.values():
        frame = make(False)
        for at in range(12, len(frame) - len(tunnels.DATA) - 1):
            for value in (0, 1, 0x8000, 0xFFFF):
                frames.append(frame[:at] + struct.pack("!H", value) + frame[at + 2:])
    return in_order(frames)


def fragment(version, port, ident, piece):
    offset, size, more, fill = piece
    data = bytes([fill]) * size
    if not offset:
        data = struct.pack("!HHHH", port, 9, 1700, 0) + data[8:]
    if version == 4:
        return tunnels.eth(0x0800, tunnels.ip4(17, data, "10.0.0.1", "10.0.0.2", more << 13 | offset // 8, ident))
    head = struct.pack("!BBHI", 17, 0, offset & 0xFFF8 | more, ident)
    return tunnels.eth(0x86DD, tunnels.ip6(44, head + data, "fd09::7", "fd09::6"))


def fragments():
    return in_order([fragment(version, port, port, piece) for version in (4, 6) for port in FRAGMENTS
                     for piece in FRAGMENTS[port]])


def flood():
    first = [fragment(4, 1000 + i % 500, i & 0xFFFF, (0, 64, 1, 65)) for i in range(50000)]
    later = [fragment(6, 1, i, (64, 64, 0, 65)) for i in range(50000)]
    return in_order([frame for pair in zip(first, later) for frame in pair])


def main():
    for make in (backwards, deep, cut, lengths, fragments, flood):
        count = write(os.path.join(sys.argv[1], make.__name__ + ".pcap"), make())
        print(make.__name__, count, sep="\t")


main()
