"""Answers that never end and never pause: both clients give up in time, and say of a submission whether it was sent.

Each case sends a byte or a line again and again until the client closes the connection, so that no single read from the
socket is ever too slow. Without a limit in all, these tests would hang.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import Emulator
from tests.client.servers import read_request, server
from tests.client.transports import Fetch, failure_in_the_answer, records_and_streams, settings_for

LIMITS = {"request_timeout": 0.3, "answer_timeouts": 2.0}
"""The time limits of the settings: of one read in seconds, and how many times that an answer may take in all."""

CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

ENDLESS = {
    "reason phrase": (b"HTTP/1.1 200 O", b"K"),  # RFC 9112, section 4
    "field line": (b"HTTP/1.1 200 OK\r\nX-Slow: ", b"x"),  # RFC 9112, section 5
    "field lines": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "empty lines": (b"", b"\r\n"),  # RFC 9112, section 2.2
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),  # RFC 9110, section 15.2
    "103 Early Hints": (b"HTTP/1.1 103 Early Hints\r\nLink: ", b"x"),  # RFC 8297
    "body": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),  # RFC 9112, section 6.2
    "chunk size": (CHUNKED, b"0"),  # RFC 9112, section 7.1
    "chunk extension": (CHUNKED + b"2;a=", b"b"),  # RFC 9112, section 7.1.1
    "trailers": (CHUNKED + b"2\r\n{}\r\n0\r\n", b"X: y\r\n"),  # RFC 9112, section 7.1.2
    "error": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 60000\r\n\r\n", b" "),
}
"""What a server sends first, and what it sends then without end."""

endless = pytest.mark.parametrize("kind", ENDLESS)


def keep_sending(send: Callable[[bytes], object], first: bytes, again: bytes, stop: threading.Event) -> None:
    """Send bytes again and again, until the client closes the connection or the test is over."""
    send(first)
    while not stop.wait(0.01):
        send(again)


@contextlib.contextmanager
def endless_server(kind: str, tls: ssl.SSLContext | None = None) -> Iterator[str]:
    """Run a server that begins an answer to every request and never ends it; yield its URL."""
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) if tls else connection as stream:
            read_request(stream)
            keep_sending(stream.sendall, *ENDLESS[kind], stop)

    with server(answer) as port:
        try:
            yield f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        finally:
            stop.set()


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, str]:
    """Return the TLS context of a server on this machine, and the path of its CA certificate."""
    authority = trustme.CA()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return context, str(tmp_path / "ca.pem")


@records_and_streams
@endless
def test_endless_answers(whiterabbit_emulator: Emulator, fetch: Fetch, kind: str) -> None:
    """Reading a record and opening a stream fail in time."""
    with endless_server(kind) as url, pytest.raises(exc.WhiteRabbitTransportError):
        fetch(settings_for(whiterabbit_emulator, url, **LIMITS), "e-1")


@endless
def test_endless_answers_to_submissions(whiterabbit_emulator: Emulator, kind: str) -> None:
    """A submission whose answer does not end is uncertain, because it was sent."""
    with (
        endless_server(kind) as url,
        Client(settings_for(whiterabbit_emulator, url, **LIMITS), sleep=lambda _: None) as client,
        pytest.raises(exc.WhiteRabbitUncertainSubmissionError),
    ):
        client.submit(api.execute_component("PAY"))


@pytest.mark.parametrize("kind", ["field line", "chunk extension", "trailers"])
def test_endless_answers_over_tls(whiterabbit_emulator: Emulator, kind: str, tls: tuple[ssl.SSLContext, str]) -> None:
    """The limits hold for TLS connections too."""
    context, ca_bundle = tls
    with endless_server(kind, context) as url:
        settings = settings_for(whiterabbit_emulator, url, **LIMITS, ca_bundle=ca_bundle)
        with Client(settings) as client:
            assert "not complete" in failure_in_the_answer(lambda: client.send(api.get_execution("e-1")))


PROXY_ANSWERS = {
    "head": (b"HTTP/1.1 200 Connection established\r\nX-Slow: ", b"x"),
    "interim": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "TLS": (b"HTTP/1.1 200 OK\r\n\r\n\x16\x03\x03\x40\x00", b"\x00"),  # a TLS record that comes byte by byte
}
"""What a proxy sends first in answer to CONNECT, and what it sends then without end."""


@records_and_streams
@pytest.mark.parametrize("kind", PROXY_ANSWERS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_endless_answers_of_proxies(
    whiterabbit_emulator: Emulator,
    fetch: Fetch,
    kind: str,
    scheme: str,
    tls: tuple[ssl.SSLContext, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A tunnel through a proxy, itself reached with or without TLS, is given up in time."""
    with endless_proxy(kind, tls[0] if scheme == "https" else None) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        settings = settings_for(whiterabbit_emulator, "https://whiterabbit.invalid", **LIMITS, ca_bundle=tls[1])
        with pytest.raises(exc.WhiteRabbitTransportError):
            fetch(settings, "e-1")


@pytest.mark.parametrize("kind", PROXY_ANSWERS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_submissions_through_endless_proxies(
    whiterabbit_emulator: Emulator,
    kind: str,
    scheme: str,
    tls: tuple[ssl.SSLContext, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A submission whose tunnel is never ready was certainly not sent."""
    with endless_proxy(kind, tls[0] if scheme == "https" else None) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"{scheme}://127.0.0.1:{port}")
        monkeypatch.setenv("NO_PROXY", "")
        settings = settings_for(whiterabbit_emulator, "https://whiterabbit.invalid", **LIMITS, ca_bundle=tls[1])
        with Client(settings, sleep=lambda _: None) as client, pytest.raises(exc.WhiteRabbitTransportError) as caught:
            client.submit(api.execute_component("PAY"))
    assert not caught.value.sent


@contextlib.contextmanager
def endless_proxy(kind: str, tls: ssl.SSLContext | None) -> Iterator[int]:
    """Run a proxy that never ends its answer to CONNECT; yield its port."""
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) if tls else connection as stream:
            stream.recv(65536)
            keep_sending(stream.sendall, *PROXY_ANSWERS[kind], stop)

    with server(answer) as port:
        try:
            yield port
        finally:
            stop.set()


def test_server_that_reads_slowly(whiterabbit_emulator: Emulator) -> None:
    """A large submission to a server that reads it too slowly ends in time, and is uncertain."""
    stop = threading.Event()

    def read_slowly(connection: socket.socket) -> None:
        while not stop.wait(0.01):
            connection.recv(1024)

    with server(read_slowly) as port:
        settings = settings_for(whiterabbit_emulator, f"http://127.0.0.1:{port}", **LIMITS)
        with (
            Client(settings, sleep=lambda _: None) as client,
            pytest.raises(exc.WhiteRabbitUncertainSubmissionError),
        ):
            client.submit(api.execute_component("PAY", {"x": "y" * 20_000_000}))
        stop.set()


def test_events_behind_an_endless_chunk_extension(whiterabbit_emulator: Emulator) -> None:
    """A stream whose bytes never become a part of its body is silent."""
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        read_request(connection)
        head = CHUNKED.replace(b"application/json", b"text/event-stream")
        keep_sending(connection.sendall, head + b"8\r\n:ping\n\n\n\r\n2;a=", b"b", stop)

    with server(answer) as port:
        settings = settings_for(whiterabbit_emulator, f"http://127.0.0.1:{port}")
        with (
            Client(settings, Timing(silence=0.3)) as client,
            pytest.raises(exc.WhiteRabbitStreamError, match="silent"),
        ):
            list(client.events(EXECUTION.followed("e-1")))
        stop.set()
