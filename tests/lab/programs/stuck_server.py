#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A server of HTTP that answers COUNT requests and then accepts no more: PORT BACKLOG COUNT."""
import socket
import sys
import time

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"


def main():
    port, backlog, count = (int(word) for word in sys.argv[1:4])
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("0.0.0.0", port))
        listener.listen(backlog)
        for _ in range(count):
            connection, _ = listener.accept()
            with connection:
                if connection.recv(4096):
                    connection.sendall(ANSWER)
        time.sleep(3600)


main()
