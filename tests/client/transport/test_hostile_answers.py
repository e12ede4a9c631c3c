"""Answers that are allowed but unusual, or made to harm: what both clients make of them, within bounds of memory."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from email.utils import formatdate

import aiohttp
import pytest
from packaging.version import Version

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.client.wire.sse import event_data
from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.modules import MODULES
from tests.client.servers import read_request, server
from tests.client.transports import Fetch, both_clients, records_and_streams, settings_for, streams

RECORD = {"id": "e-1", "module": "PAY", "status": "COMPLETED", "output": {"paid": 1}}
BODY = json.dumps(RECORD).encode()
MEMORY = 16 * 1024 * 1024
"""Bytes, more than a client needs for any of these answers."""


@contextlib.contextmanager
def answering(*pieces: bytes) -> Iterator[str]:
    """Run a server that answers every request with these pieces and closes; yield its URL."""

    def answer(connection: socket.socket) -> None:
        read_request(connection)
        for piece in pieces:
            connection.sendall(piece)

    with server(answer) as port:
        yield f"http://127.0.0.1:{port}"


def head(*lines: str, status: str = "200 OK", kind: str = "application/json") -> bytes:
    """Return the head of an answer whose body ends with the connection."""
    fields = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", "Connection: close", *lines, "", ""]
    return "\r\n".join(fields).encode("latin-1")


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    """Check that the body of the ``with`` allocates less than `MEMORY` at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


# --- interim responses (RFC 9110, section 15.2)

INTERIM = {
    "100": b"HTTP/1.1 100 Continue\r\n\r\n",
    "102": b"HTTP/1.1 102 Processing\r\n\r\n",
    "103": b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n",
    "unknown": b"HTTP/1.1 199 Whatever\r\nX: y\r\n\r\n",
    "many": 20 * b"HTTP/1.1 103 Early Hints\r\n\r\n",
}


@both_clients
@pytest.mark.parametrize("kind", INTERIM)
def test_interim_responses_are_skipped(whiterabbit_emulator: Emulator, fetch: Fetch, kind: str) -> None:
    """The final response counts, however many interim responses precede it."""
    with answering(INTERIM[kind], head(), BODY) as url:
        assert fetch(settings_for(whiterabbit_emulator, url), "e-1") == RECORD


@pytest.mark.parametrize("kind", INTERIM)
def test_interim_responses_to_submissions(whiterabbit_emulator: Emulator, kind: str) -> None:
    """A submission has the id of the final response, and is sent once."""
    with (
        answering(INTERIM[kind], head(), BODY) as url,
        Client(settings_for(whiterabbit_emulator, url)) as client,
    ):
        assert client.submit(api.execute_component("PAY"))["id"] == "e-1"


def test_too_many_interim_responses(whiterabbit_emulator: Emulator) -> None:
    """After 100 interim responses the blocking client gives up, however fast they come."""
    with (
        answering(1000 * INTERIM["100"], head(), BODY) as url,
        Client(settings_for(whiterabbit_emulator, url)) as client,
        pytest.raises(exc.WhiteRabbitTransportError, match="more than 100 interim responses"),
    ):
        client.send(api.get_execution("e-1"))


@both_clients
def test_switching_protocols_is_no_interim_response(whiterabbit_emulator: Emulator, fetch: Fetch) -> None:
    """101, which nobody asked for, is an error (RFC 9110, section 15.2.2)."""
    with (
        answering(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n") as url,
        pytest.raises(exc.WhiteRabbitError),
    ):
        fetch(settings_for(whiterabbit_emulator, url, request_timeout=1), "e-1")


# --- content encodings (RFC 9110, section 8.4)


def raw_deflate(data: bytes) -> bytes:
    """Compress without a header, as some servers understand deflate (RFC 1951)."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


ENCODED = {
    "identity": ("identity", lambda data: data),
    "gzip": ("gzip", gzip.compress),
    "GZIP": ("GZIP", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "gzip in two members": ("gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:])),
    "deflate": ("deflate", zlib.compress),
    "Deflate without a header": ("Deflate", raw_deflate),
}


@both_clients
@pytest.mark.parametrize("kind", ENCODED)
def test_content_encodings(whiterabbit_emulator: Emulator, fetch: Fetch, kind: str) -> None:
    """A record is decompressed, however its bytes are cut."""
    encoding, compress = ENCODED[kind]
    body = compress(BODY)
    with answering(head(f"Content-Encoding: {encoding}"), body[:1], body[1:12], body[12:]) as url:
        assert fetch(settings_for(whiterabbit_emulator, url), "e-1") == RECORD


@streams
@pytest.mark.parametrize("kind", ENCODED)
def test_content_encodings_of_streams(whiterabbit_emulator: Emulator, fetch: Fetch, kind: str) -> None:
    """The events of a compressed stream are decompressed."""
    encoding, compress = ENCODED[kind]
    body = compress(b'data: {"a": 1}\n\n')
    fields = head(f"Content-Encoding: {encoding}", kind="text/event-stream")
    with answering(fields, body[:1], body[1:]) as url:
        found = fetch(settings_for(whiterabbit_emulator, url), "e-1")
        assert [event_data(event) for event in found] == [{"a": 1}]


@both_clients
@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress"])
def test_unknown_content_encodings(whiterabbit_emulator: Emulator, fetch: Fetch, encoding: str) -> None:
    """An answer with another encoding raises a transport error that names the encoding."""
    with (
        answering(head(f"Content-Encoding: {encoding}"), BODY) as url,
        pytest.raises(exc.WhiteRabbitTransportError, match=f"content encoding '{encoding}'"),
    ):
        fetch(settings_for(whiterabbit_emulator, url), "e-1")


@streams
def test_unknown_content_encoding_of_a_stream(whiterabbit_emulator: Emulator, fetch: Fetch) -> None:
    """A stream with another encoding raises a transport error that names the encoding."""
    with (
        answering(head("Content-Encoding: br", kind="text/event-stream"), b"?") as url,
        pytest.raises(exc.WhiteRabbitTransportError, match="content encoding 'br'"),
    ):
        fetch(settings_for(whiterabbit_emulator, url), "e-1")


# --- bodies of errors


@records_and_streams
@pytest.mark.parametrize(
    "body", [b"<html>" + b"x" * 8_000_000, gzip.compress(b"x" * 100_000_000)], ids=["plain", "bomb"]
)
def test_large_bodies_of_errors(whiterabbit_emulator: Emulator, fetch: Fetch, body: bytes) -> None:
    """Of an error's body 64 KiB are read, and its status counts, also if it becomes large when it is decompressed."""
    encoding = "gzip" if body.startswith(b"\x1f\x8b") else "identity"
    answer = head(f"Content-Encoding: {encoding}", "Retry-After: 7", status="503 Busy"), body
    with answering(*answer) as url, little_memory(), pytest.raises(exc.WhiteRabbitServerError) as caught:
        fetch(settings_for(whiterabbit_emulator, url), "e-1")
    assert (caught.value.status, caught.value.retry_after) == (503, 7.0)


@records_and_streams
@pytest.mark.parametrize("encoding", ["br", "gzip", "deflate, gzip"])
def test_errors_that_can_not_be_decompressed(whiterabbit_emulator: Emulator, fetch: Fetch, encoding: str) -> None:
    """The status of an error counts although its body is of no use."""
    with (
        answering(head(f"Content-Encoding: {encoding}", status="404 Not Found"), BODY) as url,
        pytest.raises(exc.WhiteRabbitNotFoundError) as caught,
    ):
        fetch(settings_for(whiterabbit_emulator, url), "e-1")
    assert not caught.value.is_from_api


@both_clients
def test_bomb_as_a_record(whiterabbit_emulator: Emulator, fetch: Fetch) -> None:
    """Decompression stops at `max_answer_bytes`."""
    body = gzip.compress(b" " * 200_000_000)
    with (
        answering(head("Content-Encoding: gzip"), body) as url,
        little_memory(),
        pytest.raises(exc.WhiteRabbitTransportError, match="more than 1000000 bytes"),
    ):
        fetch(settings_for(whiterabbit_emulator, url, max_answer_bytes=1_000_000), "e-1")


@records_and_streams
@pytest.mark.skipif(
    Version(aiohttp.__version__) < Version("3.14"), reason="aiohttp limits the fields of a head from 3.14 on"
)
def test_flood_of_header_fields(whiterabbit_emulator: Emulator, fetch: Fetch) -> None:
    """A head with far too many fields is refused."""
    fields = [f"X-{number}: {'y' * 4000}" for number in range(2000)]
    with (
        answering(head(*fields), BODY) as url,
        little_memory(),
        pytest.raises(exc.WhiteRabbitTransportError),
    ):
        fetch(settings_for(whiterabbit_emulator, url), "e-1")


def test_flood_outside_the_body(whiterabbit_emulator: Emulator) -> None:
    """The blocking client reads about a megabyte more than the largest body: trailers count too."""
    chunked = head("Transfer-Encoding: chunked") + b"2\r\n{}\r\n0\r\n"
    with (
        answering(chunked, *(100 * [100 * (b"X: " + b"y" * 1000 + b"\r\n")])) as url,
        Client(settings_for(whiterabbit_emulator, url, max_answer_bytes=100_000)) as client,
        pytest.raises(exc.WhiteRabbitTransportError, match="too many bytes"),
    ):
        client.send(api.get_execution("e-1"))


# --- ids of requests


@records_and_streams
@pytest.mark.parametrize(
    ("fields", "request_id"),
    [
        (["X-Request-Id: abc-1"], "abc-1"),
        (["CF-Ray: 8d1-FRA", "X-Correlation-ID: c-2"], "c-2"),
        (["Traceparent: 00-4bf9-00f0-01"], "00-4bf9-00f0-01"),
        (["X-Request-Id: "], None),
        (["X-Request-Id: \xff\xfe", "cf-ray: r"], "r"),
        (["X-Request-Id: " + "x" * 5000], "x" * 100),
        ([], None),
    ],
)
def test_request_ids(whiterabbit_emulator: Emulator, fetch: Fetch, fields: list[str], request_id: str | None) -> None:
    """A response error has the id that the server gave the request, and its message ends with it."""
    with answering(head(*fields, status="500 Broken")) as url, pytest.raises(exc.WhiteRabbitServerError) as caught:
        fetch(settings_for(whiterabbit_emulator, url), "e-1")
    assert caught.value.request_id == request_id
    assert str(caught.value).endswith(f" (request id {request_id})") is (request_id is not None)


# --- a clock that is not White Rabbit's


def refusing(received: list[bytes]) -> contextlib.AbstractContextManager[int]:
    """Run a server that refuses every request with a `Date` that is two minutes ahead; yield its port."""

    def answer(connection: socket.socket) -> None:
        received.append(read_request(connection))
        date = formatdate(time.time() + 120, usegmt=True)
        connection.sendall(head(f"Date: {date}", status="401 Unauthorized") + b'{"code": "KEY", "message": "revoked"}')

    return server(answer)


def test_useless_correction_of_the_clock(whiterabbit_emulator: Emulator) -> None:
    """A correction is taken back if the corrected request is refused too: a wrong `Date` spoils no later signature."""
    received: list[bytes] = []
    with refusing(received) as port:
        settings = settings_for(whiterabbit_emulator, f"http://127.0.0.1:{port}")
        with Client(settings) as client, pytest.raises(exc.WhiteRabbitAuthenticationError, match="revoked"):
            client.send(api.get_execution("e-1"))
    assert (len(received), client.clock_offset) == (2, 0.0)


async def test_useless_correction_of_the_clock_of_a_trigger(whiterabbit_emulator: Emulator) -> None:
    """The asynchronous client takes a useless correction back as well."""
    received: list[bytes] = []
    with refusing(received) as port:
        async with AsyncClient(settings_for(whiterabbit_emulator, f"http://127.0.0.1:{port}")) as client:
            with pytest.raises(exc.WhiteRabbitAuthenticationError, match="revoked"):
                await client.send(api.get_execution("e-1"))
    assert (len(received), client.clock_offset) == (2, 0.0)


@both_clients
@pytest.mark.parametrize("line", ["no colon at all", "X-\xff\x9b: 1", "a b: 1"])
def test_defective_heads_write_no_lines(fetch: Fetch, line: str, caplog: pytest.LogCaptureFixture) -> None:
    """A library does not log the server's text, with a traceback, for each answer whose head has a defect."""
    caplog.set_level("INFO")
    with (
        answering(head(line), BODY) as url,
        contextlib.suppress(exc.WhiteRabbitTransportError),
        Emulator(components=MODULES) as emulator,
    ):
        fetch(settings_for(emulator, url), "e-1")
    assert [record.getMessage() for record in caplog.records if record.name.startswith("urllib3")] == []
