#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Clients that keep a connection and ask again each 200 ms, whatever comes: HOST PORT N SECONDS."""
import socket
import sys
import threading
import time

host, port, count, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
end = time.monotonic() + seconds


def ask(number):
    s = socket.create_connection((host, port), 5)
    s.settimeout(max(0.1, end - time.monotonic()))
    try:
        while time.monotonic() < end:
            s.sendall(b"GET /small HTTP/1.1\r\nHost: h\r\n\r\n")
            if not s.recv(65536):
                return
            time.sleep(0.2 + 0.01 * number)
    except OSError:
        pass
    time.sleep(max(0, end - time.monotonic()))


threads = [threading.Thread(target=ask, args=(n,)) for n in range(count)]
for t in threads:
    t.start()
for t in threads:
    t.join()
