"""Waits for many executions in one event loop, with one session.

Each of them is followed like a single one, but at most `MAX_FOLLOWED` at the same time, in the order of the ids: each
event stream may need a socket. One that comes later may have ended long before it is followed, which changes nothing
for who waits for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.for_each import for_each
from airflow_provider_whiterabbit.client.wait.followed import Followed
from airflow_provider_whiterabbit.client.wait.follower import follow
from airflow_provider_whiterabbit.client.wait.occurrences import Observer, Occurrence, ignore
from airflow_provider_whiterabbit.client.wait.tally import Tally
from airflow_provider_whiterabbit.client.wait.target import EXECUTIONS
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitError,
    WhiteRabbitResponseError,
    WhiteRabbitTimeoutError,
    WhiteRabbitTransportError,
)

T = TypeVar("T")

MAX_FOLLOWED = 1_000
"""How many executions of one wait are followed at the same time. The limit of open files may make it fewer."""

_LOOKED_AT = 32
"""How many records are read together, before the rest is read only if these have ended."""

_LOOK_INTERVAL = 0.5
"""Seconds between two looks at the records while their ends are expected soon."""

_PATIENCE = 300.0
"""Seconds for which records of executions that have ended are tried to be read."""


class ManyExecutions(Generic[T]):
    """The executions that one task waits for, and what is kept of those that have ended.

    :param ids: their ids; equal ones are followed once.
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
        self._late: dict[str, WhiteRabbitTimeoutError] = {}

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

    async def wait(
        self,
        client: AsyncClient,
        *,
        deadline: float | None = None,
        poll_interval: float = POLL_INTERVAL,
        whole_record: bool = True,
    ) -> list[T]:
        """Wait until all have ended, successfully or not; return what is kept of them.

        :param deadline: when to give up, in Unix seconds; `None` waits without end.
        :param poll_interval: seconds between two reads of a record where streaming is refused.
        :param whole_record: `keep` gets whole records; if False, only the id, the status and the credits.
        :raises WhiteRabbitTimeoutError: at the deadline.
        :raises WhiteRabbitResponseError: as soon as the API refuses one of them for good: key, permission, unknown id.
        """
        # At the deadline, the records of all that have not ended are read once more, at the host's pace.
        longer = 2 * len(self._different) / client.settings.requests_per_second
        timing = replace(client.timing, final_read=client.timing.final_read + longer)

        async def wait_for(execution_id: str) -> None:
            followed = _with_credits(EXECUTIONS.followed(execution_id))
            steps = follow(
                client.guarded(followed),
                deadline=deadline,
                poll_interval=poll_interval,
                whole_record=whole_record,
                from_record=True,
                observe=self._observe,
                timing=timing,
                narrator=self._tally.narrator(followed.name),
            )
            try:
                self._end(await client.run(steps))
            except WhiteRabbitTimeoutError as error:
                self._late[execution_id] = error

        self._late.clear()
        async with self._telling():
            await self._find_ended(client, deadline, whole_record=whole_record)
            await for_each(self._open, wait_for, places())
        self._raise_if_late()
        return self.kept

    async def read(self, client: AsyncClient) -> list[T]:
        """Read the records of executions that all have ended; retry during an outage, and return what is kept.

        :raises WhiteRabbitTimeoutError: if that takes too long.
        """

        async def read_one(execution_id: str) -> None:
            try:
                record = await client.read(EXECUTIONS.followed(execution_id))
            except (WhiteRabbitResponseError, WhiteRabbitTransportError) as error:
                if not retry.is_transient(error):
                    raise
            else:
                if record.is_terminal:
                    self._end(record)

        await for_each(self._open, read_one, places())
        return self.kept if self.have_ended else await self.wait(client, deadline=time.time() + _PATIENCE)

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

        While the first one runs, that takes one request each time, and it opens no event streams.
        """
        ends = monotonic() + seconds
        while not await self.look(client):
            left = ends - monotonic()
            if left <= 0:
                return False
            await asyncio.sleep(min(left, _LOOK_INTERVAL))
        return True

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
    ) -> None:
        """Read records in order, `_LOOKED_AT` of them together, until not enough of these have ended, or one fails.

        :param first: how many are read together at first; then twice as many each time.
        """
        failures: list[WhiteRabbitError] = []

        async def look_at(execution_id: str) -> None:
            followed = _with_credits(EXECUTIONS.followed(execution_id))
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

    @property
    def _open(self) -> list[str]:
        return [execution_id for execution_id in self._different if execution_id not in self._kept]

    def _end(self, record: Any) -> None:
        self._kept[record.id] = self._keep(record)
        self._tally.count(record)

    def _raise_if_late(self) -> None:
        first = next((execution_id for execution_id in self._different if execution_id in self._late), None)
        if first is not None:
            raise WhiteRabbitTimeoutError(
                f"{len(self._late):,} of {len(self._different):,} executions had not ended at the deadline "
                f"({self._tally}). The first of them: {self._late[first]}",
                ended=[kept for kept in self.kept if isinstance(kept, dict)],
            )

    @contextlib.asynccontextmanager
    async def _telling(self) -> AsyncIterator[None]:
        """Log the progress from time to time, and at the end."""

        async def tell() -> None:
            while True:
                await asyncio.sleep(self._timing.tally_interval)
                self._tally.tell()

        telling = asyncio.create_task(tell())
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.wait({telling})
            self._tally.tell()


def _with_credits(followed: Followed[Any]) -> Followed[Any]:
    return replace(followed, glance_members=(*followed.glance_members, "totalUsage"))


def places() -> int:
    """Return how many executions are followed at the same time: half of the open files are left to others."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_FOLLOWED if limit == resource.RLIM_INFINITY else max(1, min(MAX_FOLLOWED, limit // 2))
