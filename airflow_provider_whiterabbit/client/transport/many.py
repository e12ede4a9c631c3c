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
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from airflow_provider_whiterabbit.client import retry
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.client.transport.ends import KnownEnds, with_credits
from airflow_provider_whiterabbit.client.transport.for_each import for_each
from airflow_provider_whiterabbit.client.wait.follower import follow
from airflow_provider_whiterabbit.client.wait.occurrences import Observer, ignore
from airflow_provider_whiterabbit.client.wait.target import EXECUTIONS
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.exceptions import (
    WhiteRabbitResponseError,
    WhiteRabbitTimeoutError,
    WhiteRabbitTransportError,
)

T = TypeVar("T")

MAX_FOLLOWED = 1_000
"""How many executions of one wait are followed at the same time. The limit of open files may make it fewer."""

_PATIENCE = 300.0
"""Seconds for which records of executions that have ended are tried to be read."""


class ManyExecutions(KnownEnds[T]):
    """The executions that one task waits for; for the parameters, see `KnownEnds`."""

    def __init__(
        self, ids: Sequence[str], keep: Callable[[Any], T], timing: Timing, observe: Observer = ignore
    ) -> None:
        super().__init__(ids, keep, timing, observe)
        self._late: dict[str, WhiteRabbitTimeoutError] = {}

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
            followed = with_credits(EXECUTIONS.followed(execution_id))
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


def places() -> int:
    """Return how many executions are followed at the same time: half of the open files are left to others."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_FOLLOWED if limit == resource.RLIM_INFINITY else max(1, min(MAX_FOLLOWED, limit // 2))
