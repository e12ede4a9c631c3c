"""Random bytes as an answer: whatever arrives, the clients raise no errors but those of this provider, in time."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import os
import random
import socket
from collections.abc import Iterator

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.client.wait.commands import Open, Read
from airflow_provider_whiterabbit.emulator import Emulator
from tests.client.servers import read_request, server
from tests.client.transports import settings_for

COUNT = int(os.environ.get("NOISE_COUNT", "200"))
"""How many random answers each test sends."""

READ = api.get_execution("e-1")
STREAM = api.stream_execution("e-1")

STATUS = [
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
BODIES = [
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


def answers() -> list[bytes]:
    """Return random answers, the same in every run: some well-formed in parts, some cut, some damaged."""
    chosen = random.Random(20_261_126)  # noqa: S311 (no secret)
    found = []
    for _ in range(COUNT):
        status = chosen.choice(STATUS[: chosen.choice([1, 1, len(STATUS)])])
        lines = [status, *chosen.choices(FIELDS, k=chosen.randrange(5))]
        data = bytearray(b"\r\n".join([*lines, b"", b""]) + b"".join(chosen.choices(BODIES, k=chosen.randrange(4))))
        for _ in range(chosen.choice([0, 0, 1, 5])):
            if data:
                data[chosen.randrange(len(data))] = chosen.randrange(256)
        found.append(bytes(data[: chosen.choice([len(data), chosen.randrange(len(data) + 1)])]))
    return found


@contextlib.contextmanager
def noisy() -> Iterator[str]:
    """Run a server that gives each request the next of the random answers, the last one again and again."""
    left = iter(answers())

    def answer(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(next(left, b""))

    with server(answer) as port:
        yield f"http://127.0.0.1:{port}"


def steps():  # type: ignore[no-untyped-def]
    """Open a stream and read from it to its end."""
    yield Open(STREAM, 5)
    while (yield Read(silence=1, within=2, quiet=2)):
        pass


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # urllib3 leaves sockets to the collector
def test_noise_with_requests(whiterabbit_emulator: Emulator, stream: bool) -> None:
    """The blocking client raises no error but its own."""
    limits = {"request_timeout": 1, "answer_timeouts": 2.0}
    with noisy() as url, Client(settings_for(whiterabbit_emulator, url, **limits)) as client:
        for _ in range(COUNT):
            with contextlib.suppress(exc.WhiteRabbitError):
                client.run(steps()) if stream else client.send(READ)


@pytest.mark.parametrize("stream", [False, True])
def test_noise_with_aiohttp(whiterabbit_emulator: Emulator, stream: bool) -> None:
    """The asynchronous client raises no error but its own."""

    async def read_all(url: str) -> None:
        settings = settings_for(whiterabbit_emulator, url, request_timeout=1, answer_timeouts=2.0)
        async with AsyncClient(settings) as client:
            for _ in range(COUNT):
                with contextlib.suppress(exc.WhiteRabbitError):
                    await (client.run(steps()) if stream else client.send(READ, wanted=("id", "status")))

    with noisy() as url:
        asyncio.run(read_all(url))
