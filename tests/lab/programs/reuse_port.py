#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A client that always calls from the same port: reuse_port.py HOST PORT SOURCE_PORT

Calls that end well, and calls whose host "loses power" with the connection open: TCP_REPAIR (root)
takes a socket away without a FIN or RST, so the server goes on holding it. The next call then meets
the old connection. Fails unless each call gets its answer in the end.
"""
import socket
import sys
import time

TCP_REPAIR = 19
host, port, source_port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])


def call(crashes):
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("", source_port))
    s.settimeout(8)
    s.connect((host, port))
    s.sendall(b"HEAD /page HTTP/1.1\r\nHost: b\r\n\r\n")
    answer = s.recv(4096)
    assert answer.startswith(b"HTTP/1.1 200"), answer
    time.sleep(0.2)
    if crashes:
        s.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    else:
        # the server closes, so that no TIME_WAIT keeps the port from us
        s.sendall(b"HEAD /page HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n")
        while s.recv(4096):
            pass
    s.close()
    time.sleep(1)


call(crashes=True)
call(crashes=True)
call(crashes=False)
