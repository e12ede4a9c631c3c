"""How HTTP/2 reaches its server: proxies, also by TLS, client certificates, and servers that can't be reached."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from dev.harness.http2_server import Http2Server, http2_server
from tests.client.servers import refusing_proxy
from tests.client.transport.http2.clients import settings_of, streaming

NAME = "whiterabbit.test"


def trust(authority: trustme.CA, ca_bundle: str) -> None:
    """Add an authority to a file of trusted ones."""
    path = Path(ca_bundle)
    path.write_bytes(path.read_bytes() + authority.cert_pem.bytes())


class Proxy:
    """A proxy for CONNECT.

    :param port: where all connections lead.
    :param answer: what it answers to CONNECT.
    """

    def __init__(self, port: int, answer: bytes) -> None:
        self._port = port
        self._answer = answer
        self.heads: list[bytes] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        self.tasks.add(asyncio.current_task())
        try:
            await self._answer_to(reader, writer)
        finally:
            writer.transport.abort()

    async def _answer_to(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heads.append(await reader.readuntil(b"\r\n\r\n"))
        for byte in self._answer:
            writer.write(bytes([byte]))
            await writer.drain()
        if b" 200 " not in self._answer:
            await reader.read()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)

        async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, RuntimeError):
                while data := await source.read(65536):
                    target.write(data)
                target.close()

        try:
            await asyncio.gather(copy(reader, far_writer), copy(far_reader, writer))
        finally:
            far_writer.transport.abort()


@contextlib.asynccontextmanager
async def proxy_to(
    server: Http2Server, context: ssl.SSLContext | None = None, answer: bytes = b"HTTP/1.1 200 Go\r\n\r\n"
) -> AsyncIterator[tuple[Proxy, int]]:
    """Run a proxy; yield it, and its port."""
    proxy = Proxy(int(server.url.rpartition(":")[2]), answer)
    listening = await asyncio.start_server(proxy.serve, "127.0.0.1", 0, ssl=context)
    try:
        yield proxy, listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in proxy.tasks:
            task.cancel()
        await asyncio.gather(*proxy.tasks, return_exceptions=True)


@pytest.mark.parametrize("is_tls", [False, True])
async def test_proxies(server: Http2Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_tls: bool) -> None:
    """Streams and records go through the proxy's tunnel; the proxy sees its password, and nothing of the requests."""
    context = None
    if is_tls:
        authority = trustme.CA()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        trust(authority, server.ca_bundle)
    answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n"
    async with proxy_to(server, context, answer) as (proxy, port):
        scheme = "https" if is_tls else "http"
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://us%40er:hunter2@127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        async with AsyncClient(settings_of(server, base_url=f"https://{NAME}")) as client:
            tasks = await streaming(client, server, 3)
            await client.send(api.get_execution("e-1"))
            for stream_id in (1, 3, 5):
                server.peers[0].event(stream_id)
            await asyncio.gather(*tasks)
    [head] = proxy.heads
    assert head.startswith(f"CONNECT {NAME}:443 HTTP/1.1\r\nHost: {NAME}:443\r\n".encode())
    assert base64.b64encode(b"us@er:hunter2") in head
    assert server.requests[0][2][":authority"] == NAME


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            b"HTTP/1.1 407 Authentication Required\r\n\r\n",
            "the proxy answered '407 Authentication Required'",
        ),
        (b"SSH-2.0-OpenSSH_9.9\r\n\r\n", "the proxy's answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000, "the proxy's answer has no end"),
    ],
    ids=["407", "another protocol", "endless"],
)
async def test_a_proxy_that_refuses(
    server: Http2Server, monkeypatch: pytest.MonkeyPatch, answer: bytes, message: str
) -> None:
    """A proxy that refuses is named in the error, without its password."""
    async with proxy_to(server, answer=answer) as (_, port):
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        async with AsyncClient(settings_of(server, base_url=f"https://{NAME}")) as client:
            with pytest.raises(exc.WhiteRabbitTransportError, match=message) as caught:
                await client.send(api.get_execution("e-1"))
    assert "through the proxy 127.0.0.1" in str(caught.value)
    assert "hunter2" not in str(caught.value)


async def test_a_proxy_that_closes(server: Http2Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that closes the connection, before the tunnel is there or in the handshake, is an outage."""
    monkeypatch.setenv("NO_PROXY", "")
    with refusing_proxy() as (port, _):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        async with AsyncClient(settings_of(server, base_url=f"https://{NAME}")) as client:
            with pytest.raises(exc.WhiteRabbitTransportError, match="407"):
                await client.send(api.get_execution("e-1"))
    async with AsyncClient(settings_of(server, base_url=f"https://{NAME}")) as client:
        with pytest.raises(exc.WhiteRabbitTransportError, match=r"cannot connect to 127\.0\.0\.1"):
            await client.send(api.get_execution("e-1"))


async def test_a_server_without_http2_behind_a_proxy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a tunnel too, HTTP/1.1 is used if the server chooses it."""
    async with http2_server(tmp_path, alpn=()) as server, proxy_to(server) as (_, port):
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        async with AsyncClient(settings_of(server, base_url=f"https://{NAME}")) as client:
            assert (await client.send(api.get_execution("e-1")))["by"] == "HTTP/1.1"


async def test_an_unknown_authority(server: Http2Server) -> None:
    """A certificate of an unknown authority is refused, with the remedy."""
    authority = trustme.CA()
    other = Path(server.ca_bundle).with_name("other.pem")
    authority.cert_pem.write_to_path(str(other))
    async with AsyncClient(settings_of(server, ca_bundle=str(other))) as client:
        with pytest.raises(exc.WhiteRabbitTransportError, match="set the connection's 'ca_bundle'"):
            await client.send(api.get_execution("e-1"))
    assert not server.requests


async def test_another_name(server: Http2Server) -> None:
    """A certificate of another host is refused."""
    settings = settings_of(server, base_url=server.url.replace("127.0.0.1", "localhost"))
    async with AsyncClient(settings) as client:
        with pytest.raises(exc.WhiteRabbitTransportError, match="a certificate was refused"):
            await client.send(api.get_execution("e-1"))
    assert not server.requests


async def test_nobody_listens(server: Http2Server) -> None:
    """A server that can't be reached, or whose name is unknown, is named in the error."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{unused.getsockname()[1]}"
        async with AsyncClient(settings_of(server, base_url=url)) as client:
            with pytest.raises(exc.WhiteRabbitTransportError, match=r"cannot connect to 127\.0\.0\.1"):
                await client.send(api.get_execution("e-1"))


async def test_a_server_that_does_not_answer_the_handshake(server: Http2Server) -> None:
    """Connecting, with the handshake, is limited in time; all requests that wait for the connection fail."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}"
        async with AsyncClient(settings_of(server, base_url=url, request_timeout=0.3)) as client:
            requests = [client.send(api.get_execution(f"e-{number}")) for number in range(5)]
            outcomes = await asyncio.gather(*requests, return_exceptions=True)
    assert all("no connection within 0.3 s" in str(outcome) for outcome in outcomes)


async def test_client_certificates(tmp_path: Path) -> None:
    """A server that asks for a client certificate gets it."""
    authority = trustme.CA()
    leaf = authority.issue_cert("client.example.org")
    path = tmp_path / "client.pem"
    path.write_bytes(leaf.private_key_and_cert_chain_pem.bytes())
    async with http2_server(tmp_path, client_authority=authority) as server:
        async with AsyncClient(settings_of(server, client_cert=str(path))) as client:
            assert await client.send(api.get_execution("e-1"))
        async with AsyncClient(settings_of(server)) as client:
            with pytest.raises(exc.WhiteRabbitTransportError):
                await client.send(api.get_execution("e-1"))
    assert len(server.requests) == 1
