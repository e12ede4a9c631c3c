"""The commands that the follower yields. A transport carries each one out and sends its answer back."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_whiterabbit.client.wire.messages import Request


@dataclass(frozen=True, slots=True)
class Open:
    """Open a stream. The answer is None.

    :param within: seconds that opening may take.
    """

    request: Request
    within: float


@dataclass(frozen=True, slots=True)
class Read:
    """Read from the open stream. The answer is a list with the data of events, perhaps empty; None at the stream's end.

    :param silence: seconds without a byte after which the stream is dead: `WhiteRabbitStreamError`.
    :param within: seconds after which the answer is an empty list and the stream of no more use.
    :param quiet: seconds during which keep-alives are skipped. The first one after that is answered by an empty list.
    """

    silence: float
    within: float
    quiet: float


@dataclass(frozen=True, slots=True)
class Close:
    """Close the stream. The answer is None."""


@dataclass(frozen=True, slots=True)
class Get:
    """Send a request once. The answer is the JSON of the response.

    :param within: seconds that it may take.
    :param wanted: the only members that are needed of a large response; empty for all.
    """

    request: Request
    within: float
    wanted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait so many seconds. The answer is None."""

    seconds: float


Command = Open | Read | Close | Get | Sleep
