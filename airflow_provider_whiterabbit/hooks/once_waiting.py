"""How `Once` waits: for what stands under one key, or for all executions at once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from typing import Any

from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.exceptions import WhiteRabbitProtocolError, WhiteRabbitTimeoutError
from airflow_provider_whiterabbit.hooks.once_types import Caller, Taken, metrics_of
from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.observing.tasks import TaskMetrics
from airflow_provider_whiterabbit.operators.doubt import other_module


def wait_for_one(caller: Caller, taken: Taken, timeout: float | None, poll_interval: float) -> Any:
    """Wait until what stands under a key has ended, successfully or not; return its record.

    :param timeout: seconds; None waits without end.
    :raises WhiteRabbitTimeoutError: when the time is up.
    """
    metrics = metrics_of(caller, taken.target)
    if not taken.has_ended:
        followed = taken.target.followed(taken.target_id)
        with _measured(metrics):
            taken.record = caller.get_conn().wait(
                followed, timeout=timeout, poll_interval=poll_interval, observe=metrics.observe
            )
    if not taken.is_counted:
        taken.is_counted = True
        metrics.ended(taken.record)
    if (other := other_module(taken.record, taken.module)) is not None:
        raise WhiteRabbitProtocolError(f"White Rabbit says that the execution {taken.target_id} has {other}")
    return taken.record


def wait_for_executions(caller: Caller, asked: Iterable[Taken], ends: float | None, poll_interval: float) -> None:
    """Wait until all executions have ended, if several still run: all at once, which `wait_for_one` does not.

    :param asked: what stands under the keys; workflow runs are left out.
    :param ends: when to give up, by the clock `monotonic`.
    :raises WhiteRabbitTimeoutError: when the time is up.
    """
    running = {taken.target_id: taken for taken in asked if taken.target is EXECUTION and not taken.has_ended}
    if len(running) < 2:  # `wait_for_one` does that, in this thread
        return
    from airflow_provider_whiterabbit.client.transport.many import ManyExecutions

    def keep(record: Any) -> None:
        running[record.id].record = record

    metrics = metrics_of(caller, EXECUTION)
    many = ManyExecutions(list(running), keep, caller.timing, metrics.observe)
    deadline = None if ends is None else time.time() + max(0.0, ends - monotonic())
    with _measured(metrics):
        caller.run_async(lambda client: many.wait(client, deadline=deadline, poll_interval=poll_interval))


@contextlib.contextmanager
def _measured(metrics: TaskMetrics) -> Iterator[None]:
    """Report how long a wait takes, and its timeout."""
    try:
        with metrics.timing(WhiteRabbitTimeoutError):
            yield
    except WhiteRabbitTimeoutError:
        metrics.count(Metric.TIMEOUTS)
        raise
