"""Keep-alives over HTTP/2 are taken without waking the wait, which keeps all that `EventStream.read` promises.

The clock is simulated, so the times are exact.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import logging
import weakref
from collections.abc import Callable, Coroutine, Generator
from typing import Any

import pytest

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.hiding import Hiding
from airflow_provider_whiterabbit.client.transport.aio_stream import EventStream
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError
from airflow_provider_whiterabbit.client.transport.http2.protocol import STREAM_WINDOW
from airflow_provider_whiterabbit.client.transport.request_log import RequestLog
from airflow_provider_whiterabbit.client.wire.sse import EventDecoder
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError, WhiteRabbitTransportError
from dev.harness.simulated_loop import SimulatedLoop
from tests.client.transport.http2.recorder import Recorder

REQUEST = api.stream_execution("e-1")
PING = b":ping\n\n"
EVENT = b'data: {"a": 1}\n\n'
INTERVAL = 15.0
"""Seconds between two keep-alives."""

SILENCE = 45.0
LONG = 1e6
"""Seconds, more than any test takes."""

BODIES = {
    "keep-alives between events": PING + EVENT + PING + PING + b"data: 2\n\n",
    "keep-alives within events": b"data: 1\n:ping\n" + PING + b"data: 2\n" + PING + EVENT,
    "line ends with CR": b"data: 1\r\n\r\n:ping\r\n\r\n" + PING + b"data: 2\r\r" + PING,
    "a mark of the byte order": b"\xef\xbb\xbf" + PING + EVENT,
    "no mark of the byte order": PING + b"\xef\xbb\xbfdata: 1\n\n" + EVENT,
    "keep-alives as data": b"data: :ping\n\n" + PING + EVENT,
    "colons within events": b"data\n\n:\n\ndata: 1\n" + b":\n\n" + EVENT,
}


class Steps:
    """Carries out a coroutine, and counts how often it was woken.

    :param coroutine: what is awaited.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self.wakes = -1  # its start is none

    def __await__(self) -> Generator[Any, Any, Any]:
        steps, error = self._coroutine.__await__(), None
        while True:
            self.wakes += 1
            try:
                waited_for = next(steps) if error is None else steps.throw(error)
            except StopIteration as end:
                return end.value
            error = None
            try:
                yield waited_for
            except BaseException as raised:
                error = raised


class Opened:
    """An event stream, its server, and what reading it returned.

    :param headers: those of the answer, besides its status.
    """

    def __init__(self, **headers: str) -> None:
        self.loop = asyncio.get_running_loop()
        self.recorder = Recorder()
        self.stream = self.recorder.answered(**headers)
        self.entry = RequestLog(REQUEST, 1)
        self.events = EventStream(self.stream, 10_000, self.entry, Hiding())
        self.steps: Steps | None = None

    def send(self, data: bytes, *, end: bool = False) -> None:
        """Let bytes arrive in one frame."""
        self.recorder.server.send_data(self.stream.identity, data, end_stream=end)
        self.deliver()

    def deliver(self) -> None:
        """Let arrive what the server has sent."""
        self.recorder.streams.feed(self.recorder.server.data_to_send(), self.loop.time())

    async def ping_until(self, last: float) -> None:
        """Send a keep-alive at each interval until so many seconds have passed."""
        while self.loop.time() + INTERVAL <= last:
            await asyncio.sleep(INTERVAL)
            self.send(PING)

    async def reading(self, silence: float = LONG, within: float = LONG, quiet: float = LONG) -> asyncio.Task[Any]:
        """Begin to read; return the task, which waits."""

        async def read(steps: Steps) -> Any:
            return await steps

        self.steps = Steps(self.events.read(silence, within, quiet))
        task = asyncio.create_task(read(self.steps))
        await turns()
        return task

    @property
    def wakes(self) -> int:
        """How often the last read was woken."""
        assert self.steps is not None
        return self.steps.wakes


async def turns() -> None:
    """Let everything that is ready have its turn."""
    for _ in range(5):
        await asyncio.sleep(0)


def simulated(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine with a simulated clock."""
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(test())


def test_nobody_wakes(caplog: pytest.LogCaptureFixture) -> None:
    """Keep-alives do not wake who reads; an event does. All bytes are in the line of the log."""

    async def run() -> None:
        opened = Opened()
        with opened.entry:
            opened.entry.stream_opened({})
        reading = await opened.reading(SILENCE)
        await opened.ping_until(3600)
        await turns()
        assert opened.wakes == 0
        opened.send(EVENT)
        assert await reading == [EVENT]
        assert opened.wakes == 1
        opened.events.close()

    with caplog.at_level(logging.DEBUG):
        simulated(run)
    assert caplog.messages[-1].startswith(f"GET {REQUEST.path}: stream closed after ")
    assert f" {240 * len(PING) + len(EVENT)} bytes" in caplog.messages[-1]


@pytest.mark.parametrize("last", [0, 15, 60, 615])
def test_silence(last: int) -> None:
    """The silence counts from the last keep-alive, and wakes who reads once."""

    async def run() -> None:
        opened = Opened()
        reading = await opened.reading(SILENCE)
        await opened.ping_until(last)
        with pytest.raises(WhiteRabbitStreamError, match="silent for 45 s"):
            await reading
        assert opened.loop.time() == last + SILENCE
        assert opened.wakes == 1

    simulated(run)


def test_silence_between_keep_alives() -> None:
    """Other bytes count too, as do those that wake who reads."""

    async def run() -> None:
        opened = Opened()
        reading = await opened.reading(SILENCE)
        for data in (PING, PING[:3], PING[3:], PING):
            await asyncio.sleep(40)
            opened.send(data)
        with pytest.raises(WhiteRabbitStreamError, match="silent for 45 s"):
            await reading
        assert opened.loop.time() == 4 * 40 + SILENCE

    simulated(run)


def test_within() -> None:
    """A read ends in time, although keep-alives arrive."""

    async def run() -> None:
        opened = Opened()
        reading = await opened.reading(SILENCE, within=100)
        pinging = asyncio.create_task(opened.ping_until(200))
        assert await reading == []
        assert opened.loop.time() == 100
        await pinging

    simulated(run)


def test_quiet() -> None:
    """The first keep-alive after `quiet` seconds ends a read, as does one that arrived before the read."""

    async def run() -> None:
        opened = Opened()
        for begun in (0, 45, 90):
            reading = await opened.reading(SILENCE, quiet=40)
            await opened.ping_until(begun + 45)
            assert await reading == []
            assert opened.loop.time() == begun + 45
            assert opened.wakes == 1
        opened.send(PING)
        assert await opened.events.read(SILENCE, LONG, 0.0) == []
        assert opened.entry.received == 10 * len(PING)
        reading = await opened.reading(SILENCE, quiet=0.0)
        opened.send(PING)
        assert await reading == []

    simulated(run)


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("are_apart", [False, True], ids=["at once", "one after the other"])
def test_bytes_split_anywhere(body: str, are_apart: bool) -> None:
    """The events are those of the whole body, wherever a frame of the length of a keep-alive is cut out of it."""
    data = BODIES[body]
    expected = EventDecoder().feed(data)
    assert expected

    async def run(pieces: list[bytes]) -> None:
        opened, events = Opened(), []
        reading = await opened.reading()
        for piece in pieces:
            opened.send(piece)
            if are_apart:
                await turns()
                if reading.done():
                    events += reading.result()
                    reading = await opened.reading()
        while len(events) < len(expected):
            events += await reading
            reading = await opened.reading()
        opened.send(b"", end=True)
        assert (events, await reading) == (expected, None)
        assert opened.entry.received == len(data)

    async def all_cuts() -> None:
        for first in range(1, len(data) - 1):
            for second in range(first + 1, min(first + len(PING) + 2, len(data))):
                await run([data[:first], data[first:second], data[second:]])

    simulated(all_cuts)


def test_compression() -> None:
    """The bytes of a compressed stream are never taken for a keep-alive."""

    async def run() -> None:
        opened = Opened(content_encoding="gzip")
        reading = await opened.reading()
        opened.send(gzip.compress(PING + EVENT))
        assert await reading == [EVENT]
        reading = await opened.reading()
        opened.send(PING)
        with pytest.raises(WhiteRabbitTransportError, match="can't be decompressed"):
            await reading

    simulated(run)


ENDS: dict[str, Callable[[Opened], None]] = {
    "end": lambda opened: opened.send(b"", end=True),
    "end with a keep-alive": lambda opened: opened.send(PING, end=True),
    "reset": lambda opened: opened.recorder.server.reset_stream(opened.stream.identity),
    "GOAWAY": lambda opened: opened.recorder.server.close_connection(last_stream_id=0),
    "lost connection": lambda opened: opened.recorder.streams.fail(UnusableAnswerError("it was lost")),
}


@pytest.mark.parametrize("end", ENDS)
def test_ends(end: str) -> None:
    """The end of a stream is seen at once after keep-alives."""

    async def run() -> None:
        opened = Opened()
        reading = await opened.reading(SILENCE)
        await opened.ping_until(60)
        ENDS[end](opened)
        opened.deliver()
        if end.startswith("end"):
            assert await reading is None
        else:
            with pytest.raises(WhiteRabbitTransportError, match="the stream broke"):
                await reading
        assert opened.loop.time() == 60

    simulated(run)


def test_a_body_of_known_length() -> None:
    """Keep-alives count for the length of a body."""

    async def run() -> None:
        opened = Opened(content_length=str(2 * len(PING)))
        reading = await opened.reading()
        opened.send(PING)
        opened.send(PING)
        opened.send(b"", end=True)
        assert await reading is None

    simulated(run)


def test_windows() -> None:
    """The server may send keep-alives without end; h2 on its side counts every byte."""

    async def run() -> None:
        opened, comment = Opened(), b":" + b"p" * 997 + b"\n\n"
        server, identity = opened.recorder.server, opened.stream.identity
        reading = await opened.reading()
        for _ in range(5 * STREAM_WINDOW // len(comment)):
            opened.send(comment)
            server.receive_data(opened.recorder.streams.to_send())
            assert STREAM_WINDOW / 2 <= server.local_flow_control_window(identity) <= STREAM_WINDOW
        assert opened.wakes == 0
        reading.cancel()

    simulated(run)


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_nobody_reads(is_cancelled: bool) -> None:
    """What arrives while nobody reads is kept, and counts for the window: also if a read was cancelled just now."""

    async def run() -> None:
        opened = Opened()
        if is_cancelled:
            (await opened.reading()).cancel()
        opened.send(PING)
        await turns()
        opened.send(PING)
        assert (opened.stream.unread, opened.entry.received) == (2 * len(PING), 0)
        assert await opened.events.read(SILENCE, LONG, 0.0) == []
        assert opened.entry.received == 2 * len(PING)

    simulated(run)


def test_a_closed_stream_is_freed() -> None:
    """A closed stream needs no garbage collection."""

    async def run() -> None:
        opened = Opened()
        reading = await opened.reading()
        opened.send(PING)
        opened.send(EVENT)
        assert await reading == [EVENT]
        opened.events.close()
        stream = weakref.ref(opened.stream)
        del opened, reading
        assert stream() is None

    gc.disable()
    try:
        simulated(run)
    finally:
        gc.enable()
