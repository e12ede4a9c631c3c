"""What the receiver answers with 200 has its run: DAG files break, DAGs are paused, secrets and the database go away.

Airflow runs without row locks of its own (`[scheduler] use_row_level_locking`), and reads connections from a server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_home import AirflowHome
from dev.harness.courier import Courier, Delivery
from dev.harness.modules import MODULES
from dev.harness.polling import until
from dev.harness.postgres import Postgres
from tests.e2e import ROOT
from tests.e2e.health_pages import HealthPages
from tests.e2e.test_callbacks import SERVERS, events, is_up, pause, runs, wait_for_runs
from tests.receiver.deliveries import SECRET, record_of, signed
from tests.receiver.vault import Vault
from tests.versions import needs_receiver, needs_run_each

pytestmark = [pytest.mark.e2e, pytest.mark.long, needs_receiver, needs_run_each]

CONNECTIONS = ("whiterabbit_default", "stored", "vaulted")

DAG_FILE = """
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from airflow_provider_whiterabbit import assets

with DAG("{dag_id}", schedule={schedule}, is_paused_upon_creation=False, max_active_runs=200):
    EmptyOperator(task_id="nothing", inlets=[{inlet}])
"""

DAGS = {
    "heard_deploy": "assets.each(assets.module('DEPLOY', 'both'))",
    "heard_module": "assets.each(assets.module('PAIR'))",
    "heard_named": "assets.each(assets.named('pair'))",
    "heard_stored": "assets.each(assets.module('AWAY', whiterabbit_conn_id='stored'))",
    "heard_vaulted": "assets.each(assets.module('AWAY', whiterabbit_conn_id='vaulted'))",
    "heard_mentions": "None",  # its inlets keep the asset of `heard_deploy` active while that DAG is broken
}


@dataclass
class Heard:
    """A running Airflow whose DAG files the tests may change, with all that surrounds it."""

    airflow: AirflowHome
    wr: Emulator
    courier: Courier
    client: Client
    vault: Vault
    postgres: Postgres
    folder: Path
    pages: HealthPages

    def write(self, dag_id: str) -> None:
        """Write the file of a DAG as it should be."""
        inlet = "assets.module('DEPLOY')" if dag_id == "heard_mentions" else ""
        text = DAG_FILE.format(dag_id=dag_id, schedule=DAGS[dag_id], inlet=inlet)
        (self.folder / f"{dag_id}.py").write_text(text)

    def break_file(self, dag_id: str) -> None:
        """Write the file of a DAG with an import error."""
        (self.folder / f"{dag_id}.py").write_text("import a_module_that_the_deploy_forgot\n")

    def is_live(self, dag_id: str) -> bool:
        """Whether Airflow has parsed a DAG without an error."""
        dag = self.airflow.api.call("GET", f"/dags/{dag_id}")
        return bool(dag) and not (dag["is_stale"] or dag["has_import_errors"] or dag["is_paused"])

    def submit(self, module: str, connection: str = "whiterabbit_default", query: str = "") -> str:
        """Submit an execution with a callback for a connection; return its id."""
        url = f"{self.courier.url}/whiterabbit/callbacks/{connection}{query}"
        request = api.execute_component(module, callback_url=url, callback_secret=SECRET)
        return str(self.client.submit(request)["id"])

    def is_delivered(self, execution_id: str) -> bool:
        """Whether White Rabbit's record says that the callback was delivered."""
        return self.wr.execution(execution_id)["callback"]["deliveredAt"] is not None

    def recover(self, ids: list[str], timeout: float = 120) -> None:
        """Ask White Rabbit to deliver callbacks again, until each is delivered."""

        def replay() -> bool:
            lost = [execution_id for execution_id in ids if not self.is_delivered(execution_id)]
            for execution_id in lost:
                self.client.call(api.redeliver_callback(execution_id))
            return not lost

        until(replay, f"{len(ids)} callbacks to be delivered", timeout, interval=1)

    def send(self, connection: str, module: str = "AWAY", secret: str = SECRET) -> int:
        """Deliver the callback of an execution that only its record knows; return the status of the answer."""
        body = json.dumps(record_of(module)).encode()
        return self.courier.send(Delivery(f"/whiterabbit/callbacks/{connection}", signed(body, secret), body))


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Heard]:
    """Run Airflow with two API servers on PostgreSQL, and wait until all DAGs are live."""
    folder = tmp_path_factory.mktemp("heard_dags")
    with ExitStack() as stack:
        try:
            postgres = stack.enter_context(Postgres())
        except FileNotFoundError as error:
            pytest.skip(str(error))
        wr, courier = stack.enter_context(Emulator(components=MODULES)), stack.enter_context(Courier())
        vault = Vault()
        vault.secrets["vaulted"] = SECRET
        stack.callback(vault.go)
        connection = wr.connection
        connection["extra"] |= {"callback_secret": SECRET}
        environ = {
            "PYTHONPATH": str(ROOT),
            "AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(connection),
            "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "1",
            "AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL": "5",
            "AIRFLOW__SCHEDULER__USE_ROW_LEVEL_LOCKING": "False",
            "AIRFLOW__SECRETS__BACKEND": "tests.receiver.http_backend.HttpBackend",
            "AIRFLOW__SECRETS__BACKEND_KWARGS": json.dumps({"url": vault.url}),
            "AIRFLOW__WHITERABBIT__CALLBACK_CONNECTIONS": ",".join(CONNECTIONS),
        }
        home = AirflowHome([folder], database=postgres.url, environ=environ)
        client = Client(ClientSettings(wr.url, wr.api_key, wr.api_secret))
        pages = HealthPages([home.url_of(name) for name in SERVERS], SECRET, CONNECTIONS, away="stored")
        heard = Heard(home, wr, courier, client, vault, postgres, folder, pages)
        for dag_id in DAGS:
            heard.write(dag_id)
        stack.enter_context(home)
        home.start("api-server-2")
        for name in SERVERS:
            until(lambda name=name: is_up(home.url_of(name)), f"{name} to receive", 120)
        courier.set_targets([home.url_of(name) for name in SERVERS])
        stored = {"connection_id": "stored", "conn_type": "whiterabbit"}
        home.api.call("POST", "/connections", stored | {"extra": json.dumps({"callback_secret": SECRET})})
        for dag_id in DAGS:
            until(lambda dag_id=dag_id: heard.is_live(dag_id), f"{dag_id} to be live", 120)
        yield heard


@pytest.fixture(autouse=True)
def _reset(heard: Heard) -> None:
    heard.courier.plan = lambda delivery: [delivery]
    heard.courier.answers.clear()
    heard.wr.settings.callback_attempts = 1


def test_a_broken_deploy(heard: Heard) -> None:
    """While the file of a DAG breaks and heals, executions end all the time; each one has exactly one run at last."""
    heard.wr.script("DEPLOY", output={"n": 1})
    ids: list[str] = []

    def submit_until(condition: Callable[[], Any], what: str) -> None:
        until(lambda: ids.append(heard.submit("DEPLOY")) or condition(), what, 120)

    for _ in range(2):
        heard.break_file("heard_deploy")
        submit_until(lambda: not heard.is_live("heard_deploy"), "the import error to be noticed")
        refused = [heard.submit("DEPLOY") for _ in range(12)]
        for execution_id in refused:
            heard.wr.wait_for_delivery(execution_id, timeout=120)
        assert [heard.wr.execution(execution_id)["callback"]["lastError"] for execution_id in refused] == [
            "HTTP 503"
        ] * 12
        ids += refused
        heard.write("heard_deploy")
        submit_until(lambda: heard.is_live("heard_deploy"), "the DAG to be live again")
    for execution_id in ids:
        heard.wr.wait_for_delivery(execution_id, timeout=120)
    heard.recover(ids)
    wait_for_runs(heard.airflow, "heard_deploy", ids[-90:])  # the API lists the newest hundred runs
    assert {status for _, status, _ in heard.courier.answers} == {200, 503}


def test_a_deleted_file(heard: Heard) -> None:
    """The callbacks of a DAG whose file is gone wait for the file, though other DAGs mention the asset."""
    heard.wr.script("DEPLOY", output={"n": 1})
    (heard.folder / "heard_deploy.py").unlink()
    until(lambda: not heard.is_live("heard_deploy"), "the DAG to be stale", 120)
    execution_id = heard.submit("DEPLOY")
    heard.wr.wait_for_delivery(execution_id, timeout=120)
    assert heard.wr.execution(execution_id)["callback"]["lastError"] == "HTTP 503"
    heard.write("heard_deploy")
    until(lambda: heard.is_live("heard_deploy"), "the DAG to be live again", 120)
    heard.recover([execution_id])
    wait_for_runs(heard.airflow, "heard_deploy", [execution_id])


def test_one_of_two_dags_is_paused(heard: Heard) -> None:
    """The DAG that is live has its run at once, the paused one has its own after it is unpaused."""
    heard.wr.script("PAIR", output={"n": 1})
    pause(heard.airflow, "heard_named", True)
    execution_id = heard.submit("PAIR", query="?name=pair")
    heard.wr.wait_for_delivery(execution_id, timeout=120)
    wait_for_runs(heard.airflow, "heard_module", [execution_id])
    assert not heard.is_delivered(execution_id)
    assert execution_id not in runs(heard.airflow, "heard_named")
    pause(heard.airflow, "heard_named", False)
    heard.recover([execution_id])
    wait_for_runs(heard.airflow, "heard_named", [execution_id])
    assert runs(heard.airflow, "heard_module")[execution_id] == ["success"]


def test_repeats_at_once_without_row_locks(heard: Heard) -> None:
    """Twelve executions that are delivered four times at once have twelve events, though Airflow takes no locks."""
    before = events(heard.airflow)
    bodies = [json.dumps(record_of("DEPLOY")).encode() for _ in range(12)]
    path = "/whiterabbit/callbacks/whiterabbit_default"
    deliveries = [Delivery(path, signed(body), body) for body in bodies for _ in range(4)]
    with ThreadPoolExecutor(48) as pool:
        assert set(pool.map(heard.courier.send, deliveries)) == {200}
    results = sorted(text for _, _, text in heard.courier.answers)
    assert results == ['{"result":"emitted"}'] * 12 + ['{"result":"repeated"}'] * 36
    assert events(heard.airflow) == before + 12
    wait_for_runs(heard.airflow, "heard_deploy", [json.loads(body)["id"] for body in bodies])


def output_of(airflow: AirflowHome) -> str:
    """Return what the API servers have printed."""
    return "".join(airflow.output(name, 10**9) for name in SERVERS)


def test_a_backend_that_is_down(heard: Heard) -> None:
    """While the server of the secrets is down, the kept secrets are good, and nothing is answered with 4xx."""
    assert heard.send("vaulted") == 200
    assert heard.send("vaulted") == 200  # at the other API server
    heard.vault.status = 500
    statuses: list[int] = []

    def has_noticed() -> bool:
        statuses.extend((heard.send("vaulted"), heard.send("vaulted")))
        assert set(statuses) == {200}
        return output_of(heard.airflow).count("The callback secret of connection vaulted cannot be read now") >= 4

    until(has_noticed, "both API servers to notice the outage", 90, interval=1)
    assert {heard.send("vaulted", secret="guess"), heard.send("vaulted", secret="guess")} == {503}
    heard.vault.status = 200
    until(lambda: {heard.send("vaulted"), heard.send("vaulted")} == {200}, "both API servers to accept", 30)
    until(lambda: {heard.send("vaulted", secret="guess") for _ in range(2)} == {401}, "both to be sure again", 60)


def test_the_database_hangs(heard: Heard) -> None:
    """While the database does not answer, the health page does, and callbacks get 503; afterwards all are accepted."""
    heard.pages.wait_until_healthy()
    assert [heard.send("stored") for _ in SERVERS] == [200, 200]
    stopped = datetime.now(UTC)
    heard.postgres.freeze()
    try:
        heard.pages.wait_until_unreadable(stopped)
        kinds = [*((name, SECRET) for name in CONNECTIONS), ("stored", "guess")]
        sent = [kind for kind in kinds for _ in SERVERS]
        with ThreadPoolExecutor(len(sent)) as pool:
            answers = [pool.submit(heard.send, connection, secret=secret) for connection, secret in sent]
            until(lambda: heard.pages.read() and all(answer.done() for answer in answers), "all answers", 120)
        assert [answer.result() for answer in answers] == [503] * len(sent)
        started = datetime.now(UTC)
    finally:
        heard.postgres.thaw()
    assert set(SERVERS).isdisjoint(heard.airflow.revive())  # the API servers have not exited
    heard.airflow.wait_until_ready()
    heard.pages.wait_until_readable(started)
    assert [heard.send("stored") for _ in SERVERS] == [200, 200]


def test_the_database_is_stopped(heard: Heard) -> None:
    """While the database is down, with the secret in it, the answer is 503; afterwards all callbacks are accepted."""
    heard.wr.script("AWAY", output={"n": 1})
    heard.pages.wait_until_healthy()
    assert [heard.send("stored") for _ in SERVERS] == [200, 200]
    heard.courier.answers.clear()
    stopped = datetime.now(UTC)
    heard.postgres.stop("immediate")
    ids: list[str] = []

    def has_noticed() -> bool:
        ids.append(heard.submit("AWAY", "stored"))
        assert {status for _, status, _ in heard.courier.answers} <= {503}
        return heard.pages.are("unreadable")

    until(has_noticed, "both API servers to notice the outage", 120, interval=1)
    heard.pages.wait_until_unreadable(stopped)
    ids += [heard.submit("AWAY", "stored") for _ in SERVERS]
    for execution_id in ids:
        heard.wr.wait_for_delivery(execution_id, timeout=120)
    assert {status for _, status, _ in heard.courier.answers} == {503}
    started = datetime.now(UTC)
    heard.postgres.start()
    assert set(SERVERS).isdisjoint(heard.airflow.revive())  # the API servers have not exited
    heard.airflow.wait_until_ready()
    heard.pages.wait_until_readable(started)
    heard.recover(ids)
    assert {status for _, status, _ in heard.courier.answers} == {200, 503}
    wait_for_runs(heard.airflow, "heard_stored", ids)
    assert "HTTPStatus" not in output_of(heard.airflow)  # the access log shows numbers
