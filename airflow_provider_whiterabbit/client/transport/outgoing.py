"""A request of the asynchronous client on its way out: its time begins, and it is signed, after it has queued."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from airflow_provider_whiterabbit.client.transport.exchange import Limits
from airflow_provider_whiterabbit.client.transport.pace import Line
from airflow_provider_whiterabbit.client.transport.request_log import RequestLog


class Outgoing:
    """A request that waits for its host's pace and for a connection, and the time limit of its exchange.

    :param headers: returns the headers. It is called when the request is sent, and not before: a signature is valid for
        30 seconds, and the queue may be longer.
    :param entry: is told when the request's time begins.
    :param is_stream: whether an event stream is asked for. Its head is limited like a part of another answer.
    """

    __slots__ = ("_ends", "_entry", "headers", "is_admitted", "is_stream", "limits", "seconds", "timer")

    def __init__(
        self,
        headers: Callable[[], Mapping[str, str]],
        limits: Limits,
        entry: RequestLog,
        *,
        is_stream: bool,
    ) -> None:
        self.headers = headers
        self.limits = limits
        self.is_stream = is_stream
        self.seconds = limits.read if is_stream else limits.total
        """The time limit of the exchange, from when the request is admitted."""
        self._ends = asyncio.get_running_loop().time() + limits.within
        # A timer for never would be one more in the loop's heap, twice for each of thousands of waits.
        self.timer = asyncio.timeout_at(None if limits.within == float("inf") else self._ends)
        """Ends the exchange, which is within it."""
        self.is_admitted = False
        """Whether the request was admitted, so that its time has begun."""
        self._entry = entry

    async def admit(self, line: Line) -> None:
        """Wait until the request may be sent, and begin to count its time. What is sent again queues again.

        :raises HostPausedError: if the host asked for a pause that is not over.
        """
        if self.is_admitted:
            self.timer.reschedule(self._ends)
        await line.admit()
        self.timer.reschedule(min(self._ends, asyncio.get_running_loop().time() + self.seconds))
        self.is_admitted = True
        self._entry.begin()
