"""Airflow's REST API, as far as it takes to run a DAG and see what became of it.

Airflow 3 has version 2 of the API behind a token, Airflow 2 has version 1; the calls used here differ in no more.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

import requests

_PAGE = 100  # what Airflow gives at most in one answer
FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})

T = TypeVar("T")


def until(condition: Callable[[], T | None], what: str, timeout: float, interval: float = 0.2) -> T:
    """Return the condition's first value that is true.

    :raises TimeoutError: names `what` was waited for, if that takes longer than `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout:g} s")
        time.sleep(interval)
    return value


@dataclass(frozen=True)
class TaskInstance:
    """What Airflow says about a task instance; `trigger` is the class path of what it is waiting for while deferred.

    The id, which Airflow 2 does not tell, is another one in each try.
    """

    task_id: str
    map_index: int
    state: str | None
    try_number: int
    start_date: str | None
    end_date: str | None
    pid: int | None
    trigger: str | None
    id: str | None

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> TaskInstance:
        """Parse an item of the API's list."""
        names = ("task_id", "map_index", "state", "try_number", "start_date", "end_date", "pid")
        trigger = (data["trigger"] or {}).get("classpath")
        return cls(**{name: data[name] for name in names}, trigger=trigger, id=data.get("id"))


class AirflowApi:
    """A client of the API server.

    :param url: address of the API server (Airflow 2: the web server).
    :param major: major version of Airflow.
    :param logs: folder of the task logs.
    """

    def __init__(self, url: str, major: int, logs: Path) -> None:
        self.url = url
        self.logs = logs
        self._major = major
        self._session = requests.Session()
        self._session.trust_env = False  # neither proxies nor ~/.netrc on the way to loopback

    def health(self) -> dict[str, dict[str, str | None]]:
        """Return each component's status and latest heartbeat; nothing as long as nobody answers."""
        path = "/api/v2/monitor/health" if self._major > 2 else "/api/v1/health"
        try:
            answer = self._session.get(self.url + path, timeout=10)
        except (requests.ConnectionError, requests.Timeout):
            return {}
        return dict(answer.json()) if answer.ok else {}

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """Call the API and return its JSON; None without any, or if it answers 404, or 409 because it did so before.

        :param path: below the version's prefix.
        """
        if self._major > 2 and "Authorization" not in self._session.headers:
            token = self._session.get(f"{self.url}/auth/token", timeout=30).json()["access_token"]
            self._session.headers["Authorization"] = f"Bearer {token}"
        url = f"{self.url}/api/v{2 if self._major > 2 else 1}{path}"
        (answer,) = until(lambda: self._answer(method, url, body, params), "Airflow's database to be free", 60)
        if answer.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            return None
        if not answer.ok:
            raise RuntimeError(f"Airflow answered {answer.status_code} to {method} {path}: {answer.text:.2000}")
        return answer.json() if answer.content else None

    def _answer(self, method: str, url: str, body: Any, params: dict[str, Any]) -> tuple[requests.Response] | None:
        """Return the answer, or None if SQLite let nobody in: then the call has done nothing, or 409 will tell."""
        answer = self._session.request(method, url, json=body, params=params, timeout=30)
        busy = answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR and "Database error" in answer.text
        return None if busy else (answer,)

    def import_errors(self) -> dict[str, str]:
        """Return the stack traces of the DAG files that can't be imported."""
        errors = (self.call("GET", "/importErrors") or {}).get("import_errors", [])
        return {error["filename"]: error["stack_trace"] for error in errors}

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, timeout: float = 60) -> DagRun:
        """Start a run of a DAG; wait for the DAG to be parsed before."""
        until(lambda: self._parsed(dag_id), f"DAG {dag_id} to be parsed", timeout)
        self.call("PATCH", f"/dags/{dag_id}", {"is_paused": False}, update_mask="is_paused")
        run_id = f"run-{uuid.uuid4()}"
        body = {"dag_run_id": run_id, "conf": dict(conf or {})}
        self.call("POST", f"/dags/{dag_id}/dagRuns", body | ({"logical_date": None} if self._major > 2 else {}))
        return DagRun(self, dag_id, run_id)

    def _parsed(self, dag_id: str) -> bool:
        if errors := self.import_errors():
            raise RuntimeError("\n".join(f"{file}: {trace}" for file, trace in errors.items()))
        return self.call("GET", f"/dags/{dag_id}") is not None


@dataclass(frozen=True)
class DagRun:
    """A run of a DAG."""

    api: AirflowApi
    dag_id: str
    run_id: str

    @property
    def path(self) -> str:
        """Path of the run in the API."""
        return f"/dags/{self.dag_id}/dagRuns/{self.run_id}"

    @property
    def state(self) -> str:
        """The run's state as it is now."""
        return str(self.api.call("GET", self.path)["state"])

    def wait(self, timeout: float = 60) -> str:
        """Wait until the run has ended and return its state."""
        what = f"{self.dag_id} to end"
        return until(lambda: state if (state := self.state) in FINISHED else None, what, timeout)

    def tasks(self) -> dict[tuple[str, int], TaskInstance]:
        """Return the task instances by task id and map index (-1 for a task that is not mapped)."""
        items: list[Any] = []
        while len(items) % _PAGE == 0:
            page = self.api.call("GET", f"{self.path}/taskInstances", limit=_PAGE, offset=len(items))["task_instances"]
            items += page
            if not page:
                break
        return {(task.task_id, task.map_index): task for task in map(TaskInstance.from_dict, items)}

    def task(self, task_id: str, map_index: int = -1) -> TaskInstance:
        """Return a task instance."""
        return self.tasks()[task_id, map_index]

    def wait_for(self, task_id: str, states: Collection[str], timeout: float = 60, map_index: int = -1) -> TaskInstance:
        """Wait until a task instance is in one of the states, or has ended in another one."""

        def arrived() -> TaskInstance | None:
            task = self.tasks().get((task_id, map_index))
            return task if task and task.state in FINISHED.union(states) else None

        return until(arrived, f"{self.dag_id}.{task_id} to be {' or '.join(sorted(states))}", timeout)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom as the JSON value that it is; None if there is none."""
        path = f"{self.path}/taskInstances/{task_id}/xcomEntries/{key}"
        entry = self.api.call("GET", path, map_index=map_index, stringify=False)
        return entry and entry["value"]

    def links(self, task_id: str) -> dict[str, str | None]:
        """Return the extra links of a task instance by their names."""
        links = self.api.call("GET", f"{self.path}/taskInstances/{task_id}/links")
        return dict(links.get("extra_links", links))

    def clear(self, task_id: str) -> None:
        """Clear a task, as a user does who wants it to run again."""
        body = {"dry_run": False, "dag_run_id": self.run_id, "task_ids": [task_id], "only_failed": False}
        self.api.call("POST", f"/dags/{self.dag_id}/clearTaskInstances", body)

    def log(self, task_id: str, map_index: int = -1, attempt: int | None = None) -> str:
        """Return all that a task instance logged in its tries, or in one of them, in workers and triggerers."""
        folder = self.api.logs / f"dag_id={self.dag_id}" / f"run_id={self.run_id}" / f"task_id={task_id}"
        if map_index >= 0:
            folder /= f"map_index={map_index}"
        return "".join(
            file.read_text(errors="replace") for file in sorted(folder.glob(f"attempt={attempt or '*'}.log*"))
        )

    def messages(self, task_id: str, map_index: int = -1, attempt: int | None = None) -> list[str]:
        """Return the messages of a task instance's log in the order of their times, as people read them."""
        lines = self.log(task_id, map_index, attempt).splitlines()
        return [message for _, message in sorted(map(_entry, lines), key=_time)]


def _entry(line: str) -> tuple[str, str]:
    """Return time and message of a line: JSON in Airflow 3, plain text and in order in Airflow 2."""
    try:
        entry = json.loads(line)
        errors = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or ()]
        return entry["timestamp"], "\n  ".join([entry["event"], *errors])
    except (ValueError, TypeError, KeyError, AttributeError):
        return "", line


def _time(entry: tuple[str, str]) -> str:
    return entry[0]
