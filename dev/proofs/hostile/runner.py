"""Runs each case in each way, and compares how it ends and what it costs with the specification."""

from __future__ import annotations

import base64
import json
import multiprocessing
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from dev.proofs.hostile import cell
from dev.proofs.hostile.case import WAITS, Case, Verdict, Way
from dev.proofs.hostile.cases import CASES
from dev.proofs.hostile.cell import Outcome, Task
from dev.proofs.hostile.peer import Place
from dev.proofs.hostile.server import Http1Server, Server, Target

PARALLEL_CELLS = 24
"""How many cells run at the same time; most of them only wait."""

PARALLEL_HEAVY_CELLS = 2
"""How many of the cells that need a processor run at the same time."""

MAX_BLOCK = 0.2
"""Longest block of the event loop, in seconds."""

ATTEMPTS = 3
"""How often a cell is run at most if its event loop seems to be blocked for too long, or if its misbehaviour did not
happen: once, a busy machine can be the reason."""

MAX_GROWTH = 64.0
"""By how many MiB the memory may grow."""

GRACE = 5.0
"""Seconds after its deadline in which a wait ends at the latest."""

ANSWER_TIMEOUTS = 10.0
"""How many of the connection's time-outs a whole answer may take."""

_BY_WORKERS: dict[Way, Target] = {"component": "execution", "workflow": "run", "hook": "execution", "poke": "run"}
"""What is submitted or waited for in each way, where both is possible."""

_IMPORTED_LATER = (
    *("airflow.sdk.execution_time.supervisor", "tenacity.asyncio", "requests", "sseclient"),
    "airflow_provider_whiterabbit.client.transport.http2.pool",
)
"""What the first cell of a process would import, which is no cost of a case. Older versions of Airflow lack some."""

_LAG: dict[Way, float] = {"trigger": 8.0, "hook": 0.7}
"""Seconds for which the record does not show an end that only an event shows. A trigger takes the event's word."""


@dataclass(frozen=True)
class Cell:
    """One misbehaviour in one place and one way.

    :param unexpected: what differs from the specification, in words; empty if nothing does.
    """

    case: Case
    place: Place
    way: Way
    target: Target
    outcome: Outcome
    unexpected: str


def cells_of(case: Case) -> Iterator[tuple[Case, Place, Way, Target]]:
    """Yield the cells of a case."""
    for place, ways in WAITS.items():
        if getattr(case, place) is not None:
            for way in ways:
                yield from ((case, cast("Place", place), way, target) for target in _targets(case, way))


def _targets(case: Case, way: Way) -> tuple[Target, ...]:
    """Return what is submitted or waited for in this way; nothing if the case is not run in it.

    Workers wait and submit with one client, in whatever way. So if a case does not name its ways, only one operator
    submits; if it does not tell executions and runs apart, one of three cases is poked for. Otherwise the hook waits
    for an execution, and the sensor for a run.
    """
    turn = zlib.crc32(case.name.encode())
    if case.ways is not None and way not in case.ways:
        return ()
    if way in ("component", "workflow"):
        is_due = case.ways is not None or way == ("component", "workflow")[turn % 2]
        return (_BY_WORKERS[way],) if is_due else ()
    if len(case.targets) == 1:
        return case.targets if way != "poke" or case.ways or case.poke or turn % 3 == 0 else ()
    return case.targets if way == "trigger" else (_BY_WORKERS[way],)


def run_cases(cases: Iterable[Case] = CASES) -> Iterator[Cell]:
    """Run all cells of the cases; yield them in this order."""
    with ThreadPoolExecutor(PARALLEL_CELLS) as light, ThreadPoolExecutor(PARALLEL_HEAVY_CELLS) as heavy:
        found = [cell for case in cases for cell in cells_of(case)]
        futures = [(heavy if cell[0].is_heavy else light).submit(_run_cell, *cell) for cell in found]
        yield from (future.result() for future in futures)


def _run_cell(case: Case, place: Place, way: Way, target: Target) -> Cell:
    for _ in range(ATTEMPTS):
        cell, happened = _run_once(case, place, way, target)
        if happened and (cell.outcome.block or 0.0) <= MAX_BLOCK:
            break
    return cell


def _run_once(case: Case, place: Place, way: Way, target: Target) -> tuple[Cell, bool]:
    """Run a cell; return also whether the misbehaviour happened."""
    lag = _LAG.get(way, 0.0) if place == "stream" and case.is_valid else 0.0
    with _server(case)(case, place, target, lag) as server:
        recheck_after = 10 * case.timeout if lag else case.recheck_after
        connection = _connection(server, case.request_timeout)
        task = Task(way, target, connection, case.timeout, recheck_after, case.waits)
        outcome = _in_own_process(task)
    differences = "; ".join(_differences(case, place, way, outcome, server))
    return Cell(case, place, way, target, outcome, differences), server.hits > 0


def _server(case: Case) -> type[Server]:
    if not case.is_http2:
        return Http1Server
    from dev.proofs.hostile.http2_server import Http2Server  # which needs the extra http2

    return Http2Server


@cache
def _processes() -> multiprocessing.context.ForkServerContext:
    """Return how processes are started: as copies of one that has imported everything, and has only one thread."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([cell.__name__, *_IMPORTED_LATER])
    return context


def _in_own_process(task: Task) -> Outcome:
    ours, theirs = _processes().Pipe(duplex=False)
    process = _processes().Process(target=cell.run, args=(task, theirs), daemon=True)
    process.start()
    theirs.close()
    patience = task.timeout + 2 * GRACE
    try:
        ours.recv()  # the process begins, which takes long on a busy machine
        outcome: Outcome = ours.recv() if ours.poll(patience) else Outcome("no end", seconds=patience)
    except EOFError:
        process.join()
        outcome = Outcome(f"the process ended with {process.exitcode}")
    finally:
        ours.close()
        process.kill()
        process.join()
    return outcome


@cache
def _secret() -> str:
    key = Ed25519PrivateKey.generate().private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return base64.b64encode(key).decode()


def _connection(server: Server, request_timeout: float) -> str:
    extra: dict[str, Any] = {"api_key": "ws_hostile", "request_timeout": request_timeout}
    if server.ca_bundle is not None:
        extra["ca_bundle"] = server.ca_bundle
    return json.dumps({"conn_type": "whiterabbit", "host": server.url, "password": _secret(), "extra": extra})


def specified(case: Case, place: Place, way: Way) -> Verdict:
    """Return the specified verdict."""
    return case.poke if way == "poke" and case.poke else getattr(case, place)


def _differences(case: Case, place: Place, way: Way, outcome: Outcome, server: Server) -> Iterator[str]:
    expected = specified(case, place, way)
    if outcome.verdict not in expected.split(" or "):
        yield f"{expected} was expected, not {outcome.verdict} {outcome.text}".rstrip()
    deadline = ANSWER_TIMEOUTS * case.request_timeout if place == "submission" else case.timeout
    limit = deadline + GRACE if case.within is None else case.within
    if outcome.seconds > limit:
        yield f"it took {outcome.seconds:.1f} s instead of {limit:g} s at most"
    if way == "trigger" and server.lag and outcome.verdict == "ended" and server.has_shown_end:
        yield "the event was not understood"
    if (outcome.block or 0.0) > MAX_BLOCK:
        yield f"the event loop was blocked for {1000 * (outcome.block or 0):.0f} ms"
    if outcome.growth > MAX_GROWTH:
        yield f"the memory grew by {outcome.growth:.0f} MiB"
    if outcome.lines > case.max_lines:
        yield f"{outcome.lines} lines were logged"
    yield from (f"left open: {leak}" for leak in outcome.leaks)
    yield from outcome.dirty
    if not server.hits:
        yield "the misbehaviour never happened"
    if place == "submission" and server.submissions != case.submissions:
        yield f"{server.submissions} submissions were received"
    yield from server.strays
