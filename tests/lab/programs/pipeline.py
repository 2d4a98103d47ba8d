#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An HTTP client that pipelines: pipeline.py HOST PORT URI N

Sends N requests without waiting, and fails unless N whole answers come back. A server that reloads
may close behind an answer (RFC 9112, 9.3.2): then it asks for the rest once more.
"""
import http.client
import socket
import sys


def ask(host, port, uri, n):
    """How many of n requests were answered before the server closed."""
    with socket.create_connection((host, port), timeout=9) as s:
        s.sendall(f"GET {uri} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode() * n)
        stream = s.makefile("rb")
        for answered in range(n):
            line = stream.readline()
            if not line:
                return answered
            assert line.startswith(b"HTTP/1.1 200"), f"not an answer: {line}"
            length = int(http.client.parse_headers(stream)["Content-Length"])
            assert len(stream.read(length)) == length, "a short answer"
    return n


def main():
    host, port, uri, n = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    left = n - ask(host, port, uri, n)
    assert not left or ask(host, port, uri, left) == left, "closed twice"


main()
