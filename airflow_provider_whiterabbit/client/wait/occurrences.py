"""What can happen during a wait for an execution or workflow run, for a caller that counts it."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Occurrence(StrEnum):
    """What can happen during a wait."""

    RECONNECT = "reconnects"
    """An event stream is open again, after an earlier one of the wait has ended."""

    POLL = "polls"
    """The record is read instead of an event stream, which was refused."""

    REFUSAL = "refusals"
    """An HTTP response refused the stream or the record, perhaps only for a moment (429)."""


Observer = Callable[[Occurrence], None]
"""Is called with each occurrence. It must not raise, and must be fast."""


def ignore(occurrence: Occurrence) -> None:
    """Do nothing."""
