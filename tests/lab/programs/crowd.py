#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""COUNT clients that come at once, ask, and wait for SECONDS: HOST PORT COUNT SECONDS."""
import select
import socket
import sys
import time

ASK = b"GET /crowd HTTP/1.1\r\nHost: crowd\r\n\r\n"


def connect(host, port):
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex((host, port))
    return client


def main():
    host = sys.argv[1]
    port, count, seconds = (int(word) for word in sys.argv[2:5])
    silent = [connect(host, port) for _ in range(count)]
    end = time.time() + seconds
    asked = []
    while time.time() < end:
        for client in select.select([], silent, [], 0.1)[1]:
            silent.remove(client)
            try:
                client.send(ASK)
                asked.append(client)
            except OSError:
                client.close()
        time.sleep(0.01)


main()
