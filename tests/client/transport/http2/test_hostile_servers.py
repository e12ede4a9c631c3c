"""Servers that break HTTP/2, or use it to cost time and memory."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.http2.choice import HTTP1_FOR, MAX_FAILURES, MAX_RESETS, Choice
from dev.harness.http2_server import JSON_HEAD, STREAM_HEAD, Answering, Http2Server, Peer, http2_server, running
from tests.client.transport.http2.clients import settings_of, streaming, until

INTERNAL_ERROR, PROTOCOL_ERROR, HTTP_1_1_REQUIRED = 2, 1, 13

MANY = 40_000
FLOODS: dict[str, Callable[[Peer], None]] = {
    "empty data": lambda peer: peer.raw(0, stream_id=1, times=MANY),
    "data of nothing but padding": lambda peer: peer.raw(0, 8, 1, b"\x05" + bytes(5), times=MANY),
    "pings": lambda peer: peer.raw(6, payload=b"12345678", times=MANY),
    "settings": lambda peer: peer.raw(4, times=MANY),
    "changes of settings": lambda peer: peer.raw(4, payload=b"\0\3\0\0\0\2", times=MANY),
    "priorities": lambda peer: peer.raw(2, 0, 1, b"\0\0\0\0\0", times=MANY),
    "windows": lambda peer: peer.raw(8, payload=b"\0\0\0\1", times=MANY),
    "unknown frames": lambda peer: peer.raw(0xB, times=MANY),
    "alternative services": lambda peer: peer.raw(0xA, payload=b"\0\0", stream_id=1, times=MANY),
    "go away": lambda peer: peer.raw(7, payload=b"\x7f\xff\xff\xff" + bytes(4), times=MANY),
    "resets of a stream that has ended": lambda peer: peer.raw(3, stream_id=3, payload=bytes(4), times=MANY),
    "interim answers": lambda peer: peer.raw(1, 4, 1, b"\x08\x03103", times=MANY),
    "continuations": lambda peer: (peer.raw(1, 0, 1, b"\x88"), peer.raw(9, 0, 1, times=MANY)),
}


@pytest.mark.parametrize("kind", FLOODS)
async def test_floods(server: Http2Server, kind: str) -> None:
    """A flood of frames that are of no use ends its connection; the next request is served by another one."""
    async with AsyncClient(settings_of(server)) as client:
        [task] = await streaming(client, server, 1)
        await client.send(api.get_execution("e-1"))
        FLOODS[kind](server.peers[0])
        async with asyncio.timeout(60):
            with pytest.raises(exc.WhiteRabbitTransportError, match="the stream broke"):
                await task
        await server.peers[0].is_closed.wait()
        assert await client.send(api.get_execution("e-2"))
    assert len(server.peers) == 2


async def test_data_for_a_stream_that_was_closed(server: Http2Server) -> None:
    """A server that does not stop sending an answer that nobody wants loses its connection."""
    async with AsyncClient(settings_of(server)) as client:
        [first, _] = await streaming(client, server, 2)
        first.cancel()
        [peer] = server.peers
        await until(lambda: peer.resets)
        peer.raw(0, stream_id=1, payload=bytes(16_000), times=40)
        await peer.is_closed.wait()


async def test_what_is_on_its_way_is_no_flood(server: Http2Server) -> None:
    """Answers that are given up while the server sends them are no flood."""
    server.answer = lambda peer, stream_id, _: (
        peer.head(stream_id, JSON_HEAD),
        peer.body(stream_id, b" " * 1_000_000, end=False),
    )
    async with AsyncClient(settings_of(server)) as client:
        for _ in range(10):
            with pytest.raises(exc.WhiteRabbitTransportError, match="more than 1000 bytes"):
                await client.send(api.get_execution("e-1"), max_bytes=1_000)
    assert len(server.peers) == 1


async def test_many_short_events_are_no_flood(server: Http2Server) -> None:
    """A stream of many short events, each in a frame of its own, with padding, is read."""
    async with AsyncClient(settings_of(server)) as client:
        [task] = await streaming(client, server, 1)
        frame = b"\xff:\n\n" + bytes(255)
        server.peers[0].raw(0, 8, 1, frame, times=200)  # as much as the window
        server.peers[0].raw(0, 0, 1, b'data: {"status": "EXECUTING"}\n\n')
        assert await task
    assert len(server.peers) == 1


def heads(size: int) -> dict[str, str]:
    """Return the head of an answer with headers of so many bytes, about."""
    return JSON_HEAD | {f"x-{number}": "\x00" * 4_000 for number in range(size // 4_000)}


@pytest.mark.parametrize("in_trailers", [False, True])
async def test_headers_beyond_the_bound(server: Http2Server, in_trailers: bool) -> None:
    """Headers, or trailers, of more than 64 KiB end their stream alone."""

    def answer(peer: Peer, stream_id: int, headers: dict[str, str]) -> None:
        if not headers[":path"].endswith("/e-9"):
            running(peer, stream_id, headers)
        elif in_trailers:
            peer.head(stream_id, JSON_HEAD)
            del (trailers := heads(80_000))[":status"]
            peer.head(stream_id, trailers, end=True)
        else:
            peer.head(stream_id, heads(80_000))

    server.answer = answer
    async with AsyncClient(settings_of(server)) as client:
        [task] = await streaming(client, server, 1)
        with pytest.raises(exc.WhiteRabbitTransportError, match="more than 65536 bytes of headers"):
            await client.send(api.get_execution("e-9"))
        server.peers[0].event(1)
        assert await task
    assert len(server.peers) == 1


@pytest.mark.parametrize("kind", ["raw", "compressed"])
async def test_headers_far_beyond_the_bound(server: Http2Server, kind: str) -> None:
    """Headers of more than 256 KiB, however they are compressed, end the connection: HPACK can't skip them."""

    def answer(peer: Peer, stream_id: int, headers: dict[str, str]) -> None:
        if kind == "raw":
            peer.head(stream_id, heads(300_000))
        else:  # an entry of 4,000 bytes, then a byte for each of its repetitions
            entry = b"\x40\x01x\x7f" + bytes([0xA1, 0x1E]) + bytes(4_000)
            peer.raw(1, 4, stream_id, b"\x88" + entry + b"\xbe" * 10_000)

    server.answer = answer
    async with AsyncClient(settings_of(server)) as client:
        with pytest.raises(exc.WhiteRabbitTransportError, match="the server broke the rules of HTTP/2"):
            await client.send(api.get_execution("e-1"))
        await server.peers[0].is_closed.wait()


@pytest.mark.parametrize(
    "head",
    [
        {"content-type": "application/json"},
        {":status": "abc"},
        {":status": "2000"},
        {":status": ""},
        {":status": "٢٠٠"},
    ],
    ids=str,
)
async def test_malformed_heads(server: Http2Server, head: dict[str, str]) -> None:
    """An answer without a valid status ends its request alone."""

    def answer(peer: Peer, stream_id: int, _: dict[str, str]) -> None:
        block = b"".join(b"\0%c%s%c%s" % (len(name), name, len(value), value) for name, value in encoded(head))
        peer.raw(1, 5, stream_id, block)

    server.answer = answer
    async with AsyncClient(settings_of(server)) as client:
        with pytest.raises(exc.WhiteRabbitTransportError, match="the answer has the status"):
            await client.send(api.get_execution("e-1"))
        server.answer = running
        assert await client.send(api.get_execution("e-1"))
    assert len(server.peers) == 1


@pytest.mark.parametrize(
    ("length", "failure"),
    [
        ("1", "the body has not the length"),
        ("3", "the body has not the length"),
        ("-2", "the answer has the length"),
        ("two", "the answer has the length"),
        ("2, 3", "the answer has the length"),
        ("2, 2", None),
    ],
)
async def test_wrong_lengths(server: Http2Server, length: str, failure: str | None) -> None:
    """An answer whose length is wrong ends its request alone, and no other stream of the connection."""
    async with AsyncClient(settings_of(server)) as client:
        [task] = await streaming(client, server, 1)
        server.answer = lambda peer, stream_id, _: (
            peer.head(stream_id, {**JSON_HEAD, "content-length": length}),
            peer.raw(0, 1, stream_id, b"{}"),
        )
        if failure is None:
            assert await client.send(api.get_execution("e-1")) == {}
        else:
            with pytest.raises(exc.WhiteRabbitTransportError, match=failure):
                await client.send(api.get_execution("e-1"))
        [peer] = server.peers
        peer.event(1)
        assert len(await task) == 1


def encoded(head: dict[str, str]) -> list[tuple[bytes, bytes]]:
    """Return headers as bytes."""
    return [(name.encode(), value.encode()) for name, value in head.items()]


@pytest.mark.parametrize("frames", [b"HTTP/1.1 400 Bad Request\r\n\r\n", bytes(100), b"\xff" * 100])
async def test_an_edge_that_breaks_http2(server: Http2Server, caplog: pytest.LogCaptureFixture, frames: bytes) -> None:
    """After some connections on which the server broke HTTP/2, HTTP/1.1 is used, and the log says so once."""
    server.answer = lambda peer, _, __: peer.transport.write(frames)
    async with AsyncClient(settings_of(server)) as client:
        for _ in range(MAX_FAILURES):
            with pytest.raises(exc.WhiteRabbitTransportError):
                await client.send(api.get_execution("e-1"))
        for _ in range(2):
            assert (await client.send(api.get_execution("e-1")))["by"] == "HTTP/1.1"
    [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert "offers HTTP/2, but it does not work: HTTP/1.1 is used for 10 minutes" in warning.getMessage()


@pytest.mark.parametrize(
    "breaks",
    [
        lambda peer, _, __: peer.transport.write(bytes(100)),
        lambda peer, stream_id, _: peer.reset(stream_id, HTTP_1_1_REQUIRED),
    ],
    ids=["rules", "asks"],
)
async def test_whose_log_has_the_warning(
    server: Http2Server, caplog: pytest.LogCaptureFixture, breaks: Answering
) -> None:
    """What is told of a server is told in the context of no wait, by which Airflow finds the log of the wait's task."""
    wait = ContextVar("wait", default="none")
    contexts: dict[str, str] = {}

    class Noting(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            contexts[record.name.rpartition(".")[2]] = wait.get()

    logger, handler = logging.getLogger(Choice.__module__.rpartition(".")[0]), Noting()
    caplog.set_level(logging.DEBUG, logger.name)
    logger.addHandler(handler)
    server.answer = breaks
    wait.set("a wait")
    try:
        async with AsyncClient(settings_of(server)) as client:
            for _ in range(MAX_FAILURES):
                with contextlib.suppress(exc.WhiteRabbitTransportError):
                    await client.send(api.get_execution("e-1"))
    finally:
        logger.removeHandler(handler)
    assert contexts == {"choice": "none", "pool": "none"}


async def test_an_edge_that_sends_no_settings(server: Http2Server) -> None:
    """A server that offers HTTP/2 and then says nothing is asked by HTTP/1.1 after some attempts."""
    server.greets = False
    async with AsyncClient(settings_of(server, request_timeout=0.5)) as client:
        answer = None
        failures: list[str] = []
        while answer is None:
            try:
                answer = await client.send(api.get_execution("e-1"))
            except exc.WhiteRabbitTransportError as error:
                failures.append(str(error))
    assert answer["by"] == "HTTP/1.1"
    assert len(failures) >= MAX_FAILURES
    assert all("no connection within 0.5 s" in failure for failure in failures)


async def test_an_edge_that_answers_nothing(server: Http2Server) -> None:
    """A server that greets and answers PING, but no request, is asked by HTTP/1.1 after some connections."""
    server.answer = lambda *_: None
    async with AsyncClient(settings_of(server, request_timeout=0.2)) as client, asyncio.timeout(120):
        answer: Any = None
        while not isinstance(answer, dict):
            asking = [client.send(api.get_execution("e-1")) for _ in range(3)]
            answer = (await asyncio.gather(*asking, return_exceptions=True))[0]
    assert answer["by"] == "HTTP/1.1"
    assert len(server.peers) >= MAX_FAILURES


async def test_an_edge_that_closes_each_connection(server: Http2Server) -> None:
    """A server that closes each connection before it answers anything is asked by HTTP/1.1 after some attempts."""
    server.answer = lambda peer, _, __: peer.transport.abort()
    async with AsyncClient(settings_of(server)) as client:
        for _ in range(MAX_FAILURES):
            with pytest.raises(exc.WhiteRabbitTransportError):
                await client.send(api.get_execution("e-1"))
        assert (await client.send(api.get_execution("e-1")))["by"] == "HTTP/1.1"


async def test_an_edge_that_resets_each_stream(server: Http2Server) -> None:
    """A server that resets stream after stream instead of answering is asked by HTTP/1.1."""
    server.answer = lambda peer, stream_id, _: peer.reset(stream_id, INTERNAL_ERROR)
    async with AsyncClient(settings_of(server)) as client:
        for _ in range(MAX_RESETS):
            with pytest.raises(exc.WhiteRabbitTransportError, match="reset the stream"):
                await client.send(api.get_execution("e-1"))
        assert (await client.send(api.get_execution("e-1")))["by"] == "HTTP/1.1"


@pytest.mark.parametrize("by", ["reset", "go away"])
async def test_http1_is_required(server: Http2Server, by: str) -> None:
    """A request that the server wants by HTTP/1.1 is sent by HTTP/1.1 at once."""
    server.answer = lambda peer, stream_id, _: (
        peer.reset(stream_id, HTTP_1_1_REQUIRED) if by == "reset" else peer.go_away(0, HTTP_1_1_REQUIRED)
    )
    async with AsyncClient(settings_of(server)) as client:
        assert (await client.send(api.get_execution("e-1")))["by"] == "HTTP/1.1"


async def test_one_bad_execution(server: Http2Server) -> None:
    """One stream that is reset again and again, while others are answered, does not change the protocol."""
    server.answer = lambda peer, stream_id, headers: (
        peer.reset(stream_id, INTERNAL_ERROR)
        if headers[":path"].endswith("e-13")
        else running(peer, stream_id, headers)
    )
    async with AsyncClient(settings_of(server)) as client:
        for _ in range(2 * MAX_RESETS):
            with pytest.raises(exc.WhiteRabbitTransportError):
                await client.send(api.get_execution("e-13"))
            assert "by" not in await client.send(api.get_execution("e-1"))


async def test_data_without_a_head(server: Http2Server) -> None:
    """A body without a head is no answer."""
    server.answer = lambda peer, stream_id, _: peer.raw(0, 1, stream_id, b"{}")
    async with AsyncClient(settings_of(server)) as client, asyncio.timeout(60):
        with pytest.raises(exc.WhiteRabbitTransportError):
            await client.send(api.get_execution("e-1"))


async def test_a_push(server: Http2Server) -> None:
    """A server that pushes, which our settings forbid, loses its connection."""
    server.answer = lambda peer, stream_id, _: (
        peer.head(stream_id, STREAM_HEAD),
        peer.raw(5, 4, stream_id, b"\0\0\0\2\x82"),
    )
    async with AsyncClient(settings_of(server)) as client:
        with pytest.raises(exc.WhiteRabbitTransportError, match="the server broke the rules of HTTP/2"):
            await client.send(api.get_execution("e-1"))


def test_the_choice_is_made_again() -> None:
    """HTTP/2 is tried again after a while; failures that are far apart do not count together."""
    now = [0.0]
    choice = Choice("api.test", lambda: now[0])
    for _ in range(3 * MAX_FAILURES):
        choice.count_failure("test")
        now[0] += HTTP1_FOR / (MAX_FAILURES - 1)
    assert choice.is_http2
    for _ in range(MAX_FAILURES):
        choice.count_failure("test")
    assert not choice.is_http2
    now[0] += HTTP1_FOR
    assert choice.is_http2
    choice.forget_http2()
    assert not choice.is_http2


async def test_noise(tmp_path: Path) -> None:
    """Random bytes, also as frames, end a connection and nothing else."""
    noise = random.Random(2026)  # noqa: S311
    async with http2_server(tmp_path) as server, AsyncClient(settings_of(server)) as client:
        pool = client._shared.http2
        assert pool is not None
        for number in range(60):
            server.answer = lambda peer, stream_id, _, number=number: (
                peer.transport.write(noise.randbytes(number))
                if number % 3 == 0
                else peer.raw(noise.randrange(11), noise.randrange(256), stream_id, noise.randbytes(number)),
                peer.transport.abort(),
            )
            async with asyncio.timeout(20):
                with pytest.raises(exc.WhiteRabbitError):
                    await client.send(api.get_execution("e-1"))
            pool._choice = Choice("api.test", asyncio.get_running_loop().time)
