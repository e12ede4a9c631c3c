"""TLS sessions of the asynchronous client: they are resumed where the server allows, and never for another server."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
import trustme

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.tls import tls_context
from airflow_provider_whiterabbit.client.transport.tls_sessions import LONGEST_TRUST, Sessions
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.exceptions import WhiteRabbitTransportError
from tests.client.servers import concurrent_server, read_request
from tests.client.transport.tls_servers import server_context
from tests.client.transports import settings_for

NAMES = ("a.example", "b.example")
VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Handshakes:
    """Handshakes in memory between a client's context and a server with a certificate for both `NAMES`.

    :param folder: where files may be written.
    """

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.context = tls_context(str(folder / "ca.pem"), None, None)
        self.now = 1000.0
        self.sessions = Sessions(self.context, lambda: self.now)
        self.server = self.new_server()

    def new_server(self, **fields: Any) -> ssl.SSLContext:
        """Return the context of a server with new keys for tickets."""
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.authority.issue_cert(*NAMES, **fields).configure_cert(server)
        return server

    def resumed(self, name: str = NAMES[0], *, server_speaks: bool = True) -> bool:
        """Connect, and return whether a session was resumed; the server says something, or nothing."""
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = self.context.wrap_bio(back, there, server_hostname=name)
        server = self.server.wrap_bio(there, back, server_side=True)
        pending: list[Callable[[], Any]] = [client.do_handshake, server.do_handshake]
        while pending:
            for handshake in list(pending):
                try:
                    handshake()
                    pending.remove(handshake)
                except ssl.SSLWantReadError:
                    pass
        if server_speaks:
            server.write(b"hello")
            assert client.read(10) == b"hello"
        assert client.session_reused == server.session_reused
        return bool(client.session_reused)


@pytest.fixture
def handshakes(tmp_path: Path) -> Handshakes:
    """Return handshakes with a server that lets clients resume their sessions."""
    return Handshakes(tmp_path)


@pytest.mark.parametrize("version", VERSIONS)
def test_resumed(handshakes: Handshakes, version: ssl.TLSVersion) -> None:
    """All connections after the first one resume its session, with TLS 1.2 and 1.3."""
    handshakes.server.maximum_version = version
    assert [handshakes.resumed() for _ in range(4)] == [False, True, True, True]


def test_another_server(handshakes: Handshakes) -> None:
    """A session is not used for another server, whose name the certificate was not checked for."""
    assert [handshakes.resumed(name) for name in (*NAMES, *NAMES)] == [False, False, True, True]


def test_certificates_are_checked_again(handshakes: Handshakes) -> None:
    """However often sessions are renewed by connections that resume them, a full handshake follows within an hour."""
    assert not handshakes.resumed()
    for _ in range(5):
        handshakes.now += LONGEST_TRUST / 6
        assert handshakes.resumed()
    handshakes.now += LONGEST_TRUST / 6
    assert not handshakes.resumed()
    assert handshakes.resumed()


@pytest.mark.parametrize("version", VERSIONS)
def test_expired_certificate(handshakes: Handshakes, version: ssl.TLSVersion) -> None:
    """After a server's certificate has expired, no session is resumed, so the certificate is looked at."""
    now = datetime.now(UTC)
    handshakes.server = handshakes.new_server(not_before=now - timedelta(days=2), not_after=now + timedelta(days=2))
    handshakes.server.maximum_version = version
    with time_machine.travel(now, tick=False) as traveller:
        assert [handshakes.resumed(), handshakes.resumed()] == [False, True]
        traveller.move_to(now + timedelta(days=1))
        assert handshakes.resumed()
        traveller.move_to(now + timedelta(days=3))
        assert not handshakes.resumed()  # OpenSSL itself is not in the future, and accepts it


@pytest.mark.parametrize("version", VERSIONS)
def test_server_with_new_keys(handshakes: Handshakes, version: ssl.TLSVersion) -> None:
    """A server that does not know a session makes a full handshake, and its new session is used from then on."""
    handshakes.server.maximum_version = version
    assert [handshakes.resumed(), handshakes.resumed()] == [False, True]
    handshakes.server = handshakes.new_server()
    handshakes.server.maximum_version = version
    assert [handshakes.resumed(), handshakes.resumed()] == [False, True]


def test_server_without_tickets(handshakes: Handshakes) -> None:
    """A server that sends no tickets gets full handshakes."""
    handshakes.server.num_tickets = 0
    assert [handshakes.resumed(), handshakes.resumed()] == [False, False]


def test_server_that_says_nothing(handshakes: Handshakes) -> None:
    """Of a connection on which nothing arrived, there is no session; that of an earlier one is still used."""
    assert [handshakes.resumed(server_speaks=False), handshakes.resumed()] == [False, False]
    assert [handshakes.resumed(server_speaks=False), handshakes.resumed()] == [True, True]


def fail(handshakes: Handshakes, *, resuming: int = 1) -> None:
    """Let connections fail together, so many of which have offered a session."""
    with contextlib.suppress(ConnectionResetError), contextlib.ExitStack() as connecting:
        for _ in range(resuming):
            connecting.enter_context(handshakes.sessions.connecting())
            assert handshakes.resumed(server_speaks=False)
        connecting.enter_context(handshakes.sessions.connecting())
        raise ConnectionResetError


def test_server_that_fails_to_resume(handshakes: Handshakes) -> None:
    """After connections that resume a session fail, none is offered for a while, which gets longer and longer."""
    assert not handshakes.resumed()
    for pause in (4, 16, 64, 256, 1024, LONGEST_TRUST, LONGEST_TRUST):
        fail(handshakes)
        handshakes.now += pause - 1
        assert [handshakes.resumed(), handshakes.resumed()] == [False, False]
        handshakes.now += 1


def test_pause_after_a_server_that_stopped(handshakes: Handshakes) -> None:
    """Connections that fail together begin one short pause; so do later ones after a session was resumed."""
    assert not handshakes.resumed()
    for _ in range(2):
        fail(handshakes, resuming=50)
        assert [handshakes.resumed(), handshakes.resumed()] == [False, False]
        handshakes.now += 4
        assert handshakes.resumed()


def test_refused_connections(handshakes: Handshakes) -> None:
    """A connection that fails before it has offered a session says nothing about sessions."""
    handshakes.resumed()
    fail(handshakes, resuming=0)
    assert handshakes.resumed()


def test_untrusted_certificate(handshakes: Handshakes) -> None:
    """A server whose certificate is not trusted is refused, whatever sessions there are."""
    assert not handshakes.resumed()
    handshakes.authority = trustme.CA()
    handshakes.server = handshakes.new_server()
    with pytest.raises(ssl.SSLCertVerificationError):
        handshakes.resumed()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("after", [False, True], ids=["within", "after"])
async def test_new_connections(
    whiterabbit_emulator: Emulator, tmp_path: Path, version: ssl.TLSVersion, after: bool
) -> None:
    """New connections resume the session of an earlier one; if that breaks the handshake, the next ones do not.

    The client's part of the handshake may have ended before the server's breaks it.
    """
    context, reused = server_context(tmp_path), []
    context.maximum_version = version
    is_down = threading.Event()

    def handle(connection: socket.socket) -> None:
        if is_down.is_set() and not after:
            return  # which closes the connection within the handshake
        with context.wrap_socket(connection, server_side=True) as tls:
            if is_down.is_set() and tls.session_reused:
                return
            reused.append(tls.session_reused)
            read_request(tls)
            tls.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\nConnection: close\r\n\r\n{"id": "e-1"}')

    with concurrent_server(handle) as port:
        url, ca_bundle = f"https://127.0.0.1:{port}", str(tmp_path / "ca.pem")
        settings = settings_for(whiterabbit_emulator, url, ca_bundle=ca_bundle, http2=False)
        async with AsyncClient(settings) as client:
            for _ in range(3):
                await client.send(api.get_execution("e-1"))
            is_down.set()
            with contextlib.nullcontext() if after else pytest.raises(WhiteRabbitTransportError):
                await client.send(api.get_execution("e-1"))  # aiohttp sends a read once more by itself
            is_down.clear()
            for _ in range(2):
                await client.send(api.get_execution("e-1"))
    assert reused == [False, True, True, *([False] * (2 + after))]
