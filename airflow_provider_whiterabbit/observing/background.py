"""Reports metrics from a thread, because a report can take longer than an event loop may be blocked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any

from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.observing.stats import Report, Tags, warn_once

INTERVAL = 1.0
"""Seconds for which reports are collected before the thread sends them. What a killed process has not sent is lost."""

MAX_WAITING = 100_000
"""How many reports wait at most. More are dropped, which only happens while the metrics system hangs."""


class Background:
    """Collects reports, and sends them in a thread; reports of the same counter are added up and sent as one.

    :param interval: see `INTERVAL`.
    :param limit: see `MAX_WAITING`.
    """

    def __init__(self, interval: float = INTERVAL, limit: int = MAX_WAITING) -> None:
        self._interval = interval
        self._limit = limit
        self._waiting: SimpleQueue[Report] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._taken = self._sent = 0

    @property
    def unsent(self) -> int:
        """How many reports wait to be sent, or are being sent."""
        return self._taken - self._sent

    def send(self, report: Report) -> None:
        """Let the thread send a report. This takes a few microseconds, and never raises."""
        if self._waiting.qsize() >= self._limit:
            warn_once("of a trigger", "the metrics system does not keep up")
            return
        self._taken += 1
        self._waiting.put(report)
        if self._thread is None or not self._thread.is_alive():  # a fork has no threads
            self._start()

    def _start(self) -> None:
        try:
            self._thread = threading.Thread(target=self._run, name="whiterabbit-metrics", daemon=True)
            self._thread.start()
        except RuntimeError as error:  # the process may start no more threads
            warn_once("of a trigger", repr(error))

    def _run(self) -> None:
        while True:
            first = self._waiting.get()
            time.sleep(self._interval)
            reports = [first, *self._collected()]
            for report in _added_up(reports):
                report.send()
            self._sent += len(reports)

    def _collected(self) -> list[Report]:
        reports = []
        for _ in range(self._limit):
            try:
                reports.append(self._waiting.get_nowait())
            except Empty:
                break
        return reports


def _added_up(reports: list[Report]) -> list[Report]:
    """Return the reports with those of the same counter added up."""
    counters: dict[tuple[Callable[[], Any], Metric, Tags], Report] = {}
    timers = []
    for report in reports:
        key = report.stats, report.metric, report.tags
        if report.metric.is_timer:
            timers.append(report)
        elif key in counters:
            counters[key] = report._replace(value=counters[key].value + report.value)
        else:
            counters[key] = report
    return [*counters.values(), *timers]


in_background = Background()
"""The thread of this process."""
