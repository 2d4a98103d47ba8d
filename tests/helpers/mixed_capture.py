#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes a pcap with a bit of everything that filters speak of, the same each time.

    mixed_capture.py OUT.pcap

IPv4 (options, fragments), IPv6 (extension headers, fragments), TCP with each flag, UDP, SCTP, ICMP,
ICMPv6, IGMP, GRE, ESP, ARP, VLAN, QinQ, MPLS, PPPoE, LLDP, 802.3 with LLC; hosts 10.0.N.H and
fd00:N::H. Times step by 1 ms and some, in whole microseconds.
"""
import ipaddress
import random
import struct
import sys

RANDOM = random.Random(20260101)


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def mac(host):
    return bytes([2, 0, 0, 0, host >> 8, host & 0xFF])


def eth(ethertype, payload, src=1, dst=2, tags=(), dst_mac=None):
    head = (dst_mac or mac(dst)) + mac(src)
    for tpid, tci in tags:
        head += struct.pack("!HH", tpid, tci)
    return (head + struct.pack("!H", ethertype) + payload).ljust(60, b"\0")


def ip4(proto, payload, src, dst, **o):
    options = o.get("options", b"")
    head = struct.pack(
        "!BBHHHBBH4s4s",
        0x40 | (5 + len(options) // 4), o.get("tos", 0), 20 + len(options) + len(payload),
        o.get("id", RANDOM.randrange(65536)), o.get("frag", 0x4000), o.get("ttl", 64), proto, 0,
        ipaddress.IPv4Address(src).packed, ipaddress.IPv4Address(dst).packed)
    head += options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def ip6(proto, payload, src, dst, **o):
    return struct.pack(
        "!IHBB16s16s", 6 << 28 | o.get("class", 0) << 20 | o.get("label", 0), len(payload), proto,
        o.get("hops", 64), ipaddress.IPv6Address(src).packed,
        ipaddress.IPv6Address(dst).packed) + payload


def pseudo(src, dst, proto, length):
    a, b = ipaddress.ip_address(src).packed, ipaddress.ip_address(dst).packed
    if len(a) == 4:
        return a + b + struct.pack("!BBH", 0, proto, length)
    return a + b + struct.pack("!IHBB", length, 0, 0, proto)


def tcp(src, dst, sport, dport, flags, data=b"", options=b""):
    head = struct.pack("!HHIIBBHHH", sport, dport, RANDOM.randrange(2**32), RANDOM.randrange(2**32),
                       (5 + len(options) // 4) << 4, flags, 8192, 0, 0) + options
    total = checksum(pseudo(src, dst, 6, len(head) + len(data)) + head + data)
    return head[:16] + struct.pack("!H", total) + head[18:] + data


def udp(src, dst, sport, dport, data):
    head = struct.pack("!HHHH", sport, dport, 8 + len(data), 0)
    total = checksum(pseudo(src, dst, 17, len(head) + len(data)) + head + data) or 0xFFFF
    return head[:6] + struct.pack("!H", total) + data


def filler(size):
    return bytes(RANDOM.randrange(256) for _ in range(size))


TAG_SETS = [(), (), (), ((0x8100, 100),), ((0x8100, 0x6000 | 200),), ((0x8100, 0x1000 | 100),),
            ((0x88A8, 300), (0x8100, 100)), ((0x8100, 400), (0x8100, 200)),
            ((0x9100, 300), (0x8100, 7))]
PORTS = [22, 53, 80, 443, 8080, 123, 5000, 33434, 50000]
FLAGS = [0x02, 0x12, 0x10, 0x18, 0x11, 0x04, 0x14, 0x30, 0x29, 0x00, 0xC2]


def hosts(version):
    net, host, other = RANDOM.randrange(1, 4), RANDOM.randrange(1, 6), RANDOM.randrange(1, 6)
    if version == 4:
        return f"10.0.{net}.{host}", f"10.0.{RANDOM.randrange(1, 4)}.{other}"
    return f"fd00:{net}::{host}", f"fd00:{RANDOM.randrange(1, 4)}::{other}"


def transport(version):
    """One of the ordinary packets: (protocol number, bytes, source, destination)."""
    src, dst = hosts(version)
    sport, dport = RANDOM.choice(PORTS), RANDOM.choice(PORTS)
    size = RANDOM.choice([0, 1, 10, 100, 400, 1200])
    kind = RANDOM.randrange(8)
    if kind < 4:
        options = RANDOM.choice([b"", b"\x02\x04\x05\xb4", b"\x01\x01\x08\x0a" + filler(8)])
        return 6, tcp(src, dst, sport, dport, RANDOM.choice(FLAGS), filler(size), options), src, dst
    if kind < 6:
        return 17, udp(src, dst, sport, dport, filler(size)), src, dst
    if kind == 6:
        head = struct.pack("!HHII", sport, dport, 7, 0)
        return 132, head + filler(size), src, dst
    if version == 4:
        code = RANDOM.choice([(8, 0), (0, 0), (3, 1), (3, 3), (11, 0)])
        body = struct.pack("!BBHHH", *code, 0, 1, 2) + filler(size)
        return 1, body[:2] + struct.pack("!H", checksum(body)) + body[4:], src, dst
    body = struct.pack("!BBHHH", RANDOM.choice([128, 129, 1, 135]), 0, 0, 1, 2) + filler(size)
    total = checksum(pseudo(src, dst, 58, len(body)) + body)
    return 58, body[:2] + struct.pack("!H", total) + body[4:], src, dst


def ordinary():
    version = RANDOM.choice([4, 4, 6])
    proto, payload, src, dst = transport(version)
    tags = RANDOM.choice(TAG_SETS)
    args = {"src": RANDOM.randrange(1, 6), "dst": RANDOM.randrange(1, 6), "tags": tags}
    if version == 4:
        packet = ip4(proto, payload, src, dst, ttl=RANDOM.choice([1, 64, 128, 255]),
                     tos=RANDOM.choice([0, 0, 0xB8]),
                     options=RANDOM.choice([b"", b"", b"\x94\x04\0\0"]))
        return eth(0x0800, packet, **args)
    if RANDOM.randrange(5) == 0:  # hop-by-hop, or a destination option
        payload = bytes([proto, 0, 1, 4, 0, 0, 0, 0]) + payload
        proto = RANDOM.choice([0, 60])
    return eth(0x86DD, ip6(proto, payload, src, dst, hops=RANDOM.choice([1, 64, 255])), **args)


def fragments():
    src, dst = hosts(4)
    whole = udp(src, dst, 53, 5000, filler(2900))
    for at in range(0, len(whole), 1480):
        more = 0x2000 if at + 1480 < len(whole) else 0
        yield eth(0x0800, ip4(17, whole[at:at + 1480], src, dst, id=77, frag=more | at // 8))
    src, dst = hosts(6)
    whole = udp(src, dst, 53, 5000, filler(2400))
    for at in range(0, len(whole), 1232):
        more = 1 if at + 1232 < len(whole) else 0
        head = struct.pack("!BBHI", 17, 0, at | more, 99)
        yield eth(0x86DD, ip6(44, head + whole[at:at + 1232], src, dst))


def oddities():
    src, dst = hosts(4)
    arp = struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, 1, mac(1), ipaddress.IPv4Address(src).packed,
                      bytes(6), ipaddress.IPv4Address(dst).packed)
    yield eth(0x0806, arp, dst_mac=b"\xff" * 6)
    yield eth(0x0806, arp[:6] + b"\0\2" + arp[8:])
    yield eth(0x0806, arp, dst_mac=b"\xff" * 6, tags=((0x8100, 100),))
    yield eth(0x8035, arp[:6] + b"\0\3" + arp[8:], dst_mac=b"\xff" * 6)
    yield eth(0x0800, ip4(2, b"\x16\0\x09\x03\xe0\0\0\xfb", src, "224.0.0.251", ttl=1,
                          options=b"\x94\x04\0\0"), dst_mac=b"\x01\0\x5e\0\0\xfb")
    yield eth(0x0800, ip4(17, udp(src, "10.0.1.255", 137, 137, filler(50)), src, "10.0.1.255"),
              dst_mac=b"\xff" * 6)
    yield eth(0x0800, ip4(47, b"\0\0\x08\0" + ip4(6, tcp(dst, src, 22, 80, 2), dst, src), src, dst))
    yield eth(0x0800, ip4(4, ip4(6, tcp(dst, src, 22, 80, 2), dst, src), src, dst))
    yield eth(0x0800, ip4(50, filler(80), src, dst))
    yield eth(0x0800, ip4(112, filler(20), src, "224.0.0.18", ttl=255))
    inner = ip4(6, tcp(src, dst, 80, 443, 0x18, b"mpls"), src, dst)
    yield eth(0x8847, struct.pack("!I", 1000 << 12 | 1 << 8 | 64) + inner)
    yield eth(0x8847, struct.pack("!II", 1000 << 12 | 64, 2000 << 12 | 1 << 8 | 64) + inner)
    yield eth(0x8864, struct.pack("!BBHHH", 0x11, 0, 9, len(inner) + 2, 0x21) + inner)
    yield eth(0x8863, struct.pack("!BBHH", 0x11, 9, 0, 4) + b"\x01\x01\0\0")
    yield eth(0x88CC, b"\x02\x07\x04" + mac(1) + b"\x04\x02\x05a\x06\x02\0x\0\0",
              dst_mac=b"\x01\x80\xc2\0\0\x0e")
    stp = b"\x42\x42\x03" + bytes(35)
    yield eth(len(stp), stp, dst_mac=b"\x01\x80\xc2\0\0\0")
    snap = b"\xaa\xaa\x03\0\0\x0c\x20\0" + filler(30)
    yield eth(len(snap), snap, dst_mac=b"\x01\0\x0c\xcc\xcc\xcc")
    src6, dst6 = hosts(6)
    yield eth(0x86DD, ip6(59, b"", src6, dst6))
    yield eth(0x86DD, ip6(17, udp(src6, "ff02::fb", 5353, 5353, filler(40)), src6, "ff02::fb"),
              dst_mac=b"\x33\x33\0\0\0\xfb")
    yield eth(0x0800, ip4(6, tcp(src, dst, 80, 443, 0x10, filler(7900)), src, dst))


def main():
    frames = list(oddities()) + list(fragments()) + [ordinary() for _ in range(1200)]
    RANDOM.shuffle(frames)
    now = 1_700_000_000_000_000
    with open(sys.argv[1], "wb") as out:
        out.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        for frame in frames:
            now += 1000 + RANDOM.randrange(50)
            out.write(struct.pack("<IIII", now // 10**6, now % 10**6, len(frame), len(frame)))
            out.write(frame)


if __name__ == "__main__":
    main()
