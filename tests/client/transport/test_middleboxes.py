"""Answers of proxies, of load balancers and of servers that shut down, with both transports."""

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
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.emulator import Emulator, effects
from tests.client.servers import read_request, server
from tests.client.transports import Fetch, both_clients, records_and_streams, settings_for

RECORD = {"id": "e-1", "module": "PAY", "status": "COMPLETED", "output": {"paid": 1}}
BODY = json.dumps(RECORD).encode()


@contextlib.contextmanager
def answering(*pieces: bytes, dribble: float | None = None) -> Iterator[tuple[str, list[bytes]]]:
    """Run a server that answers every request with these pieces and closes; yield its URL and the received requests.

    :param dribble: seconds between further bytes, which never end; None for no further bytes.
    """
    received: list[bytes] = []
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        received.append(read_request(connection))
        for piece in pieces:
            connection.sendall(piece)
        while dribble is not None and not stop.wait(dribble):
            connection.sendall(b"x")

    with server(answer) as port:
        try:
            yield f"http://127.0.0.1:{port}", received
        finally:
            stop.set()


def head(*lines: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    """Return the head of an answer, with these header lines."""
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


@both_clients
@pytest.mark.parametrize("kind", CLOSING)
def test_answer_before_the_connection_closes(whiterabbit_emulator: Emulator, fetch: Fetch, kind: str) -> None:
    """An answer is read completely although the server closes the connection after it."""
    with answering(*CLOSING[kind]) as (url, _):
        assert fetch(settings_for(whiterabbit_emulator, url), "e-1") == RECORD


@pytest.mark.parametrize("kind", CLOSING)
def test_answer_to_a_submission_before_the_connection_closes(whiterabbit_emulator: Emulator, kind: str) -> None:
    """A submission whose connection closes after the answer gives its id, and is not sent again."""
    ids: list[str] = []
    with answering(*CLOSING[kind]) as (url, received), Client(settings_for(whiterabbit_emulator, url)) as client:
        assert client.submit(api.execute_component("PAY"), on_id=ids.append) == RECORD
    assert (ids, len(received)) == (["e-1"], 1)


@both_clients
def test_refusal_before_the_connection_closes(whiterabbit_emulator: Emulator, fetch: Fetch) -> None:
    """The reason of a refusal is read although the server closes the connection after it."""
    body = b'{"message": "key revoked"}'
    refusal = head("Connection: close", f"Content-Length: {len(body)}", status="403 Forbidden"), body
    with answering(*refusal) as (url, _), pytest.raises(exc.WhiteRabbitPermissionError, match="key revoked"):
        fetch(settings_for(whiterabbit_emulator, url), "e-1")


@records_and_streams
@pytest.mark.parametrize("location", ["/caf\xe9", "http://[::1", "http://127.0.0.1:1/", "//", ""])
def test_redirects_to_malformed_targets(whiterabbit_emulator: Emulator, fetch: Fetch, location: str) -> None:
    """A redirect is an error, whether its target is a valid URL or not."""
    answer = head(f"Location: {location}", "Content-Length: 0", status="302 Found")
    with answering(answer) as (url, _), pytest.raises(exc.WhiteRabbitResponseError, match="never redirects"):
        fetch(settings_for(whiterabbit_emulator, url), "e-1")


def test_redirect_of_a_submission(whiterabbit_emulator: Emulator) -> None:
    """A submission that is answered with a redirect is uncertain, also if the target is malformed."""
    answer = head("Location: /caf\xe9", "Content-Length: 0", status="302 Found")
    with (
        answering(answer) as (url, _),
        Client(settings_for(whiterabbit_emulator, url)) as client,
        pytest.raises(exc.WhiteRabbitUncertainSubmissionError),
    ):
        client.submit(api.execute_component("PAY"))


@both_clients
def test_redirect_that_does_not_end(whiterabbit_emulator: Emulator, fetch: Fetch) -> None:
    """A redirect whose body never ends raises a transport error in time."""
    answer = head("Location: /", "Content-Length: 100000", status="302 Found")
    with answering(answer, dribble=0.02) as (url, _), pytest.raises(exc.WhiteRabbitTransportError):
        fetch(settings_for(whiterabbit_emulator, url, request_timeout=0.05), "e-1")


def compressed(body: bytes) -> tuple[bytes, bytes]:
    """Return head and body of an answer that claims to be compressed."""
    return head("Content-Encoding: gzip", f"Content-Length: {len(body)}"), body


@both_clients
def test_unrequested_compression(whiterabbit_emulator: Emulator, fetch: Fetch) -> None:
    """An answer that a proxy compressed, although the client did not ask for it, is decompressed."""
    with answering(*compressed(gzip.compress(BODY))) as (url, _):
        assert fetch(settings_for(whiterabbit_emulator, url), "e-1") == RECORD


@both_clients
@pytest.mark.parametrize(
    "body",
    [gzip.compress(b'{"a": "' + b"x" * 20_000 + b'"}'), b"no gzip", b"\x1f\x8b\x08"],
    ids=["too large", "not compressed", "cut off"],
)
def test_wrong_compression(whiterabbit_emulator: Emulator, fetch: Fetch, body: bytes) -> None:
    """A compressed answer that is malformed, or too large once it is decompressed, raises a transport error."""
    with answering(*compressed(body)) as (url, _), pytest.raises(exc.WhiteRabbitTransportError):
        fetch(settings_for(whiterabbit_emulator, url, max_answer_bytes=10_000), "e-1")


def test_cookies_are_not_kept(whiterabbit_emulator: Emulator) -> None:
    """A cookie of a load balancer is not sent back: it would tie all requests to one server."""
    answer = head("Set-Cookie: lb=1; Path=/", LENGTH, "Connection: close"), BODY
    with answering(*answer) as (url, received), Client(settings_for(whiterabbit_emulator, url)) as client:
        for _ in range(2):
            client.send(api.get_execution("e-1"))
    assert not [request for request in received if b"cookie" in request.lower()]


@pytest.mark.parametrize("status", [200, 202, 204])
def test_empty_answers_to_posts(whiterabbit_emulator: Emulator, status: int) -> None:
    """An empty answer to a redelivery is a success, sent once; an empty answer to a submission is uncertain."""
    wr = whiterabbit_emulator
    with Client(settings_for(wr)) as client:
        execution = client.submit(api.execute_component("PAY", callback_url=f"{wr.url}/nobody-listens-here"))
        for kind in ("replay", "submit"):
            wr.fault(effects.Answer(status, process=True), kind=kind)
        assert client.call(api.redeliver_callback(execution["id"])) is None
        with pytest.raises(exc.WhiteRabbitUncertainSubmissionError, match="has no usable 'id'"):
            client.submit(api.execute_component("PAY"))
    assert len(wr.requests(kind="replay")) == 1
