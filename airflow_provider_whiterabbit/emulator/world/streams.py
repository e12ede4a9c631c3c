"""Server-sent event streams: the options of a stream, the bytes of events and pings, and the currently open streams."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes
from airflow_provider_whiterabbit.emulator.plumbing.json_out import encode
from airflow_provider_whiterabbit.emulator.world.settings import StreamOptions

FRAME = "whiterabbit.frame"
"""Key of the `Frame` in an ASGI message that sends a stream event. Messages for pings and raw bytes lack the key."""


@dataclass(frozen=True, slots=True)
class Event:
    """An event of an execution or workflow run, before an event stream encodes the event.

    :param data: JSON object.
    :param terminal: whether the stream ends after this event.
    """

    data: Mapping[str, Any]
    terminal: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """An event with the data and the line ending that one event stream sends.

    :param data: JSON value. Text is sent without encoding it as JSON, each of its lines in a ``data`` field.
    :param terminal: whether the stream ends after this event.
    :param newline: line ending of this stream.
    :param fields: the lines before the data, such as ``id: 1``.
    """

    data: Any
    terminal: bool
    newline: str
    fields: tuple[str, ...] = ()

    def message(self) -> Message:
        """Return the ASGI message that sends this stream event."""
        # Not `splitlines`, which also splits at characters that end no line of an event stream.
        text = self.data.encode() if isinstance(self.data, str) else encode(self.data)
        data = [b"data: " + line for line in re.split(b"\r\n|\n|\r", text)]
        fields = [*(field.encode() for field in self.fields), *data, b"", b""]
        return {**body_message(self.newline.encode().join(fields)), FRAME: self}


def body_message(data: bytes) -> Message:
    """Return the ASGI message that sends `data` as a part, but not the last part, of a response body."""
    return {"type": "http.response.body", "body": data, "more_body": True}


class Topic:
    """The open event streams of one execution or one workflow run.

    :param changes: notified when a stream is opened or closed.
    """

    def __init__(self, changes: Changes) -> None:
        self.options: StreamOptions | None = None
        self._changes = changes
        self._streams: set[EventStream] = set()

    def __len__(self) -> int:
        return len(self._streams)

    def publish(self, event: Event) -> None:
        """Send an event on every open stream of the execution or workflow run."""
        for stream in self._streams:
            stream.send_event(event)

    def send_raw(self, data: bytes) -> None:
        """Send bytes unchanged, not as an event, on every open stream of the execution or workflow run."""
        for stream in self._streams:
            stream.put(body_message(data))

    def close(self) -> None:
        """End every open event stream of the execution or workflow run cleanly."""
        for stream in self._streams:
            stream.put(None)

    def add(self, stream: EventStream) -> None:
        """Add an open event stream of the execution or workflow run."""
        self._streams.add(stream)
        self._changes.notify()

    def remove(self, stream: EventStream) -> None:
        """Remove a closed event stream of the execution or workflow run."""
        self._streams.discard(stream)
        self._changes.notify()


class EventStream(Response):
    """An open event stream: an HTTP response that sends the events of an execution or workflow run to one client.

    :param default: options for a topic without its own.
    :param current: the event that announces the current status to the new client.
    """

    media_type = "text/event-stream"

    def __init__(self, topic: Topic, default: StreamOptions, current: Event) -> None:
        super().__init__(headers={"cache-control": "no-cache"})
        # The base class has set the length of its empty body; the length of a stream is not known.
        del self.headers["content-length"]
        self._topic = topic
        self._options = topic.options or default
        self._current = current
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()
        self._events_sent = self._pings_sent = 0
        self._ping_timer: asyncio.TimerHandle | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the HTTP headers, then events and pings, until the event stream ends or the client disconnects."""
        # The topic gets the stream before the client gets the headers. A client that reads the record after the headers
        # therefore misses no change.
        self._topic.add(self)
        if self._options.announce:
            self.send_event(self._current)
        disconnect_watch = asyncio.create_task(self._end_on_disconnect(receive))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            self._schedule_ping()
            while (message := await self._messages.get()) is not None:
                await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            disconnect_watch.cancel()
            if self._ping_timer is not None:
                self._ping_timer.cancel()
            self._topic.remove(self)

    def send_event(self, event: Event) -> None:
        """Send an event on this event stream. A terminal event ends the stream."""
        if self._options.terminal_event or not event.terminal:
            self._events_sent += 1
            self.put(Frame(event.data, event.terminal, self._options.newline, self._fields()).message())
        if event.terminal:
            self.put(None)

    def put(self, message: Message | None) -> None:
        """Queue an ASGI message for sending on the event stream; None ends the stream."""
        self._messages.put_nowait(message)

    def _fields(self) -> tuple[str, ...]:
        """Return the lines before the data of the next event, which the options of the stream ask for."""
        options = self._options
        lines = {
            f"id: {self._events_sent}": options.event_ids,
            f"event: {options.event_name}": options.event_name is not None,
            f"retry: {options.retry}": options.retry is not None,
        }
        return tuple(line for line, is_wanted in lines.items() if is_wanted)

    def _schedule_ping(self) -> None:
        if self._options.ping_interval is not None:
            self._ping_timer = asyncio.get_running_loop().call_later(self._options.ping_interval, self._ping)

    def _ping(self) -> None:
        as_data = self._options.ping == "data" or (self._options.ping == "alternating" and self._pings_sent % 2 == 1)
        self._pings_sent += 1
        line = "data: :ping" if as_data else ":ping"
        self.put(body_message((line + 2 * self._options.newline).encode()))
        self._schedule_ping()

    async def _end_on_disconnect(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.put(None)
