"""Simulated faults that send a wrong HTTP response or a wrong event: `Answer`, `Truncate`, `Alter`, `Enlarge`."""

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
from airflow_provider_whiterabbit.emulator.world.streams import FRAME, Frame, body_message

_RESPONSE_PIECE_SIZE = 64 * 1024


@dataclass(frozen=True)
class Answer(Effect):
    """The emulator sends an HTTP response with this status, body and headers instead of the endpoint's own response.

    :param status: HTTP status, 200 or higher.
    :param body: the emulator sends bytes and text unchanged (as ``text/html`` unless `headers` name another type), and
        any other value as JSON.
    :param headers: more headers, with one byte for each character of a value (at most U+00FF).
    :param process: the endpoint processes the request first, and the emulator discards its answer. Not supported for
        streams, whose answer does not end by itself.
    :param retry_after: the ``Retry-After`` header, in seconds, as with a status of 429.
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
        """False if `process` is set: event streams do not support the fault, as they do not end by themselves."""
        return False if self.process else None

    async def apply(self, call: Call) -> None:
        """Send the wrong HTTP response."""
        if self.process:
            await _collect_response(call)
        if isinstance(self.body, bytes | str):
            media_type, response_body = "text/html", self.body.encode() if isinstance(self.body, str) else self.body
        else:
            media_type, response_body = "application/json", encode(self.body)
        response_headers = {"content-type": media_type, "content-length": str(len(response_body))}
        retry_after = self.retry_after if self.retry_at is None else call.clock.http_date(self.retry_at)
        if retry_after is not None:
            response_headers["retry-after"] = str(retry_after)
        response_headers |= {name.lower(): value for name, value in self.headers.items()}
        raw_response_headers = [(name.encode(), value.encode("latin-1")) for name, value in response_headers.items()]
        await call.send({"type": "http.response.start", "status": self.status, "headers": raw_response_headers})
        await call.finish(response_body)


@dataclass(frozen=True)
class Truncate(Effect):
    """The emulator cuts the last bytes off a response body, and shortens ``Content-Length`` too. Not for event streams.

    :param drop: number of bytes to remove, at least 1.
    """

    streams = False
    drop: int = 1

    def __post_init__(self) -> None:
        if self.drop < 1:
            raise ValueError("drop must be at least 1")

    async def apply(self, call: Call) -> None:
        """Collect the body of the HTTP response, and send the body without its last bytes."""
        response_start, response_body = await _collect_response(call)
        await _send_response(call, response_start, response_body[: -self.drop])


class _JsonEffect(ChosenEvents):
    """Base class of faults that change a JSON object: the body of an HTTP response, or the data of a stream's events.

    A body or data that is not a JSON object passes unchanged.
    """

    @property
    def streams(self) -> bool | None:
        """True if `event` is set: only event streams support the fault, as other responses have no events."""
        return None if self.event is None else True

    @abstractmethod
    def changed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON object `data` as the simulated fault changes it."""

    async def send_chosen(self, call: Call, message: Message) -> None:
        """Change the JSON object in the data of a stream event, and send the event."""
        frame: Frame = message[FRAME]
        if isinstance(frame.data, Mapping):
            message = replace(frame, data=self.changed(dict(frame.data))).message()
        await call.send(message)

    async def send_changed(self, call: Call, response_start: Message, data: dict[str, Any]) -> None:
        """Send the changed JSON object as an HTTP response that begins with the ASGI message `response_start`."""
        await _send_response(call, response_start, encode(self.changed(data)))

    async def apply(self, call: Call) -> None:
        """Change the chosen events of a stream, or the body of an HTTP response that is not a stream."""
        if call.streams:
            await super().apply(call)
            return
        response_start, response_body = await _collect_response(call)
        data = None
        with suppress(ValueError):
            data = json.loads(response_body)
        if isinstance(data, dict):
            await self.send_changed(call, response_start, data)
        else:
            await _send_response(call, response_start, response_body)


@dataclass(frozen=True)
class Alter(_JsonEffect):
    """The emulator changes, adds or removes members of the JSON object in a response body or in stream events.

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
        """Return the JSON object `data` with `changes`, and without the members that `without` names."""
        return {name: value for name, value in (data | dict(self.changes)).items() if name not in self.without}


@dataclass(frozen=True)
class Enlarge(_JsonEffect):
    """The emulator sends a record or an event whose ``output`` is a text of `size` bytes.

    An answer of any size needs little memory, because the emulator sends it in pieces; it encodes an event as a whole.

    :param event: which events of a stream; None for all events and answers whose ``output`` is set and not null.
    """

    size: int
    event: EventChoice = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_not_negative(size=self.size)

    def changed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the JSON object `data` with an ``output`` of `size` bytes."""
        return data | {"output": "x" * self.size} if self._enlarges(data) else data

    async def send_changed(self, call: Call, response_start: Message, data: dict[str, Any]) -> None:
        """Send the changed HTTP response in pieces, so that the emulator serves other requests meanwhile."""
        if not self._enlarges(data):
            await super().send_changed(call, response_start, data)
            return
        output_placeholder = uuid4().hex
        response_head, response_tail = encode(data | {"output": output_placeholder}).split(output_placeholder.encode())
        await call.send(
            _response_start_with_length(response_start, len(response_head) + self.size + len(response_tail))
        )
        await call.send(body_message(response_head))
        response_piece = b"x" * _RESPONSE_PIECE_SIZE
        for position in range(0, self.size, _RESPONSE_PIECE_SIZE):
            await call.send(body_message(response_piece[: self.size - position]))
            await call.turn()
        await call.finish(response_tail)

    def _enlarges(self, data: Mapping[str, Any]) -> bool:
        return self.event is not None or data.get("output") is not None


async def _collect_response(call: Call) -> tuple[Message, bytes]:
    """Return the first ASGI message and the body of an endpoint's response; raise `Cut` if the body is incomplete."""
    response_messages: list[Message] = []

    async def keep_response_message(message: Message) -> None:
        response_messages.append(message)

    await call.proceed(keep_response_message)
    if len(response_messages) < 2 or response_messages[-1].get("more_body", False):
        raise Cut
    return response_messages[0], b"".join(message.get("body", b"") for message in response_messages[1:])


async def _send_response(call: Call, response_start: Message, response_body: bytes) -> None:
    await call.send(_response_start_with_length(response_start, len(response_body)))
    await call.finish(response_body)


def _response_start_with_length(response_start: Message, length: int) -> Message:
    """Return the first ASGI message of an HTTP response, with ``Content-Length`` changed to `length`."""
    response_headers = [(name, value) for name, value in response_start["headers"] if name != b"content-length"]
    return {**response_start, "headers": [*response_headers, (b"content-length", str(length).encode())]}
