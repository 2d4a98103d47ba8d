#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""When each of framegen's frames came to be in a file that is being written.

    first_seen.py FILE COUNT SECONDS    a line for each frame, ns since 1970; ends after COUNT

Looks each 3 ms; a test starts it with a priority that lets it.
"""
import sys
import time

MARK = b"\x7a\x9e\x4c\x1d"  # frame_format.h


def main():
    path, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    end = time.monotonic() + seconds
    seen = 0
    while seen < count and time.monotonic() < end:
        with open(path, "rb") as file:
            there = file.read().count(MARK)
        now = time.time_ns()
        for _ in range(seen, there):
            print(now, flush=True)
        seen = max(seen, there)
        time.sleep(0.003)


if __name__ == "__main__":
    main()
