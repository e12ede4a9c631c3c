"""Waiting for many executions with the hook, in blocking code and in code that awaits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.defaults import POLL_INTERVAL
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError
from airflow_provider_whiterabbit.hooks.connected import ConnectedHook

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
    from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings

T = TypeVar("T")


class WaitingForManyHook(ConnectedHook):
    """Base class of the hook: it waits for many executions at once."""

    def wait_for_executions(
        self,
        execution_ids: Iterable[str],
        *,
        timeout: float | timedelta | None = None,
        poll_interval: float | timedelta = POLL_INTERVAL,
        outputs: bool = True,
    ) -> list[dict[str, Any]]:
        """Follow many executions at once until all have ended, successfully or not; return a result for each id.

        A result is ``{"id": …, "status": "COMPLETED", "output": …, "usage": …}`` or ``{"id": …, "status": "FAILED",
        "error": …, "usage": …}``; the usage is the number of credits, or None. The log tells the progress. In an event
        loop that runs, as in an ``async def`` task or a notebook, use `aio`.

        :param execution_ids: their ids; the results have the same order. No ids have no results.
        :param timeout: seconds or `timedelta`; `None` waits without end.
        :param poll_interval: seconds or `timedelta` between two reads of a record while streaming is refused; less than
            1 second counts as 1 second.
        :param outputs: whether the results have the outputs. Without them, thousands of results need little memory.
        :raises WhiteRabbitError: where an event loop runs, which this would block.
        :raises WhiteRabbitTimeoutError: when the time is up. Its attribute `ended` holds the results of those that had
            ended.
        :raises WhiteRabbitNotFoundError: as soon as White Rabbit does not know one of them.
        """
        if _has_running_loop():
            raise WhiteRabbitError(
                "An event loop runs here, which this call would block. Await it instead: async with "
                "WhiteRabbitHook(…).aio() as hook: await hook.wait_for_executions(…)"
            )
        ids = checks.identifiers(execution_ids, "execution_ids")  # of another task, perhaps: reading them may block
        return self.run_async(lambda client: wait_for_executions(client, ids, timeout, poll_interval, outputs))

    def run_async(self, work: Callable[[AsyncClient], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine with an asynchronous client, in a thread with an event loop of its own; return its result.

        :param work: takes the client, and returns the coroutine.
        """
        from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
        from airflow_provider_whiterabbit.client.transport.apart import run_apart

        settings = self._settings

        async def read_again() -> ClientSettings:
            return await asyncio.to_thread(self._read_settings, self.whiterabbit_conn_id)

        async def run() -> T:
            async with AsyncClient(settings, self.timing, read_again) as client:
                client.hiding.add(self.secret_values.known())
                return await work(client)

        return run_apart(run)


async def wait_for_executions(
    client: AsyncClient,
    execution_ids: Iterable[str],
    timeout: float | timedelta | None = None,  # noqa: ASYNC109 (the hook's)
    poll_interval: float | timedelta = POLL_INTERVAL,
    outputs: bool = True,
) -> list[dict[str, Any]]:
    """Wait until many executions have ended, and return their results; see `WaitingForManyHook`."""
    from airflow_provider_whiterabbit.client.transport.many import ManyExecutions

    ids = checks.identifiers(execution_ids, "execution_ids")
    deadline = None if timeout is None else time.time() + checks.seconds(timeout, "timeout")
    many = ManyExecutions(ids, partial(result_of, outputs=outputs), client.timing)
    return await many.wait(client, deadline=deadline, poll_interval=checks.seconds(poll_interval, "poll_interval"))


def result_of(record: Any, *, outputs: bool = True) -> dict[str, Any]:
    """Return the result of an execution that has ended, as JSON.

    :param record: its record.
    :param outputs: whether the output belongs to it.
    """
    result = {"id": record.id, "status": str(record.status)}
    if not record.succeeded:
        result["error"] = record.error
    elif outputs:
        result["output"] = record.output
    return {**result, "usage": record.total_usage}


def _has_running_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
