"""Lost callbacks, events of others, metrics and the health page, with a real API server on PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Any

import pytest
import requests

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.courier import Courier, Delivery
from dev.harness.modules import MODULES
from dev.harness.polling import until
from dev.harness.postgres import Postgres
from tests.e2e import PARSE_ONCE, ROOT
from tests.e2e.collector import Collector
from tests.e2e.test_callbacks import CALLBACK_PATH, pause, runs, wait_for_runs
from tests.receiver.deliveries import record_of, signed
from tests.versions import HAS_STORE, needs_receiver, needs_run_each

pytestmark = [pytest.mark.e2e, pytest.mark.long, needs_receiver, needs_run_each]

SECRET = "whsec_e2e_recovery"
SECONDS = ("whiterabbit.callbacks.seconds", "whiterabbit_default")
RECOVERY = "e2e_recover"
"""Like the DAG of the examples, but without a schedule, whose runs would replay callbacks too."""


@pytest.fixture(scope="module")
def wr() -> Iterator[Emulator]:
    """Run an emulator that tries to deliver each callback once."""
    with Emulator(components=MODULES) as emulator:
        emulator.settings.callback_attempts = 1
        yield emulator


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    """Run a collector of metrics."""
    with Collector() as collector:
        yield collector


@pytest.fixture(scope="module")
def airflow(wr: Emulator, courier: Courier, collector: Collector) -> Iterator[AirflowHome]:
    """Run Airflow on PostgreSQL, with the DAGs that callbacks start unpaused and their assets known."""
    connection = wr.connection
    connection["extra"] |= {"callback_secret": SECRET}
    environ = {
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(connection),
        "AIRFLOW__WHITERABBIT__CALLBACK_CONNECTIONS": "whiterabbit_default,nobody",
        "AIRFLOW__WHITERABBIT__CALLBACK_BASE_URL": courier.url,
        **collector.environ,
        **PARSE_ONCE,
    }
    folders = [ROOT / "example_dags", ROOT / "tests" / "e2e" / "callback_dags"]
    with ExitStack() as stack:
        try:
            server = stack.enter_context(Postgres())
        except FileNotFoundError as error:
            pytest.skip(str(error))
        home = stack.enter_context(AirflowHome(folders, database=server.url, environ=environ))
        courier.set_targets([home.url])
        for dag_id in ("e2e_each", "e2e_true", "whiterabbit_confirmed"):
            until(lambda dag_id=dag_id: home.api.call("GET", f"/dags/{dag_id}"), f"{dag_id} to be parsed", 60)
            pause(home, dag_id, False)
        wanted = [assets.module(name).name for name in ("BULK", "TRUE", "WAIT_FOR_EVM_TRANSACTION")]
        until(lambda: all(asset_id(home, name) for name in [*wanted, "whiterabbit_submitted"]), "the assets", 60)
        yield home


def asset_id(airflow: AirflowHome, name: str) -> int | None:
    """Return the id of an active asset."""
    found = airflow.api.call("GET", "/assets", limit=100, only_active=True)["assets"]
    return next((asset["id"] for asset in found if asset["name"] == name), None)


def create_event(airflow: AirflowHome, name: str, extra: dict[str, Any], key: str | None = None) -> None:
    """Create an event of an asset, as a user does."""
    body = {"asset_id": asset_id(airflow, name), "extra": extra, "partition_key": key}
    assert airflow.api.call("POST", "/assets/events", body)


def send(courier: Courier, record: dict[str, Any], path: str = CALLBACK_PATH, secret: str = SECRET) -> tuple[int, str]:
    """Deliver a callback with this record, and return the answer."""
    body = json.dumps(record).encode()
    courier.send(Delivery(path, signed(body, secret), body))
    _, status, text = courier.answers[-1]
    return status, text


def test_metrics_and_health(airflow: AirflowHome, courier: Courier, collector: Collector) -> None:
    """The API server counts callbacks where Airflow's metrics go, and its health page names the connections."""
    record = record_of("BULK")
    assert send(courier, record) == (200, '{"result":"emitted"}')
    assert send(courier, record) == (200, '{"result":"repeated"}')
    assert send(courier, record_of("UNKNOWN"))[0] == 503
    assert send(courier, record, secret="a guess")[0] == 401
    assert send(courier, record, path="/whiterabbit/callbacks/stranger")[0] == 404
    names = ("emitted", "repeated", "unheard", "refused.signature")
    expected: dict[tuple[str, str | None], float] = {
        **{(f"whiterabbit.callbacks.{name}", "whiterabbit_default"): 1 for name in names},
        ("whiterabbit.callbacks.refused.connection", None): 1,
        SECONDS: 3,
    }
    if not HAS_STORE:  # Airflow 3.2 reports a timer to OpenTelemetry as a gauge, whose value is the last one
        del expected[SECONDS]
        until(lambda: collector.gauges.get(SECONDS), "the metrics to be reported", 60)
    with suppress(TimeoutError):  # a report can be made while the callbacks arrive, and hold some of them
        until(lambda: collector.counts == expected, "the metrics to be reported", 60)
    assert collector.counts == expected
    page = until(lambda: health(airflow), "the secrets to be read", 60)
    assert page["status"] == "degraded"
    assert {name: connection["state"] for name, connection in page["connections"].items()} == {
        "whiterabbit_default": "readable",
        "nobody": "no_secret",
    }


def health(airflow: AirflowHome) -> dict[str, Any] | None:
    """Return the health page; None if a secret has not been read yet."""
    answer = requests.get(f"{airflow.url}/whiterabbit/health", timeout=30)
    assert answer.status_code == 200
    assert SECRET not in answer.text
    page: dict[str, Any] = answer.json()
    return None if "unread" in answer.text else page


@pytest.mark.parametrize("source", ["user", "task", "NUL"])
def test_events_of_others(airflow: AirflowHome, courier: Courier, source: str) -> None:
    """An event that a user or a task has created is no execution, and the true delivery still becomes an event."""
    record = record_of("TRUE")
    extra = {"execution_id": record["id"], "whiterabbit_conn_id": "other", "status": "COMPLETED", "module": "TRUE"}
    name = assets.module("TRUE").name

    def runs() -> list[Any]:
        """Return the runs of this execution."""
        listed = airflow.api.call("GET", "/dags/e2e_true/dagRuns", limit=100)["dag_runs"]
        return [run for run in listed if run["partition_key"] == record["id"]]

    def found() -> list[Any]:
        """Return what the runs of this execution have found, as far as they have succeeded."""
        ended = [run["dag_run_id"] for run in runs() if run["state"] == "success"]
        return [DagRun(airflow.api, "e2e_true", run_id).xcom("found") for run_id in ended]

    if source == "task":
        run = airflow.run("e2e_forge", extra)
        assert run.wait(120) == "success", airflow.explain(run)
    else:
        create_event(airflow, name, extra | ({"text": "\x00"} if source == "NUL" else {}), record["id"])
        # An event that comes while the scheduler creates the run of an event with the same key may get no run.
        until(runs, "the run of the event of others", 120)
    assert send(courier, record) == (200, '{"result":"emitted"}')
    assert send(courier, record) == (200, '{"result":"repeated"}')
    until(lambda: [[record["id"], "whiterabbit_default"]] in found(), "the run of the execution", 120)
    assert all(result in ([], [[record["id"], "whiterabbit_default"]]) for result in found())


def test_recovery(airflow: AirflowHome, wr: Emulator, courier: Courier) -> None:
    """The recovery finds each lost callback among hundreds of submissions, and fails after replays in vain."""
    wr.script("WAIT_FOR_EVM_TRANSACTION", output={"receipt": {"hash": "0x77"}})
    courier.plan = lambda delivery: [Delivery(delivery.path, {}, delivery.body)]  # without a signature: always 401
    first = submit(airflow, wr)
    with ThreadPoolExecutor(4) as pool:
        extras = [{"execution_id": first}] * 600 + [{"note": "no id"}, {"execution_id": "../x"}]
        list(pool.map(lambda extra: create_event(airflow, "whiterabbit_submitted", extra), extras))
    last = submit(airflow, wr)
    for count in range(1, 4):
        run = airflow.run(RECOVERY)
        assert run.wait(180) == "success", airflow.explain(run)
        assert sorted(run.xcom("replay")["replayed"]) == sorted([first, last])
        for execution_id in (first, last):
            wr.wait_for_delivery(execution_id, count=count + 1, timeout=120)
    courier.plan = lambda delivery: [delivery]
    run = airflow.run(RECOVERY)
    assert run.wait(180) == "failed"
    log = "\n".join(run.messages("replay"))
    assert "Callbacks are not delivered although they were replayed 3 times or more" in log
    assert f"{first} (attempts: 4, last error: HTTP 401)" in log
    assert run.task("replay").try_number == 1
    wait_for_runs(airflow, "whiterabbit_confirmed", [first, last])
    run = airflow.run(RECOVERY)
    assert run.wait(180) == "success", airflow.explain(run)
    assert sorted(run.xcom("replay")["delivered"]) == sorted([first, last])
    assert set(runs(airflow, "whiterabbit_confirmed")) == {first, last}


def submit(airflow: AirflowHome, wr: Emulator) -> str:
    """Submit an execution with the example DAG, and return its id after the delivery of its callback."""
    run = airflow.run("whiterabbit_submit_and_go")
    assert run.wait(120) == "success", airflow.explain(run)
    execution_id = str(run.xcom("submit", key="execution_id"))
    wr.wait_for_delivery(execution_id, timeout=120)
    return execution_id
