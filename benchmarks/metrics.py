"""Prints for how long the metrics of a wait keep the event loop of a triggerer: ``python -m benchmarks.metrics``.

The goal is at most 20 µs a wait. The last line shows why a trigger does not report to StatsD by itself.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from types import SimpleNamespace

from dev.harness.statsd import StatsdServer

GOAL = 20.0
CALLS = 500
ROUNDS = 20


def microseconds(function: Callable[[], object]) -> float:
    """Return the CPU microseconds of one call in this thread: the minimum of several rounds."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        for _ in range(CALLS):
            function()
        rounds.append(time.thread_time() - started)
        time.sleep(0.1)  # the other thread sends what was reported
    return min(rounds) / CALLS * 1e6


def main() -> None:
    """Measure the reports of a wait that a worker ends, of one that its trigger ends, and of one poll."""
    with StatsdServer() as server:
        os.environ |= server.environ
        from airflow.sdk.observability import stats
        from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

        from airflow_provider_whiterabbit.observing.background import Background
        from airflow_provider_whiterabbit.observing.stats import task_stats
        from airflow_provider_whiterabbit.observing.tasks import TaskMetrics

        stats.initialize(factory=get_stats_factory(), export_legacy_names=True)
        background = Background(interval=0.05)
        record = SimpleNamespace(status="COMPLETED", total_usage=1.5, module="PAY")

        def new_metrics() -> TaskMetrics:
            return TaskMetrics("whiterabbit_default", "execution", task_stats, background.send)

        def wait() -> None:
            with new_metrics().timing():
                pass

        def wait_and_end() -> None:
            metrics = new_metrics()
            with metrics.timing():
                pass
            metrics.ended(record)

        metrics, direct = new_metrics(), TaskMetrics("whiterabbit_default", "execution")
        for name, function, goal in (
            ("a wait", wait, GOAL),
            ("a wait that the trigger ends", wait_and_end, GOAL),
            ("a poll, reconnect or refusal", lambda: metrics.observe("polls"), GOAL),
            ("a report sent at once", lambda: direct.observe("polls"), None),
        ):
            figure = microseconds(function)
            judgement = "" if goal is None else f", goal {goal:g}: {'met' if figure <= goal else 'missed'}"
            print(f"{name}: {figure:.1f} µs{judgement}")


if __name__ == "__main__":
    main()
