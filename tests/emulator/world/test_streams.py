"""Event streams: their events, their options, and their end."""

from __future__ import annotations

import asyncio
import json
import math
import threading
import time
from collections.abc import Callable

import aiohttp
import pytest
import requests

from airflow_provider_whiterabbit.client.records.execution import ExecutionEvent
from airflow_provider_whiterabbit.emulator import Emulator, StreamOptions, effects
from tests.emulator.api_client import EXECUTIONS, ApiClient, limit, statuses


class Reader:
    """Reads a stream in a thread."""

    def __init__(self, response: requests.Response) -> None:
        self.response = response
        self.body = b""
        self.error: requests.RequestException | None = None
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for chunk in self.response.iter_content(None):
                self.body += chunk
        except requests.RequestException as error:
            self.error = error

    def join(self) -> bytes:
        """Wait for the end of the stream and return its bytes."""
        self._thread.join(60)
        assert not self._thread.is_alive()
        return self.body


@pytest.fixture
def manual(wr: Emulator) -> str:
    """Return the id of an execution whose status the test changes."""
    return wr.create_execution("MANUAL", manual=True)


@pytest.fixture
def follow(wr: Emulator, client: ApiClient) -> Callable[[str], Reader]:
    """Return a function that opens the stream of an execution and begins to read it."""

    def start_reader(execution_id: str) -> Reader:
        before = wr.streams(execution_id)
        reader = Reader(client.stream(execution_id))
        wr.wait_for_stream(execution_id, count=before + 1)
        return reader

    return start_reader


def test_a_stream_sends_every_status(wr, client, manual, follow):
    """A stream sends an event for each status, has the documented form, and ends after the terminal event."""
    response = client.stream(manual)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    reader = Reader(response)
    wr.start(manual)
    wr.complete(manual, {"x": "é\u2028"})
    body = reader.join()
    assert statuses(body) == ["CREATED", "EXECUTING", "COMPLETED"]
    last = json.loads(body.split(b"\n\n")[-2].removeprefix(b"data: "))
    assert last == {
        "id": manual,
        "status": "COMPLETED",
        "output": {"x": "é\u2028"},
        "error": None,
        "timestamp": wr.execution(manual)["updatedAt"],
    }
    assert ExecutionEvent.from_dict(last).status.is_terminal
    assert body.count(b"\n\n") == 3


def test_the_stream_of_a_failed_execution(wr, manual, follow):
    """The last event of a failed execution has its error."""
    reader = follow(manual)
    wr.fail(manual, ["bad"])
    body = reader.join()
    assert statuses(body) == ["CREATED", "FAILED"]
    assert b'"error":["bad"]' in body


def test_a_stream_after_the_end(client):
    """A stream that is opened after the end sends the terminal event."""
    assert statuses(client.stream(client.submit()["id"]).content) == ["COMPLETED"]


def test_without_announcement(wr, manual, follow):
    """Without `announce`, a stream does not begin with the current status."""
    wr.stream_options(announce=False)
    reader = follow(manual)
    wr.complete(manual)
    assert statuses(reader.join()) == ["COMPLETED"]


def test_without_announcement_after_the_end(wr, follow):
    """Without `announce`, a stream that is opened after the end sends nothing but pings."""
    wr.stream_options(announce=False, ping_interval=0.01)
    done = wr.create_execution("X")
    reader = follow(done)
    wr.wait_for_stream(done)
    wr.close_streams(done)
    assert b"data" not in reader.join()


def test_several_streams_of_one_execution(wr, manual, follow):
    """Each open stream of an execution gets every event."""
    readers = [follow(manual) for _ in range(3)]
    assert wr.streams(manual) == 3
    wr.complete(manual)
    assert [statuses(reader.join()) for reader in readers] == [["CREATED", "COMPLETED"]] * 3
    wr.wait_for_stream(manual, count=0)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_newlines(wr, client, newline):
    """`newline` sets the line ending of events."""
    wr.stream_options(newline=newline)
    body = client.stream(client.submit()["id"]).content.decode()
    assert body.endswith("}" + newline * 2)
    assert body.count("\r" if "\r" in newline else "\n") == 2


@pytest.mark.parametrize(
    ("style", "first", "second"),
    [
        ("comment", b":ping\n\n", b":ping\n\n"),
        ("data", b"data: :ping\n\n", b"data: :ping\n\n"),
        ("alternating", b":ping\n\n", b"data: :ping\n\n"),
    ],
)
def test_pings(wr, client, manual, style, first, second):
    """`ping` sets the form of pings, and an open stream of a client that leaves is closed."""
    wr.stream_options(manual, ping=style, ping_interval=0.01, announce=False)
    response = client.stream(manual)
    assert response.raw.read(len(first) + len(second)) == first + second
    response.close()
    wr.wait_for_stream(manual, count=0)


def test_without_pings(wr, manual, follow):
    """With ``ping_interval=None``, a stream sends no pings."""
    wr.stream_options(ping_interval=None)
    reader = follow(manual)
    wr.complete(manual)
    assert b"ping" not in reader.join()


def test_without_the_terminal_event(wr, manual, follow):
    """Without `terminal_event`, a stream ends cleanly before its terminal event."""
    wr.stream_options(manual, terminal_event=False)
    reader = follow(manual)
    wr.start(manual)
    wr.complete(manual)
    assert statuses(reader.join()) == ["CREATED", "EXECUTING"]
    assert reader.error is None


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_more_fields(wr, manual, follow, newline):
    """`event_ids`, `event_name` and `retry` add lines to each event; an event with other data keeps them."""
    wr.stream_options(event_ids=True, event_name="status", retry=3000, newline=newline)
    wr.fault(effects.Replace("{", event=2), kind="stream")
    reader = follow(manual)
    wr.start(manual)
    wr.complete(manual)
    events = [event.split(newline) for event in reader.join().decode().split(newline * 2)[:-1]]
    assert [event[:-1] for event in events] == [[f"id: {n}", "event: status", "retry: 3000"] for n in (1, 2, 3)]
    assert events[1][-1] == "data: {"
    assert json.loads(events[2][-1].removeprefix("data: "))["status"] == "COMPLETED"


def test_options_of_one_execution(wr, client, manual, follow):
    """The options of one execution do not change the streams of another."""
    wr.stream_options(manual, announce=False)
    assert statuses(client.stream(client.submit()["id"]).content) == ["COMPLETED"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("newline", "x"),
        ("ping", "loud"),
        ("ping_interval", 0),
        ("ping_interval", math.nan),
        ("ping_interval", math.inf),
        ("ping_interval", "15"),
        ("event_name", "a\nb"),
        ("event_name", ""),
        ("retry", -1),
    ],
)
def test_invalid_options_are_refused(name, value):
    """A value that an option does not allow raises `ValueError`."""
    with pytest.raises(ValueError, match=f"{name} must be"):
        StreamOptions(**{name: value})


def test_raw_bytes(wr, manual, follow):
    """`send_raw` sends bytes between the events."""
    reader = follow(manual)
    wr.send_raw(manual, b"data: {garbage\n\n")
    wr.complete(manual)
    assert b"\n\ndata: {garbage\n\ndata: {" in reader.join()


def test_a_reset_ends_streams_cleanly(wr, manual, follow):
    """A reset of the emulator ends streams cleanly."""
    reader = follow(manual)
    wr.reset()
    reader.join()
    assert reader.error is None


def test_a_client_disconnects(wr, client, manual):
    """When a client closes its connection, its stream is closed."""
    response = client.stream(manual)
    wr.wait_for_stream(manual)
    response.close()
    wr.wait_for_stream(manual, count=0)


def test_wait_for_stream_has_a_timeout(wr, manual):
    """`wait_for_stream` raises `TimeoutError` if no stream is opened."""
    with pytest.raises(TimeoutError):
        wr.wait_for_stream(manual, timeout=0.01)


def test_silence_stops_pings(wr, client, manual):
    """`Silence` also stops the pings of a stream."""
    wr.stream_options(ping_interval=0.01)
    wr.fault(effects.Silence(events=1), kind="stream")
    with client.stream(manual, timeout=60) as response:
        pieces = response.iter_content(None)
        event = next(pieces)
        assert event.count(b"\n\n") == 1
        limit(response, 0.2)
        with pytest.raises(requests.ConnectionError, match="timed out"):
            next(pieces)
    wr.wait_for_stream(manual, count=0)


def test_split_chunks(wr, client):
    """`Split` sends each piece of a stream in an HTTP chunk of its own."""
    execution_id = client.submit()["id"]
    whole = client.stream(execution_id).content
    wr.fault(effects.Split([2, 1]), kind="stream")
    with client.stream(execution_id) as response:
        chunks = list(response.raw.read_chunked())
    assert len(chunks) == len(whole) - 1
    assert b"".join(chunks) == whole


def test_a_reset_closes_a_silent_stream(wr, client, manual):
    """A reset of the emulator closes the connection of a silent stream."""
    wr.fault(effects.Silence(), kind="stream")
    reader = Reader(client.stream(manual))
    wr.reset()
    reader.join()
    assert reader.error is not None


async def test_many_streams(wr, client, manual):
    """300 streams of one execution get its end with 10 seconds of the processor at most, and do not wait in turn."""
    path = f"{EXECUTIONS}/{manual}/stream"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def read_stream() -> bytes:
            async with session.get(wr.url + path, headers=client.headers("GET", path)) as response:
                return await response.read()

        readers = [asyncio.create_task(read_stream()) for _ in range(300)]
        await asyncio.to_thread(wr.wait_for_stream, manual, count=300, timeout=60)
        before = time.process_time()  # the emulator's thread is of this process
        async with asyncio.timeout(60):
            wr.complete(manual)
            bodies = await asyncio.gather(*readers)
    assert all(b"COMPLETED" in body for body in bodies)
    assert time.process_time() - before < 10
