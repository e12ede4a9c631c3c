"""What the asynchronous client promises over HTTP/1.1, it keeps over HTTP/2."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import time
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.sharing import join, leave
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from dev.harness.http2_server import JSON_HEAD, STREAM_HEAD, Http2Server, Peer, http2_server, running
from tests.client.transport.http2.clients import KEY, paths, settings_of, stream, streaming, until


async def test_a_record_and_a_stream_on_one_connection(server: Http2Server) -> None:
    """Records and streams share a connection; the headers are those of HTTP/1.1."""
    async with AsyncClient(settings_of(server)) as client:
        assert (await client.send(api.get_execution("e-1")))["id"] == "e-1"
        [task] = await streaming(client, server, 1)
        [peer] = server.peers
        peer.event(3)
        assert await task == [b'data: {"status": "EXECUTING"}\n\n']
    [(_, _, record), (_, _, opened)] = server.requests
    assert record[":authority"] == server.url.removeprefix("https://")
    for headers, accept in ((record, "application/json"), (opened, "text/event-stream")):
        assert headers[":scheme"] == "https"
        assert headers["accept"] == accept
        assert headers["accept-encoding"] == "identity"
        assert headers["x-api-key"] == KEY
        assert headers["user-agent"].startswith("airflow-provider-whiterabbit/")
        assert set(headers) == {*record}
    await peer.is_closed.wait()
    assert peer.go_aways == [0]  # the last client has left


async def test_nothing_secret_is_logged(server: Http2Server, caplog: pytest.LogCaptureFixture) -> None:
    """Neither our debug log nor that of HPACK shows the API key."""
    with caplog.at_level(logging.DEBUG):
        async with AsyncClient(settings_of(server)) as client:
            await client.send(api.get_execution("e-1"))
        assert len(caplog.records) >= 2
    assert not [record for record in caplog.records if KEY in record.getMessage()]


@pytest.mark.parametrize(("allowed", "connections"), [(1, 6), (4, 2), (5_000, 1)])
async def test_as_many_streams_as_the_server_allows(server: Http2Server, allowed: int, connections: int) -> None:
    """A connection has as many streams as the server allows; then another connection is made."""
    server.settings[3] = allowed
    async with AsyncClient(settings_of(server)) as client:
        tasks = await streaming(client, server, 6)
        assert len(server.peers) == connections
        assert max(len(peer.requests) for peer in server.peers) == min(6, allowed)
        for peer, stream_id, _ in server.requests:
            peer.event(stream_id)
        await asyncio.gather(*tasks)


async def test_a_hundred_streams_at_most(server: Http2Server) -> None:
    """However many streams a server allows, a connection has a hundred; what it costs is what one loss costs."""
    server.settings[3] = 5_000
    async with AsyncClient(settings_of(server)) as client:
        tasks = await streaming(client, server, 250)
        assert [len(peer.requests) for peer in server.peers] == [100, 100, 50]
        for peer, stream_id, _ in server.requests:
            peer.event(stream_id)
        await asyncio.gather(*tasks)


@pytest.mark.parametrize("alpn", [("http/1.1",), ()])
async def test_a_server_without_http2(tmp_path: Any, alpn: tuple[str, ...]) -> None:
    """A server that does not choose HTTP/2 is asked by HTTP/1.1, and offered HTTP/2 only once."""
    async with http2_server(tmp_path, alpn=alpn) as server, AsyncClient(settings_of(server)) as client:
        for _ in range(3):
            assert (await client.send(api.get_execution("e-1")))["by"] == "HTTP/1.1"
        assert len(server.peers) <= 2  # one that spoke HTTP/1.1, and perhaps the one that offered both
        assert not server.requests


async def test_switched_off(server: Http2Server) -> None:
    """With `http2: false`, HTTP/1.1 is used, and HTTP/2 not offered."""
    async with AsyncClient(settings_of(server, http2=False)) as client:
        assert (await client.send(api.get_execution("e-1")))["by"] == "HTTP/1.1"
    assert [peer.alpn for peer in server.peers] == [None]


async def test_clients_share_connections(server: Http2Server) -> None:
    """Clients of an event loop share connections; other certificates, limits or protocols need others."""
    settings = settings_of(server)
    async with AsyncClient(settings) as first, AsyncClient(settings) as second:
        async with AsyncClient(settings_of(server, requests_at_once=7)) as other:
            for client in (first, second, other):
                await client.send(api.get_execution("e-1"))
        assert len(server.peers) == 2
        await second.send(api.get_execution("e-1"))
    shared = join(settings)
    await shared.opened()
    assert shared.http2 is not None
    await leave(shared)


async def test_an_idle_connection_is_closed(server: Http2Server) -> None:
    """A connection without streams is closed after some time, and made again when it is needed."""
    async with AsyncClient(settings_of(server)) as client:
        await client.send(api.get_execution("e-1"))
        [connection] = client._shared.http2._connections
        client._shared.http2._close_if_idle(connection, connection.opened - 1)  # of an earlier timer
        assert not connection.is_closed
        client._shared.http2._close_if_idle(connection, connection.opened)
        await server.peers[0].is_closed.wait()
        await client.send(api.get_execution("e-1"))
    assert len(server.peers) == 2


async def test_cancel(server: Http2Server) -> None:
    """A request that is cancelled, before its head or in its body, is reset; the connection lives."""
    server.answer = lambda peer, stream_id, headers: (
        peer.head(stream_id, JSON_HEAD) if headers[":path"].endswith("e-2") else None
    )
    async with AsyncClient(settings_of(server)) as client:
        for number in (1, 2):
            task = asyncio.create_task(client.send(api.get_execution(f"e-{number}")))
            await until(lambda number=number: len(server.requests) == number)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await until(lambda: len(server.peers[0].resets) == 2)
        assert server.peers[0].resets == [(1, 8), (3, 8)]
        server.answer = running
        await client.send(api.get_execution("e-3"))
    assert len(server.peers) == 1


async def test_redirects_are_errors(server: Http2Server) -> None:
    """No redirect is followed."""
    server.answer = lambda peer, stream_id, _: peer.head(stream_id, {":status": "302", "location": "/"}, end=True)
    async with AsyncClient(settings_of(server)) as client:
        with pytest.raises(exc.WhiteRabbitResponseError, match="never redirects"):
            await client.send(api.get_execution("e-1"))
    assert len(server.requests) == 1


async def test_compression(server: Http2Server) -> None:
    """An answer that a proxy compressed is decompressed, within the bound of bytes."""

    def compressed(peer: Peer, stream_id: int, headers: dict[str, str]) -> None:
        peer.head(stream_id, JSON_HEAD | {"content-encoding": "gzip"})
        peer.body(stream_id, gzip.compress(json.dumps({"id": "e-1", "x": "x" * 20_000}).encode()))

    server.answer = compressed
    async with AsyncClient(settings_of(server)) as client:
        assert (await client.send(api.get_execution("e-1")))["id"] == "e-1"
        with pytest.raises(exc.WhiteRabbitTransportError, match="more than 10000 bytes"):
            await client.send(api.get_execution("e-1"), max_bytes=10_000)


async def test_bounds_in_seconds(server: Http2Server) -> None:
    """A head, or a body, that does not come in time ends its request alone."""
    async with (
        AsyncClient(settings_of(server)) as first,
        AsyncClient(settings_of(server, request_timeout=0.2)) as client,
    ):
        await first.send(api.get_execution("e-0"))  # connecting may take longer
        server.answer = lambda peer, stream_id, headers: (
            peer.head(stream_id, JSON_HEAD) if headers[":path"].endswith("e-2") else None
        )
        for number in (1, 2):
            with pytest.raises(exc.WhiteRabbitTransportError, match=r"nothing arrived for 0\.2 s"):
                await client.send(api.get_execution(f"e-{number}"))
        with pytest.raises(exc.WhiteRabbitTransportError, match="no answer within 0"):
            await client.send(api.get_execution("e-3"), within=0.1)
        assert not server.peers[0].is_closed.is_set()


async def test_a_late_head(server: Http2Server) -> None:
    """A server may send the head of a stream with its first event."""
    held: list[tuple[Peer, int]] = []
    server.answer = lambda peer, stream_id, _: held.append((peer, stream_id))
    async with AsyncClient(settings_of(server)) as client:
        task = asyncio.create_task(client.run(stream("e-1")))
        await until(lambda: held)
        peer, stream_id = held[0]
        peer.head(stream_id, STREAM_HEAD)
        peer.event(stream_id)
        assert await task


@pytest.mark.parametrize(("count", "is_answered"), [(100, True), (101, False)])
async def test_interim_answers(server: Http2Server, count: int, is_answered: bool) -> None:
    """Interim answers (1xx) are skipped, up to a bound."""

    def answer(peer: Peer, stream_id: int, headers: dict[str, str]) -> None:
        for _ in range(count):
            peer.head(stream_id, {":status": "103", "link": "</style.css>"})
        running(peer, stream_id, headers)

    server.answer = answer
    async with AsyncClient(settings_of(server)) as client:
        if is_answered:
            assert await client.send(api.get_execution("e-1"))
        else:
            with pytest.raises(exc.WhiteRabbitTransportError, match="more than 100 interim responses"):
                await client.send(api.get_execution("e-1"))


async def test_the_clock_is_corrected(server: Http2Server) -> None:
    """A 401 whose date shows that our clock is wrong is tried once more, by the corrected clock."""
    stamps: list[int] = []

    def answer(peer: Peer, stream_id: int, headers: dict[str, str]) -> None:
        stamps.append(int(headers["x-sdk-timestamp"]))
        if len(stamps) == 1:
            date = exc_date(stamps[0] + 100)
            peer.head(stream_id, {":status": "401", "content-type": "application/json", "date": date})
            peer.body(stream_id, b'{"message": "signature expired"}')
        else:
            running(peer, stream_id, headers)

    server.answer = answer
    async with AsyncClient(settings_of(server)) as client:
        assert await client.send(api.get_execution("e-1"))
    assert 95 <= stamps[1] - stamps[0] <= 130


def exc_date(stamp: int) -> str:
    """Return a time as headers write it."""
    from email.utils import formatdate

    return formatdate(stamp, usegmt=True)


async def test_a_whole_wait(server: Http2Server) -> None:
    """A wait opens the stream, reads the record, and ends with the event that shows the end."""
    async with AsyncClient(settings_of(server)) as client:
        waiting = asyncio.create_task(client.wait(EXECUTION.followed("e-1"), deadline=time.time() + 60))
        await until(lambda: len(server.requests) == 2)
        assert paths(server)[0].endswith("/stream")
        server.peers[0].event(1, '{"id": "e-1", "status": "COMPLETED", "completed": true, "output": {}}')
        assert (await waiting).succeeded


def test_another_event_loop(tmp_path: Any) -> None:
    """Each event loop has its own connections."""

    async def read() -> Any:
        async with http2_server(tmp_path) as server, AsyncClient(settings_of(server)) as client:
            return await client.send(api.get_execution("e-1"))

    assert asyncio.run(read()) == asyncio.run(read())


async def test_submissions_use_http1(server: Http2Server) -> None:
    """Each submission has a connection of its own for HTTP/1.1, beside one for HTTP/2 that is open."""
    async with AsyncClient(settings_of(server)) as client:
        await client.send(api.get_execution("e-0"))
        for _ in range(2):
            assert (await client.submit(api.execute_component("PAY")))["by"] == "HTTP/1.1"
    assert paths(server) == [api.get_execution("e-0").path]
    assert [peer.alpn for peer in server.peers] == ["h2", None, None]
