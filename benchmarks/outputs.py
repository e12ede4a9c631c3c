"""Large outputs: seconds and memory from White Rabbit's answer to the task's result, for each way to read an output."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from benchmarks import process
from benchmarks.process import peak_over_baseline, task_context
from benchmarks.report import Goal
from benchmarks.server import get_json, serving

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Large outputs"
EXECUTIONS = "/v1/sdk/components/executions"
MB = 1_000_000
SIZES = (1, 20, 50)
"""Sizes of the outputs in MB."""

WAYS = {
    "floor": "worker, only `urllib` and `json.loads` (floor)",
    "poke": 'worker, `mode="poke"`',
    "resume": "worker that resumes a deferred task",
    "wait": "triggerer, for a task that a worker ends",
    "end": "triggerer, for a task that the triggerer ends",
}


def child(way: str, url: str, size: int) -> dict[str, Any]:
    """Run in a child process: read an output of `size` bytes in one way; return its seconds, memory and result.

    A small output is read first, so that imports are not measured.
    """
    read = {"floor": _floor, "poke": _poke, "resume": _resume, "wait": _wait, "end": _end}[way]
    read(url, "done-100-1")
    with peak_over_baseline() as usage:
        result = read(url, f"done-{size}-1")
    return usage | {"result": result}


def _floor(url: str, execution_id: str) -> str:
    return f"{len(get_json(url, f'{EXECUTIONS}/{execution_id}')['output'])} items"


def _new_sensor(execution_id: str, **arguments: Any) -> Any:
    from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

    return WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id, **arguments)


def _poke(url: str, execution_id: str) -> str:
    return f"{len(_new_sensor(execution_id).poke(task_context()).xcom_value)} items"


def _resume(url: str, execution_id: str) -> str:
    event = {"execution_id": execution_id, "status": "COMPLETED", "message": None}
    return f"{len(_new_sensor(execution_id, deferrable=True).execute_complete(task_context(), event))} items"


def _wait(url: str, execution_id: str) -> str:
    return asyncio.run(_run_trigger(execution_id))


def _end(url: str, execution_id: str) -> str:
    from airflow.sdk.execution_time import task_runner

    task_runner.SUPERVISOR_COMMS = _Supervisor()  # type: ignore[assignment]
    return asyncio.run(_run_trigger(execution_id, end_from_trigger=True))


class _Supervisor:
    """A stand-in for the triggerer's supervisor that encodes each message like the real one and drops it."""

    async def asend(self, message: Any) -> None:
        from airflow.sdk.execution_time.comms import _RequestFrame

        _RequestFrame(id=1, body=message.model_dump()).as_bytes()


async def _run_trigger(execution_id: str, **arguments: Any) -> str:
    """Run a trigger to its end and return which process ends the task."""
    from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger
    from dev.harness.standins import FakeTaskInstance

    trigger = WhiteRabbitExecutionTrigger(execution_id, **arguments)
    ti: Any = FakeTaskInstance()
    trigger.task_instance = ti
    (event,) = [event async for event in trigger.run()]
    return "a worker resumes" if isinstance(event.payload, dict) else "ended in the triggerer"


def measure(smoke: bool) -> Any:
    """Measure each way with each size of output."""
    rows = []
    for megabytes in (1,) if smoke else SIZES:
        size = megabytes * MB
        for way in WAYS:
            with serving() as url:
                get_json(url, f"{EXECUTIONS}/done-{size}-0")  # makes the server build the output and keep it
                arguments = {"way": way, "url": url, "size": size}
                usage = process.run("benchmarks.outputs:child", process.connections(url), **arguments)
            rows.append({"way": way, "size": megabytes} | usage)
    return rows


def table(data: Any) -> list[list[str]]:
    """Return the seconds and the memory of each way and size."""
    rows = [["way", "output, MB", "seconds", "peak memory, MB", "peak / output", "peak / floor", "result"]]
    for measured in data:
        floor = next(row for row in data if (row["way"], row["size"]) == ("floor", measured["size"]))
        peak = measured["peak"] / MB
        rows.append(
            [
                WAYS[measured["way"]],
                f"{measured['size']:g}",
                f"{measured['seconds']:.2f}",
                f"{peak:.1f}",
                f"{peak / measured['size']:.1f}",
                f"{measured['peak'] / floor['peak']:.1f}",
                measured["result"],
            ]
        )
    return rows


def goals(data: Any) -> list[Goal]:
    """Return the goal of workers, for the largest output, and the goal of the triggerer, for an output of any size."""
    peaks = {row["way"]: row["peak"] for row in data if row["size"] == data[-1]["size"]}
    triggerer = max(row["peak"] for row in data if row["way"] in ("wait", "end"))
    return [
        Goal("peak memory of a worker / floor", max(peaks["poke"], peaks["resume"]) / peaks["floor"], 1.5, "times"),
        Goal("peak memory of the triggerer, for an output of any size", triggerer / MB, 16, "MB"),
    ]


def plot(data: Any, figure: Figure) -> None:
    """Draw the peak memory by the size of the output, one line for each way."""
    axes = figure.subplots()
    for way, description in WAYS.items():
        rows = [row for row in data if row["way"] == way]
        sizes, peaks = [row["size"] for row in rows], [row["peak"] / MB for row in rows]
        axes.plot(sizes, peaks, marker="o", label=description.replace("`", ""))
    axes.set(xscale="log", yscale="log", xlabel="output, MB", ylabel="additional memory at the peak, MB")
    axes.legend()
