"""A client for the parts of Airflow's REST API that run a DAG and read its task instances, XComs and logs.

Airflow 3 serves version 2 of the API and needs a token; Airflow 2 serves version 1. The calls used here have no other
differences.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple, Self

import requests

from dev.harness.polling import until

_PAGE = 100  # Airflow returns at most 100 task instances per request
FINISHED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
"""The states in which task instances and DAG runs have ended."""

MAX_ANSWER = 300
"""Seconds for which a call waits for an answer, with repeats: a busy API server must not end a demo or a test."""


@dataclass(frozen=True)
class TaskInstance:
    """A task instance as Airflow's API describes it.

    :param trigger: class path of the trigger that a deferred task instance waits for.
    :param id: differs from try to try; None in Airflow 2, whose API does not return it.
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
        """Parse a task instance from the API's JSON."""
        names = ("task_id", "map_index", "state", "try_number", "start_date", "end_date", "pid")
        trigger = (data["trigger"] or {}).get("classpath")
        return cls(**{name: data[name] for name in names}, trigger=trigger, id=data.get("id"))


class AirflowApi:
    """A client for one API server.

    :param url: address of the API server (in Airflow 2: of the web server).
    :param major: major version of Airflow.
    :param logs: folder that holds the task logs.
    """

    def __init__(self, url: str, major: int, logs: Path) -> None:
        self.url = url
        self.logs = logs
        self._major = major
        self._session = requests.Session()
        self._session.trust_env = False  # use neither proxies nor ~/.netrc to reach loopback

    def health(self) -> dict[str, dict[str, str | None]]:
        """Return each component's status and latest heartbeat; an empty dict while the API server does not answer."""
        path = "/api/v2/monitor/health" if self._major > 2 else "/api/v1/health"
        try:
            answer = self._session.get(self.url + path, timeout=10)
        except (requests.ConnectionError, requests.Timeout):
            return {}
        return dict(answer.json()) if answer.ok else {}

    def log_in(self, user: str, password: str) -> None:
        """Log in as the web UI does (Airflow 3); without it, Airflow must let everyone do everything."""
        body = {"username": user, "password": password}
        answer = self._session.post(f"{self.url}/auth/token", json=body, timeout=60)
        answer.raise_for_status()
        self._session.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"

    def warm_up(self) -> None:
        """Let the API server build the routes for workers, which Airflow 3 does at their first request.

        On a slow machine that takes longer than the worker of the first task waits for an answer.
        """
        if self._major > 2:
            self._session.get(f"{self.url}/execution/health", timeout=180).raise_for_status()

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """Call the API and return its JSON, or None if the response has no body or its status is 404 or 409.

        The call is repeated while SQLite is busy. 409 (conflict) then means that an earlier attempt has succeeded.

        :param path: path below ``/api/v1`` or ``/api/v2``.
        :param params: query parameters.
        :raises RuntimeError: if the API answers with another error status.
        """
        if self._major > 2 and "Authorization" not in self._session.headers:
            token = self._session.get(f"{self.url}/auth/token", timeout=120).json()["access_token"]
            self._session.headers["Authorization"] = f"Bearer {token}"
        url = f"{self.url}/api/v{2 if self._major > 2 else 1}{path}"
        (answer,) = until(lambda: self._request(method, url, body, params), "Airflow to answer", MAX_ANSWER)
        if answer.status_code in (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT):
            return None
        if not answer.ok:
            raise RuntimeError(f"Airflow answered {answer.status_code} to {method} {path}: {answer.text:.2000}")
        return answer.json() if answer.content else None

    def _request(self, method: str, url: str, body: Any, params: dict[str, Any]) -> tuple[requests.Response] | None:
        """Send one request; return its response in a tuple (an error response is false).

        :return: None if SQLite was busy, or if the answer to a GET did not come in time.
        """
        try:
            timeout = 30 if method == "GET" else 120  # only a GET is repeated if its answer does not come
            answer = self._session.request(method, url, json=body, params=params, timeout=timeout)
        except requests.ReadTimeout:
            if method == "GET":
                return None
            raise
        busy = answer.status_code == HTTPStatus.INTERNAL_SERVER_ERROR and "Database error" in answer.text
        return None if busy else (answer,)

    def import_errors(self) -> dict[str, str]:
        """Return the stack trace of each DAG file that Airflow cannot import."""
        errors = (self.call("GET", "/importErrors") or {}).get("import_errors", [])
        return {error["filename"]: error["stack_trace"] for error in errors}

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, timeout: float = MAX_ANSWER) -> DagRun:
        """Wait until the DAG is parsed, then unpause it and start a run of it.

        :param conf: the run's configuration.
        :param timeout: seconds to wait for the DAG to be parsed.
        """
        until(lambda: self._is_parsed(dag_id), f"DAG {dag_id} to be parsed", timeout)
        self.call("PATCH", f"/dags/{dag_id}", {"is_paused": False}, update_mask="is_paused")
        run_id = f"run-{uuid.uuid4()}"
        body = {"dag_run_id": run_id, "conf": dict(conf or {})}
        self.call("POST", f"/dags/{dag_id}/dagRuns", body | ({"logical_date": None} if self._major > 2 else {}))
        return DagRun(self, dag_id, run_id)

    def _is_parsed(self, dag_id: str) -> bool:
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
        """The run's path in the API."""
        return f"/dags/{self.dag_id}/dagRuns/{self.run_id}"

    @property
    def state(self) -> str:
        """The run's current state, read from the API."""
        return str(self.api.call("GET", self.path)["state"])

    def wait(self, timeout: float = 120) -> str:
        """Wait until the run has ended; return its final state."""
        what = f"{self.dag_id} to end"
        return until(lambda: state if (state := self.state) in FINISHED else None, what, timeout)

    def tasks(self) -> dict[tuple[str, int], TaskInstance]:
        """Return the run's task instances by task id and map index (-1 for a task that is not mapped)."""
        items: list[Any] = []
        while len(items) % _PAGE == 0:
            page = self.api.call("GET", f"{self.path}/taskInstances", limit=_PAGE, offset=len(items))["task_instances"]
            items += page
            if not page:
                break
        return {(task.task_id, task.map_index): task for task in map(TaskInstance.from_dict, items)}

    def task(self, task_id: str, map_index: int = -1) -> TaskInstance:
        """Return one task instance of the run."""
        return self.tasks()[task_id, map_index]

    def wait_for(
        self, task_id: str, states: Collection[str], timeout: float = 120, map_index: int = -1
    ) -> TaskInstance:
        """Wait until a task instance has reached one of the states, or has ended in another state; return it."""

        def reached() -> TaskInstance | None:
            task = self.tasks().get((task_id, map_index))
            return task if task and task.state in FINISHED.union(states) else None

        return until(reached, f"{self.dag_id}.{task_id} to be {' or '.join(sorted(states))}", timeout)

    def xcom(self, task_id: str, key: str = "return_value", map_index: int = -1) -> Any:
        """Return an XCom as a JSON value; None if there is no such XCom."""
        path = f"{self.path}/taskInstances/{task_id}/xcomEntries/{key}"
        entry = self.api.call("GET", path, map_index=map_index, stringify=False)
        return entry and entry["value"]

    def links(self, task_id: str) -> dict[str, str | None]:
        """Return the URLs of a task instance's extra links by the links' names."""
        links = self.api.call("GET", f"{self.path}/taskInstances/{task_id}/links")
        return dict(links.get("extra_links", links))

    def clear(self, *task_ids: str) -> None:
        """Clear tasks, so that they run again."""
        body = {"dry_run": False, "dag_run_id": self.run_id, "task_ids": task_ids, "only_failed": False}
        self.api.call("POST", f"/dags/{self.dag_id}/clearTaskInstances", body)

    def log(self, task_id: str, map_index: int = -1, attempt: int | None = None) -> str:
        """Return the log that workers and triggerers wrote for a task instance.

        :param attempt: number of the try; None for all tries.
        """
        folder = self.api.logs / f"dag_id={self.dag_id}" / f"run_id={self.run_id}" / f"task_id={task_id}"
        if map_index >= 0:
            folder /= f"map_index={map_index}"
        return "".join(
            file.read_text(errors="replace") for file in sorted(folder.glob(f"attempt={attempt or '*'}.log*"))
        )

    def messages(self, task_id: str, map_index: int = -1, attempt: int | None = None, logger: str = "") -> list[str]:
        """Return the messages of a task instance's log, sorted by their timestamps.

        :param logger: keep only messages of loggers whose names contain this text (Airflow 3).
        """
        entries = sorted(map(_Entry.of, self.log(task_id, map_index, attempt).splitlines()), key=lambda e: e.timestamp)
        return [entry.message for entry in entries if logger in entry.logger]


class _Entry(NamedTuple):
    """A line of a log: JSON in Airflow 3; in Airflow 2 plain text, which is already in order and gets no timestamp."""

    timestamp: str
    message: str
    logger: str = ""

    @classmethod
    def of(cls, line: str) -> Self:
        """Parse a line."""
        try:
            entry = json.loads(line)
            errors = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or ()]
            return cls(entry["timestamp"], "\n  ".join([entry["event"], *errors]), entry.get("logger") or "")
        except (ValueError, TypeError, KeyError, AttributeError):
            return cls("", line)
