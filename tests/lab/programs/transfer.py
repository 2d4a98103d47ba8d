#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A file over one TCP connection.

    transfer.py receive PORT FILE         takes one connection, writes what it brings, and ends
    transfer.py send HOST PORT FILE       ends when the other side has read all of it
"""
import socket
import sys


def receive(port, path):
    with socket.create_server(("", int(port))) as server, open(path, "wb") as out:
        peer, _ = server.accept()
        with peer:
            while True:
                data = peer.recv(65536)
                if not data:
                    break
                out.write(data)


def send(host, port, path):
    with socket.create_connection((host, int(port)), timeout=20) as s, open(path, "rb") as data:
        s.sendfile(data)
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""


{"receive": receive, "send": send}[sys.argv[1]](*sys.argv[2:])
