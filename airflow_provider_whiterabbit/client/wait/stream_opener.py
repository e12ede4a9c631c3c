"""Opens the event stream of a wait, and decides when the stream counts as refused; the module does no I/O."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.wait.backoff import Backoff
from airflow_provider_whiterabbit.client.wait.commands import Command, Open
from airflow_provider_whiterabbit.client.wait.deadline import Deadline
from airflow_provider_whiterabbit.client.wait.narrator import Narrator
from airflow_provider_whiterabbit.client.wait.occurrences import Observer, Occurrence
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError

MAX_STRANGE_REFUSALS = 3
"""After so many refusals in a row that are not the API's, the stream counts as refused. A single one passes."""


@dataclass(slots=True)
class StreamOpener:
    """Opens the event stream of a wait, again and again if it must, but not soon after it was refused.

    :param request: opens the stream.
    :param observe: is told of each reconnect and refusal.
    """

    request: Request
    deadline: Deadline
    timing: Timing
    clock: Callable[[], float]
    backoff: Backoff
    narrator: Narrator
    observe: Observer
    _refused_at: float | None = None
    _refusals: int = 0
    _has_streamed: bool = False

    @property
    def may_stream(self) -> bool:
        """Whether the stream may be asked for: it was not refused, or long ago. If not, the record is polled."""
        refused_at = self._refused_at
        return refused_at is None or self.clock() - refused_at >= self.timing.retry_stream_after

    def open(self, patience: float) -> Generator[Command, Any, bool | None]:
        """Open the stream; return whether it is open, or None if it is still being opened.

        :param patience: as for the command `Open`.
        """
        left = self.deadline.seconds_left
        if not self.may_stream or left <= 0:
            return False
        try:
            is_open = yield Open(self.request, left, min(patience, left))
        except WhiteRabbitError as error:
            self._heed(error)
            return False
        self._refused_at = None
        if not is_open:
            return None
        self._refusals = 0
        if self._has_streamed:
            self.observe(Occurrence.RECONNECT)
        self._has_streamed = True
        return True

    def _heed(self, error: WhiteRabbitError) -> None:
        if retry.is_refused(error):
            self.observe(Occurrence.REFUSAL)
        self._refusals = self._refusals + 1 if retry.is_refusal(error) else 0
        if retry.is_transient(error) and self._refusals < MAX_STRANGE_REFUSALS:
            self.backoff.count(error)
            self.narrator.tell_trouble(error)
        else:  # the record, which is read next, decides whether only the stream is refused
            self._refused_at = self.clock()
            self.narrator.tell_polling(error, self.backoff.poll_interval)
