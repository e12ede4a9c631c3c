"""The thread that sends the metrics of triggers: it adds up counters, is bounded, and outlives a fork."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from airflow_provider_whiterabbit.observing.background import Background
from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.observing.stats import Report
from dev.harness.polling import until

PAY, SWAP = (("module", "PAY"),), (("module", "SWAP"),)


class Recorder:
    """A metrics system that keeps what it gets. It hangs in its first call until it may go on."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.hangs, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self) -> Recorder:
        return self

    def incr(self, stat: str, count: float, *, tags: dict[str, str]) -> None:
        """Keep a counter."""
        self.hangs.set()
        assert self.may_go_on.wait(60)
        self.calls.append((stat, count, tags))

    def timing(self, stat: str, dt: Any, *, tags: dict[str, str]) -> None:
        """Keep a timer."""
        self.calls.append((stat, dt.total_seconds(), tags))


@pytest.fixture
def recorder() -> Recorder:
    """Return a metrics system that hangs."""
    return Recorder()


@pytest.fixture
def background(recorder: Recorder) -> Background:
    """Return a thread that hangs in the metrics system, and a queue in which ten reports may wait."""
    background = Background(interval=0, limit=10)
    background.send(Report(recorder, Metric.POLLS, 1, ()))
    assert recorder.hangs.wait(60)
    return background


def calls_after(recorder: Recorder, count: int) -> list[tuple[Any, ...]]:
    """Let the metrics system go on; return its calls after the first one, of which there must be so many."""
    recorder.may_go_on.set()
    until(lambda: len(recorder.calls) > count, f"{count} reports", 60, 0.01)
    return sorted(recorder.calls[1:], key=repr)


def test_counters_are_added_up(background: Background, recorder: Recorder) -> None:
    """Counters with equal names and tags are sent as one; each value of a timer is sent."""
    for number in (1, 0.5, 3):
        background.send(Report(recorder, Metric.CREDITS, number, PAY))
        background.send(Report(recorder, Metric.CREDITS, number, SWAP))
        background.send(Report(recorder, Metric.WAITED_SECONDS, number, PAY))
    assert calls_after(recorder, 5) == [
        ("whiterabbit.credits", 4.5, {"module": "PAY"}),
        ("whiterabbit.credits", 4.5, {"module": "SWAP"}),
        ("whiterabbit.waited.seconds", 0.5, {"module": "PAY"}),
        ("whiterabbit.waited.seconds", 1.0, {"module": "PAY"}),
        ("whiterabbit.waited.seconds", 3.0, {"module": "PAY"}),
    ]


def test_a_metrics_system_that_hangs(background: Background, recorder: Recorder) -> None:
    """While the metrics system hangs, a bounded number of reports waits. More are dropped, and nothing blocks."""
    for _ in range(100):
        background.send(Report(recorder, Metric.CREDITS, 1, PAY))
    assert background.unsent == 11  # one of them hangs
    assert calls_after(recorder, 1) == [("whiterabbit.credits", 10, {"module": "PAY"})]


FORK = """
import os, threading
from airflow_provider_whiterabbit.observing.background import Background
from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.observing.stats import Report

class Stats:
    reported = threading.Event()
    def incr(self, *_, **__):
        self.reported.set()

background, stats = Background(interval=0), Stats()
def report():
    stats.reported.clear()
    background.send(Report(lambda: stats, Metric.POLLS, 1, ()))
    return stats.reported.wait(60)

assert report()
child = os.fork()
if child == 0:
    os._exit(0 if report() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""


def test_after_a_fork() -> None:
    """A process that is forked from one that has reported can report, too."""
    subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], check=True, timeout=120)
