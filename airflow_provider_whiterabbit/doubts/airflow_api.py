"""The calls of Airflow's REST API with which doubts are found and settled (Airflow 3.3 and newer)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.hiding import Hiding
from airflow_provider_whiterabbit.client.transport.failures import root_cause_text
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitInputError
from airflow_provider_whiterabbit.operators.submission import KEY, answer_key, records_in

TOKEN_VARIABLE = "AIRFLOW_CLI_TOKEN"  # noqa: S105  # the name of a variable, as airflowctl names it

_PAGE = 100  # Airflow returns at most 100 items per request, or fewer if [api] maximum_page_limit says so
_TIMEOUT = (10, 60)
_FIRST_VERSION = (3, 3)


class AirflowApiError(WhiteRabbitError):
    """Raised if Airflow's API server did not do what it was asked for.

    :param status: HTTP status of the answer; None if there is no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class AirflowApi:
    """Calls the REST API of an Airflow.

    :param url: address of the API server, as the option ``[api] base_url`` has it.
    :param token: a token of the REST API; empty to ask for the token that Airflow's simple auth manager gives everyone
        if all users are admins.
    :raises AirflowApiError: if there is no token, or the server is not an Airflow 3.3 or newer.
    """

    def __init__(self, url: str, token: str) -> None:
        try:
            host = urlsplit(url).hostname
        except ValueError:
            host = None
        if not host or not url.startswith(("http://", "https://")):
            raise WhiteRabbitInputError(f"The address of Airflow's API server must be http(s)://…, got {url!r:.200}")
        self._url = url.rstrip("/")
        self._session = requests.Session()
        self._session.trust_env = not checks.is_loopback(host)
        self._token = token.strip()  # a file from which it was read may end with a line break
        if not re.fullmatch(r"[\x21-\x7e]*", self._token):
            raise AirflowApiError(f"The environment variable {TOKEN_VARIABLE} holds characters that no token has.")
        self._session.auth = self._authorize  # else requests would take credentials from ~/.netrc
        self._token = self._token or self._token_for_everyone()
        self._refuse_old_airflow()

    def call(self, method: str, path: str, body: Any = None, **params: Any) -> Any:
        """Call the API and return the JSON of its answer, or None if the answer has no body.

        :param path: path below ``/api/v2``.
        :param params: query parameters; those that are None are left out.
        :raises AirflowApiError: if the answer is not a success, or did not come.
        """
        return self._call(method, f"/api/v2{path}", body, params)

    def pages(self, path: str, items: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield all items of a list that the API returns in pages.

        :param items: name of the list in the answer.
        """
        offset = 0
        while page := self.call("GET", path, limit=_PAGE, offset=offset, **params)[items]:
            yield from page
            offset += len(page)

    def linked_pages(self, path: str, items: str, **params: Any) -> Iterator[dict[str, Any]]:
        """Yield all items of a list whose pages name the next one: items that come or go meanwhile shift no other.

        :param items: name of the list in the answer.
        """
        cursor: str | None = ""
        while cursor is not None:
            page = self.call("GET", path, limit=_PAGE, cursor=cursor, **params)
            yield from page[items]
            cursor = page["next_cursor"]

    def _call(self, method: str, path: str, body: Any = None, params: Any = None) -> Any:
        url = self._url + path
        try:
            answer = self._session.request(
                method, url, json=body, params=params, timeout=_TIMEOUT, allow_redirects=False
            )
            content = answer.json() if answer.content else None
        except requests.JSONDecodeError:
            raise AirflowApiError(
                f"{method} {url}: the answer (status {answer.status_code}) is not JSON, so this is not the address of "
                "Airflow's API server. Give the address with --url.",
                answer.status_code,
            ) from None
        except requests.RequestException as error:
            cause = root_cause_text(error, Hiding())
            raise AirflowApiError(f"{method} {url} failed: {cause}. Check the address (--url).") from error
        if not HTTPStatus.OK <= answer.status_code < HTTPStatus.MULTIPLE_CHOICES:
            detail = content.get("detail", content) if isinstance(content, dict) else content
            raise AirflowApiError(
                f"Airflow answered {answer.status_code} to {method} {path}: {detail!s:.500}{self._hint(answer)}",
                answer.status_code,
            )
        return content

    def _hint(self, answer: requests.Response) -> str:
        if answer.is_redirect:
            return f" (redirect to {answer.headers['Location']:.200}). Give the address with --url."
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            return f". Set {TOKEN_VARIABLE} to a valid token of Airflow's REST API."
        return ""

    def _authorize(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request

    def _token_for_everyone(self) -> str:
        try:
            return str(self._call("GET", "/auth/token")["access_token"])
        except (AirflowApiError, KeyError, TypeError) as error:
            if isinstance(error, AirflowApiError) and error.status is None:
                raise
            raise AirflowApiError(
                f"The environment variable {TOKEN_VARIABLE} is not set, and {self._url} gives no token without "
                "credentials. Set the variable to a token of Airflow's REST API."
            ) from None

    def _refuse_old_airflow(self) -> None:
        answer = self.call("GET", "/version")
        version = str(answer.get("version")) if isinstance(answer, dict) else "of an unknown version"
        numbers = tuple(int(number) for number in re.findall(r"\d+", version)[:2])
        if numbers < _FIRST_VERSION:
            raise AirflowApiError(
                f"{self._url} is an Airflow {version:.50}. This command needs Airflow 3.3 or newer, which keeps "
                "submissions across retries."
            )


class RunApi:
    """Calls the REST API of an Airflow for one DAG run.

    :raises AirflowApiError: if there is no such DAG run.
    """

    def __init__(self, api: AirflowApi, dag_id: str, run_id: str) -> None:
        self._api = api
        self._dag = f"/dags/{_segment(dag_id)}"
        self._run_id = run_id
        self._run = f"{self._dag}/dagRuns/{_segment(run_id)}"
        api.call("GET", self._run)

    def questions(self, task_id: str | None) -> Iterator[dict[str, Any]]:
        """Yield the questions that tasks of the run wait for an answer to.

        :param task_id: None for all tasks.
        """
        wanted = {"task_id": task_id, "state": "awaiting_input", "response_received": "false", "order_by": "ti_id"}
        return self._api.pages(f"{self._run}/hitlDetails", "hitl_details", **wanted)

    def instances(self, state: str, task_id: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the task instances of the run in a state.

        :param task_id: None for all tasks.
        """
        wanted = {"task_id": task_id, "state": state, "order_by": "id"}
        return self._api.linked_pages(f"{self._run}/taskInstances", "task_instances", **wanted)

    def records(self, task_id: str, map_index: int) -> dict[str, Any]:
        """Return a task instance's records of submissions by key; that of an operator has the empty key."""
        items = self._api.pages(f"{self._task(task_id)}/state-store", "task_state_store", map_index=map_index)
        return records_in({item["key"]: item["value"] for item in items})

    def record(self, task_id: str, map_index: int, key: str) -> Any:
        """Return a task instance's record of the submission under a key; None if there is none."""
        return self.records(task_id, map_index).get(key) if key else self._stored(task_id, map_index, KEY)

    def answer_of(self, task_id: str, map_index: int, key: str) -> Any:
        """Return the answer of a person that is stored for the submission under a key; None if there is none."""
        return self._stored(task_id, map_index, answer_key(key))

    def store_answer(self, task_id: str, map_index: int, key: str, answer: dict[str, Any]) -> None:
        """Store the answer of a person for the submission of a failed task instance under a key; it never expires."""
        path = f"{self._task(task_id)}/state-store/{answer_key(key)}"
        self._api.call("PUT", path, {"value": answer, "expires_at": None}, map_index=map_index)

    def answer(self, task_id: str, map_index: int, option: str, values: dict[str, str]) -> None:
        """Answer the question of a task instance.

        :param values: the values of the question's fields.
        """
        path = f"{self._task(task_id)}/{map_index}/hitlDetails"
        self._api.call("PATCH", path, {"chosen_options": [option], "params_input": values})

    def clear(self, instances: list[tuple[str, int]]) -> set[tuple[str, int]]:
        """Clear task instances that have failed (or whose upstream has), and no others; return those that were cleared.

        :param instances: task ids with map indices.
        """
        body = {
            "dry_run": False,
            "dag_run_id": self._run_id,
            "task_ids": [list(instance) for instance in instances],
            "only_failed": True,
        }
        cleared = self._api.call("POST", f"{self._dag}/clearTaskInstances", body)["task_instances"]
        return {(instance["task_id"], instance["map_index"]) for instance in cleared}

    def _task(self, task_id: str) -> str:
        return f"{self._run}/taskInstances/{_segment(task_id)}"

    def _stored(self, task_id: str, map_index: int, key: str) -> Any:
        try:
            return self._api.call("GET", f"{self._task(task_id)}/state-store/{key}", map_index=map_index)["value"]
        except AirflowApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return None
            raise


def _segment(name: str) -> str:
    """Return an id as a segment of a path; the id may hold any character."""
    if name in ("", ".", "..", "~"):  # '~' means all DAGs or runs there, and dots mean other paths
        raise WhiteRabbitInputError(f"Airflow's REST API can't address a DAG, run or task with the id {name!r}")
    return quote(name, safe="", errors="replace")
