"""Ports on 127.0.0.1, the only address on which the sandbox listens."""

from __future__ import annotations

import itertools
import os
import socket

HOST = "127.0.0.1"
_FIRST_PORT, _BLOCKS, _BLOCK_PORTS = 20_000, 120, 100
"""Below 32768, the start of the ephemeral range, whose ports may be taken by outgoing connections between the
check and the use."""
_own_ports = itertools.count(os.getpid() * 97 % _BLOCKS * _BLOCK_PORTS)
"""Processes that search at the same time use different blocks."""
_CONNECT_TIMEOUT_SECONDS = 0.5


def free_port() -> int:
    """Return a port that is free and was not returned before."""
    while True:
        port = _FIRST_PORT + next(_own_ports) % (_BLOCKS * _BLOCK_PORTS)
        if is_free(port):
            return port


def is_free(port: int) -> bool:
    """Return whether a server could listen on the port now."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
        return True


def answers(port: int) -> bool:
    """Return whether the port accepts connections."""
    try:
        socket.create_connection((HOST, port), _CONNECT_TIMEOUT_SECONDS).close()
    except OSError:
        return False
    return True
