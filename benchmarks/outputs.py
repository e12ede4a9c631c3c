"""Large outputs: time and memory of each way from White Rabbit's record to the task's result."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from benchmarks import process
from benchmarks.process import context, peak_over_baseline
from benchmarks.report import Goal
from benchmarks.server import ask, serving

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Large outputs"
EXECUTIONS = "/v1/sdk/components/executions"
MB = 1_000_000
SIZES = (1, 20, 50)
WAYS = {
    "floor": "worker, `urllib` and `json.loads` alone (the limit)",
    "poke": 'worker, `mode="poke"`',
    "resume": "worker that resumes",
    "wait": "triggerer, while it waits for the worker's sake",
    "end": "triggerer that is asked to end the task",
}


def child(way: str, url: str, size: int) -> dict[str, Any]:
    """Take an output of so many bytes that way, after a small one, and return what it took."""
    take = {"floor": _floor, "poke": _poke, "resume": _resume, "wait": _wait, "end": _end}[way]
    take(url, "done-100-1")
    with peak_over_baseline() as used:
        result = take(url, f"done-{size}-1")
    return used | {"result": result}


def _floor(url: str, identity: str) -> str:
    return f"{len(ask(url, f'{EXECUTIONS}/{identity}')['output'])} items"


def _sensor(identity: str, **arguments: Any) -> Any:
    from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

    return WhiteRabbitExecutionSensor(task_id="wait", execution_id=identity, **arguments)


def _poke(url: str, identity: str) -> str:
    return f"{len(_sensor(identity).poke(context()).xcom_value)} items"


def _resume(url: str, identity: str) -> str:
    event = {"execution_id": identity, "status": "COMPLETED", "message": None}
    return f"{len(_sensor(identity, deferrable=True).execute_complete(context(), event))} items"


def _wait(url: str, identity: str) -> str:
    return asyncio.run(_event(identity))


def _end(url: str, identity: str) -> str:
    from airflow.sdk.execution_time import task_runner

    task_runner.SUPERVISOR_COMMS = _Supervisor()  # type: ignore[assignment]
    return asyncio.run(_event(identity, end_from_trigger=True))


class _Supervisor:
    """Stands for the triggerer's supervisor: takes a message as the real one gets it, and drops it."""

    async def asend(self, message: Any) -> None:
        from airflow.sdk.execution_time.comms import _RequestFrame

        _RequestFrame(id=1, body=message.model_dump()).as_bytes()


async def _event(identity: str, **ending: Any) -> str:
    from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger

    trigger = WhiteRabbitExecutionTrigger(identity, **ending)
    ti: Any = SimpleNamespace(dag_id="benchmark", task_id="wait", run_id="benchmark", map_index=-1)
    trigger.task_instance = ti
    (event,) = [event async for event in trigger.run()]
    return "a worker resumes" if isinstance(event.payload, dict) else "ended in the triggerer"


def measure(smoke: bool) -> Any:
    """Measure every way with every size."""
    rows = []
    for size in (1,) if smoke else SIZES:
        for way in WAYS:
            with serving() as url:
                ask(url, f"{EXECUTIONS}/done-{int(size * MB)}-0")  # has the server make it, and keep it
                found = process.run(
                    "benchmarks.outputs:child", process.connections(url), way=way, url=url, size=int(size * MB)
                )
            rows.append({"way": way, "size": size} | found)
    return rows


def table(data: Any) -> list[list[str]]:
    """Return time and memory."""
    rows = [["way", "output, MB", "seconds", "peak memory, MB", "of the output", "of the limit", "result"]]
    for found in data:
        floor = next(one for one in data if (one["way"], one["size"]) == ("floor", found["size"]))
        peak = found["peak"] / MB
        rows.append(
            [
                WAYS[found["way"]],
                f"{found['size']:g}",
                f"{found['seconds']:.2f}",
                f"{peak:.1f}",
                f"{peak / found['size']:.1f}",
                f"{found['peak'] / floor['peak']:.1f}",
                found["result"],
            ]
        )
    return rows


def goals(data: Any) -> list[Goal]:
    """Return the goals of workers, for the largest, and of the triggerer, for any."""
    peaks = {found["way"]: found["peak"] for found in data if found["size"] == data[-1]["size"]}
    triggerer = max(found["peak"] for found in data if found["way"] in ("wait", "end"))
    return [
        Goal("memory of a worker over the limit", max(peaks["poke"], peaks["resume"]) / peaks["floor"], 1.5, "times"),
        Goal("memory of the triggerer, for an output of any size", triggerer / MB, 16, "MB"),
    ]


def plot(data: Any, figure: Figure) -> None:
    """Draw memory by size."""
    axes = figure.subplots()
    for way, title in WAYS.items():
        found = [one for one in data if one["way"] == way]
        sizes, peaks = [one["size"] for one in found], [one["peak"] / MB for one in found]
        axes.plot(sizes, peaks, marker="o", label=title.replace("`", ""))
    axes.set(xscale="log", yscale="log", xlabel="output, MB", ylabel="peak memory over the baseline, MB")
    axes.legend()
