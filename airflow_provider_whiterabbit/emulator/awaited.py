"""What a ``wait_for_…`` method of the emulator waited for, and what came instead: the texts of its time-outs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from airflow_provider_whiterabbit.emulator.world.executions import Execution
from airflow_provider_whiterabbit.emulator.world.journal import Entry

_SHOWN = 10


def requests_text(choice: Mapping[str, Any], count: int, answered: bool, came: int, journal: Sequence[Entry]) -> str:
    """Describe the requests that were waited for, and all requests that came.

    :param choice: the arguments that choose requests, by name.
    :param came: how many requests came that were chosen.
    """
    chosen = ", ".join(f"{name}={value!r:.80}" for name, value in choice.items() if value is not None)
    waited_for = f"{count} {'answered ' if answered else ''}request(s){f' with {chosen}' if chosen else ''}"
    lines = [f"{len(list(same))} x {line}" for line, same in groupby(map(_line, journal))]
    earlier = f"{len(lines) - _SHOWN} more lines; " if len(lines) > _SHOWN else ""
    received = earlier + "; ".join(lines[-_SHOWN:]) if lines else "none"
    return f"waited for {waited_for}, and {came} came. All requests so far: {received}"


def streams_text(identity: str, count: int, is_open: int, journal: Sequence[Entry]) -> str:
    """Describe the open streams of an execution or workflow run that were waited for."""
    asked = sum(entry.kind in ("stream", "run_stream") and f"/{identity}/" in entry.path for entry in journal)
    waited_for = f"{count} open stream(s)" if count else "the end of all streams"
    return f"waited for {waited_for} of {identity}, and {is_open} are open; clients asked for {asked} in all"


def deliveries_text(execution: Execution, count: int) -> str:
    """Describe the callback deliveries of an execution that were waited for."""
    callback = execution.callback
    return (
        f"waited for {count} finished callback deliveries of {execution.id} ({execution.status}), and"
        f" {callback.finished} finished, after {callback.attempt_count} attempts; last error: {callback.last_error}"
    )


def _line(entry: Entry) -> str:
    status = "no answer yet" if entry.status is None else entry.status
    about = ", ".join(filter(None, (entry.kind or "no endpoint", entry.module)))
    return f"{entry.method} {entry.path} ({about}): {status}"
