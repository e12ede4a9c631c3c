"""I/O commands that the generator `follow` yields. A client carries out each command and sends back the result."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_whiterabbit.client.wire.messages import Request


@dataclass(frozen=True, slots=True)
class Open:
    """A command to open an event stream; the result is whether the stream is open, False if it is still being opened.

    A stream that is still being opened is given up by `Close`. Another `Open` goes on with it.

    :param within: seconds that opening may take.
    :param patience: seconds after which the result is False although the response has not begun. A blocking client may
        answer so at once, without having begun.
    """

    request: Request
    within: float
    patience: float = float("inf")


@dataclass(frozen=True, slots=True)
class Read:
    """A command to read from the open event stream; the result is a list of events, or None at the stream's end.

    The events are bytes, which `sse.event_data` parses, because most events need not be parsed.

    :param silence: seconds without a byte after which the stream is dead: `WhiteRabbitStreamError`.
    :param within: seconds after which the result is an empty list and the stream of no more use.
    :param quiet: seconds during which keep-alives are skipped. The result of the first one after that is an empty list.
    """

    silence: float
    within: float
    quiet: float


@dataclass(frozen=True, slots=True)
class Close:
    """A command to close the event stream, or to stop opening it; the command's result is None."""


@dataclass(frozen=True, slots=True)
class Get:
    """A command to send a request once; the command's result is the JSON of the HTTP response.

    :param within: seconds that it may take.
    :param wanted: the only members that are needed of a large response; empty for all.
    """

    request: Request
    within: float
    wanted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sleep:
    """A command to wait for a number of seconds; the command's result is None."""

    seconds: float


Command = Open | Read | Close | Get | Sleep
