#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Answers that come bit by bit.

    push_http.py serve PORT               /events: Server-Sent Events, /ws: a WebSocket; 2 s apart
    push_http.py socket HOST PORT COUNT   a client of /ws that answers each message
"""
import socket
import sys
import threading
import time

UPGRADE = (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
           b"Connection: Upgrade\r\n\r\n")
EVENTS = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
          b"Transfer-Encoding: chunked\r\n\r\n")


def answer(peer):
    with peer:
        request = peer.recv(4096)
        if request.startswith(b"GET /ws"):
            peer.sendall(UPGRADE)
            while True:
                time.sleep(2)
                peer.sendall(b"\x81\x05hello")
                if not peer.recv(4096):
                    return
        peer.sendall(EVENTS)
        for _ in range(5):
            peer.sendall(b"8\r\ndata: x\n\r\n")
            time.sleep(2)
        peer.sendall(b"0\r\n\r\n")


def serve(port):
    with socket.create_server(("", int(port))) as server:
        while True:
            threading.Thread(target=answer, args=(server.accept()[0],), daemon=True).start()


def websocket(host, port, count):
    with socket.create_connection((host, int(port)), timeout=20) as s:
        s.sendall(b"GET /ws HTTP/1.1\r\nHost: push\r\nUpgrade: websocket\r\n"
                  b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                  b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
        assert s.recv(len(UPGRADE), socket.MSG_WAITALL) == UPGRADE
        for _ in range(int(count)):
            assert s.recv(7, socket.MSG_WAITALL)[2:] == b"hello"
            s.sendall(b"\x81\x85abcd\x09\x07\x0f\x08\x0e")


{"serve": serve, "socket": websocket}[sys.argv[1]](*sys.argv[2:])
