"""The server of `benchmarks.server` over TLS: a process of its own, with a certificate of a private authority.

As with public services, an intermediate authority signs the certificate, and the server sends both. Connections use TLS
1.3, and the server lets clients resume their sessions. A client that offers HTTP/2 gets it, if the library h2 is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
import sys
import tempfile
from asyncio import sslproto
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.server import Connection, allow_many_files, start, url_of
from benchmarks.world import World

NAME = "whiterabbit.test"
"""A name in the certificate, besides the address 127.0.0.1."""

PROTOCOLS = ["h2", "http/1.1"] if find_spec("h2") else ["http/1.1"]
"""What the server speaks, by the names of ALPN."""


class Served(NamedTuple):
    """A running server, which answers the same over TLS and in plain HTTP.

    :param url: its URL over TLS.
    :param plain_url: its URL in plain HTTP, for `benchmarks.server.get_json`.
    :param ca_file: file with the certificate of the authority.
    """

    url: str
    plain_url: str
    ca_file: str

    @property
    def trust(self) -> dict[str, str]:
        """Return environment variables with which OpenSSL and `requests` trust the server."""
        return {"SSL_CERT_FILE": self.ca_file, "REQUESTS_CA_BUNDLE": self.ca_file}


class TlsConnection(Connection):
    """A client's connection over TLS, which counts the handshakes: `handshakes` in all, of which some are `resumed`."""

    def connection_made(self, transport: Any) -> None:
        """Keep the transport for the answers, and count the handshake, which has chosen the protocol."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        self._world.requests["handshakes"] += 1
        self._world.requests["resumed"] += tls.session_reused
        if tls.selected_alpn_protocol() == "h2":
            from benchmarks.http2_server import Http2Connection

            transport.set_protocol(Http2Connection(self._world, transport))


@contextlib.contextmanager
def serving_tls(ping_interval: float = 1.0) -> Iterator[Served]:
    """Run the server in a process of its own while the block runs.

    :param ping_interval: seconds between two pings of a stream.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-tls-") as folder:
        command = [sys.executable, "-m", "benchmarks.tls_server", str(ping_interval), folder]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None  # noqa: S101
            try:
                url, plain_url = process.stdout.readline().split()
                yield Served(url, plain_url, f"{folder}/ca.pem")
            finally:
                process.terminate()


def server_context(folder: Path) -> ssl.SSLContext:
    """Make the authorities and the server's certificate, write `ca.pem`, and return the server's TLS context."""
    import trustme

    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(PROTOCOLS)
    authority.create_child_ca().issue_cert("127.0.0.1", NAME).configure_cert(context)
    return context


async def start_tls(world: World, folder: Path) -> asyncio.Server:
    """Answer over TLS for a world too, on this event loop and a free port."""
    sslproto.SSLProtocol.max_size = 4096  # the process has no other connections
    return await asyncio.get_running_loop().create_server(
        lambda: TlsConnection(world), "127.0.0.1", 0, backlog=4096, ssl=server_context(folder)
    )


async def _serve_forever() -> None:
    allow_many_files()
    world, plain = await start(float(sys.argv[1]))
    server = await start_tls(world, Path(sys.argv[2]))
    print(url_of(server).replace("http:", "https:"), url_of(plain), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve_forever())
