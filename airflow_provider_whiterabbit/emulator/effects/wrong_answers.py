"""Effects that send a wrong answer, or wrong data in an event: `Answer`, `Truncate`, `Alter`, `Enlarge`."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from starlette.types import Message

from airflow_provider_whiterabbit.emulator.effects.events import ChosenEvents, EventChoice
from airflow_provider_whiterabbit.emulator.effects.fault import Call, Cut, Effect, check_not_negative
from airflow_provider_whiterabbit.emulator.plumbing.json_out import encode
from airflow_provider_whiterabbit.emulator.plumbing.streams import FRAME, Frame, body_message

_PIECE_SIZE = 64 * 1024


@dataclass(frozen=True)
class Answer(Effect):
    """The emulator sends this answer instead of the endpoint's answer.

    :param status: HTTP status, 200 or higher.
    :param body: the emulator sends bytes and text unchanged (as ``text/html`` unless `headers` name another type), and
        any other value as JSON.
    :param process: the endpoint processes the request first, and the emulator discards its answer. Not supported for
        streams, whose answer does not end by itself.
    :param retry_after: the ``Retry-After`` header, in seconds.
    :param retry_at: the ``Retry-After`` header as the HTTP date that many seconds ahead on the emulator's clock.
    """

    status: int
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    process: bool = False
    retry_after: int | None = None
    retry_at: int | None = None

    def __post_init__(self) -> None:
        if HTTPStatus(self.status) < HTTPStatus.OK:
            raise ValueError("status must be that of a final answer, 200 or more")
        if self.retry_after is not None and self.retry_at is not None:
            raise ValueError("give retry_after or retry_at, not both")
        check_not_negative(retry_after=self.retry_after, retry_at=self.retry_at)
        if not isinstance(self.body, bytes | str):
            encode(self.body)

    @property
    def streams(self) -> bool | None:
        """With `process`, the effect does not support streams, because a stream does not end by itself."""
        return False if self.process else None

    async def apply(self, call: Call) -> None:
        """Send the answer."""
        if self.process:
            await _collect(call)
        if isinstance(self.body, bytes | str):
            media_type, body = "text/html", self.body.encode() if isinstance(self.body, str) else self.body
        else:
            media_type, body = "application/json", encode(self.body)
        headers = {"content-type": media_type, "content-length": str(len(body))}
        retry_after = self.retry_after if self.retry_at is None else call.clock.http_date(self.retry_at)
        if retry_after is not None:
            headers["retry-after"] = str(retry_after)
        headers |= {name.lower(): value for name, value in self.headers.items()}
        raw_headers = [(name.encode(), value.encode()) for name, value in headers.items()]
        await call.send({"type": "http.response.start", "status": self.status, "headers": raw_headers})
        await call.finish(body)


@dataclass(frozen=True)
class Truncate(Effect):
    """The emulator removes the last bytes of a body; ``Content-Length`` fits the shorter body. Not for streams.

    :param drop: number of bytes to remove, at least 1.
    """

    streams = False
    drop: int = 1

    def __post_init__(self) -> None:
        if self.drop < 1:
            raise ValueError("drop must be at least 1")

    async def apply(self, call: Call) -> None:
        """Collect the body, and send it without its last bytes."""
        start, body = await _collect(call)
        await _send_with_length(call, start, body[: -self.drop])


class _JsonEffect(ChosenEvents):
    """Base class of effects that change JSON objects: the body of an answer, or the data of a stream's chosen events.

    A body or data that is not a JSON object passes unchanged.
    """

    @property
    def streams(self) -> bool | None:
        """If `event` is set, the effect supports only streams, because other answers have no events."""
        return None if self.event is None else True

    @abstractmethod
    def changed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON object with the effect's changes."""

    async def send_chosen(self, call: Call, message: Message) -> None:
        """Send the event with the changes."""
        frame: Frame = message[FRAME]
        if isinstance(frame.data, Mapping):
            message = replace(frame, data=self.changed(dict(frame.data))).message()
        await call.send(message)

    async def send_changed(self, call: Call, start: Message, data: dict[str, Any]) -> None:
        """Send the answer with the changes; `start` is the first ASGI message of the endpoint's answer."""
        await _send_with_length(call, start, encode(self.changed(data)))

    async def apply(self, call: Call) -> None:
        """Change the chosen events of a stream, or the body of another answer."""
        if call.streams:
            await super().apply(call)
            return
        start, body = await _collect(call)
        data = None
        with suppress(ValueError):
            data = json.loads(body)
        if isinstance(data, dict):
            await self.send_changed(call, start, data)
        else:
            await _send_with_length(call, start, body)


@dataclass(frozen=True)
class Alter(_JsonEffect):
    """The emulator changes, adds or removes members of the JSON object in an answer or in events.

    :param changes: new values by member name; a name that does not exist is added.
    :param event: which events of a stream; None for all events and for other answers.
    :param without: names of members to remove.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    event: EventChoice = None
    without: Sequence[str] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        encode({**self.changes})

    def changed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON object with the effect's changes."""
        return {name: value for name, value in (data | dict(self.changes)).items() if name not in self.without}


@dataclass(frozen=True)
class Enlarge(_JsonEffect):
    """The emulator replaces the JSON member ``output`` with a text of `size` bytes.

    An answer of any size needs little memory, because the emulator sends it in pieces; it encodes an event as a whole.

    :param event: which events of a stream; None for all events and answers whose ``output`` is set and not null.
    """

    size: int
    event: EventChoice = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_not_negative(size=self.size)

    def changed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the object with the large output."""
        return data | {"output": "x" * self.size} if self._enlarges(data) else data

    async def send_changed(self, call: Call, start: Message, data: dict[str, Any]) -> None:
        """Send the large output in pieces, so that the emulator serves other requests meanwhile."""
        if not self._enlarges(data):
            await super().send_changed(call, start, data)
            return
        placeholder = uuid4().hex
        head, tail = encode(data | {"output": placeholder}).split(placeholder.encode())
        await call.send(_with_length(start, len(head) + self.size + len(tail)))
        await call.send(body_message(head))
        piece = b"x" * _PIECE_SIZE
        for position in range(0, self.size, _PIECE_SIZE):
            await call.send(body_message(piece[: self.size - position]))
            await call.turn()
        await call.finish(tail)

    def _enlarges(self, data: Mapping[str, Any]) -> bool:
        return self.event is not None or data.get("output") is not None


async def _collect(call: Call) -> tuple[Message, bytes]:
    """Let the endpoint answer; return the first ASGI message and the body, or raise `Cut` if they are incomplete."""
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await call.proceed(keep)
    if len(messages) < 2 or messages[-1].get("more_body", False):
        raise Cut
    return messages[0], b"".join(message.get("body", b"") for message in messages[1:])


async def _send_with_length(call: Call, start: Message, body: bytes) -> None:
    await call.send(_with_length(start, len(body)))
    await call.finish(body)


def _with_length(start: Message, length: int) -> Message:
    """Return the first ASGI message of an answer with another ``Content-Length``."""
    headers = [(name, value) for name, value in start["headers"] if name != b"content-length"]
    return {**start, "headers": [*headers, (b"content-length", str(length).encode())]}
