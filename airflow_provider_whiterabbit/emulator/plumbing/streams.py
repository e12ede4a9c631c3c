"""Server-sent events: who follows what, and how an event and a ping look on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from airflow_provider_whiterabbit.emulator.plumbing.changes import Changes
from airflow_provider_whiterabbit.emulator.plumbing.json_out import encode

FRAME = "whiterabbit.frame"
"""Key of the `Frame` in the ASGI message that completes an event; pings and raw bytes come in messages without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamOptions:
    r"""How a stream behaves; read when it is opened.

    :param announce: a new subscriber is first told the current status. If not, a subscriber who comes after the end
        hears nothing but pings.
    :param newline: ``\n``, ``\r\n`` or ``\r``.
    :param ping: pings come as comments (``:ping``), as data (``data: :ping``), or as the two in turn.
    :param ping_interval: seconds between pings; None for no pings.
    :param terminal_event: if False, the terminal event is lost: the stream closes without it.
    :raises ValueError: if an option has a value that it can't have.
    """

    announce: bool = True
    newline: Literal["\n", "\r\n", "\r"] = "\n"
    ping: Literal["comment", "data", "alternating"] = "comment"
    ping_interval: float | None = 15.0
    terminal_event: bool = True

    def __post_init__(self) -> None:
        if self.newline not in ("\n", "\r\n", "\r"):
            raise ValueError("newline must be LF, CRLF or CR")
        if self.ping not in ("comment", "data", "alternating"):
            raise ValueError("ping must be 'comment', 'data' or 'alternating'")
        if self.ping_interval is not None and self.ping_interval <= 0:
            raise ValueError("ping_interval must be positive, or None for no pings")


@dataclass(frozen=True, slots=True)
class Event:
    """One event.

    :param data: JSON object.
    :param terminal: whether the stream ends with it.
    """

    data: Mapping[str, Any]
    terminal: bool


@dataclass(frozen=True, slots=True)
class Frame:
    """An event as one stream writes it.

    :param data: JSON value; text is sent as it is.
    :param terminal: whether the stream ends with it.
    """

    data: Any
    terminal: bool
    newline: str

    def message(self) -> Message:
        """Return the ASGI message that sends it."""
        data = self.data.encode() if isinstance(self.data, str) else encode(self.data)
        return {**body_message(b"data: " + data + 2 * self.newline.encode()), FRAME: self}


def body_message(data: bytes) -> Message:
    """Return the ASGI message that sends bytes and lets more follow."""
    return {"type": "http.response.body", "body": data, "more_body": True}


class Topic:
    """What can be followed: one execution or one run.

    :param changes: notified when a subscriber comes or goes.
    """

    def __init__(self, changes: Changes) -> None:
        self.options: StreamOptions | None = None
        self._changes = changes
        self._subscribers: set[Subscriber] = set()

    def __len__(self) -> int:
        return len(self._subscribers)

    def publish(self, event: Event) -> None:
        """Send an event to everyone who follows."""
        for subscriber in self._subscribers:
            subscriber.tell(event)

    def send_raw(self, data: bytes) -> None:
        """Send bytes to everyone who follows, as they are."""
        for subscriber in self._subscribers:
            subscriber.put(body_message(data))

    def close(self) -> None:
        """Let every stream end cleanly."""
        for subscriber in self._subscribers:
            subscriber.put(None)

    def join(self, subscriber: Subscriber) -> None:
        """Let someone follow."""
        self._subscribers.add(subscriber)
        self._changes.notify()

    def leave(self, subscriber: Subscriber) -> None:
        """Let someone go."""
        self._subscribers.discard(subscriber)
        self._changes.notify()


class Subscriber:
    """One open stream: what is on its way to one client."""

    def __init__(self, options: StreamOptions) -> None:
        self._options = options
        self._messages: asyncio.Queue[Message | None] = asyncio.Queue()
        self._pings = 0
        self._timer: asyncio.TimerHandle | None = None

    def tell(self, event: Event) -> None:
        """Send an event, and close after a terminal one."""
        if self._options.terminal_event or not event.terminal:
            self.put(Frame(event.data, event.terminal, self._options.newline).message())
        if event.terminal:
            self.put(None)

    def put(self, message: Message | None) -> None:
        """Send an ASGI message; None closes the stream."""
        self._messages.put_nowait(message)

    async def get(self) -> Message | None:
        """Return what is to be sent next; None at the end."""
        return await self._messages.get()

    def schedule_ping(self) -> None:
        """Let a ping be sent after the next interval, and after each one that follows."""
        if self._options.ping_interval is not None:
            self._timer = asyncio.get_running_loop().call_later(self._options.ping_interval, self._ping)

    def stop(self) -> None:
        """Send no more pings."""
        if self._timer is not None:
            self._timer.cancel()

    def _ping(self) -> None:
        as_data = self._options.ping == "data" or (self._options.ping == "alternating" and self._pings % 2 == 1)
        self._pings += 1
        line = "data: :ping" if as_data else ":ping"
        self.put(body_message((line + 2 * self._options.newline).encode()))
        self.schedule_ping()


class EventStream(Response):
    """The answer that stays open.

    :param default: options for a topic that has none of its own.
    :param current: what a new subscriber is told first.
    """

    media_type = "text/event-stream"

    def __init__(self, topic: Topic, default: StreamOptions, current: Event) -> None:
        super().__init__(headers={"cache-control": "no-cache"})
        # The base class counted the (empty) body; a stream's length is not known.
        del self.headers["content-length"]
        self._topic = topic
        self._options = topic.options or default
        self._current = current

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send headers, then events and pings until the stream or the client ends it."""
        # Subscribed before the client sees the headers: whoever reads the record after that misses nothing.
        subscriber = Subscriber(self._options)
        self._topic.join(subscriber)
        if self._options.announce:
            subscriber.tell(self._current)
        watch = asyncio.create_task(_close_when_client_leaves(receive, subscriber))
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            subscriber.schedule_ping()
            while (message := await subscriber.get()) is not None:
                await send(message)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            watch.cancel()
            subscriber.stop()
            self._topic.leave(subscriber)


async def _close_when_client_leaves(receive: Receive, subscriber: Subscriber) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    subscriber.put(None)
