"""Runs what is measured in a process of its own, and tells what that process used."""

from __future__ import annotations

import base64
import contextlib
import gc
import importlib
import itertools
import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil  # type: ignore[import-untyped]  # comes with Airflow, its stubs don't

from dev.harness.airflow_settings import inherited

ROOT = Path(__file__).resolve().parents[1]

TOO_LONG = 600
"""Seconds after which a process hangs."""


def run(function: str, environ: dict[str, str] | None = None, /, **arguments: Any) -> Any:
    """Call a function in a new process, with an Airflow home of its own, and return what it returns (JSON).

    :param function: as ``benchmarks.waits:bare``.
    :param environ: more environment variables.
    :raises RuntimeError: with the end of its output, if it fails.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as home:
        (Path(home) / "airflow.cfg").touch()  # keeps Airflow from writing its own, with all defaults in it
        variables = {
            "AIRFLOW_HOME": home,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "PYTHONPATH": str(ROOT),
        }
        result = Path(home) / "result.json"
        with (Path(home) / "output.log").open("w+", errors="replace") as output:
            done = subprocess.run(
                [sys.executable, "-m", "benchmarks.process", function, json.dumps(arguments), str(result)],
                env=inherited() | variables | (environ or {}),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                check=False,
                timeout=TOO_LONG,
            )
            if done.returncode != 0 or not result.exists():
                output.seek(0)
                raise RuntimeError(f"{function} ended with {done.returncode}:\n{output.read()[-5000:]}")
        return json.loads(result.read_text())


def new_secret() -> str:
    """Return a new API secret."""
    from cryptography.hazmat.primitives import serialization as forms
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    form = key.private_bytes(forms.Encoding.DER, forms.PrivateFormat.PKCS8, forms.NoEncryption())
    return base64.b64encode(form).decode()


def connections(url: str) -> dict[str, str]:
    """Return the environment variables of connections with a server, of this provider and of the http provider."""
    ours = {"conn_type": "whiterabbit", "host": url, "password": new_secret(), "extra": {"api_key": "ws_benchmark"}}
    return {
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(ours),
        "AIRFLOW_CONN_HTTP_DEFAULT": json.dumps({"conn_type": "http", "host": url}),
    }


def context() -> Any:
    """Return what a task that runs outside of Airflow is given as its context: what it stores in XComs is dropped."""
    return {"ti": SimpleNamespace(start_date=datetime.now(UTC), xcom_push=lambda **_: None)}


def resident() -> int:
    """Return the bytes of memory that this process has resident."""
    return int(psutil.Process().memory_info().rss)


@contextlib.contextmanager
def peak_over_baseline() -> Iterator[dict[str, float]]:
    """Tell the seconds (wall and CPU) that a block took, and by how many bytes resident memory grew at its most.

    Linux keeps the peak, and forgets the one so far if it is asked to; elsewhere a process that has done nothing large
    before gives the same.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    used: dict[str, float] = {}
    before, wall, cpu = resident(), time.perf_counter(), time.process_time()
    yield used
    used |= {
        "seconds": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "peak": max(_peak() - before, 0),
    }


def _peak() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("this system does not tell the peak of resident memory")


class WatchedSelector(selectors.DefaultSelector):
    """The event loop's selector, which knows how long the loop was away from it: for that long nobody else had a turn.

    Two things are not the loop's doing. What Python's collector of reference cycles took is told apart: a pass over all
    that Airflow imports takes a tenth of a second, whatever a trigger does. And for how long the system let others
    run on this core, though the loop was ready, can be left out (where Linux tells).
    """

    def __init__(self) -> None:
        super().__init__()
        self._delays = _delays()
        self._left, self._delayed = time.perf_counter(), 0.0
        self._collecting = 0.0  # since then
        self._started = 0.0
        self._longest = self._longest_collection = 0.0
        gc.callbacks.append(self._collector)

    def _collector(self, phase: str, _: Any) -> None:
        if phase == "start":
            self._started = time.perf_counter()
        else:
            self._collecting += time.perf_counter() - self._started

    def select(self, timeout: float | None = None) -> Any:
        """Wait for events."""
        away = time.perf_counter() - self._left - self._collecting
        if away > self._longest:
            self._longest = max(self._longest, away - (next(self._delays) - self._delayed))
        self._longest_collection = max(self._longest_collection, self._collecting)
        try:
            return super().select(timeout)
        finally:
            self._left, self._delayed = time.perf_counter(), next(self._delays)
            self._collecting = 0.0

    def count_delays_in(self) -> None:
        """Leave nothing out from now on: to ask how long it was costs as much as a small callback."""
        self._delays, self._delayed = itertools.repeat(0.0), 0.0

    def reset(self) -> tuple[float, float]:
        """Return the seconds of the longest time away and of the longest collection, and forget them."""
        longest = self._longest, self._longest_collection
        self._longest = self._longest_collection = 0.0
        return longest


def _delays() -> Iterator[float]:
    """Yield the seconds that this thread has been ready and had to wait for a core (Linux, ``sched-stats.rst``)."""
    try:
        told = os.open("/proc/thread-self/schedstat", os.O_RDONLY)
    except OSError:
        yield from itertools.repeat(0.0)
    while True:
        yield int(os.pread(told, 100, 0).split()[1]) / 1e9


def _main() -> None:
    function, arguments, result = sys.argv[1:]
    module, _, name = function.partition(":")
    found = getattr(importlib.import_module(module), name)(**json.loads(arguments))
    Path(result).write_text(json.dumps(found))
    sys.stdout.flush()
    os._exit(0)  # whatever still waits is of no interest


if __name__ == "__main__":
    _main()
