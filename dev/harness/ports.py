"""Ports for servers that can't choose a free one themselves."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress

_CANDIDATES = range(10_000, 32_768)
"""Ports below those that Linux gives to clients, and to servers that ask for any port.

The server binds its port later, seconds later if it is Airflow's. Other tests must not get that port in the meantime.
"""


def free_port() -> int:
    """Return a TCP port of this machine that no program listens on at the moment."""
    while True:
        port = secrets.choice(_CANDIDATES)  # not `random`, which a test may have seeded
        with suppress(OSError), socket.socket() as free:
            free.bind(("127.0.0.1", port))
            return port
