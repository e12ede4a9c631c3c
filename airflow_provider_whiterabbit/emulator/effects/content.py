"""What answers and events say: other values, and far too much of them."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import uuid4

from starlette.types import Message

from airflow_provider_whiterabbit.emulator.effects.answers import collect, with_length
from airflow_provider_whiterabbit.emulator.effects.base import Call, Effect
from airflow_provider_whiterabbit.emulator.effects.checks import check_not_negative
from airflow_provider_whiterabbit.emulator.effects.events import Chosen, change_events, check_chosen, chosen
from airflow_provider_whiterabbit.emulator.plumbing.json_out import encode
from airflow_provider_whiterabbit.emulator.plumbing.streams import Frame, body_message

_PIECE = 64 * 1024


class _OfObjects(Effect):
    """Changes the JSON objects that answers and events are. What is none goes through as it is."""

    event: Chosen

    @property
    def streams(self) -> bool | None:
        """Only streams have events to choose from."""
        return None if self.event is None else True

    @abstractmethod
    def changed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the changed data of an event."""

    @abstractmethod
    async def answer(self, call: Call, start: Message, data: dict[str, Any]) -> None:
        """Send the changed answer."""

    async def apply(self, call: Call) -> None:
        """Change events, or the answer."""

        def change(number: int, frame: Frame) -> Iterable[Frame | bytes]:
            if isinstance(frame.data, Mapping) and chosen(self.event, number, frame):
                frame = replace(frame, data=self.changed(dict(frame.data)))
            return [frame]

        async def answer(start: Message, body: bytes) -> None:
            data = _parsed(body)
            if isinstance(data, dict):
                await self.answer(call, start, data)
            else:
                await _send_whole(call, start, body)

        await (change_events(call, change) if call.streams else collect(call, answer))


@dataclass(frozen=True)
class Alter(_OfObjects):
    """Changes members of answers and events.

    :param changes: members that get another value, or are added.
    :param without: names of members that are left out.
    :param event: which events of a stream; None for all, and for other answers.
    :raises TypeError: if `changes` is not a JSON object.
    :raises ValueError: if there is no such event.
    """

    changes: Mapping[str, Any] = field(default_factory=dict)
    event: Chosen = None
    without: Sequence[str] = ()

    def __post_init__(self) -> None:
        check_chosen(self.event)
        encode({**self.changes})

    def changed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the object with the changes."""
        return {name: value for name, value in (data | dict(self.changes)).items() if name not in self.without}

    async def answer(self, call: Call, start: Message, data: dict[str, Any]) -> None:
        """Send the object with the changes."""
        await _send_whole(call, start, encode(self.changed(data)))


@dataclass(frozen=True)
class Enlarge(_OfObjects):
    """Makes ``output`` a text of `size` bytes.

    An answer of any size costs the emulator next to nothing; an event is held and encoded whole.

    :param event: which events of a stream; None for all events and answers whose ``output`` is there and not null.
    :raises ValueError: if `size` is negative or there is no such event.
    """

    size: int
    event: Chosen = None

    def __post_init__(self) -> None:
        check_not_negative(size=self.size)
        check_chosen(self.event)

    def changed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Return the object with the large output."""
        return data | {"output": "x" * self.size} if self._means(data) else data

    async def answer(self, call: Call, start: Message, data: dict[str, Any]) -> None:
        """Send the large output a little at a time, so that others have their turn."""
        if not self._means(data):
            await _send_whole(call, start, encode(data))
            return
        place = uuid4().hex
        head, tail = encode(data | {"output": place}).split(place.encode())
        await call.send(with_length(start, len(head) + self.size + len(tail)))
        await call.send(body_message(head))
        piece = b"x" * _PIECE
        for position in range(0, self.size, _PIECE):
            await call.send(body_message(piece[: self.size - position]))
            await call.turn()
        await call.send({"type": "http.response.body", "body": tail, "more_body": False})

    def _means(self, data: Mapping[str, Any]) -> bool:
        return self.event is not None or data.get("output") is not None


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return None


async def _send_whole(call: Call, start: Message, body: bytes) -> None:
    await call.send(with_length(start, len(body)))
    await call.send({"type": "http.response.body", "body": body, "more_body": False})
