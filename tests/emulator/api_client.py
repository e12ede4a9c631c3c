"""`ApiClient`: a client of the emulator that shares no code with the package's own clients."""

from __future__ import annotations

import base64
import json
import time
from typing import Any

import requests
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_der_private_key

from airflow_provider_whiterabbit.emulator import Emulator

COMPONENTS = "/v1/sdk/components"
EXECUTIONS = "/v1/sdk/components/executions"
WORKFLOWS = "/v1/sdk/workflows"
RUNS = "/v1/sdk/workflows/executions"
CATALOGUE = "/v1/system/components"
UNKNOWN_EXECUTION = f"{EXECUTIONS}/none"


class ApiClient:
    """Signs requests itself. Bodies are JSON text, as JavaScript writes it."""

    def __init__(self, emulator: Emulator) -> None:
        self._url = emulator.url
        self._api_key = emulator.api_key
        key = load_der_private_key(base64.b64decode(emulator.api_secret), None)
        assert isinstance(key, Ed25519PrivateKey)
        self._private_key = key
        self._session = requests.Session()

    def headers(self, method: str, path: str, signed: str | None = "{}", timestamp: object = None) -> dict[str, str]:
        """Return the three headers of authentication.

        :param signed: the body's part of the signed text; None to leave it out.
        :param timestamp: Unix seconds; None for now.
        """
        timestamp = str(int(time.time()) if timestamp is None else timestamp)
        parts = [method, path, timestamp] if signed is None else [method, path, timestamp, signed]
        signature = base64.b64encode(self._private_key.sign("|".join(parts).encode())).decode()
        return {"X-Api-Key": self._api_key, "X-Sdk-Timestamp": timestamp, "X-Sdk-Signature": signature}

    def request(self, method: str, path: str, body: str | None = None, **options: Any) -> requests.Response:
        """Send a request.

        :param options: those of `requests`; ``headers`` replaces the signed headers, and ``content_type`` the type of a
            body, which None leaves out.
        """
        headers = options.pop("headers", None) or self.headers(method, path, "{}" if body is None else body)
        content_type = options.pop("content_type", "application/json")
        if body is not None and content_type is not None:
            headers = {**headers, "Content-Type": content_type}
        data = None if body is None else body.encode()
        options = {"timeout": 60, "allow_redirects": False, **options}
        return self._session.request(method, self._url + path, data=data, headers=headers, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        """Send a GET request."""
        return self.request("GET", path, **options)

    def post(self, path: str, body: str = "{}", **options: Any) -> requests.Response:
        """Send a POST request."""
        return self.request("POST", path, body, **options)

    def submit(self, module: str = "ECHO", **fields: Any) -> dict[str, Any]:
        """Execute a component and return the record of the execution."""
        body = {"module": module, "input": {}, "config": {}, **fields}
        response = self.post(COMPONENTS, json.dumps(body, separators=(",", ":")))
        assert response.status_code == 200, response.text
        record: dict[str, Any] = response.json()
        return record

    def record(self, execution_id: str) -> dict[str, Any]:
        """Read the record of an execution."""
        record: dict[str, Any] = self.get(f"{EXECUTIONS}/{execution_id}").json()
        return record

    def stream(self, identity: str, path: str = EXECUTIONS, **options: Any) -> requests.Response:
        """Open the stream of an execution; with ``path=RUNS``, of a workflow run."""
        return self.get(f"{path}/{identity}/stream", stream=True, **options)

    def control(self, path: str, body: Any = None, method: str = "POST") -> Any:
        """Send a request to a control endpoint and return its JSON answer."""
        response = requests.request(method, f"{self._url}/_emulator/{path}", json=body, timeout=60)
        assert response.status_code == 200, response.text
        return response.json()

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def limit(answer: requests.Response, seconds: float) -> None:
    """Let the further reads of an answer fail if nothing arrives for so many seconds; its beginning had more time."""
    answer.raw.connection.sock.settimeout(seconds)


def statuses(stream: bytes) -> list[str]:
    """Return the statuses in the events of a stream."""
    data = [line[6:] for line in stream.splitlines() if line.startswith(b"data: {")]
    return [json.loads(line)["status"] for line in data]
