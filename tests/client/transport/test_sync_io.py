"""The connections of the blocking client: TLS, proxies, time limits, and what the environment must not change."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.emulator import Emulator
from tests.client.servers import refusing_proxy, server
from tests.client.transports import failure_in_the_answer, settings_for


@pytest.fixture
def authority() -> trustme.CA:
    """Return a certificate authority that nobody trusts."""
    return trustme.CA()


def server_context(authority: trustme.CA) -> ssl.SSLContext:
    """Return the TLS context of a server on this machine with a certificate of this authority."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


def test_corrupt_tls_record_in_the_answer(
    whiterabbit_emulator: Emulator, authority: trustme.CA, tmp_path: Path
) -> None:
    """A submission that was sent is uncertain if a corrupt TLS record follows, although that is an `SSLError` too."""
    ca_bundle = str(tmp_path / "ca.pem")
    authority.cert_pem.write_to_path(ca_bundle)
    context = server_context(authority)
    received: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_side=True)

        def pump(action: Callable[[], Any]) -> Any:
            while True:
                try:
                    result = action()
                except ssl.SSLWantReadError:
                    connection.sendall(outgoing.read())
                    incoming.write(connection.recv(65536))
                else:
                    connection.sendall(outgoing.read())
                    return result

        pump(tls.do_handshake)
        request = b""
        while not request.endswith(b"}"):
            request += pump(lambda: tls.read(65536))
        received.append(request)
        tls.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        record = bytearray(outgoing.read())
        record[-1] ^= 0xFF
        connection.sendall(record)

    with server(handle) as port:
        settings = settings_for(whiterabbit_emulator, f"https://127.0.0.1:{port}", ca_bundle=ca_bundle)
        with (
            Client(settings, sleep=lambda _: None) as client,
            pytest.raises(exc.WhiteRabbitUncertainSubmissionError, match="SSL"),
        ):
            client.submit(api.execute_component("PAY"))
    assert len(received) == 1


def test_untrusted_certificate(whiterabbit_emulator: Emulator, authority: trustme.CA) -> None:
    """A certificate of an unknown authority is refused before a byte of the request is sent."""
    context = server_context(authority)
    received: list[bytes] = []

    def handle(connection: socket.socket) -> None:
        with contextlib.suppress(ssl.SSLError):
            received.append(context.wrap_socket(connection, server_side=True).recv(1))

    with server(handle) as port:
        settings = settings_for(whiterabbit_emulator, f"https://127.0.0.1:{port}")
        with Client(settings, sleep=lambda _: None) as client, pytest.raises(exc.WhiteRabbitTransportError) as caught:
            client.submit(api.execute_component("PAY"))
    assert not caught.value.sent
    assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)
    assert not any(received)


def test_submission_through_a_proxy_that_refuses(
    whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A submission was never sent if the environment's proxy refuses the CONNECT; the proxy sees no key."""
    with refusing_proxy() as (port, received):
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:hunter2@127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        settings = settings_for(whiterabbit_emulator, "https://whiterabbit.invalid")
        with Client(settings, sleep=lambda _: None) as client, pytest.raises(exc.WhiteRabbitTransportError) as caught:
            client.submit(api.execute_component("PAY"))
    assert received[0].startswith(b"CONNECT whiterabbit.invalid:443")
    assert not caught.value.sent
    assert "hunter2" not in f"{caught.value}"
    assert whiterabbit_emulator.api_key.encode() not in b"".join(received)


def test_no_proxy_for_this_machine(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain HTTP to this machine never goes through a proxy, which would see the API key."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    with Client(client.settings) as direct:
        direct.submit(api.execute_component("X"))


@pytest.mark.parametrize("head", [b"Content-Length: 100000", b"Connection: close"])
def test_time_limit_of_every_kind_of_body(whiterabbit_emulator: Emulator, head: bytes) -> None:
    """The time limit holds for bodies with and without a length, also if a byte arrives every now and then."""
    stop = threading.Event()

    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + head + b"\r\n\r\n")
        while not stop.wait(0.02):
            connection.sendall(b" ")

    with server(handle) as port:
        settings = settings_for(whiterabbit_emulator, f"http://127.0.0.1:{port}", request_timeout=5)
        with Client(settings) as client:
            message = failure_in_the_answer(lambda: client.send(api.get_execution("e-1"), within=0.3))
        assert "not complete" in message
        stop.set()


def test_netrc_is_ignored(
    client: Client, whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A password in ``.netrc`` is not sent to White Rabbit."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password hunter2")
    monkeypatch.setenv("NETRC", str(netrc))
    client.submit(api.execute_component("X"))
    assert "authorization" not in {name.lower() for name in whiterabbit_emulator.requests(kind="submit")[0].headers}


def test_slow_body_is_freed_at_once(whiterabbit_emulator: Emulator) -> None:
    """A large body that is too slow is freed with its error, and does not wait for the garbage collector."""
    stop = threading.Event()

    def handle(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b" " * 8_000_000)
        while not stop.wait(0.02):
            connection.sendall(b" ")

    gc.disable()
    tracemalloc.start()
    try:
        with server(handle) as port:
            settings = settings_for(whiterabbit_emulator, f"http://127.0.0.1:{port}", request_timeout=5)
            with Client(settings) as client:
                message = failure_in_the_answer(lambda: client.send(api.get_execution("e-1"), within=1))
            stop.set()
        assert "not complete" in message
        assert tracemalloc.get_traced_memory()[0] < 4_000_000
    finally:
        tracemalloc.stop()
        gc.enable()
