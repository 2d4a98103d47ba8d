#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A client that declares more than it sends: short_post.py HOST PORT URI CONTENT_LENGTH

Sends 37 bytes of JSON, waits for the answer that can't come, and closes.
"""
import socket
import sys

host, port, uri, declared = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
body = b'{ "user_id": 123, "name": "testing" }'
assert len(body) == 37 and declared > len(body)
with socket.create_connection((host, port), timeout=5) as s:
    s.sendall(f"POST {uri} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
              f"Content-Length: {declared}\r\n\r\n".encode() + body)
    s.settimeout(4)
    try:
        while s.recv(4096):
            pass
    except TimeoutError:
        pass
