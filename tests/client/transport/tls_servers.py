"""A TLS server on loopback, whose client's connections can be looked at."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Iterator
from pathlib import Path

import trustme

from tests.client.servers import concurrent_server

NAME = "whiterabbit.example"
"""A name that the certificate of the server is for, besides its address."""


def server_context(folder: Path) -> ssl.SSLContext:
    """Return the TLS context of a server on loopback, and write the file ``ca.pem`` of its authority."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1", NAME).configure_cert(context)
    return context


@contextlib.contextmanager
def tls_server(context: ssl.SSLContext, handle: Callable[[ssl.SSLSocket], None]) -> Iterator[str]:
    """Accept connections over TLS, pass each to `handle` in a thread of its own, and yield the URL."""

    def accept(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            handle(tls)

    with concurrent_server(accept) as port:
        yield f"https://127.0.0.1:{port}"


def buffers() -> list[int]:
    """Return the sizes of the read buffers of the running event loop's open TLS connections, the smallest first."""
    loop = asyncio.get_running_loop()  # another test may have ended its loop with connections that were still open
    return sorted(
        len(protocol._ssl_buffer)
        for protocol in gc.get_objects()
        # Not isinstance: some of Airflow's objects import what they stand for when they are asked for their class.
        if type(protocol) is SSLProtocol and protocol._loop is loop and protocol._transport is not None
    )
