"""Run each way of waiting under each fault, and compare how the task ends with the specification."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from os import environ
from typing import get_args
from unittest.mock import patch

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.emulator.effects import Effect, Fault
from airflow_provider_whiterabbit.emulator.plumbing.certificates import Certificate
from airflow_provider_whiterabbit.emulator.world.journal import Entry, Kind
from dev.proofs.faults.cases import CASES, FIRST, RECORD, STREAM, Case
from dev.proofs.faults.tasks import MODULE, End, Way, add_connection, run_task

WAYS: tuple[Way, ...] = get_args(Way)
HTTP2: Way = "sensor, deferrable, HTTP/2"
"""The way whose trigger uses HTTP/2. Faults of the first request are left out: a worker sends it, over HTTP/1.1."""

REQUEST_TIMEOUT = 3.0
"""Seconds, instead of 30, so that faults without an answer take less time."""

CHECK_INTERVAL = 0.02
"""Seconds between two checks of how far a task has come."""

PARALLEL_TASKS = 16
"""How many tasks run at the same time; most of them only wait."""


@dataclass(frozen=True)
class Cell:
    """One cell of the table: how a task that waits in one way ends under one fault.

    :param verdict: how the task has ended.
    :param unexpected: what differs from the specification, in words; empty if nothing does.
    """

    case: Case
    way: Way
    verdict: str
    unexpected: str


def run_cases(cases: Iterable[Case] = CASES, ways: Iterable[Way] = WAYS) -> Iterator[Cell]:
    """Run each way of waiting under each fault; yield the cells row by row."""
    pairs = [(case, way) for case in cases for way in ways if way != HTTP2 or case.about != FIRST]
    # The tasks leave their connections in the environment.
    with patch.dict(environ), ThreadPoolExecutor(PARALLEL_TASKS) as threads:
        yield from threads.map(lambda both: _run_cell(*both), pairs)


def _run_cell(case: Case, way: Way) -> Cell:
    """Run one task against its own emulator."""
    certificate: Certificate | None = case.certificate or ("trusted" if way == HTTP2 else None)
    with Emulator(ping_interval=1.0, certificate=certificate, http2=way == HTTP2, components=[MODULE]) as wr:
        connection = wr.connection
        connection["extra"]["request_timeout"] = REQUEST_TIMEOUT
        faults = [_add_fault(wr, case, way, effect) for effect in case.effects]
        task_ended = threading.Event()
        expected_faults = faults if can_affect(case, way) else []
        director = threading.Thread(target=_end_execution, args=(wr, case, way, expected_faults, task_ended))
        case.before(wr)
        director.start()
        end = run_task(way, wr, add_connection(connection), case.output, case.timeout)
        task_ended.set()
        director.join()
        return Cell(case, way, end.verdict, "; ".join(_differences(case, way, end, wr, faults)))


def _end_execution(wr: Emulator, case: Case, way: Way, faults: Iterable[Fault], task_ended: threading.Event) -> None:
    """Start the execution when the task waits for it, and complete it when all the faults have happened.

    If the execution ended earlier, a sensor that may defer would return at once, without a trigger.

    :param task_ended: is set when the task has ended, perhaps because of the fault. The function then returns.
    """

    def wait_for(condition: Callable[[], object]) -> bool:
        while not (is_met := condition()) and not task_ended.wait(CHECK_INTERVAL):
            pass
        return bool(is_met)

    def task_waits() -> bool:
        answered = [entry.kind for entry in wr.journal if entry.status == 200 or faults]  # a fault may prevent a 200
        return all(fault.hits for fault in faults) and ("stream" if opens_stream(way) else "record") in answered

    if not wait_for(task_waits):
        return
    execution_id = wr.executions[-1]["id"]
    wr.start(execution_id)
    case.meanwhile(wr)
    if wait_for(lambda: all(fault.hits >= (fault.times or 1) for fault in faults)):
        wr.complete(execution_id, case.output)


def _add_fault(wr: Emulator, case: Case, way: Way, effect: Effect) -> Fault:
    kinds: dict[str, Kind] = {STREAM: "stream", RECORD: "record"}
    where = _is_http2 if way == HTTP2 else None  # the worker's own reads of the record are not affected
    return wr.fault(effect, kind=kinds.get(case.about), times=case.times, where=where)


def _is_http2(request: Entry) -> bool:
    return request.http_version == "2"


def _differences(case: Case, way: Way, end: End, wr: Emulator, faults: list[Fault]) -> Iterator[str]:
    expected = case.sensors if way.startswith("sensor") else case.operators
    if end.verdict != expected:
        yield f"{expected} was expected, not {end.verdict} {end.message}"
    if can_affect(case, way) and not all(fault.hits for fault in faults):
        yield "the fault never happened"
    if way == HTTP2 and expected == "output" and not any(map(_is_http2, wr.journal)):
        yield "HTTP/2 was not used"
    executions = len(wr.executions)
    if executions > 1 or (expected == "output" and not executions):
        yield f"{executions} executions were created"


def can_affect(case: Case, way: Way) -> bool:
    """Whether a fault can affect a way of waiting."""
    return case.about != STREAM or opens_stream(way)


def opens_stream(way: Way) -> bool:
    """Whether a task that waits in this way opens a stream: all but sensors in poke mode do."""
    return way != "sensor, poke"
