#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A TCP load balancer that resets: balancer.py HOST PORT BACKEND_PORT CHECK_PORT TIMEOUT_S

It asks /health of CHECK_PORT all 0.3 s. Two checks in a row that take longer than TIMEOUT_S, and the
backend is down: it cuts the sessions of its clients with RSTs, as appliances do ("action on service
down: reset"), and takes none until a check succeeds.
"""
import http.client
import socket
import struct
import sys
import threading
import time

HOST, PORT, BACKEND, CHECK = sys.argv[1], *map(int, sys.argv[2:5])
TIMEOUT = float(sys.argv[5])
LOCK = threading.Lock()
SESSIONS = set()
IS_UP = True


def is_healthy():
    connection = http.client.HTTPConnection("127.0.0.1", CHECK, timeout=TIMEOUT)
    try:
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def linger_no_more(sock):
    """Closing it sends a RST from now on."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def check():
    global IS_UP
    failures = 0
    while True:
        failures = 0 if is_healthy() else failures + 1
        IS_UP = failures < 2
        if not IS_UP:
            with LOCK:
                for client, backend in SESSIONS:
                    linger_no_more(client)
                    backend.shutdown(socket.SHUT_RDWR)  # wakes carry(), which closes both
        time.sleep(0.3)


def carry(client, backend):
    """The backend's bytes to the client. Its end is the end of the session."""
    try:
        while True:
            data = backend.recv(65536)
            if not data:
                break
            client.sendall(data)
    except OSError:
        pass
    with LOCK:
        SESSIONS.discard((client, backend))
    client.close()
    backend.close()


def serve(client):
    if not IS_UP:
        linger_no_more(client)
        client.close()
        return
    backend = socket.create_connection(("127.0.0.1", BACKEND))
    with LOCK:
        SESSIONS.add((client, backend))
    threading.Thread(target=carry, args=(client, backend), daemon=True).start()
    try:
        backend.sendall(client.recv(65536))
    except OSError:
        pass


threading.Thread(target=check, daemon=True).start()
with socket.create_server((HOST, PORT), backlog=64) as listener:
    while True:
        peer, _ = listener.accept()
        serve(peer)
