"""How both clients connect, and what becomes of a connection that is kept, that breaks or that is closed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import socket
import ssl
import struct
import threading
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp.client_proto import ResponseHandler

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.client.wait.commands import Command, Open
from airflow_provider_whiterabbit.emulator import Emulator
from tests.client.servers import concurrent_server, read_request, server
from tests.client.transports import Fetch, both_clients, settings_for


def answer_for(identity: str) -> bytes:
    """Return an answer with a record that has this id."""
    body = json.dumps({"id": identity}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@pytest.fixture
def addresses(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Return the list of the addresses that the name ``many.test`` has."""
    found: list[tuple[str, int]] = []
    resolve = socket.getaddrinfo

    def getaddrinfo(host: Any, *arguments: Any, **options: Any) -> Any:
        if host not in ("many.test", b"many.test"):
            return resolve(host, *arguments, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", address) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return found


@contextlib.contextmanager
def black_hole() -> Iterator[tuple[str, int]]:
    """Yield an address to which no connection is established, because its queue of connections is full."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for _ in range(4):
            queued = stack.enter_context(socket.socket())
            queued.setblocking(False)
            queued.connect_ex(listening.getsockname())
        yield listening.getsockname()


@both_clients
def test_many_addresses_that_do_not_answer(
    whiterabbit_emulator: Emulator, fetch: Fetch, addresses: list[tuple[str, int]]
) -> None:
    """The time to connect is limited for all addresses of a host together."""
    settings = settings_for(whiterabbit_emulator, "http://many.test", allow_http=True, request_timeout=1)
    with black_hole() as address:
        addresses += [address] * 30
        begun = time.monotonic()
        with pytest.raises(exc.WhiteRabbitTransportError, match="no connection within 1 s"):
            fetch(settings, "e-1")
        assert time.monotonic() - begun < 15  # not a second for each address


@both_clients
def test_an_address_that_does_not_answer(
    whiterabbit_emulator: Emulator, fetch: Fetch, addresses: list[tuple[str, int]]
) -> None:
    """The second address of a host is tried if the first does not answer."""

    def answer(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer_for("e-1"))

    settings = settings_for(whiterabbit_emulator, "http://many.test", allow_http=True, request_timeout=30)
    with black_hole() as address, server(answer) as port:
        addresses += [address, *[("127.0.0.1", port)] * 14]  # so many that the first one gets 2 s to connect
        assert fetch(settings, "e-1") == {"id": "e-1"}


def test_a_name_server_that_does_not_answer(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time to resolve a name is limited, and nothing was sent."""
    end = threading.Event()

    def getaddrinfo(*_: Any, **__: Any) -> Any:
        end.wait(60)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    settings = settings_for(whiterabbit_emulator, "https://slow.test", request_timeout=0.2)
    with Client(settings, sleep=lambda _: None) as client:
        with pytest.raises(exc.WhiteRabbitTransportError, match="was not resolved within") as error:
            client.submit(api.execute_component("PAY"))
        end.set()
    assert not error.value.sent


def test_connections_of_submissions(whiterabbit_emulator: Emulator) -> None:
    """Each submission has a new connection, which the client closes; requests for records share one."""
    received: list[int] = []
    closed = threading.Semaphore(0)

    def answer(connection: socket.socket) -> None:
        number = 0
        while read_request(connection).strip():
            number += 1
            connection.sendall(answer_for("e-1"))
        received.append(number)
        closed.release()

    with concurrent_server(answer) as port:
        with Client(settings_for(whiterabbit_emulator, f"http://127.0.0.1:{port}")) as client:
            for _ in range(3):
                client.submit(api.execute_component("PAY"))
                client.send(api.get_execution("e-1"))
            for _ in range(3):
                assert closed.acquire(timeout=60)
            assert received == [1, 1, 1]
        assert closed.acquire(timeout=60)
    assert received == [1, 1, 1, 3]


async def test_an_answer_that_nobody_has_asked_for(whiterabbit_emulator: Emulator) -> None:
    """A connection on which something arrives while it is idle is not used again."""
    requests: list[bytes] = []
    more = threading.Event()

    def answer(connection: socket.socket) -> None:
        while (request := read_request(connection)).strip():
            requests.append(request)
            connection.sendall(answer_for(request.split()[1].rpartition(b"/")[2].decode()))
            if len(requests) == 1:
                connection.sendall(answer_for("e-9"))
                more.set()

    with concurrent_server(answer) as port:
        settings = settings_for(whiterabbit_emulator, f"http://127.0.0.1:{port}")
        async with AsyncClient(settings) as client:
            for number in range(4):
                assert await client.send(api.get_execution(f"e-{number}")) == {"id": f"e-{number}"}
                await asyncio.to_thread(more.wait)
                for _ in range(10):
                    await asyncio.sleep(0)  # the event loop receives what has arrived


async def test_a_connection_is_not_kept_for_long(whiterabbit_emulator: Emulator) -> None:
    """A connection for records is closed before a server with the times of Node.js closes it, and not before long."""
    closed = threading.Event()

    def answer(connection: socket.socket) -> None:
        while (request := read_request(connection)).strip():
            connection.sendall(answer_for(request.split()[1].rpartition(b"/")[2].decode()))
        closed.set()

    def pass_time(connector: Any, seconds: float) -> None:
        for kept in connector._conns.values():
            pairs = [(protocol, used_at - seconds) for protocol, used_at in kept]
            kept.clear()
            kept.extend(pairs)
        connector._cleanup()

    with server(answer) as port:
        async with AsyncClient(settings_for(whiterabbit_emulator, f"http://127.0.0.1:{port}")) as client:
            for _ in range(2):
                assert await client.send(api.get_execution("e-1")) == {"id": "e-1"}
                pass_time(client._session.connector, 2)
            assert not closed.is_set()
            pass_time(client._session.connector, 3)
            assert await asyncio.to_thread(closed.wait, 60)


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    "rest",
    [b"zz\r\n", b"2\r\n{}\r\nzz\r\n", b"2\r\n{}\r\n0\r\nContent-Length: 5\r\n\r\n"],
    ids=["chunk", "second chunk", "trailer"],
)
@pytest.mark.parametrize("begin", [b"", b"1\r\n \r\n"], ids=["head", "head and chunk"])
@pytest.mark.skipif(not hasattr(ResponseHandler, "closed"), reason="aiohttp 3.11 tells of no end")
def test_a_body_that_breaks(whiterabbit_emulator: Emulator, begin: bytes, rest: bytes) -> None:
    """A body that aiohttp can't parse ends a request at once, whenever it arrives."""

    def answer(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(CHUNKED + begin)
        time.sleep(0.05)  # the client waits for the body by now: nothing shows that it does
        connection.sendall(rest)
        connection.recv(1)  # the client closes

    async def read() -> None:
        async with AsyncClient(settings_for(whiterabbit_emulator, f"http://127.0.0.1:{port}")) as client:
            async with asyncio.timeout(60):
                await client.send(api.get_execution("e-1"))

    with server(answer) as port, pytest.raises(exc.WhiteRabbitTransportError):
        asyncio.run(read())


def test_a_connection_that_is_reset(whiterabbit_emulator: Emulator) -> None:
    """A kept connection that the server resets, between two answers or in one, leaves no error in the event loop."""
    unhandled: list[dict[str, Any]] = []
    resets: list[socket.socket] = []

    def answer(connection: socket.socket) -> None:
        for number in range(2):
            read_request(connection)
            connection.sendall(answer_for(f"e-{number}"))
        read_request(connection)
        connection.sendall(CHUNKED)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # resets when it is closed
        resets.append(connection)

    async def read(url: str) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        async with AsyncClient(settings_for(whiterabbit_emulator, url)) as client:
            for number in range(2):
                await client.send(api.get_execution(f"e-{number}"))
            with pytest.raises(exc.WhiteRabbitTransportError):
                await client.send(api.get_execution("e-2"))
        gc.collect()

    with server(answer) as port:
        asyncio.run(read(f"http://127.0.0.1:{port}"))
    assert resets
    assert not unhandled


async def test_a_server_that_does_not_say_goodbye(whiterabbit_emulator: Emulator, tmp_path: Path) -> None:
    """A TLS connection is closed at once, and does not wait for the server to close the TLS session."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    closed = threading.Event()

    def answer(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            read_request(tls)
            tls.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            with socket.socket(fileno=os.dup(tls.fileno())) as tcp, contextlib.suppress(ConnectionResetError):
                while tcp.recv(65536):
                    pass
            closed.set()

    def opening() -> Generator[Command, Any, None]:
        yield Open(api.stream_execution("e-1"), 60)

    with server(answer) as port:
        settings = settings_for(whiterabbit_emulator, f"https://127.0.0.1:{port}", ca_bundle=str(tmp_path / "ca.pem"))
        async with AsyncClient(settings) as client:
            await client.run(opening())
            assert await asyncio.to_thread(closed.wait, 60)


@both_clients
@pytest.mark.parametrize("number", [errno.ECONNRESET, errno.EPIPE])
def test_reset_while_connecting(
    whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, fetch: Fetch, number: int
) -> None:
    """A connection that the server resets while it is made, as one that stops may do, is an outage."""

    def connect(*_: Any) -> None:
        raise OSError(number, "the server has just stopped")

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        monkeypatch.setattr(socket.socket, "connect", connect)
        monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", connect)
        with pytest.raises(exc.WhiteRabbitTransportError, match="the server has just stopped"):
            fetch(settings_for(whiterabbit_emulator, url), "e-1")
