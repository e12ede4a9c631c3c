"""The proof `dev.proofs.hostile` distinguishes right ends from wrong ones; `make hostile` runs it with all cases."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from dataclasses import replace
from typing import get_args

import pytest

from dev.proofs.hostile import gauges
from dev.proofs.hostile.case import Way
from dev.proofs.hostile.cases import CASES, GROUPS
from dev.proofs.hostile.cases.http2_plays import before, instead, survived, understood
from dev.proofs.hostile.cases.plays import OK, REST, broken, say, valid
from dev.proofs.hostile.cases.records import record
from dev.proofs.hostile.http2_peer import Http2Peer
from dev.proofs.hostile.runner import MAX_BLOCK, run_cases
from dev.proofs.hostile.table import markdown
from tests.versions import needs_store

pytestmark = needs_store

LOST_ANSWER = broken("answer lost", "RFC 9112, 9.6", say("", "reset"))
RIGHT_ANSWER = valid("right answer", "RFC 9112, 6.2", say(OK + REST))

CLAUSE = re.compile(r"(RFC \d+|WHATWG HTML), \d+(\.\d+)*|White Rabbit API, [A-Z][a-z ]+")


def test_right_expectations() -> None:
    """A case whose expectations are right has no unexpected cell in any way."""
    case = replace(LOST_ANSWER, ways=get_args(Way))
    cells = list(run_cases([case, RIGHT_ANSWER]))
    assert not [cell.unexpected for cell in cells if cell.unexpected]
    assert [cell.way for cell in cells[:7]] == ["hook", "trigger", "poke", "hook", "trigger", "component", "workflow"]
    assert "| answer lost | RFC 9112, 9.6 | ended | ended | uncertain |" in markdown(cells)


FAILED = replace(LOST_ANSWER, play=record("FAILED", error="no funds"))


@pytest.mark.parametrize(
    ("case", "way", "difference"),
    [
        (replace(LOST_ANSWER, record="error"), "hook", "error was expected, not ended"),
        (replace(LOST_ANSWER, submission="refused"), "component", "refused was expected, not uncertain"),
        (replace(LOST_ANSWER, submissions=2), "workflow", "1 submissions were received"),
        (replace(LOST_ANSWER, within=0.0), "hook", "instead of 0 s at most"),
        (replace(LOST_ANSWER, max_lines=0), "hook", "lines were logged"),
        (replace(LOST_ANSWER, times=None, ends="never", timeout=2.0), "hook", "ended was expected, not timeout"),
        (FAILED, "hook", "ended was expected, not failed"),
        (FAILED, "poke", "ended was expected, not failed"),
        (replace(RIGHT_ANSWER, play=say("", "close")), "trigger", "the event was not understood"),
    ],
)
def test_wrong_expectation(case, way, difference) -> None:
    """A cell that differs from the specification is unexpected, and names the difference."""
    cells = list(run_cases([replace(case, ways=(way,))]))
    assert any(difference in cell.unexpected for cell in cells)


def test_http2() -> None:
    """A misbehaviour of HTTP/2 happens on a connection of HTTP/2, to all waits on it."""
    pytest.importorskip("h2", reason="needs the extra http2")
    lost = survived("answer lost", "6.4", instead(Http2Peer.reset), waits=3)
    right = understood("right answer", "8.1", before(lambda peer: None))
    wrong = replace(right, play=instead(Http2Peer.reset))
    cells = list(run_cases([lost, right, wrong]))
    assert [cell.way for cell in cells] == ["trigger"] * 6
    assert [cell.unexpected for cell in cells[:4]] == [""] * 4
    assert "the event was not understood" in cells[-1].unexpected


def test_misbehaviour_that_never_happens() -> None:
    """A cell whose misbehaviour never happens is unexpected."""
    case = replace(LOST_ANSWER, record="ended", stream=None, submission=None, times=0, ends="before", ways=("hook",))
    (cell,) = run_cases([case])
    assert "the misbehaviour never happened" in cell.unexpected


async def test_gauges() -> None:
    """The gauges find a block of the event loop, a task and a socket that were left, and used memory."""
    gauge, before, memory = gauges.LoopGauge(), gauges.descriptors(), gauges.memory()
    async with gauge.watching():
        await asyncio.sleep(0.01)
        until = time.monotonic() + 2 * MAX_BLOCK
        while time.monotonic() < until:
            pass
        await asyncio.sleep(0.01)
    assert gauge.longest > 0
    assert await gauges.leaks(before) == []
    task = asyncio.create_task(asyncio.sleep(3600))
    ballast = b"x" * (100 * 1024 * 1024)
    with socket.socket():
        left = await gauges.leaks(before)
    task.cancel()
    assert gauges.peak_memory() - memory > len(ballast) / 1024 / 1024 / 2
    assert [name for name in left if "sleep" in name]
    assert [name for name in left if "socket" in name]


def test_names() -> None:
    """There are at least 120 misbehaviours; each has its own name in its table, and names its clause."""
    names = [(group, case.name) for group, cases in GROUPS.items() for case in cases]
    assert len(names) == len(set(names)) == len(CASES) >= 120
    assert [case.clause for case in CASES if not CLAUSE.fullmatch(case.clause)] == []
