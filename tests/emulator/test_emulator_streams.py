"""Streams: what is told, how it looks, and when it ends."""

from __future__ import annotations

import asyncio
import json
import threading
import time

import aiohttp
import pytest
import requests

from airflow_provider_whiterabbit.client.records.execution import ExecutionEvent
from airflow_provider_whiterabbit.emulator import StreamOptions, effects


class Reader:
    """Reads a stream in a thread of its own."""

    def __init__(self, response) -> None:
        self.response = response
        self.body = b""
        self.error = None
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        try:
            for chunk in self.response.iter_content(None):
                self.body += chunk
        except requests.RequestException as error:
            self.error = error

    def join(self) -> bytes:
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self.body


@pytest.fixture
def manual(wr) -> str:
    return wr.create_execution("MANUAL", manual=True)


@pytest.fixture
def follow(wr, client):
    def start(execution_id: str) -> Reader:
        before = wr.streams(execution_id)
        reader = Reader(client.stream(execution_id))
        wr.wait_for_stream(execution_id, count=before + 1)
        return reader

    return start


def test_a_stream_tells_every_status_and_closes(wr, client, manual, follow, told):
    response = client.stream(manual)
    assert response.headers["Content-Type"].startswith("text/event-stream")
    reader = Reader(response)
    wr.start(manual)
    wr.complete(manual, {"x": "é\u2028"})
    body = reader.join()
    assert told(body) == ["CREATED", "EXECUTING", "COMPLETED"]
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


def test_a_failure_is_told(wr, manual, follow, told):
    reader = follow(manual)
    wr.fail(manual, ["bad"])
    body = reader.join()
    assert told(body) == ["CREATED", "FAILED"]
    assert b'"error":["bad"]' in body


def test_a_late_subscriber_is_told_the_end(client, told):
    assert told(client.stream(client.submit()["id"]).content) == ["COMPLETED"]


def test_nothing_is_announced_if_so_wished(wr, manual, follow, told):
    wr.stream_options(announce=False)
    reader = follow(manual)
    wr.complete(manual)
    assert told(reader.join()) == ["COMPLETED"]


def test_without_announcement_a_late_subscriber_hears_only_pings(wr, follow):
    wr.stream_options(announce=False, ping_interval=0.01)
    done = wr.create_execution("X")
    response_reader = follow(done)
    wr.wait_for_stream(done)
    wr.close_streams(done)
    assert b"data" not in response_reader.join()


def test_every_subscriber_is_told(wr, manual, follow, told):
    readers = [follow(manual) for _ in range(3)]
    assert wr.streams(manual) == 3
    wr.complete(manual)
    assert [told(reader.join()) for reader in readers] == [["CREATED", "COMPLETED"]] * 3
    wr.wait_for_stream(manual, count=0)


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_newlines(wr, client, newline):
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
    wr.stream_options(manual, ping=style, ping_interval=0.01, announce=False)
    response = client.stream(manual)
    assert response.raw.read(len(first) + len(second)) == first + second
    response.close()
    wr.wait_for_stream(manual, count=0)


def test_pings_can_be_off(wr, manual, follow, told):
    wr.stream_options(ping_interval=None)
    reader = follow(manual)
    wr.complete(manual)
    assert b"ping" not in reader.join()


def test_the_terminal_event_can_be_lost(wr, manual, follow, told):
    wr.stream_options(manual, terminal_event=False)
    reader = follow(manual)
    wr.start(manual)
    wr.complete(manual)
    assert told(reader.join()) == ["CREATED", "EXECUTING"]
    assert reader.error is None


def test_options_of_one_execution_leave_the_others_alone(wr, client, manual, follow, told):
    wr.stream_options(manual, announce=False)
    assert told(client.stream(client.submit()["id"]).content) == ["COMPLETED"]


@pytest.mark.parametrize(("name", "value"), [("newline", "x"), ("ping", "loud"), ("ping_interval", 0)])
def test_impossible_options_are_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} must be"):
        StreamOptions(**{name: value})


def test_raw_bytes_are_sent_as_they_are(wr, manual, follow):
    reader = follow(manual)
    wr.send_raw(manual, b"data: {garbage\n\n")
    wr.complete(manual)
    assert b"\n\ndata: {garbage\n\ndata: {" in reader.join()


def test_reset_closes_streams_cleanly(wr, manual, follow):
    reader = follow(manual)
    wr.reset()
    reader.join()
    assert reader.error is None


def test_a_leaving_client_is_noticed(wr, client, manual):
    response = client.stream(manual)
    wr.wait_for_stream(manual)
    response.close()
    wr.wait_for_stream(manual, count=0)


def test_waiting_for_a_stream_times_out(wr, manual):
    with pytest.raises(TimeoutError):
        wr.wait_for_stream(manual, timeout=0.01)


def test_close_after_events(wr, manual, follow, told):
    wr.fault(effects.Close(events=2), kind="stream")
    reader = follow(manual)
    wr.start(manual)
    assert told(reader.join()) == ["CREATED", "EXECUTING"]
    assert reader.error is None


def test_close_right_after_the_headers(wr, client, manual):
    wr.fault(effects.Close(), kind="stream")
    assert client.stream(manual).content == b""


def test_silence(wr, client, manual):
    wr.stream_options(ping_interval=0.01)
    wr.fault(effects.Silence(events=1), kind="stream")
    reader = Reader(client.stream(manual, timeout=(5, 0.2)))
    assert reader.join().count(b"\n\n") == 1
    assert "timed out" in str(reader.error)
    reader.response.close()
    wr.wait_for_stream(manual, count=0)


def test_a_reset_cuts_an_event_in_two(wr, manual, follow):
    wr.fault(effects.Reset("body", events=1, extra=20), kind="stream")
    reader = follow(manual)
    wr.start(manual)
    body = reader.join()
    assert len(body.split(b"\n\n")[1]) == 20
    assert isinstance(reader.error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError)


def test_injected_bytes(wr, client, manual, follow):
    wr.fault(effects.Inject(b": hello\n\n"), kind="stream")
    wr.fault(effects.Inject('data: {"id":"other","status":"COMPLETED"}\n\n', events=2), kind="stream")
    reader = follow(manual)
    wr.start(manual)
    wr.complete(manual)
    lines = [line for line in reader.join().split(b"\n\n") if line]
    assert lines[0] == b": hello"
    assert b'"CREATED"' in lines[1]
    assert b'"EXECUTING"' in lines[2]
    assert b'"other"' in lines[3]
    assert b'"COMPLETED"' in lines[4]


def test_a_stream_byte_by_byte(wr, client):
    execution_id = client.submit()["id"]
    whole = client.stream(execution_id).content
    wr.fault(effects.Split([2, 1]), kind="stream")
    with client.stream(execution_id) as response:
        chunks = list(response.raw.read_chunked())
    assert len(chunks) == len(whole) - 1
    assert b"".join(chunks) == whole


def test_silence_does_not_keep_the_emulator_from_a_reset(wr, client, manual):
    wr.fault(effects.Silence(), kind="stream")
    reader = Reader(client.stream(manual))
    wr.reset()
    reader.join()
    assert reader.error is not None


async def test_many_streams(wr, client, manual):
    """Streams cost little: all are told within a moment."""
    path = f"/v1/sdk/components/executions/{manual}/stream"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def read() -> bytes:
            async with session.get(wr.url + path, headers=client.headers("GET", path)) as response:
                return await response.read()

        readers = [asyncio.create_task(read()) for _ in range(300)]
        await asyncio.to_thread(wr.wait_for_stream, manual, count=300)
        wr.complete(manual)
        before = time.monotonic()
        bodies = await asyncio.gather(*readers)
    assert all(b"COMPLETED" in body for body in bodies)
    assert time.monotonic() - before < 10
