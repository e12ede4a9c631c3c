"""A small HTTP server with those routes of Airflow's REST API that the command uses."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

TOKEN = "sesame"
PAGE = 100

Place = tuple[str, int]


@dataclass
class Instance:
    """A task instance: its state, its record of a submission, the question that it asks, and a stored answer.

    :param others: the values of its state store under other keys.
    """

    state: str
    record: Any = None
    question: dict[str, Any] | None = None
    answer: Any = None
    others: dict[str, Any] = field(default_factory=dict)

    @property
    def stored(self) -> dict[str, Any]:
        """All values of its state store by their keys."""
        own = {"whiterabbit_answer": self.answer, "whiterabbit_submission": self.record}
        return {key: value for key, value in (own | self.others).items() if value is not None}


@dataclass
class FakeAirflow:
    """A context manager that runs the server.

    :param dag_id: the id of its only DAG.
    :param run_id: the id of its only DAG run.
    :param gives_token: whether everyone gets a token, as with Airflow's simple auth manager if all are admins.

    `requests` holds the method, the path below the DAG run and the body of each request. `before` is called with each
    of them before the request is processed; if `before` returns a status, the answer has that status.
    """

    dag_id: str = "pay.daily"
    run_id: str = "manual__2026-11-24T10:00:00+00:00"
    gives_token: bool = True
    version: str = "3.3.2"
    instances: dict[Place, Instance] = field(default_factory=dict)
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    before: Callable[[str, str], int | None] = lambda method, path: None

    def __enter__(self) -> FakeAirflow:
        airflow = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1  # headers and body in one packet, or the client waits for the second one

            def handle_request(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else None
                status, answer = airflow.answer(self.command, self.path, body, self.headers.get("Authorization"))
                content = b"" if answer is None else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_PATCH = do_POST = do_PUT = handle_request

            def log_message(self, *_: Any) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def writes(self) -> list[tuple[str, str, Any]]:
        """The requests that change something."""
        return [request for request in self.requests if request[0] != "GET"]

    def answer(self, method: str, target: str, body: Any, authorization: str | None) -> tuple[int, Any]:
        """Process a request; return the status and the JSON of the answer."""
        url = urlsplit(target)
        if url.path == "/auth/token" and self.gives_token:
            return 201, {"access_token": TOKEN}
        if authorization != f"Bearer {TOKEN}":
            return 401, {"detail": "Invalid auth token"}
        if url.path == "/api/v2/version":
            return 200, {"version": self.version}
        parts = [unquote(part) for part in url.path.removeprefix("/api/v2/dags/").split("/")]
        if parts == [self.dag_id, "clearTaskInstances"]:
            return self._respond(method, "clear", body, {})
        if parts[:3] == [self.dag_id, "dagRuns", self.run_id]:
            query = {name: values[0] for name, values in parse_qs(url.query, keep_blank_values=True).items()}
            return self._respond(method, "/".join(parts[3:]), body, query)
        return 404, {"detail": "not found"}

    def _respond(self, method: str, path: str, body: Any, query: dict[str, str]) -> tuple[int, Any]:
        self.requests.append((method, path, body))
        if (status := self.before(method, path)) is not None:
            return status, {"detail": "as the test wants it"}
        if path in ("taskInstances", "hitlDetails"):
            return 200, self._page(path, query)
        if path == "clear":
            return 200, {"task_instances": self._clear(body)}
        if path.endswith("/state-store"):
            stored = self.instances[path.split("/")[1], int(query["map_index"])].stored
            items = [{"key": key, "value": stored[key]} for key in sorted(stored)]
            start = int(query["offset"])
            return 200, {"task_state_store": items[start : start + min(PAGE, int(query["limit"]))]}
        if "/state-store/" in path:
            return self._store(method, path.rpartition("/")[2], (path.split("/")[1], int(query["map_index"])), body)
        if path.endswith("/hitlDetails"):
            instance = self.instances[path.split("/")[1], int(path.split("/")[2])]
            instance.question, instance.state = None, "scheduled"
        return 200, {}

    def _store(self, method: str, key: str, place: Place, body: Any) -> tuple[int, Any]:
        instance = self.instances[place]
        if (method, key) == ("PUT", "whiterabbit_answer"):
            assert body["expires_at"] is None
            instance.answer = body["value"]
            return 204, None
        if method == "PUT":
            assert body["expires_at"] is None
            instance.others[key] = body["value"]
            return 204, None
        value = instance.stored.get(key)
        return (
            (404, {"detail": f"Task state store key '{key}' not found"}) if value is None else (200, {"value": value})
        )

    def _page(self, path: str, query: dict[str, str]) -> dict[str, Any]:
        found = [
            {"task_id": place[0], "map_index": place[1], "question": instance.question}
            for place, instance in self.instances.items()
            if instance.state == query["state"] and place[0] == query.get("task_id", place[0])
        ]
        if path == "hitlDetails":
            found = [{**item["question"], "task_instance": item} for item in found if item["question"]]
        if path == "hitlDetails":
            offset = int(query["offset"])
            return {
                "hitl_details": found[offset : offset + min(PAGE, int(query["limit"]))],
                "total_entries": len(found),
            }
        # A cursor names the last item of a page, as in Airflow 3.3.
        after = json.loads(query["cursor"]) if query["cursor"] else None
        rest = [item for item in found if after is None or self._order(item) > after]
        items = rest[: min(PAGE, int(query["limit"]))]
        last = json.dumps(self._order(items[-1])) if len(rest) > len(items) else None
        return {"task_instances": items, "next_cursor": last}

    def _order(self, item: dict[str, Any]) -> int:
        return list(self.instances).index((item["task_id"], item["map_index"]))

    def _clear(self, body: dict[str, Any]) -> list[dict[str, Any]]:
        assert body == {"dry_run": False, "only_failed": True, "dag_run_id": self.run_id, "task_ids": body["task_ids"]}
        failed = ("failed", "upstream_failed")  # as `only_failed` means it
        cleared = [place for place in map(tuple, body["task_ids"]) if self.instances[place].state in failed]
        for place in cleared:
            self.instances[place].state = "scheduled"
        return [{"task_id": task_id, "map_index": map_index} for task_id, map_index in cleared]
