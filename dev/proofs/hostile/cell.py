"""Runs a wait or a submission in a process of its own, and returns how it ended and what it cost."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import re
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from typing import Any

import aiohttp  # noqa: F401 (this import and those of the transports are no cost of the cell)

import airflow_provider_whiterabbit.client.transport.aio
import airflow_provider_whiterabbit.client.transport.sync  # noqa: F401
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.compat import AirflowFailException, AirflowSensorTimeout
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitTimeoutError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.sensors.workflow import WhiteRabbitWorkflowRunSensor
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger
from airflow_provider_whiterabbit.triggers.workflow import WhiteRabbitWorkflowRunTrigger
from dev.harness.standins import FakeAirflow
from dev.proofs.hostile import gauges
from dev.proofs.hostile.case import Way
from dev.proofs.hostile.server import IDENTITY, Target

POLL_INTERVAL = 1.0
"""Seconds between two polls of a wait."""

SILENCE = 1.5
"""Seconds, instead of 45, after which a stream is dead."""

_DIRTY = re.compile("[\ud800-\udfff\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What no text of the provider may hold: lone surrogates, control characters, and controls of the writing direction."""

MAX_TEXT = 2000
"""Characters of a message of the provider at most."""

MAX_LINE = 2500
"""Characters of a line of the log at most."""

CONNECTION_ID = "hostile"


@dataclass(frozen=True, slots=True)
class Task:
    """What a cell's process runs. It can be sent to this process.

    :param connection: the Airflow connection, as JSON.
    :param waits: how many waits are run at the same time, in one event loop.
    """

    way: Way
    target: Target
    connection: str
    timeout: float
    recheck_after: float
    waits: int = 1


@dataclass(slots=True)
class Outcome:
    """How a wait or a submission ended.

    :param verdict: a `Verdict`, or a description of any other end.
    :param text: the message.
    :param seconds: how long it took.
    :param block: the longest block of the event loop in seconds; None without an event loop.
    :param growth: by how many MiB its memory grew at most.
    :param leaks: the tasks and descriptors that it left.
    :param dirty: texts that are too long, or have characters that no text may have.
    :param lines: how many lines it logged.
    """

    verdict: str
    text: str = ""
    seconds: float = 0.0
    block: float | None = None
    growth: float = 0.0
    leaks: list[str] = field(default_factory=list)
    dirty: list[str] = field(default_factory=list)
    lines: int = 0


def run(task: Task, result: Connection) -> None:
    """Run a cell; send None when it begins, and its `Outcome` when it has ended."""
    gc.freeze()  # else each collection would copy all that the process shares with the one that it was forked from
    os.environ[f"AIRFLOW_CONN_{CONNECTION_ID.upper()}"] = task.connection
    lines = _capture_logs()
    gauges.limit_memory()
    result.send(None)
    before = gauges.memory()
    outcome = asyncio.run(_run_trigger(task)) if task.way == "trigger" else _run_blocking(task)
    outcome.growth = gauges.peak_memory() - before
    outcome.lines = len(lines)
    outcome.dirty = [*_dirty("message", outcome.text, MAX_TEXT)]
    outcome.dirty += [problem for line in lines for problem in _dirty("line of the log", line, MAX_LINE)][:5]
    outcome.text = ascii(outcome.text[:300])[1:-1]
    result.send(outcome)


def _capture_logs() -> list[str]:
    """Return the list that gets all lines of the log from now on."""
    import structlog  # of Airflow 3

    lines: list[str] = []

    def keep(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        arguments = event.get("positional_args") or ()
        lines.append(str(event.get("event")) % arguments if arguments else str(event.get("event")))
        raise structlog.DropEvent

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    structlog.configure(processors=[keep], wrapper_class=structlog.make_filtering_bound_logger(logging.INFO))
    logging.root.handlers = [Handler()]
    ours = logging.getLogger("airflow_provider_whiterabbit")
    ours.setLevel(logging.INFO)
    ours.propagate = True
    return lines


def _dirty(what: str, text: str, limit: int) -> list[str]:
    found = [f"a {what} has {len(text)} characters"] if len(text) > limit else []
    if match := _DIRTY.search(text):
        found.append(f"a {what} has the character {match.group()!a}")
    return found


def _timing(task: Task) -> Timing:
    return Timing(
        silence=SILENCE if task.recheck_after < task.timeout else task.timeout,
        recheck_after=task.recheck_after,
        retry_stream_after=1.0,
        max_retry_after=1.0,
        final_read=1.0,
        first_pause=0.1,
    )


async def _run_trigger(task: Task) -> Outcome:
    deadline = datetime.now(UTC) + timedelta(seconds=task.timeout)
    gauge, begun = gauges.LoopGauge(), time.monotonic()
    before = gauges.descriptors()
    async with gauge.watching():
        ends = await asyncio.gather(*(_end_of_trigger(task, deadline) for _ in range(task.waits)))
    seconds = time.monotonic() - begun
    left = await gauges.leaks(before)
    verdicts = sorted({verdict for verdict, _ in ends})
    return Outcome(", ".join(verdicts), ends[0][1], seconds, gauge.longest, leaks=left)


async def _end_of_trigger(task: Task, deadline: datetime) -> tuple[str, str]:
    """Return the verdict of a trigger, and its message."""
    kinds: dict[str, Any] = {"execution": WhiteRabbitExecutionTrigger, "run": WhiteRabbitWorkflowRunTrigger}
    trigger = kinds[task.target](IDENTITY, CONNECTION_ID, POLL_INTERVAL, deadline)
    trigger.hook.timing = _timing(task)
    events = [event.payload async for event in trigger.run()]
    verdicts = {"COMPLETED": "ended", "FAILED": "failed", "CANCELED": "failed", "ERROR": "error", "TIMEOUT": "timeout"}
    if len(events) != 1:
        return f"{len(events)} events", ""
    verdict = verdicts.get(events[0]["status"], f"event {events[0]['status']!a}")
    try:
        json.dumps(events[0], ensure_ascii=False).encode()  # as Airflow sends it to the triggerer's supervisor
    except UnicodeEncodeError as error:
        verdict = f"an event that cannot be sent: {error}"
    return verdict, events[0]["message"] or ""


def _run_blocking(task: Task) -> Outcome:
    before = gauges.descriptors()
    hooks: list[WhiteRabbitHook] = []
    execute = {"hook": _wait, "poke": _poke, "component": _submit, "workflow": _submit}[task.way]
    begun = time.monotonic()
    outcome = _end_of(lambda: execute(task, hooks))
    outcome.seconds = time.monotonic() - begun
    hooks[0].get_conn().close()
    gc.collect()  # urllib3 closes the connections of a pool when the pool is collected
    outcome.leaks = sorted(gauges.descriptors() - before)
    return outcome


def _wait(task: Task, hooks: list[WhiteRabbitHook]) -> Outcome:
    hook = WhiteRabbitHook(CONNECTION_ID)
    hook.timing = _timing(task)
    hooks.append(hook)
    wait: Any = hook.wait_for_execution if task.target == "execution" else hook.wait_for_workflow_run
    record = wait(IDENTITY, timeout=task.timeout, poll_interval=POLL_INTERVAL)
    return Outcome("ended") if record.succeeded else Outcome("failed", record.failure)


def _poke(task: Task, hooks: list[WhiteRabbitHook]) -> Outcome:
    arguments: dict[str, Any] = {
        "task_id": "task",
        "whiterabbit_conn_id": CONNECTION_ID,
        "poke_interval": POLL_INTERVAL,
        "timeout": task.timeout,
    }
    sensor: WhiteRabbitExecutionSensor | WhiteRabbitWorkflowRunSensor
    if task.target == "execution":
        sensor = WhiteRabbitExecutionSensor(execution_id=IDENTITY, **arguments)
    else:
        sensor = WhiteRabbitWorkflowRunSensor(workflow_run_id=IDENTITY, **arguments)
    hooks.append(sensor.whiterabbit_hook)
    sensor.execute(FakeAirflow(timing=_timing(task)).context(sensor))
    return Outcome("ended")


def _submit(task: Task, hooks: list[WhiteRabbitHook]) -> Outcome:
    arguments: dict[str, Any] = {
        "task_id": "task",
        "whiterabbit_conn_id": CONNECTION_ID,
        "wait_for_completion": False,
    }
    operator: WhiteRabbitExecuteComponentOperator | WhiteRabbitTriggerWorkflowOperator
    if task.way == "component":
        operator = WhiteRabbitExecuteComponentOperator(module="PAY", **arguments)
    else:
        operator = WhiteRabbitTriggerWorkflowOperator(workflow_id="w", **arguments)
    hooks.append(operator.whiterabbit_hook)
    identity = operator.execute(FakeAirflow(timing=_timing(task)).context(operator))
    return Outcome("submitted" if identity == IDENTITY else f"submitted {identity!a:.60}")


def _end_of(execute: Callable[[], Outcome]) -> Outcome:
    try:
        return execute()
    except (AirflowSensorTimeout, WhiteRabbitTimeoutError) as error:
        return Outcome("timeout", str(error))
    except (AirflowFailException, WhiteRabbitError) as error:
        return Outcome(_kind_of_failure(str(error)), str(error))
    except Exception as error:
        return Outcome(f"{type(error).__name__}: {error!a:.200}")


def _kind_of_failure(text: str) -> str:
    """Return the verdict of an error, by its message."""
    if "It is not known" in text:
        return "uncertain"
    if re.search(r"White Rabbit answered 4\d\d to POST", text):
        return "refused"
    if "has completed and is paid for" in text:
        return "unstorable"
    return "failed" if re.match(r"(Execution|Workflow run) \S+( \(.*?\))? (FAILED|CANCELED)", text) else "error"
