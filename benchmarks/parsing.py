"""DAG parsing: what importing a module that a DAG file names costs, over Airflow's bare base classes."""

from __future__ import annotations

import gc
import importlib
import os
import statistics
import time
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.get_provider_info import get_provider_info
from benchmarks import process
from benchmarks.report import Goal

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Imports of a DAG file"
PACKAGE = "airflow_provider_whiterabbit."
KINDS = ("sensors", "operators", "triggers", "hooks")
OTHERS = {
    "http": "airflow.providers.http.{}.http",
    "databricks": "airflow.providers.databricks.{}.databricks",
    "dbt-cloud": "airflow.providers.dbt.cloud.{}.dbt",
}


def own_modules() -> list[str]:
    """Return the provider's modules that a DAG file may name."""
    info = get_provider_info()
    named = [module for kind in KINDS for entry in info[kind] for module in entry["python-modules"]]
    return [*named, f"{PACKAGE}assets"]


def child(modules: list[str], times: int) -> dict[str, list[float]]:
    """Import each module so often, each time in a fork of a process that has the base classes; return CPU seconds.

    The modules take turns, so that a slow moment of the machine hits all of them alike.
    """
    import airflow.triggers.base  # noqa: F401
    from airflow.providers.common.compat.sdk import (  # noqa: F401
        DAG,
        BaseHook,
        BaseOperator,
        BaseSensorOperator,
    )

    gc.freeze()
    for module in modules:
        _seconds_of(module)  # byte code and files are in the cache then
    rounds = [[_seconds_of(module) for module in modules] for _ in range(times)]
    return dict(zip(modules, map(list, zip(*rounds, strict=True)), strict=True))


def _seconds_of(module: str) -> float:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        started = time.process_time()
        importlib.import_module(module)
        os.write(writing, str(time.process_time() - started).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        found = answer.read()
    os.waitpid(pid, 0)
    if not found:
        raise RuntimeError(f"{module} can't be imported")
    return float(found)


def measure(smoke: bool) -> Any:
    """Measure all; smoking, the provider's own and the http provider's sensor."""
    others = [path.format(kind) for path in OTHERS.values() for kind in KINDS]
    modules = own_modules() + (others[:1] if smoke else others)
    seconds = process.run("benchmarks.parsing:child", modules=modules, times=1 if smoke else 9)
    return {module: statistics.median(found) * 1000 for module, found in seconds.items()}


def table(data: Any) -> list[list[str]]:
    """Return the milliseconds of each module."""
    sensor = data[OTHERS["http"].format("sensors")]
    rows = [["module", "CPU, ms", "of the http provider's sensor"]]
    for module, cost in sorted(data.items(), key=lambda item: (not item[0].startswith(PACKAGE), item[1])):
        rows.append([f"`{module}`", f"{cost:.1f}", f"{cost / sensor:.1%}"])
    return rows


def goals(data: Any) -> list[Goal]:
    """Return the goals of the most expensive module."""
    worst = max(cost for module, cost in data.items() if module.startswith(PACKAGE))
    cheapest = min(cost for module, cost in data.items() if ".http." in module)
    return [
        Goal("the most expensive of ours over the base classes", worst, 15, "ms"),
        Goal("the same over the http provider's cheapest", worst / cheapest, 0.1, "times"),
    ]


def plot(data: Any, figure: Figure) -> None:
    """Draw a bar for each module."""
    axes = figure.subplots()
    modules = sorted(data, key=lambda module: float(data[module]), reverse=True)
    colors = ["C0" if module.startswith(PACKAGE) else "C1" for module in modules]
    names = [module.removeprefix("airflow.providers.") for module in modules]
    axes.barh(names, [data[module] for module in modules], color=colors)
    axes.set_xlabel("CPU of the import over Airflow's base classes, ms")
