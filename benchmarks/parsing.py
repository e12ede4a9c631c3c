"""DAG parsing: CPU time to import a module that a DAG file names, beyond the import of Airflow's base classes."""

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
OTHER_PROVIDERS = {
    "http": "airflow.providers.http.{}.http",
    "databricks": "airflow.providers.databricks.{}.databricks",
    "dbt-cloud": "airflow.providers.dbt.cloud.{}.dbt",
}


def own_modules() -> list[str]:
    """Return the modules of this provider that a DAG file may import."""
    info = get_provider_info()
    modules = [module for kind in KINDS for entry in info[kind] for module in entry["python-modules"]]
    return [*modules, f"{PACKAGE}assets"]


def child(modules: list[str], times: int) -> dict[str, list[float]]:
    """Run in a child process: import each module several times and return the CPU seconds of each import.

    Each import runs in a fork of a process that has already imported Airflow's base classes. The modules take turns, so
    that a slow moment of the machine affects all of them alike.
    """
    import airflow.triggers.base  # noqa: F401
    from airflow.sdk import DAG, BaseHook, BaseOperator, BaseSensorOperator  # noqa: F401

    gc.freeze()
    for module in modules:
        _import_seconds(module)  # a first round writes the byte code and fills the file cache
    rounds = [[_import_seconds(module) for module in modules] for _ in range(times)]
    return dict(zip(modules, map(list, zip(*rounds, strict=True)), strict=True))


def _import_seconds(module: str) -> float:
    """Import a module in a fork of this process and return the CPU seconds of the import."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        started = time.process_time()
        importlib.import_module(module)
        os.write(write_end, str(time.process_time() - started).encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        seconds = pipe.read()
    os.waitpid(pid, 0)
    if not seconds:
        raise RuntimeError(f"{module} cannot be imported")
    return float(seconds)


def measure(smoke: bool) -> Any:
    """Measure the modules of all providers; a smoke run measures only this provider and the http provider's sensor."""
    others = [path.format(kind) for path in OTHER_PROVIDERS.values() for kind in KINDS]
    modules = own_modules() + (others[:1] if smoke else others)
    costs = process.run("benchmarks.parsing:child", modules=modules, times=1 if smoke else 9)
    return {module: statistics.median(seconds) * 1000 for module, seconds in costs.items()}


def table(data: Any) -> list[list[str]]:
    """Return the CPU milliseconds of each module."""
    http_sensor = data[OTHER_PROVIDERS["http"].format("sensors")]
    rows = [["module", "CPU, ms", "share of the http provider's sensor"]]
    for module, cost in sorted(data.items(), key=lambda item: (not item[0].startswith(PACKAGE), item[1])):
        rows.append([f"`{module}`", f"{cost:.1f}", f"{cost / http_sensor:.1%}"])
    return rows


def goals(data: Any) -> list[Goal]:
    """Return the goals of this provider's most expensive module."""
    own_maximum = max(cost for module, cost in data.items() if module.startswith(PACKAGE))
    http_minimum = min(cost for module, cost in data.items() if ".http." in module)
    return [
        Goal("most expensive module of this provider", own_maximum, 15, "ms"),
        Goal("the same / cheapest module of the http provider", own_maximum / http_minimum, 0.1, "times"),
    ]


def plot(data: Any, figure: Figure) -> None:
    """Draw a bar for each module."""
    axes = figure.subplots()
    modules = sorted(data, key=lambda module: float(data[module]), reverse=True)
    colors = ["C0" if module.startswith(PACKAGE) else "C1" for module in modules]
    names = [module.removeprefix("airflow.providers.") for module in modules]
    axes.barh(names, [data[module] for module in modules], color=colors)
    axes.set_xlabel("CPU of the import beyond Airflow's base classes, ms")
