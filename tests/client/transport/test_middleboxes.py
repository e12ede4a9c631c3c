"""Answers as proxies, load balancers and servers that shut down give them: the same in both transports."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
from collections.abc import Iterator

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport import exchange as base
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.emulator import Emulator, effects
from tests.client.servers import request_of, server
from tests.client.transports import Ask, both, every, settings_for

RECORD = {"id": "e-1", "module": "PAY", "status": "COMPLETED", "output": {"paid": 1}}
BODY = json.dumps(RECORD).encode()


@contextlib.contextmanager
def answering(*pieces: bytes, dribble: float | None = None) -> Iterator[tuple[str, list[bytes]]]:
    """Give every request the same answer and hang up; yield the URL, and the requests that came.

    :param dribble: seconds between the bytes that follow without an end.
    """
    came: list[bytes] = []
    leave = threading.Event()

    def answer(connection: socket.socket) -> None:
        came.append(request_of(connection))
        for piece in pieces:
            connection.sendall(piece)
        while dribble is not None and not leave.wait(dribble):
            connection.sendall(b"x")

    with server(answer) as port:
        try:
            yield f"http://127.0.0.1:{port}", came
        finally:
            leave.set()


def head(*lines: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    return "\r\n".join([f"HTTP/{version} {status}", "Content-Type: application/json", *lines, "", ""]).encode("latin-1")


LENGTH = f"Content-Length: {len(BODY)}"
CLOSING = {
    "with a length": (head("Connection: close", LENGTH), BODY),
    "with a length, in two pieces": (head("Connection: close", LENGTH), BODY[:10], BODY[10:]),
    "without a length": (head("Connection: close"), BODY),
    "in a chunk": (
        head("Connection: close", "Transfer-Encoding: chunked"),
        f"{len(BODY):x}\r\n".encode() + BODY + b"\r\n0\r\n\r\n",
    ),
    "of HTTP/1.0": (head(LENGTH, version="1.0"), BODY),
}


@both
@pytest.mark.parametrize("kind", CLOSING)
def test_last_answer_of_a_connection(whiterabbit_emulator: Emulator, ask: Ask, kind: str) -> None:
    """A server that closes the connection behind its answer has answered."""
    with answering(*CLOSING[kind]) as (url, _):
        assert ask(settings_for(whiterabbit_emulator, url), "e-1") == RECORD


@pytest.mark.parametrize("kind", CLOSING)
def test_last_answer_to_a_submission(whiterabbit_emulator: Emulator, kind: str) -> None:
    """The id in it is known, and what was submitted is not submitted again."""
    told: list[str] = []
    with answering(*CLOSING[kind]) as (url, came), Client(settings_for(whiterabbit_emulator, url)) as client:
        assert client.submit(api.execute_component("PAY"), submitted=told.append) == RECORD
    assert (told, len(came)) == (["e-1"], 1)


@both
def test_last_refusal_of_a_connection(whiterabbit_emulator: Emulator, ask: Ask) -> None:
    """Its reason is read."""
    body = b'{"message": "key revoked"}'
    refusal = head("Connection: close", f"Content-Length: {len(body)}", status="403 Forbidden"), body
    with answering(*refusal) as (url, _), pytest.raises(exc.WhiteRabbitPermissionError, match="key revoked"):
        ask(settings_for(whiterabbit_emulator, url), "e-1")


@every
@pytest.mark.parametrize("location", ["/caf\xe9", "http://[::1", "http://127.0.0.1:1/", "//", ""])
def test_redirects_to_nowhere(whiterabbit_emulator: Emulator, ask: Ask, location: str) -> None:
    """A redirect is refused whatever its target looks like."""
    answer = head(f"Location: {location}", "Content-Length: 0", status="302 Found")
    with answering(answer) as (url, _), pytest.raises(exc.WhiteRabbitResponseError, match="never redirects"):
        ask(settings_for(whiterabbit_emulator, url), "e-1")


def test_redirect_of_a_submission(whiterabbit_emulator: Emulator) -> None:
    """It is not known whether anything runs, whatever the target looks like."""
    answer = head("Location: /caf\xe9", "Content-Length: 0", status="302 Found")
    with (
        answering(answer) as (url, _),
        Client(settings_for(whiterabbit_emulator, url)) as client,
        pytest.raises(exc.WhiteRabbitUncertainSubmissionError),
    ):
        client.submit(api.execute_component("PAY"))


@both
def test_redirect_that_does_not_end(whiterabbit_emulator: Emulator, ask: Ask) -> None:
    """Its body is bounded in time like any other."""
    answer = head("Location: /", "Content-Length: 100000", status="302 Found")
    with answering(answer, dribble=0.02) as (url, _), pytest.raises(exc.WhiteRabbitTransportError):
        ask(settings_for(whiterabbit_emulator, url, request_timeout=0.05), "e-1")


def compressed(body: bytes) -> tuple[bytes, bytes]:
    return head("Content-Encoding: gzip", f"Content-Length: {len(body)}"), body


@both
def test_compression_that_nobody_asked_for(whiterabbit_emulator: Emulator, ask: Ask) -> None:
    """It is undone."""
    with answering(*compressed(gzip.compress(BODY))) as (url, _):
        assert ask(settings_for(whiterabbit_emulator, url), "e-1") == RECORD


@both
@pytest.mark.parametrize(
    "body",
    [gzip.compress(b'{"a": "' + b"x" * 20_000 + b'"}'), b"no gzip", b"\x1f\x8b\x08"],
    ids=["too much", "none", "cut off"],
)
def test_compression_that_is_none_or_too_much(
    whiterabbit_emulator: Emulator, ask: Ask, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is broken, or larger than an answer may be, is no answer."""
    monkeypatch.setattr(base, "MAX_RESPONSE_BYTES", 10_000)
    with answering(*compressed(body)) as (url, _), pytest.raises(exc.WhiteRabbitTransportError):
        ask(settings_for(whiterabbit_emulator, url), "e-1")


def test_cookies_are_not_kept(whiterabbit_emulator: Emulator) -> None:
    """A load balancer's cookie would tie all requests to one server."""
    answer = head("Set-Cookie: lb=1; Path=/", LENGTH, "Connection: close"), BODY
    with answering(*answer) as (url, came), Client(settings_for(whiterabbit_emulator, url)) as client:
        for _ in range(2):
            client.send(api.get_execution("e-1"))
    assert not [request for request in came if b"cookie" in request.lower()]


@pytest.mark.parametrize("status", [200, 202, 204])
def test_empty_answer_to_what_was_done(whiterabbit_emulator: Emulator, status: int) -> None:
    """A redelivery that is answered with nothing was made, once; a submission without an id is uncertain."""
    wr = whiterabbit_emulator
    with Client(settings_for(wr)) as client:
        execution = client.submit(api.execute_component("PAY", callback_url=f"{wr.url}/nobody-listens-here"))
        for kind in ("replay", "submit"):
            wr.fault(effects.Answer(status, process=True), kind=kind)
        assert client.call(api.redeliver_callback(execution["id"])) is None
        with pytest.raises(exc.WhiteRabbitUncertainSubmissionError, match="no id"):
            client.submit(api.execute_component("PAY"))
    assert len(wr.requests(kind="replay")) == 1
