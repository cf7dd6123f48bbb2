"""Ports on 127.0.0.1, the only address the sandbox ever listens on."""

from __future__ import annotations

import itertools
import os
import socket

HOST = "127.0.0.1"
_FIRST_PORT, _BLOCKS, _BLOCK_PORTS = 20_000, 120, 100
"""Below 32768, where systems begin to take ports for connections that go out: one of those may be taken
between being found free and being listened on."""
_own_ports = itertools.count(os.getpid() * 97 % _BLOCKS * _BLOCK_PORTS)
"""Processes that look for ports at the same time look in different blocks."""
_CONNECT_TIMEOUT_SECONDS = 0.5


def free_port() -> int:
    """A port nobody listens on at the moment, and no other than those that were given before."""
    while True:
        port = _FIRST_PORT + next(_own_ports) % (_BLOCKS * _BLOCK_PORTS)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Whether something accepts connections on the port."""
    try:
        socket.create_connection((HOST, port), _CONNECT_TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True
