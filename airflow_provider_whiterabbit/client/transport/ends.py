"""The executions of one wait, and what is known of their ends; looking at their records without opening streams."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.for_each import for_each
from airflow_provider_whiterabbit.client.wait.followed import Followed
from airflow_provider_whiterabbit.client.wait.occurrences import Observer, Occurrence, ignore
from airflow_provider_whiterabbit.client.wait.tally import Tally
from airflow_provider_whiterabbit.client.wait.target import EXECUTIONS
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError

T = TypeVar("T")

_LOOKED_AT = 32
"""How many records are read together, before the rest is read only if these have ended."""

_LOOK_INTERVAL = 0.5
"""Seconds between two looks at the records while their ends are expected soon."""

_SHORTEST_READ = 1.0
"""Seconds that a read of a record may take although the time to look ends before."""


class KnownEnds(Generic[T]):
    """Executions, and what is kept of those that are known to have ended.

    :param ids: their ids; equal ones count once.
    :param keep: takes the record of one that has ended, and returns what is kept of it.
    :param observe: is told of each reconnect, poll and refusal.
    """

    def __init__(
        self, ids: Sequence[str], keep: Callable[[Any], T], timing: Timing, observe: Observer = ignore
    ) -> None:
        self._ids = ids
        self._different = list(dict.fromkeys(ids))
        self._keep = keep
        self._timing = timing
        self._observe = observe
        self._tally = Tally(len(self._different), timing)
        self._kept: dict[str, T] = {}

    @property
    def kept(self) -> list[T]:
        """What is kept of those that have ended, in the order of the ids; twice for an id that is there twice."""
        return [self._kept[execution_id] for execution_id in self._ids if execution_id in self._kept]

    @property
    def have_ended(self) -> bool:
        """Whether all of them are known to have ended."""
        return len(self._kept) == len(self._different)

    @property
    def total_usage(self) -> float | None:
        """The number of credits that those have spent that have ended; None if it is not known of any."""
        return self._tally.credits

    def __str__(self) -> str:
        return str(self._tally)

    async def look(self, client: AsyncClient) -> bool:
        """Read the records once, in order, but not those after one that has not ended; return whether all have.

        What is kept is not read again by another call.
        """

        async def read(followed: Followed[Any]) -> Any:
            self._observe(Occurrence.POLL)
            return await client.read_once(followed)

        await self._look(read, enough=_LOOKED_AT, first=1)
        return self.have_ended

    async def look_for(self, client: AsyncClient, seconds: float) -> bool:
        """Look at the records again and again for some seconds; return whether all have ended.

        While the first one runs, that takes one request each time, and it opens no event streams. Without hope, as
        during a pause that the host asked for, it ends sooner.
        """
        ends, failed = time.time() + seconds, 0

        async def read(followed: Followed[Any]) -> Any:
            within = max(_SHORTEST_READ, min(ends - time.time(), client.timing.final_read))
            return followed.record_of(await client.send(followed.record_request, within))

        while True:
            failures = await self._look(read, enough=_LOOKED_AT, deadline=ends, first=1)
            pause = _LOOK_INTERVAL
            if failures:
                failed += 1
                pause = max(pause, retry.pause_after(failed, failures[0], first=client.timing.first_pause))
            if self.have_ended or time.time() + pause >= ends:
                return self.have_ended
            await asyncio.sleep(pause)

    async def _find_ended(self, client: AsyncClient, deadline: float | None, *, whole_record: bool) -> None:
        """Find those that have ended already, which need no stream: in the order in which they were submitted.

        At the first places where most still run, it stops. Those behind were submitted later.
        """
        ends = float("inf") if deadline is None else deadline

        async def read(followed: Followed[Any]) -> Any:
            wanted = () if whole_record else followed.glance_members
            within = min(ends - time.time(), client.timing.final_read)
            data = await client.send(followed.record_request, within, wanted)
            return followed.record_of(data) if whole_record else followed.glance_of(data)

        await self._look(read, enough=_LOOKED_AT // 2, deadline=ends)

    async def _look(
        self,
        read: Callable[[Followed[Any]], Awaitable[Any]],
        enough: int,
        deadline: float = float("inf"),
        first: int = _LOOKED_AT,
    ) -> list[WhiteRabbitError]:
        """Read records in order, `_LOOKED_AT` of them together, until not enough of these have ended, or one fails.

        :param first: how many are read together at first; then twice as many each time.
        :return: the troubles of the reads that have failed.
        """
        failures: list[WhiteRabbitError] = []

        async def look_at(execution_id: str) -> None:
            followed = with_credits(EXECUTIONS.followed(execution_id))
            try:
                record = await read(followed)
            except WhiteRabbitError as error:
                if retry.is_refused(error):
                    self._observe(Occurrence.REFUSAL)
                if not retry.is_transient(error):
                    raise
                self._tally.narrator(followed.name).tell_trouble(error)
                failures.append(error)
            else:
                if record.is_terminal:
                    self._end(record)

        unread, count = self._open, first
        while unread and time.time() < deadline:
            several, unread = unread[:count], unread[count:]
            count = min(2 * count, _LOOKED_AT)
            await for_each(several, look_at, _LOOKED_AT)
            ended = sum(execution_id in self._kept for execution_id in several)
            if failures or ended < min(enough, len(several)):
                break
        return failures

    @property
    def _open(self) -> list[str]:
        return [execution_id for execution_id in self._different if execution_id not in self._kept]

    def _end(self, record: Any) -> None:
        self._kept[record.id] = self._keep(record)
        self._tally.count(record)


def with_credits(followed: Followed[Any]) -> Followed[Any]:
    """Return what is followed, with the credits even where a part of the record is enough."""
    return replace(followed, glance_members=(*followed.glance_members, "totalUsage"))
