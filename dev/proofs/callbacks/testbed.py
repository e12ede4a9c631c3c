"""The testbed of the callbacks: Airflow with two API servers, PostgreSQL, the emulator, and the ways between them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import requests

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until
from dev.harness.postgres import Mode, Postgres
from dev.proofs.callbacks.ledger import Ledger
from dev.proofs.callbacks.listening import LISTENING, RECOVERY, SUBMITTED, DagFiles, dags_of
from dev.proofs.callbacks.plan import DATABASE, SERVERS, Planned, Step
from dev.proofs.callbacks.post import Post

CONNECTION = "whiterabbit_default"
SECRET = "whsec_of_the_chaos"  # noqa: S105 (made up)
SETTINGS = {
    "AIRFLOW__CORE__MIN_SERIALIZED_DAG_UPDATE_INTERVAL": "0",
    # Airflow parses a file, and looks for assets without DAGs, every so many seconds. The defaults are 30 and 60.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "5",
    "AIRFLOW__SCHEDULER__PARSING_CLEANUP_INTERVAL": "5",
    # A starting scheduler takes over the tasks of a scheduler without heartbeats for so long; by default 30 seconds.
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    "AIRFLOW__WHITERABBIT__CALLBACK_CONNECTIONS": CONNECTION,
}
STEP_TIMEOUT = 300.0
"""Seconds that each step before and after the failures may take."""


@dataclass(frozen=True)
class Submitted:
    """An execution that was submitted."""

    id: str
    planned: Planned

    @property
    def dags(self) -> list[str]:
        """Ids of the DAGs that the execution starts when it ends."""
        return dags_of(self.planned.module, self.planned.name)


class Testbed:
    """All parts that the proof acts on.

    `failures` counts what `act` has done, by the part and the way; `restarts` counts the components that have exited by
    themselves and were started again.
    """

    def __init__(
        self, wr: Emulator, airflow: AirflowHome, postgres: Postgres, files: DagFiles, posts: list[Post]
    ) -> None:
        self.wr = wr
        self.airflow = airflow
        self.posts = posts
        self.ledger = Ledger(postgres.url)
        self.failures: Counter[tuple[str, str]] = Counter()
        self.restarts: Counter[str] = Counter()
        self._postgres = postgres
        self._files = files
        self._client = Client(ClientSettings(wr.url, wr.api_key, wr.api_secret))
        self._session = requests.Session()
        self._session.trust_env = False  # use neither proxies nor ~/.netrc to reach loopback

    def prepare(self) -> None:
        """Wait until both API servers receive callbacks and all DAGs are live; store the connection in the database."""
        token = self._session.get(f"{self.airflow.url}/auth/token", timeout=30).json()["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"
        connection = self.wr.connection
        extra = json.dumps(connection["extra"] | {"callback_secret": SECRET})
        self.airflow.api.call("POST", "/connections", connection | {"connection_id": CONNECTION, "extra": extra})
        self.wait_until_well()
        self.until(lambda: bool(self._submitted_asset()), "the asset of the submissions")

    def submit(self, planned: list[Planned]) -> list[Submitted]:
        """Submit executions, and emit the asset events that the recovery reads."""
        for module in {execution.module for execution in planned}:
            self.wr.component(module)
            self.wr.script(module, manual=True)
        submitted = [Submitted(self._submit(execution), execution) for execution in planned]
        asset_id = self._submitted_asset()

        def emit(execution: Submitted) -> None:
            body = {"asset_id": asset_id, "extra": {"execution_id": execution.id}}
            self._session.post(f"{self.airflow.url}/api/v2/assets/events", json=body, timeout=60).raise_for_status()

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(emit, submitted))
        return submitted

    def _submit(self, planned: Planned) -> str:
        query = f"?name={planned.name}" if planned.name else ""
        url = f"{self.posts[planned.server].url}/whiterabbit/callbacks/{CONNECTION}{query}"
        request = api.execute_component(planned.module, callback_url=url, callback_secret=SECRET)
        return str(self._client.submit(request)["id"])

    def _submitted_asset(self) -> int | None:
        found = self.airflow.api.call("GET", "/assets", limit=100, only_active=True)["assets"]
        return next((int(asset["id"]) for asset in found if asset["name"] == SUBMITTED), None)

    def end(self, execution: Submitted) -> None:
        """End an execution, so that White Rabbit delivers its callback."""
        if execution.planned.fails:
            self.wr.fail(execution.id, {"message": "no funds"})
        else:
            self.wr.complete(execution.id, {"n": 1})

    def replay(self, execution: Submitted) -> None:
        """Ask White Rabbit to deliver a callback once more, whether it was delivered or not."""
        self._client.call(api.redeliver_callback(execution.id))

    def act(self, step: Step) -> bool:
        """Let a part fail, or mend it; return False if Airflow must be asked again later."""
        if step.part in (*SERVERS, "scheduler"):
            (self.airflow.kill if step.begins else self.airflow.start)(step.part)
        elif step.part == DATABASE and step.begins:
            self._postgres.stop(_MODES[step.way])
        elif step.part == DATABASE:
            self._postgres.start()
        elif step.way == "pause":
            if not self._pause(step.part, step.begins):
                return False
        elif not step.begins:
            self._files.write(step.part)
        else:
            (self._files.damage if step.way == "break" else self._files.delete)(step.part)
        if step.begins:
            self.failures[step.part, step.way] += 1
        return True

    def _pause(self, dag_id: str, is_paused: bool) -> bool:
        """Pause or unpause a DAG; return False if no API server does it now."""
        for server in SERVERS:
            url = f"{self.airflow.url_of(server)}/api/v2/dags/{dag_id}?update_mask=is_paused"
            try:
                if self._session.patch(url, json={"is_paused": is_paused}, timeout=5).ok:
                    return True
            except requests.RequestException:
                continue
        return False

    def revive(self) -> None:
        """Restart the components that have exited by themselves."""
        self.restarts.update(self.airflow.revive())

    def wait_until_well(self) -> None:
        """Wait until all components are healthy, both receivers answer, and all DAGs are live."""
        self.until(self._is_well, "Airflow to be well")

    def _is_well(self) -> bool:
        health = self.airflow.api.health()
        if not health or any(part["status"] not in ("healthy", None) for part in health.values()):
            return False
        pages = [f"{self.airflow.url_of(server)}/whiterabbit/health" for server in SERVERS]
        if any(self._session.get(page, timeout=10).json().get("status") != "healthy" for page in pages):
            return False
        return all(self._is_live(dag_id) for dag_id in [RECOVERY, *(listening.dag_id for listening in LISTENING)])

    def _is_live(self, dag_id: str) -> bool:
        answer = self._session.get(f"{self.airflow.url}/api/v2/dags/{dag_id}", timeout=10)
        dag = answer.json() if answer.ok else {}
        return bool(dag) and not (dag["is_stale"] or dag["has_import_errors"] or dag["is_paused"])

    def until(self, condition: Callable[[], bool], what: str, timeout: float = STEP_TIMEOUT) -> None:
        """Wait for a condition, and meanwhile restart the components that exit by themselves."""

        def check() -> bool:
            self.revive()
            try:
                return condition()
            except (requests.RequestException, RuntimeError):  # the API server may have exited
                return False

        until(check, what, timeout, interval=0.5)

    def explain(self, execution: Submitted) -> str:
        """Return what is known about an execution: its plan, the answers to its callback, and what Airflow has."""
        answers = [
            f"{status} {text}"
            for post in self.posts
            for delivery, status, text in post.answers
            if execution.id.encode() in delivery.body
        ]
        return f"{execution.id} ({execution.planned}); answers: {answers}; {self.ledger.explain(execution.id)}"


_MODES: dict[str, Mode] = {"fast": "fast", "immediate": "immediate", "kill": "kill"}
