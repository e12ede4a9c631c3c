from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives.serialization import load_der_private_key

from airflow_provider_whiterabbit.emulator import Emulator

EXECUTIONS = "/v1/sdk/components/executions"
RUNS = "/v1/sdk/workflows/executions"


class Client:
    """Signs on its own; bodies are JSON text, written as JavaScript would write it."""

    def __init__(self, wr: Emulator) -> None:
        self._url = wr.url
        self._api_key = wr.api_key
        self._key = load_der_private_key(base64.b64decode(wr.api_secret), None)
        self._session = requests.Session()

    def headers(self, method: str, path: str, signed: str | None = "{}", timestamp: object = None) -> dict[str, str]:
        timestamp = str(int(time.time()) if timestamp is None else timestamp)
        parts = [method, path, timestamp] if signed is None else [method, path, timestamp, signed]
        signature = base64.b64encode(self._key.sign("|".join(parts).encode())).decode()
        return {"X-Api-Key": self._api_key, "X-Sdk-Timestamp": timestamp, "X-Sdk-Signature": signature}

    def request(self, method: str, path: str, body: str | None = None, **options: Any) -> requests.Response:
        headers = options.pop("headers", None) or self.headers(method, path, "{}" if body is None else body)
        data = None if body is None else body.encode()
        options = {"timeout": 10, "allow_redirects": False, **options}
        return self._session.request(method, self._url + path, data=data, headers=headers, **options)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, body: str = "{}", **options: Any) -> requests.Response:
        return self.request("POST", path, body, **options)

    def submit(self, module: str = "ECHO", **fields: Any) -> dict[str, Any]:
        body = {"module": module, "input": {}, "config": {}, **fields}
        response = self.post("/v1/sdk/components", json.dumps(body, separators=(",", ":")))
        assert response.status_code == 200, response.text
        return response.json()

    def record(self, execution_id: str) -> dict[str, Any]:
        return self.get(f"{EXECUTIONS}/{execution_id}").json()

    def stream(self, execution_id: str, path: str = EXECUTIONS, **options: Any) -> requests.Response:
        return self.get(f"{path}/{execution_id}/stream", stream=True, **options)

    def control(self, path: str, body: Any = None, method: str = "POST") -> Any:
        response = requests.request(method, f"{self._url}/_emulator/{path}", json=body, timeout=10)
        assert response.status_code == 200, response.text
        return response.json()

    def close(self) -> None:
        self._session.close()


def statuses(stream: bytes) -> list[str]:
    """Return the statuses that a stream told."""
    data = [line[6:] for line in stream.splitlines() if line.startswith(b"data: {")]
    return [json.loads(line)["status"] for line in data]


@pytest.fixture
def wr(whiterabbit_emulator: Emulator) -> Emulator:
    return whiterabbit_emulator


@pytest.fixture
def client(wr: Emulator) -> Iterator[Client]:
    client = Client(wr)
    yield client
    client.close()


@pytest.fixture
def told():
    return statuses
