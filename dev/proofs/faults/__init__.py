"""Every fault, met by every way of waiting, over real sockets: what becomes of the task, and whether that is right."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from os import environ
from typing import get_args
from unittest.mock import patch

from airflow_provider_whiterabbit.client.wait import follower as follow
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.emulator.effects import Effect, Fault
from airflow_provider_whiterabbit.emulator.world.journal import Kind
from dev.proofs.faults.cases import CASES, RECORD, STREAM, Case
from dev.proofs.faults.ways import End, Way, connect, run

WAYS: tuple[Way, ...] = get_args(Way)

REQUEST_TIMEOUT = 3.0
SILENCE = 3.0
UNCHECKED = 4.0
"""Seconds, instead of 30, 45 and 900: nobody wants to wait that long for each of the faults that are about them."""

LOOK = 0.02
"""Seconds between two looks at how far a task is."""

AT_ONCE = 16
"""Tasks that run at the same time; most of them wait."""


@dataclass(frozen=True)
class Cell:
    """What became of one way of waiting under one fault.

    :param surprise: what is not as expected, in words; empty if all is.
    """

    case: Case
    way: Way
    verdict: str
    surprise: str


def play(cases: Iterable[Case] = CASES, ways: Iterable[Way] = WAYS) -> Iterator[Cell]:
    """Run each way of waiting under each fault; yield the cells in their order."""
    # The tasks leave their connections in the environment.
    with patch.dict(environ), _impatient(), ThreadPoolExecutor(AT_ONCE) as threads:
        yield from threads.map(lambda both: _cell(*both), [(case, way) for case in cases for way in ways])


@contextmanager
def _impatient() -> Iterator[None]:
    before = follow.SILENCE, follow.UNCHECKED
    follow.SILENCE, follow.UNCHECKED = SILENCE, UNCHECKED
    try:
        yield
    finally:
        follow.SILENCE, follow.UNCHECKED = before


def _cell(case: Case, way: Way) -> Cell:
    with Emulator(ping_interval=1.0, certificate=case.certificate) as wr:
        connection = wr.connection
        connection["extra"]["request_timeout"] = REQUEST_TIMEOUT
        faults = [_fault(wr, case, effect) for effect in case.effects]
        over = threading.Event()
        director = threading.Thread(target=_direct, args=(wr, case, faults if is_about(case, way) else [], over))
        case.before(wr)
        director.start()
        end = run(way, wr, connect(connection), case.output, case.timeout)
        over.set()
        director.join()
        return Cell(case, way, end.verdict, "; ".join(_surprises(case, way, end, wr, faults)))


def _direct(wr: Emulator, case: Case, faults: Iterable[Fault], over: threading.Event) -> None:
    """End the execution when the fault has had its way.

    :param over: the task has ended, perhaps by the fault.
    """

    def comes(condition: Callable[[], object]) -> bool:
        while not (found := condition()) and not over.wait(LOOK):
            pass
        return bool(found)

    def is_waiting() -> bool:
        return all(fault.hits for fault in faults) and any(entry.kind == "record" for entry in wr.journal)

    if not comes(is_waiting):
        return
    execution_id = wr.executions[-1]["id"]
    wr.start(execution_id)
    case.meanwhile(wr)
    if comes(lambda: all(fault.hits >= (fault.times or 1) for fault in faults)):
        wr.complete(execution_id, case.output)


def _fault(wr: Emulator, case: Case, effect: Effect) -> Fault:
    kinds: dict[str, Kind] = {STREAM: "stream", RECORD: "record"}
    return wr.fault(effect, kind=kinds.get(case.about), times=case.times)


def _surprises(case: Case, way: Way, end: End, wr: Emulator, faults: list[Fault]) -> Iterator[str]:
    expected = case.sensors if way.startswith("sensor") else case.operators
    if end.verdict != expected:
        yield f"{expected} expected, not {end.verdict} {end.message}"
    if is_about(case, way) and not all(fault.hits for fault in faults):
        yield "the fault never happened"
    executions = len(wr.executions)
    if executions > 1 or (expected == "output" and not executions):
        yield f"{executions} executions"


def is_about(case: Case, way: Way) -> bool:
    """Whether a way of waiting has to do with what the fault is about: only poking opens no stream."""
    return case.about != STREAM or way != "sensor, poke"
