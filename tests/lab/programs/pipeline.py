#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An HTTP client that pipelines: pipeline.py HOST PORT URI N

Sends N requests without waiting, and fails unless N whole answers come back.
"""
import http.client
import socket
import sys

host, port, uri, n = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
with socket.create_connection((host, port), timeout=9) as s:
    s.sendall(f"GET {uri} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() * n)
    stream = s.makefile("rb")
    for _ in range(n):
        assert stream.readline().startswith(b"HTTP/1.1 200"), "not an answer"
        length = int(http.client.parse_headers(stream)["Content-Length"])
        assert len(stream.read(length)) == length, "a short answer"
