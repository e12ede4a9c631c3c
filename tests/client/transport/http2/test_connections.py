"""What only HTTP/2 has: many streams share a connection that ends, stalls, changes, or goes silent."""

from __future__ import annotations

import asyncio
import errno
import time
from dataclasses import replace
from typing import Any

import pytest
from h2.settings import SettingCodes

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.descriptors import ROOM
from airflow_provider_whiterabbit.client.transport.exchange import Limits
from airflow_provider_whiterabbit.client.transport.http2.pool import RECORD_WINDOW, Pool
from airflow_provider_whiterabbit.client.transport.http2.stream import Stream
from airflow_provider_whiterabbit.client.transport.outgoing import Outgoing
from airflow_provider_whiterabbit.client.transport.request_log import RequestLog
from airflow_provider_whiterabbit.client.transport.tls_buffers import RECORD_BUFFER_BYTES
from airflow_provider_whiterabbit.client.wait.occurrences import Occurrence
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.client.wait.timing import Timing
from dev.harness.http2_server import JSON_HEAD, Http2Server, Peer, running
from tests.client.transport.http2.clients import settings_of, stream, streaming, until

NO_ERROR, INTERNAL_ERROR, REFUSED_STREAM = 0, 2, 7
ENDED = '{"id": "%s", "status": "COMPLETED", "completed": true, "output": {}}'


async def started(pool: Pool, path: str) -> Stream:
    """Send a request; return its answer once the head is there."""
    entry = RequestLog(api.get_execution("e-1"), 1)
    outgoing = Outgoing(dict, Limits(30, 30, 30), entry, is_stream=False)
    async with outgoing.timer:
        answer = await pool.start("GET", path, outgoing)
    assert answer is not None
    return answer


async def test_go_away(server: Http2Server) -> None:
    """After a GOAWAY, the streams that live are finished, new ones are opened elsewhere, and the connection closes."""
    async with AsyncClient(settings_of(server)) as client:
        tasks = await streaming(client, server, 3)
        [peer] = server.peers
        peer.go_away(2**31 - 1)
        peer.go_away(5)
        await until(lambda: not client._shared.http2._connections[0].room)
        assert await client.send(api.get_execution("e-9"))
        assert [len(peer.requests) for peer in server.peers] == [3, 1]
        for stream_id in (1, 3, 5):
            assert not peer.is_closed.is_set()
            peer.event(stream_id)
        assert len(await asyncio.gather(*tasks)) == 3
        await peer.is_closed.wait()
        assert not server.peers[1].is_closed.is_set()


async def test_read_buffer(server: Http2Server) -> None:
    """The TLS connection that many waits share keeps a small read buffer."""
    async with AsyncClient(settings_of(server)) as client:
        await streaming(client, server, 1)
        [connection] = client._shared.http2._connections
        assert connection._transport._ssl_protocol.max_size == RECORD_BUFFER_BYTES


async def test_go_away_and_the_last_events_in_one_piece(server: Http2Server) -> None:
    """What a server sends directly after a GOAWAY is read."""
    async with AsyncClient(settings_of(server)) as client:
        [task] = await streaming(client, server, 1)
        [peer] = server.peers
        peer.go_away(1)
        peer.event(1)
        assert await task


async def test_requests_that_were_not_processed(server: Http2Server) -> None:
    """Requests that a GOAWAY excludes, or that the server refuses, are sent on another connection at once."""
    first: list[int] = []

    def answer(peer: Peer, stream_id: int, headers: dict[str, str]) -> None:
        if peer is server.peers[0] and stream_id > 1:
            first.append(stream_id)
            if len(first) == 4:
                peer.go_away(1)
        else:
            running(peer, stream_id, headers)

    server.answer = answer
    async with AsyncClient(settings_of(server)) as client:
        await streaming(client, server, 1)
        records = await asyncio.gather(*(client.send(api.get_execution(f"e-{number}")) for number in range(2, 6)))
    assert [record["id"] for record in records] == ["e-2", "e-3", "e-4", "e-5"]
    assert len(server.peers) == 2


async def test_refused_streams(server: Http2Server) -> None:
    """A stream that the server refuses is opened on another connection; the first one gets no more than it has."""

    def answer(peer: Peer, stream_id: int, headers: dict[str, str]) -> None:
        if len(peer.requests) > 2:
            peer.reset(stream_id, REFUSED_STREAM)
        else:
            running(peer, stream_id, headers)

    server.answer = answer
    async with AsyncClient(settings_of(server)) as client:
        tasks = await streaming(client, server, 4)
        assert len(server.peers) == 2
        assert not [task for task in tasks if task.done()]


async def test_a_server_that_refuses_all(server: Http2Server) -> None:
    """A request that is refused again and again fails; it is not sent for ever."""
    server.answer = lambda peer, stream_id, _: peer.reset(stream_id, REFUSED_STREAM)
    async with AsyncClient(settings_of(server)) as client:
        with pytest.raises(exc.WhiteRabbitTransportError, match=r"did not process the request \(REFUSED_STREAM\)"):
            await client.send(api.get_execution("e-1"))
    assert len(server.requests) == 3


@pytest.mark.parametrize("code", [NO_ERROR, INTERNAL_ERROR, 12345])
async def test_one_stream_is_reset(server: Http2Server, code: int) -> None:
    """A stream that is reset ends alone, after what it sent before; the others live."""
    async with AsyncClient(settings_of(server)) as client:
        first, second = await streaming(client, server, 2)
        [peer] = server.peers
        peer.raw(3, stream_id=1, payload=code.to_bytes(4, "big"))
        with pytest.raises(exc.WhiteRabbitTransportError, match="the stream broke: the server reset the stream"):
            await first
        peer.event(3)
        assert await second
    assert len(server.peers) == 1


async def test_an_answer_that_is_reset_after_its_end(server: Http2Server) -> None:
    """A server may reset a stream after a whole answer, because it wants no more of the request."""

    def answer(peer: Peer, stream_id: int, headers: dict[str, str]) -> None:
        running(peer, stream_id, headers)
        peer.raw(3, stream_id=stream_id, payload=bytes(4))

    server.answer = answer
    async with AsyncClient(settings_of(server)) as client:
        for _ in range(2):
            assert (await client.send(api.get_execution("e-1")))["id"] == "e-1"
    assert len(server.peers) == 1


async def test_a_connection_that_breaks(server: Http2Server) -> None:
    """All streams of a connection end with it. What arrived before is read."""
    async with AsyncClient(settings_of(server)) as client:
        tasks = await streaming(client, server, 3)
        server.peers[0].transport.abort()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert all("the stream broke" in str(outcome) for outcome in outcomes)
        assert await client.send(api.get_execution("e-1"))


async def test_a_greedy_record_stalls_alone(server: Http2Server) -> None:
    """A large record that nobody reads takes no more than its window, and stops none of a hundred streams."""
    size = 3_000_000

    def answer(peer: Peer, stream_id: int, headers: dict[str, str]) -> None:
        if headers[":path"].endswith("/greedy"):
            peer.head(stream_id, JSON_HEAD)
            peer.body(stream_id, b"x" * size)
        else:
            running(peer, stream_id, headers)

    server.answer = answer
    async with AsyncClient(settings_of(server)) as client:
        pool = client._shared.http2
        assert pool is not None
        greedy = await started(pool, "/greedy")
        tasks = await streaming(client, server, 99)
        [peer] = server.peers
        await until(lambda: peer.sent.get(greedy.identity, 0) >= RECORD_WINDOW)
        for stream_id, headers in peer.requests.items():
            if headers[":path"].endswith("/stream"):
                peer.event(stream_id)
        assert len(await asyncio.gather(*tasks)) == 99
        assert peer.sent[greedy.identity] == RECORD_WINDOW
        received = 0
        while data := await greedy.readany():
            assert len(data) <= RECORD_WINDOW
            received += len(data)
        assert received == size


async def test_many_records_that_nobody_reads(server: Http2Server) -> None:
    """The window of the connection is no limit for a stream whose reader is quick, however much others hold."""
    server.answer = lambda peer, stream_id, headers: (
        peer.head(stream_id, JSON_HEAD),
        peer.body(stream_id, b"[" + b" " * 300_000 + b"]"),
    )
    async with AsyncClient(settings_of(server)) as client:
        pool = client._shared.http2
        assert pool is not None
        held = [await started(pool, "/") for _ in range(99)]
        for _ in range(3):
            assert await client.send(api.get_execution("e-1")) == []
        assert len(server.peers) == 1
        for each in held:
            each.close()


async def test_no_file_descriptor(server: Http2Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a descriptor for another connection, streams leave their places to reads of records; else none does."""

    def connect(*_: Any) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    server.settings[3] = 10
    async with AsyncClient(settings_of(server), Timing(first_pause=0)) as client:
        tasks = await streaming(client, server, 10)
        monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", connect)
        with pytest.raises(exc.WhiteRabbitTransportError, match="Too many open files"):
            await client.submit(api.execute_component("X"))
        assert not any(task.done() for task in tasks)
        assert not client._shared.streams.are_scarce
        assert await client.send(api.get_execution("e-1"))
        assert client._shared.streams.are_scarce
        [peer] = server.peers
        await until(lambda: len(peer.resets) == ROOM)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_changed_settings(server: Http2Server) -> None:
    """A server may change how many streams it allows: those that live go on, others go elsewhere, or come back."""
    async with AsyncClient(settings_of(server)) as client:
        tasks = await streaming(client, server, 3)
        [peer] = server.peers
        peer.change({SettingCodes.MAX_CONCURRENT_STREAMS: 2})
        await until(lambda: client._shared.http2._connections[0].limit == 2)
        tasks += await streaming(client, server, 1)
        assert [len(peer.requests) for peer in server.peers] == [3, 1]
        peer.change(
            {
                SettingCodes.MAX_CONCURRENT_STREAMS: 4,
                SettingCodes.HEADER_TABLE_SIZE: 2**32 - 1,
                SettingCodes.INITIAL_WINDOW_SIZE: 0,
                SettingCodes.MAX_FRAME_SIZE: 2**24 - 1,
            }
        )
        await until(lambda: client._shared.http2._connections[0].limit == 4)
        tasks += await streaming(client, server, 1)
        assert [len(peer.requests) for peer in server.peers] == [4, 1]
        for each, stream_id, _ in server.requests:
            each.event(stream_id)
        assert len(await asyncio.gather(*tasks)) == 5


async def test_a_server_that_allows_nothing(server: Http2Server) -> None:
    """A server that allows no stream gets no request, and the waits an error."""
    server.settings[3] = 0
    async with AsyncClient(settings_of(server)) as client:
        with pytest.raises(exc.WhiteRabbitTransportError, match="the server allows no stream on a connection"):
            await client.send(api.get_execution("e-1"))
    assert not server.requests


async def test_a_silent_connection(server: Http2Server) -> None:
    """The waits on a connection that went silent read their records first, and then open new streams."""
    count = 99  # with one request for a record at a time, no second connection is needed
    silent: list[Peer] = []

    def answer(peer: Peer, stream_id: int, headers: dict[str, str]) -> None:
        running(peer, stream_id, headers)
        if silent and peer not in silent and headers[":path"].endswith("/stream"):
            peer.event(stream_id, ENDED % headers[":path"].split("/")[-2])

    server.answer = answer
    occurrences: list[Occurrence] = []
    # The server answers PING in the same event loop, which gets little time on a busy machine.
    timing = Timing(silence=12, first_pause=0.2, late_head=60)
    settings = settings_of(server, requests_at_once=1)
    async with AsyncClient(settings, timing) as client, asyncio.timeout(120), asyncio.TaskGroup() as group:
        client.timing = replace(timing, silence=60)  # of a stream, which is to be found dead by its connection
        for number in range(count):
            followed = EXECUTION.followed(f"e-{number}")
            group.create_task(client.wait(followed, deadline=time.time() + 120, observe=occurrences.append))
        await until(lambda: len(server.requests) == 2 * count)
        silent += server.peers
        assert len(silent) == 1
        silent[0].is_deaf = True
    assert occurrences == [Occurrence.RECONNECT] * count
    again = [headers[":path"] for peer, _, headers in server.requests if peer not in silent]
    for number in range(count):
        record = f"/v1/sdk/components/executions/e-{number}"
        assert again.index(record) < again.index(f"{record}/stream")


async def test_ping_keeps_a_connection(server: Http2Server) -> None:
    """A connection whose streams are silent is asked, and lives while it answers; only the silent stream ends."""
    timing = Timing(silence=3)
    async with AsyncClient(settings_of(server), timing) as client:
        client.timing = Timing(silence=60)
        task = asyncio.create_task(client.run(stream("e-1")))
        await until(lambda: server.peers and server.peers[0].pings >= 1)
        assert len(server.peers) == 1
        assert not task.done()
        server.peers[0].event(1)
        assert await task


async def test_a_server_that_does_not_answer_ping(server: Http2Server) -> None:
    """A connection that sends nothing and answers no PING is dead within the limit of silence."""
    async with AsyncClient(settings_of(server), Timing(silence=1.5)) as client:
        client.timing = Timing(silence=60)
        [task] = await streaming(client, server, 1)
        server.peers[0].is_deaf = True
        with pytest.raises(exc.WhiteRabbitTransportError, match="the stream broke: the connection was silent"):
            await task
        assert not client._shared.http2._connections
        assert await client.send(api.get_execution("e-1"))
    assert len(server.peers) == 2
