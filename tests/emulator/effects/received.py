"""What a client receives from the emulator while an effect applies."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import requests

from airflow_provider_whiterabbit.emulator import Emulator, effects

RECORD = "/v1/sdk/components/executions/{}"
STATUSES = ["CREATED", "EXECUTING", "COMPLETED"]
"""The statuses in the events of a complete stream."""

TIMEOUT = 60
"""Seconds without a byte after which a client fails that should receive the next byte at once."""


@dataclass
class Received:
    """What a client received: a status, headers and bytes, and the error that ended the answer, if any.

    :param id: the execution or run that the client asked for.
    :param status: HTTP status; None if the client received no answer.
    """

    id: str
    status: int | None
    headers: Any
    body: bytes
    error: str

    @property
    def events(self) -> list[bytes]:
        """The data of each event in the body."""
        return [part.removeprefix(b"data: ") for part in self.body.split(b"\n\n") if part.startswith(b"data: ")]

    @property
    def statuses(self) -> list[str]:
        """The status in each event."""
        return [json.loads(event)["status"] for event in self.events]

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.body)

    @property
    def is_reset(self) -> bool:
        """Whether the connection ended with an RST."""
        return "reset by peer" in self.error

    @property
    def is_timeout(self) -> bool:
        """Whether the connection was open but sent nothing."""
        return "timed out" in self.error

    @property
    def is_incomplete(self) -> bool:
        """Whether the connection ended with a FIN before the end of the body; the words depend on urllib3's version."""
        return any(words in self.error for words in ("ended prematurely", "IncompleteRead", "InvalidChunkLength"))


def receive(request: Callable[[], requests.Response], identity: str, after_headers: Callable[[], object]) -> Received:
    """Send a request, call a function after the headers of the answer, and read the body."""
    received = Received(identity, None, {}, b"", "")
    try:
        with request() as response:
            received.status, received.headers = response.status_code, response.headers
            after_headers()
            # Read in the pieces that arrive, or byte by byte, to keep the bytes before an error.
            for piece in response.iter_content(None if response.raw.chunked else 1):
                received.body += piece
    except requests.RequestException as error:
        received.error = str(error)
    return received


def receive_stream(
    wr: Emulator, client: Any, after_headers: Callable[[str], object] | None = None, timeout: float = TIMEOUT
) -> Received:
    """Follow a new execution that starts and completes after the headers of its stream."""
    execution_id = wr.create_execution("X", manual=True)

    def complete() -> None:
        wr.start(execution_id)
        wr.complete(execution_id, {"x": 1})

    return receive(
        lambda: client.stream(execution_id, timeout=timeout),
        execution_id,
        complete if after_headers is None else lambda: after_headers(execution_id),
    )


def receive_record(wr: Emulator, client: Any, timeout: float = TIMEOUT) -> Received:
    """Read the record of a new execution that has completed."""
    execution_id = completed(wr, {"x": 1})
    path = RECORD.format(execution_id)
    return receive(lambda: client.get(path, stream=True, timeout=timeout), execution_id, lambda: None)


def completed(wr: Emulator, output: Any) -> str:
    """Create an execution that has completed, and return its id."""
    execution_id = wr.create_execution("X", manual=True)
    wr.complete(execution_id, output)
    return execution_id


def in_json(effect: effects.Effect, **options: Any) -> dict[str, Any]:
    """Return a fault in the JSON form of the control endpoint."""
    values = {item.name: getattr(effect, item.name) for item in fields(effect)}  # type: ignore[arg-type]
    text = {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}
    return {"effect": type(effect).__name__.lower(), **text, **options}
