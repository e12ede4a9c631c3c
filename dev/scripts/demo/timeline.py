"""What a demo prints, with the seconds since its start."""

from __future__ import annotations

import time
from collections.abc import Iterator

from dev.harness.airflow_api import DagRun

MAX_WAIT = 600
"""Seconds that a step may take: a slow or busy machine must not end a demo."""


class Timeline:
    """Prints each line once, with the seconds since the start of the demo."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._printed: set[str] = set()

    def print(self, line: str) -> None:
        """Print a line that has not been printed before."""
        if line not in self._printed:
            self._printed.add(line)
            print(f"{time.monotonic() - self._start:6.1f} s  {line}", flush=True)


def log_lines(run: DagRun, task_id: str) -> Iterator[str]:
    """Yield what this provider has written into the log of a task."""
    for message in run.messages(task_id, logger="airflow_provider_whiterabbit"):
        yield f"Log of {task_id}: {message}"
