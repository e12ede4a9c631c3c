"""Waits of both clients while a user's test has stopped the clocks: a wait with a timeout ends, and calls work."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import freezegun
import pytest
import time_machine

from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.exceptions import WhiteRabbitTimeoutError
from tests.client.servers import concurrent_server, read_request

MIDNIGHT = datetime.datetime(2020, 2, 2, tzinfo=datetime.UTC)
TIMEOUT = 0.5
"""Seconds after which the waits give up."""

FAST = Timing(min_poll_interval=0.05, final_read=60)

# freezegun stops the clock of asyncio's timers as well, unless it is told not to.
freezers = pytest.mark.parametrize(
    "freeze",
    [
        lambda: freezegun.freeze_time(MIDNIGHT, real_asyncio=True),
        lambda: time_machine.travel(MIDNIGHT, tick=False),
        lambda: time_machine.travel(MIDNIGHT),
    ],
    ids=["freezegun", "time-machine", "time-machine that ticks"],
)
streams = pytest.mark.parametrize("stream", ["refused", "silent"])

Freeze = Callable[[], AbstractContextManager[object]]


@contextlib.contextmanager
def endless_execution(stream: str) -> Iterator[ClientSettings]:
    """Run a server whose execution never ends; yield the settings of its clients.

    :param stream: ``refused``, or ``silent`` after the head of the response.
    """

    def handle(connection: socket.socket) -> None:
        while parts := read_request(connection).split():
            path = parts[1].decode()
            if not path.endswith("/stream"):
                record = {"id": path.rpartition("/")[2], "status": "EXECUTING", "completed": False}
                send(connection, "200 OK", json.dumps(record))
            elif stream == "refused":
                send(connection, "404 Not Found", "")
            else:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")

    with concurrent_server(handle) as port:
        credentials = Emulator()  # never started
        yield ClientSettings(f"http://127.0.0.1:{port}", credentials.api_key, credentials.api_secret)


def send(connection: socket.socket, status: str, body: str) -> None:
    """Send a whole answer."""
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    connection.sendall((head + body).encode())


@freezers
@streams
def test_a_blocking_wait_ends(freeze: Freeze, stream: str) -> None:
    """A blocking wait with a timeout ends although the clocks stand still, and the calls before it succeed."""
    with endless_execution(stream) as settings, freeze(), Client(settings, FAST) as client:
        started = monotonic()
        with pytest.raises(WhiteRabbitTimeoutError, match="its last known status is EXECUTING"):
            client.wait(EXECUTION.followed("e-1"), timeout=TIMEOUT, poll_interval=0.1)
        assert monotonic() - started >= TIMEOUT


@freezers
@streams
def test_an_asynchronous_wait_ends(freeze: Freeze, stream: str) -> None:
    """An asynchronous wait with a deadline ends although the wall clock stands still."""

    async def wait(settings: ClientSettings) -> None:
        async with AsyncClient(settings, FAST) as client:
            await client.wait(EXECUTION.followed("e-1"), deadline=time.time() + TIMEOUT, poll_interval=0.1)

    with endless_execution(stream) as settings, freeze():
        started = monotonic()
        with pytest.raises(WhiteRabbitTimeoutError, match="its last known status is EXECUTING"):
            asyncio.run(wait(settings))
        assert monotonic() - started >= TIMEOUT


@freezers
def test_the_clock_for_durations_goes_on(freeze: Freeze) -> None:
    """The clock for durations is stopped neither by freezegun nor by time-machine."""
    with freeze():
        before = monotonic()
        time.sleep(0.01)
        assert 0.01 <= monotonic() - before < 3600
