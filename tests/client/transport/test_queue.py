"""Requests of the asynchronous client that queue, or wait for a connection: when they are signed, and their time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.exchange import Limits
from airflow_provider_whiterabbit.client.transport.outgoing import Outgoing
from airflow_provider_whiterabbit.client.transport.pace import Host, Line
from airflow_provider_whiterabbit.client.transport.request_log import RequestLog
from airflow_provider_whiterabbit.client.wait.commands import Command, Open
from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.modules import MODULES
from tests.client.servers import read_request, server
from tests.client.transport.tls_servers import server_context
from tests.client.transports import settings_for

Send = Callable[[AsyncClient, str], Coroutine[Any, Any, Any]]

LATER = 1_000
"""Seconds by which a clock is changed while a request queues: a signature is valid for 30."""


def opening(execution_id: str) -> Generator[Command, Any, None]:
    """Open a stream."""
    yield Open(api.stream_execution(execution_id), 300)


senders = pytest.mark.parametrize(
    "send",
    [
        lambda client, execution_id: client.send(api.get_execution(execution_id)),
        lambda client, execution_id: client.run(opening(execution_id)),
        lambda client, _: client.submit(api.execute_component("X")),
    ],
    ids=["record", "stream", "submission"],
)


@contextlib.asynccontextmanager
async def queued(client: AsyncClient, *requests: Coroutine[Any, Any, Any]) -> AsyncIterator[list[asyncio.Task[Any]]]:
    """Send requests, which wait in the host's queue until the end."""
    line = client._shared._line
    line._host._tokens = -1e6
    tasks = [asyncio.create_task(request) for request in requests]
    async with asyncio.timeout(60):
        while len(line._waiting) < len(tasks):  # noqa: ASYNC110
            await asyncio.sleep(0)
    yield tasks
    line._host._tokens = len(tasks)
    line._timer.cancel()
    line._serve()


# --- signatures


@senders
@pytest.mark.parametrize(
    "over",
    [
        {},
        pytest.param(
            {"certificate": "trusted", "http2": True}, marks=pytest.mark.skipif(not find_spec("h2"), reason="no h2")
        ),
    ],
    ids=["HTTP/1.1", "HTTP/2"],
)
async def test_signed_after_the_queue(send: Send, over: dict[str, Any]) -> None:
    """Requests are signed when they leave the queue, however long it was."""
    with Emulator(components=MODULES, **over) as wr:
        execution_id = wr.create_execution("X", manual=True)
        async with AsyncClient(settings_for(wr, ca_bundle=wr.ca_bundle, requests_per_second=100)) as client:
            await client.send(api.get_execution(execution_id))
            async with queued(client, *(send(client, execution_id) for _ in range(8))) as tasks:
                # As if the time had passed; a clock that is so wrong is not corrected after a 401.
                client._signer.offset = wr.clock_offset = LATER
            await asyncio.gather(*tasks)
        assert len(wr.journal) == 9
        assert {entry.status for entry in wr.journal} <= {200, 201}


@senders
async def test_signed_after_the_connection_is_made(whiterabbit_emulator: Emulator, tmp_path: Path, send: Send) -> None:
    """Requests are signed when their connection is there, however long the handshake of TLS took."""
    context, accepted, shake = server_context(tmp_path), threading.Event(), threading.Event()
    received: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        accepted.set()
        shake.wait(60)
        with context.wrap_socket(connection, server_side=True) as tls:
            received.append(read_request(tls))

    with server(answer) as port:
        settings = settings_for(
            whiterabbit_emulator, f"https://127.0.0.1:{port}", ca_bundle=str(tmp_path / "ca.pem"), http2=False
        )
        async with AsyncClient(settings) as client:
            sending = asyncio.create_task(send(client, "e-1"))
            await asyncio.to_thread(accepted.wait, 60)
            client._signer.offset = LATER
            shake.set()
            with pytest.raises((exc.WhiteRabbitTransportError, exc.WhiteRabbitUncertainSubmissionError)):
                await sending  # the server closes the connection
    [stamp] = [line for line in received[0].lower().splitlines() if line.startswith(b"x-sdk-timestamp:")]
    assert int(stamp.split()[1]) > time.time() + LATER / 2


# --- time limits


@senders
async def test_the_queue_takes_no_time_of_a_request(whiterabbit_emulator: Emulator, send: Send) -> None:
    """A queue that is longer than the time limits of a request makes no request fail."""
    limit = 0.05
    settings = settings_for(whiterabbit_emulator, request_timeout=limit, answer_timeouts=1)
    execution_id = whiterabbit_emulator.create_execution("X", manual=True)
    async with AsyncClient(settings) as client:
        async with queued(client, send(client, execution_id)) as [task]:
            done, _ = await asyncio.wait({task}, timeout=3 * limit)
            assert not done
        await asyncio.gather(task, return_exceptions=True)  # from now on, the limit counts: the machine may be slow


async def test_the_time_of_a_request_begins() -> None:
    """The time limit counts from when the request is admitted, anew if aiohttp sends the request again."""
    entry, line = RequestLog(api.get_execution("e-1"), 1), Line(Host(20))
    outgoing = Outgoing(dict, Limits(9, 9, total=0.001), entry, is_stream=False)

    async def exchange() -> None:
        async with outgoing.timer:
            for _ in range(4):  # from the third on, each waits for longer than the limit
                await outgoing.admit(line)
            admitted.set()
            await asyncio.wait_for(asyncio.Event().wait(), 30)

    admitted = asyncio.Event()
    with pytest.raises(TimeoutError):
        await exchange()
    assert admitted.is_set()
    assert outgoing.timer.expired()


async def test_not_sent_in_time(whiterabbit_emulator: Emulator) -> None:
    """A request whose caller has no more time leaves the queue; the message says that it was not sent."""
    async with AsyncClient(settings_for(whiterabbit_emulator)) as client:
        request = client.send(api.get_execution("e-1"), within=0.05)
        async with queued(client, request) as [task]:
            with pytest.raises(exc.WhiteRabbitTransportError, match="not sent within 0"):
                await task
    assert not whiterabbit_emulator.journal
