"""The loads of the benchmark of callbacks, and what puts them on an API server of a running Airflow."""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import psutil  # type: ignore[import-untyped]  # installed with Airflow, without its stubs
import requests

from benchmarks import process
from benchmarks.callback_senders import CONNECTIONS, Signal
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until

SERVER = "api-server-2"
"""The measured API server. The other one serves no TLS, and works for Airflow's own processes and for the benchmark."""

SENDERS = 16
RATE = 10.0
"""Callbacks per second of the steady load, and other requests per second of every load."""

EARLIER = 36_000
"""Asset events of an hour with ten executions per second."""

RUNS_TIMEOUT = 600.0
"""Seconds within which the scheduler must have run the DAG for every execution of a load."""


@dataclass(frozen=True)
class Load:
    """The callbacks that one kind of sender sends.

    :param text: what the page calls the load.
    :param answer: the answer that each callback must get.
    :param rate: callbacks per second; 0 for as many as the senders get answered.
    """

    text: str
    answer: str = "emitted"
    connection: str = CONNECTIONS[0]
    rate: float = 0.0


LOADS: dict[str, Load | None] = {
    "idle": None,
    "steady": Load(f"**{RATE:g} new executions per second**", rate=RATE),
    "emitted": Load(f"{SENDERS} senders, new executions"),
    "hour": Load(f"the same, after an hour with {EARLIER:,} executions", connection=CONNECTIONS[1]),
    "repeated": Load(f"{SENDERS} senders, repeats", "repeated"),
}
"""The loads in their order. Without callbacks, the receiver is idle."""


class Measurements:
    """Puts loads on the measured API server of a running Airflow, one after the other."""

    def __init__(self, airflow: AirflowHome, ca_bundle: str) -> None:
        self._airflow = airflow
        self._ca_bundle = ca_bundle
        self._url = airflow.url_of(SERVER).replace("http:", "https:")
        self._emitted = Counter[str]()

    def wait_until_ready(self) -> None:
        """Wait until the API server receives callbacks, and until both DAGs are unpaused and their assets active."""
        until(self._is_up, f"{SERVER} to receive callbacks", 180)
        for dag_id in CONNECTIONS:
            until(lambda dag_id=dag_id: self._call(f"/dags/{dag_id}"), f"{dag_id} to be parsed", 120)  # type: ignore[misc]
            self._airflow.api.call("PATCH", f"/dags/{dag_id}", {"is_paused": False}, update_mask="is_paused")
        until(lambda: len(self._call("/assets", only_active=True)["assets"]) == len(CONNECTIONS), "the assets", 120)

    def _is_up(self) -> bool:
        try:
            page = requests.get(f"{self._url}/whiterabbit/health", verify=self._ca_bundle, timeout=5).json()
        except requests.RequestException:
            return False
        return bool(page["status"] == "healthy")

    def _call(self, path: str, **params: Any) -> Any:
        return self._airflow.api.call("GET", path, **params)

    def measure(self, load: Load | None, seconds: float) -> dict[str, Any]:
        """Measure one load for some seconds, after all runs of the load before have ended.

        :raises TimeoutError: if an execution has no run, or more than one.
        """
        until(self._has_run_all, "each execution to have its run", RUNS_TIMEOUT, interval=1)
        with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor() as threads:
            common = {"url": self._url, "ca_bundle": self._ca_bundle, "signal": folder, "seconds": seconds}
            others = threads.submit(process.run, "benchmarks.callback_senders:others", rate=RATE, **common)
            callbacks = threads.submit(self._send, load, common)
            names = ["others", "callbacks"] if load else ["others"]
            signal = Signal(folder)
            try:
                until(lambda: signal.is_ready(*names) or others.done() or (load and callbacks.done()), "senders", 120)
                psutil.cpu_percent()  # begins the interval that the next call ends
                cpu = self._cpu()
            finally:
                signal.give()
            time.sleep(seconds)
            usage = {"cpu": self._cpu() - cpu, "machine": psutil.cpu_percent()}
            try:
                return usage | {"others": others.result()["took"], "callbacks": callbacks.result()}
            except RuntimeError as error:
                error.add_note(f"The load was: {load.text if load else 'no callbacks'}. Is the machine busy?")
                raise

    def _send(self, load: Load | None, common: Mapping[str, Any]) -> Any:
        if load is None:
            return None
        arguments = {"connection": load.connection, "rate": load.rate, "repeats": load.answer == "repeated"}
        sent = process.run("benchmarks.callback_senders:callbacks", senders=SENDERS, **arguments, **common)
        self._emitted[load.connection] += sent["emitted"]
        return sent

    def _has_run_all(self) -> bool:
        runs = {
            dag_id: self._call(f"/dags/{dag_id}/dagRuns", limit=1, state="success")["total_entries"]
            for dag_id in CONNECTIONS
        }
        return all(runs[dag_id] == self._emitted[dag_id] for dag_id in CONNECTIONS)

    def _cpu(self) -> float:
        """Return the CPU seconds that the API server's processes have used so far."""
        return sum(sum(process.cpu_times()[:2]) for process in self._airflow.processes(SERVER))
