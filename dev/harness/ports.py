"""Ports for servers that can't choose a free one themselves."""

from __future__ import annotations

import socket


def free_port() -> int:
    """Return a TCP port of this machine that no program listens on at the moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
