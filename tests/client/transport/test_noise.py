"""Random bytes as an answer: the clients raise no errors but those of this provider, in time, and read within bounds.

`make noise` sends 100,000 of them to each client.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import socket
import zlib
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.client.wait.commands import Close, Command, Open, Read
from airflow_provider_whiterabbit.emulator import Emulator
from tests.client.properties import examples
from tests.client.servers import read_request, server
from tests.client.transports import settings_for

COUNT = int(os.environ.get("NOISE_COUNT", "200"))
"""How many random answers each test sends to each client."""

ENDLESS_BYTES = 64 * 1024 * 1024
"""So much of an answer without end is sent at most."""

ENDLESS_STREAM = 16 * ENDLESS_BYTES
"""So much of an event stream without end. Empty lines are no error, so only time bounds how many of them are read."""

READ = api.get_execution("e-1")
STREAM = api.stream_execution("e-1")

STATUS_LINES = [
    b"HTTP/1.1 200 OK",
    b"HTTP/1.1 200",
    b"HTTP/1.0 404 X",
    b"HTTP/1.1 100 C",
    b"HTTP/1.1 503 \xff",
    b"HTTP/2 200",
    b"HTTP/1.1 99 X",
    b"HTTP/1.1 1000 X",
    b"ICY 200 OK",
    b"",
    b"HTTP/1.1 -1 X",
    b"HTTP/1.1 204 No Content",
]
FIELDS = [
    b"Content-Encoding: zstd",
    b"Trailer: X",
    b"Content-Length: 10",
    b"Content-Length: -1",
    b"Content-Length: 1, 2",
    b"Content-Length: 9\xb9",
    b"Content-Length: " + b"9" * 5000,
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Content-Encoding: gzip",
    b"Content-Encoding: deflate",
    b"Content-Encoding: br",
    b"Content-Type: text/event-stream",
    b"Content-Type: application/json; charset=\xff\x00",
    b"Connection: close",
    b"Connection: keep-alive",
    b"Retry-After: \xb2",
    b"Date: Thu, 99 Foo 2026",
    b"Set-Cookie: \xff=\x00; Expires=x",
    b": empty",
    b" folded",
    b"no colon",
    b"Location: http://[",
    b"X-Request-Id: \xed\xa0\x80",
    b"Upgrade: h2c",
    b"\x00: \x00",
]
PIECES = [
    b'{"id": "e-1", "status": "EXECUTING"}',
    b"data: {}\n\n",
    b"data: \xff\n\n",
    b'5\r\n{"a":\r\n0\r\n\r\n',
    b"-5\r\nxxxxx\r\n",
    b"ffffffffffffffffffff\r\nx",
    b"0x5\r\nxxxxx\r\n",
    b'5;a="\r\n"\r\nxxxxx\r\n',
    b"0\r\nA: b\r\n\r\n",
    b"\r\n",
    b"\x00" * 20,
    gzip.compress(b"{}"),
    gzip.compress(b"{}")[:9],
    b"[" * 5000,
    b'"\\ud83d"',
    b"1e999",
    b"9" * 5000,
    b"NaN",
    b"{}{}{}{}{}{}{}{}{}",
]
EVENTS = [
    b'data: {"executionId": "e-1", "status": "EXECUTING"}\n\n',
    b'data: {"executionId": "e-1", "status": "COMPLETED"}\n\n',
    b'data: {"executionId": "e-2", "status": "FAILED", "error": "\\ud83d"}\r\n\r\n',
    b"data: {}\r\r",
    b"data: \xff\n\n",
    b"data: [[[[\ndata: ]]]]\n\n",
    b"data\n\n",
    b"event: error\ndata: {}\n\n",
    b"retry: 99999999999999999999\n",
    b"id: \x00\n",
    b": ping\n",
    b"\xef\xbb\xbf",
    b"\n",
    b"\r",
    b"unknown: x\n\n",
]


@dataclass(frozen=True)
class Answer:
    """What the server sends: `data`, and then `endless` again and again, unless it is empty."""

    data: bytes
    endless: bytes = field(default=b"")


def cut(content: bytes, sizes: list[int]) -> bytes:
    """Return a body in chunks of these sizes."""
    chunks, place = [], 0
    for size in sizes:
        chunks.append(content[place : place + size])
        place += size
    chunks.append(content[place:])
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks if chunk) + b"0\r\n\r\n"


def framed(content_type: bytes, content: bytes, coding: str, framing: str, sizes: list[int]) -> bytes:
    """Return an answer 200 with this content, compressed and framed as told."""
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: " + content_type]
    if coding != "identity":
        content = gzip.compress(content, mtime=0) if coding == "gzip" else zlib.compress(content)
        lines.append(b"Content-Encoding: " + coding.encode())
    if framing == "chunked":
        lines.append(b"Transfer-Encoding: chunked")
        content = cut(content, sizes)
    elif framing != "close":
        lines.append(b"Content-Length: %d" % (len(content) + int(framing)))
    return b"\r\n".join([*lines, b"", content])


def pieces(known: list[bytes], most: int) -> st.SearchStrategy[list[bytes]]:
    """Draw a list of known pieces and of random bytes."""
    return st.lists(st.sampled_from(known) | st.sampled_from(known) | st.binary(max_size=30), max_size=most)


@st.composite
def answers(draw: st.DrawFn, whole: st.SearchStrategy[bytes], repeated: list[bytes]) -> Answer:
    """Draw an answer, perhaps with some other bytes, perhaps cut, and one in some hundreds without end."""
    data = bytearray(draw(whole))
    for place, byte in draw(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=3)):
        if data:
            data[place % len(data)] = byte
    length = draw(st.none() | st.none() | st.integers(0, 2000))
    endless = draw(st.integers(0, 400)) == 137
    return Answer(bytes(data[:length]), draw(st.sampled_from(repeated)) if endless else b"")


codings = st.sampled_from(["identity", "identity", "gzip", "deflate"])
framings = st.sampled_from(["chunked", "close", "0", "-1", "5"])
cuts = st.lists(st.integers(1, 40), max_size=4)
heads = st.builds(
    lambda status, lines, body: b"\r\n".join([status, *lines, b"", b"".join(body)]),
    st.sampled_from(STATUS_LINES[:1]) | st.sampled_from(STATUS_LINES) | st.binary(max_size=30),
    pieces(FIELDS, 5),
    pieces(PIECES, 2),
)
bodies = st.builds(framed, st.just(b"application/json"), pieces(PIECES, 4).map(b"".join), codings, framings, cuts)
events = st.builds(framed, st.just(b"text/event-stream"), pieces(EVENTS, 8).map(b"".join), codings, framings, cuts)

KINDS = {
    "heads": (answers(heads, [b"X: y\r\n", b"x", b"HTTP/1.1 100 C\r\n\r\n", b"\r\n"]), (False, True), ENDLESS_BYTES),
    "bodies": (answers(bodies, [b"1\r\n[\r\n", b"[", b'"', b"5;a\r\nxxxxx\r\n"]), (False,), ENDLESS_BYTES),
    "events": (answers(events, [b"3\r\n:x\n\r\n", b"x", b": x\n", b"data: {}\n\n", b"\n"]), (True,), ENDLESS_STREAM),
}
"""What is random: the strategy, whether it answers a request for a record or for a stream, and how long endless is."""


class NoisyServer:
    """Gives each request the answer that is set; counts the bytes of endless answers, for each answer anew.

    :param most: how many bytes of an endless answer are sent.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.set_answer(Answer(b""))

    def set_answer(self, answer: Answer) -> None:
        """Set the answer, and begin a new count: a connection that is just closing goes on with its own."""
        self._answer, self._counts = answer, [0]

    @property
    def taken(self) -> int:
        """How many bytes of the answer's endless part were taken."""
        return self._counts[0]

    def __call__(self, connection: socket.socket) -> None:
        read_request(connection)
        answer, counts = self._answer, self._counts
        connection.sendall(answer.data)
        block = answer.endless * (4096 // max(len(answer.endless), 1))
        while block and counts[0] < self._most:
            connection.sendall(block)
            counts[0] += len(block)


@contextlib.contextmanager
def noisy(most: int) -> Iterator[tuple[NoisyServer, str]]:
    """Run such a server; yield it and its URL."""
    noise = NoisyServer(most)
    with server(noise) as port:
        yield noise, f"http://127.0.0.1:{port}"


def look_at_stream() -> Generator[Command, Any, None]:
    """Open a stream and read from it a few times."""
    yield Open(STREAM, 1)
    for _ in range(10):
        if (yield Read(silence=0.5, within=0.5, quiet=0.2)) is None:
            return
    yield Close()


LIMITS = {"request_timeout": 0.5, "answer_timeouts": 2.0, "max_answer_bytes": 1024 * 1024}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # urllib3 leaves sockets to the collector
def test_noise_with_requests(whiterabbit_emulator: Emulator, kind: str) -> None:
    """The blocking client raises no error but its own, and stops to read an answer without end."""
    strategy, ways, most = KINDS[kind]

    @examples(COUNT)
    @given(strategy)
    def send(answer: Answer) -> None:
        noise.set_answer(answer)
        for stream in ways:
            with contextlib.suppress(exc.WhiteRabbitError):
                client.run(look_at_stream()) if stream else client.send(READ)
        assert noise.taken < most

    with noisy(most) as (noise, url), Client(settings_for(whiterabbit_emulator, url, **LIMITS)) as client:
        send()


@pytest.mark.parametrize("kind", KINDS)
def test_noise_with_aiohttp(whiterabbit_emulator: Emulator, kind: str) -> None:
    """The asynchronous client raises no error but its own, stops to read, and leaves nothing in the event loop."""
    strategy, ways, most = KINDS[kind]
    unhandled: list[dict[str, Any]] = []

    async def look(client: AsyncClient) -> None:
        for stream in ways:
            with contextlib.suppress(exc.WhiteRabbitError):
                await (client.run(look_at_stream()) if stream else client.send(READ, wanted=("id", "status")))
        assert asyncio.all_tasks() == {asyncio.current_task()}

    @examples(COUNT)
    @given(strategy)
    def send(answer: Answer) -> None:
        noise.set_answer(answer)
        runner.run(look(client))
        assert noise.taken < most
        assert not unhandled

    with noisy(most) as (noise, url), asyncio.Runner() as runner:
        runner.get_loop().set_exception_handler(lambda _, context: unhandled.append(context))
        client = AsyncClient(settings_for(whiterabbit_emulator, url, **LIMITS))
        runner.run(client.__aenter__())
        try:
            send()
        finally:
            runner.run(client.__aexit__())
