"""Ports on 127.0.0.1, the only address the sandbox ever listens on."""

from __future__ import annotations

import socket

HOST = "127.0.0.1"
_CONNECT_TIMEOUT_SECONDS = 0.5


def free_port() -> int:
    """A port nobody listens on at the moment, chosen by the system."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port: int = listener.getsockname()[1]
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
