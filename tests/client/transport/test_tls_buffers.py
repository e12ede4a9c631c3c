"""The read buffers of TLS connections: this provider's are small, and no others are changed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
import ssl
import threading
from asyncio.sslproto import SSLProtocol
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.tls_buffers import (
    RECORD_BUFFER_BYTES,
    STREAM_BUFFER_BYTES,
    ReadBuffers,
)
from airflow_provider_whiterabbit.client.wait.commands import Command, Open, Read
from airflow_provider_whiterabbit.client.wire.sse import event_data
from airflow_provider_whiterabbit.emulator import Emulator
from tests.client.servers import concurrent_server, read_request
from tests.client.transport.tls_servers import NAME, buffers, server_context, tls_server
from tests.client.transports import settings_for

LARGE = ["x" * 1000] * 5000
"""An output of 5 MB."""

EVENTS = [{"id": "e-1", "number": number, "text": "y" * 40_000} for number in range(20)]


def answer(connection: ssl.SSLSocket) -> None:
    """Answer each request of a connection with a record of 5 MB, or with an event stream that stays open."""
    while parts := read_request(connection).split():
        if parts[1].endswith(b"/stream"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            for event in EVENTS:
                connection.sendall(b"data: " + json.dumps(event).encode() + b"\n\n")
        else:
            body = json.dumps({"id": "e-1", "output": LARGE}).encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)


@pytest.fixture
def settings(whiterabbit_emulator: Emulator, tmp_path: Path) -> Iterator[ClientSettings]:
    """Run a TLS server, and yield the settings of its clients."""
    with tls_server(server_context(tmp_path), answer) as url:
        yield settings_for(whiterabbit_emulator, url, ca_bundle=str(tmp_path / "ca.pem"))


def all_events(seen: list[int]) -> Generator[Command, Any, list[Any]]:
    """Open a stream and read its events; note the sizes of the buffers when the stream is open."""
    yield Open(api.stream_execution("e-1"), 60)
    seen += buffers()
    events: list[Any] = []
    while len(events) < len(EVENTS):
        events += map(event_data, (yield Read(silence=60, within=60, quiet=60)))
    seen += buffers()
    return events


async def test_own_connections(settings: ClientSettings) -> None:
    """An event stream keeps 4 KiB and a kept connection for records 16 KiB; large events and records arrive whole."""
    async with AsyncClient(settings) as client:
        for _ in range(2):  # the second time, the connection is used again
            assert await client.send(api.get_execution("e-1")) == {"id": "e-1", "output": LARGE}
            assert buffers() == [RECORD_BUFFER_BYTES]
        seen: list[int] = []
        assert await client.run(all_events(seen)) == EVENTS
        assert set(seen) <= {STREAM_BUFFER_BYTES}  # the kept connection became that of the stream
    assert max(RECORD_BUFFER_BYTES, STREAM_BUFFER_BYTES) <= 16 * 1024


async def test_other_connections(settings: ClientSettings) -> None:
    """Connections of other code in the process keep asyncio's buffer, made before or after this provider's."""
    context = ssl.create_default_context(cafile=settings.ca_bundle)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context)) as other:
        url = f"{settings.base_url}/other"
        async with other.get(url) as before, AsyncClient(settings) as client, client, other.get(url) as after:
            await client.send(api.get_execution("e-1"))
            assert buffers() == [RECORD_BUFFER_BYTES, SSLProtocol.max_size, SSLProtocol.max_size]
            assert await before.json() == await after.json() == {"id": "e-1", "output": LARGE}
    assert SSLProtocol.max_size == 256 * 1024


@contextlib.contextmanager
def tls_proxy(context: ssl.SSLContext) -> Iterator[str]:
    """Run a proxy that is reached over TLS, and takes every host for this machine; yield its URL."""

    def relay(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                target.sendall(piece)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)

    def connect(client: ssl.SSLSocket) -> None:
        port = read_request(client).split()[1].decode().rpartition(":")[2]
        with socket.create_connection(("127.0.0.1", int(port))) as target:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            back = threading.Thread(target=relay, args=(target, client))
            back.start()
            relay(client, target)
            back.join()

    with tls_server(context, connect) as url:
        yield url


async def test_through_a_proxy(whiterabbit_emulator: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both buffers of TLS through TLS to a proxy are small, and the stream's events arrive whole."""
    context = server_context(tmp_path)
    with tls_server(context, answer) as url, tls_proxy(context) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        url = url.replace("127.0.0.1", NAME)  # for loopback, no proxy is used
        settings = settings_for(whiterabbit_emulator, url, ca_bundle=str(tmp_path / "ca.pem"))
        async with AsyncClient(settings) as client:
            seen: list[int] = []
            assert await client.run(all_events(seen)) == EVENTS
            assert set(seen) == {STREAM_BUFFER_BYTES}


class Unknown:
    """The transport of a TLS connection whose protocol is not asyncio's, or of another Python."""

    def __init__(self, **attributes: Any) -> None:
        self._ssl_protocol = type("Protocol", (), {})()
        vars(self._ssl_protocol).update(attributes)

    def get_extra_info(self, _: str) -> object:
        """Return what a connection over TLS has."""
        return object()


BUFFER = bytearray(100)


@pytest.mark.parametrize(
    "attributes",
    [
        {},
        {"max_size": 100, "_ssl_buffer": BUFFER},
        {"max_size": 100, "_ssl_buffer": BUFFER, "_ssl_buffer_view": memoryview(bytearray(100))},
        {"max_size": "100", "_ssl_buffer": BUFFER, "_ssl_buffer_view": memoryview(BUFFER)},
        {"max_size": 100, "_ssl_buffer": BUFFER, "_ssl_buffer_view": memoryview(BUFFER), "_transport": object()},
    ],
    ids=["nothing", "no view", "another view", "no size", "another event loop"],
)
def test_unknown_internals(attributes: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """What is not as in the known Pythons stays as it is, and the debug log says so once."""
    caplog.set_level(logging.DEBUG)
    unknown: Any = Unknown(**attributes)
    read_buffers = ReadBuffers()
    for _ in range(2):
        read_buffers.resize(unknown, 10)
    assert vars(unknown._ssl_protocol) == attributes
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert "stay as large as they are" in caplog.text


def test_another_event_loop(settings: ClientSettings, caplog: pytest.LogCaptureFixture) -> None:
    """Requests work on uvloop, whose TLS connections have other buffers."""
    uvloop = pytest.importorskip("uvloop")
    caplog.set_level(logging.DEBUG)

    async def read() -> Any:
        async with AsyncClient(settings) as client:
            await client.send(api.get_execution("e-1"))
            return await client.send(api.get_execution("e-1"))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(read()) == {"id": "e-1", "output": LARGE}
    assert caplog.text.count("stay as large as they are") == 1


async def test_plain_connections(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """A connection without TLS has no such buffer, and nothing is logged about it."""
    caplog.set_level(logging.DEBUG)

    def plain_answer(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{"id": "e-1"}')

    with concurrent_server(plain_answer) as port:
        async with AsyncClient(settings_for(whiterabbit_emulator, f"http://127.0.0.1:{port}")) as client:
            assert await client.send(api.get_execution("e-1")) == {"id": "e-1"}
    assert "buffers" not in caplog.text
    ReadBuffers().resize(None, 10)  # a connection that is closed
