#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""When each of framegen's frames came to be in a file that is being written, and when the machine
itself was late meanwhile.

    first_seen.py FILE COUNT SECONDS    ends after COUNT frames, or SECONDS

    seen TIME          a line for each frame, ns since 1970
    late FROM TO       somebody else's doing: a sleep that took so long, a write of one page beside
                       FILE, a packet over lo. Shorter than LATE_NS is not told

Looks each 3 ms; a test starts it with a priority that lets it.
"""
import mmap
import os
import socket
import sys
import threading
import time

MARK = b"\x7a\x9e\x4c\x1d"  # frame_format.h
LATE_NS = 15_000_000
PAUSE = 0.003


def tell(*words):
    os.write(1, (" ".join(map(str, words)) + "\n").encode())  # whole, beside other threads'


def tell_late(since_ns, allowed_ns=0):
    now = time.time_ns()
    if now - since_ns - allowed_ns > LATE_NS:
        tell("late", since_ns, now)


def watch_disk(folder, ended):
    """The machine's disk: what the file's own writes may wait for."""
    path = os.path.join(folder, f".late.{os.getpid()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        fd = os.open(path, flags | os.O_DIRECT, 0o600)
    except OSError:
        fd = os.open(path, flags, 0o600)
    os.unlink(path)
    page = mmap.mmap(-1, 4096)
    offset = 0
    while not ended.is_set():
        since = time.time_ns()
        os.pwrite(fd, page, offset)
        tell_late(since)
        offset += 4096
        ended.wait(2 * PAUSE)
    os.close(fd)


def watch_network(ended):
    """The kernel's receive path."""
    to_itself = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    to_itself.bind(("127.0.0.1", 0))
    to_itself.settimeout(1)
    while not ended.is_set():
        since = time.time_ns()
        try:
            to_itself.sendto(b"x", to_itself.getsockname())
            to_itself.recv(16)
        except OSError:
            return
        tell_late(since)
        ended.wait(2 * PAUSE)


def watch_file(path, count, seconds):
    end = time.monotonic() + seconds
    seen = 0
    while seen < count and time.monotonic() < end:
        since = time.time_ns()
        with open(path, "rb") as file:
            there = file.read().count(MARK)
        now = time.time_ns()
        for _ in range(seen, there):
            tell("seen", now)
        seen = max(seen, there)
        time.sleep(PAUSE)
        tell_late(since, int(PAUSE * 1e9))


def main():
    path, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    ended = threading.Event()
    others = [threading.Thread(target=watch_disk, args=(os.path.dirname(path) or ".", ended)),
              threading.Thread(target=watch_network, args=(ended,))]
    for thread in others:
        thread.start()
    watch_file(path, count, seconds)
    ended.set()
    for thread in others:
        thread.join()


if __name__ == "__main__":
    main()
