"""Callbacks: what is delivered, how it is signed, and what happens when nobody takes it."""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

RECORD = "/v1/sdk/components/executions/{}"


class Receiver:
    """An HTTP server that keeps what it gets, and answers what it is told to (204 by default)."""

    def __init__(self) -> None:
        self.deliveries: queue.Queue = queue.Queue()
        self.answers: list[int] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                self.send_response(receiver.answers.pop(0) if receiver.answers else 204)
                self.send_header("Location", receiver.url + "/elsewhere")
                self.end_headers()
                receiver.deliveries.put((self.path, dict(self.headers), body))

            do_GET = do_POST

            def log_message(self, *_arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    def next(self) -> tuple[str, dict[str, str], bytes]:
        path, headers, body = self.deliveries.get(timeout=10)
        return path, {name.lower(): value for name, value in headers.items()}, body

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver():
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(autouse=True)
def _quick(wr):
    wr.settings.callback_backoff = 0.01


def delivered(wr, execution_id: str, count: int = 1) -> dict:
    """Wait for the bookkeeping, which comes after the answer that the receiver gave."""
    wr.wait_for_delivery(execution_id, count=count)
    return wr.execution(execution_id)["callback"]


def test_a_finished_record_is_delivered(wr, client, receiver):
    created = client.submit(
        callbackUrl=receiver.url + "/hook?x=1", callbackHeaders={"X-Team": "a"}, callbackSecret="s3"
    )
    execution_id = created["id"]
    assert created["callback"] == {
        "url": receiver.url + "/hook?x=1",
        "signed": True,
        "signatureAlgorithm": "hmac-sha256",
        "headerNames": ["X-Team"],
        "lastAttemptAt": None,
        "deliveredAt": None,
        "attemptCount": 0,
        "lastError": None,
    }
    path, headers, body = receiver.next()
    assert path == "/hook?x=1"
    record = json.loads(body)
    assert (record["id"], record["status"], record["completed"]) == (execution_id, "COMPLETED", True)
    assert headers["content-type"] == "application/json"
    assert headers["x-team"] == "a"
    assert headers["x-delivery-id"] == f"{execution_id}:1"
    assert headers["x-event"] == "component.execution.terminal"
    assert headers["x-signature-version"] == "v1"
    message = headers["x-signature-timestamp"].encode() + b"." + body
    assert headers["x-signature"] == "sha256=" + hmac.new(b"s3", message, hashlib.sha256).hexdigest()
    callback = delivered(wr, execution_id)
    assert callback["attemptCount"] == 1
    assert callback["deliveredAt"] >= callback["lastAttemptAt"]
    assert callback["lastError"] is None
    assert client.record(execution_id)["callback"] == callback


def test_without_a_secret_nothing_is_signed(client, receiver):
    assert client.submit(callbackUrl=receiver.url)["callback"]["signed"] is False
    _, headers, _ = receiver.next()
    assert "x-signature" not in headers
    assert "x-signature-version" not in headers
    assert headers["x-signature-timestamp"]


def test_the_older_signature(wr, client, receiver):
    wr.settings.legacy_callback_signature = True
    client.submit(callbackUrl=receiver.url, callbackSecret="s3")
    _, headers, body = receiver.next()
    assert headers["x-wr-signature"] == "hmac-sha256-v1=" + hmac.new(b"s3", body, hashlib.sha256).hexdigest()
    assert "x-signature" not in headers


def test_a_failure_is_delivered_too(wr, client, receiver):
    wr.script("BAD", error="no")
    client.submit("BAD", callbackUrl=receiver.url)
    assert json.loads(receiver.next()[2])["error"] == "no"


def test_a_delivery_is_tried_again(wr, client, receiver):
    receiver.answers = [500]
    execution_id = client.submit(callbackUrl=receiver.url)["id"]
    ids = [receiver.next()[1]["x-delivery-id"] for _ in range(2)]
    assert ids == [f"{execution_id}:1", f"{execution_id}:2"]
    callback = delivered(wr, execution_id)
    assert (callback["attemptCount"], callback["lastError"]) == (2, None)


def test_a_delivery_is_given_up(wr, client, receiver):
    receiver.answers = [500, 404, 302]
    execution_id = client.submit(callbackUrl=receiver.url)["id"]
    for _ in range(3):
        assert receiver.next()[0] == "/"
    callback = delivered(wr, execution_id)
    assert (callback["attemptCount"], callback["deliveredAt"], callback["lastError"]) == (3, None, "HTTP 302")
    assert receiver.deliveries.empty()


def test_nobody_there(wr, client):
    wr.settings.callback_attempts = 1
    execution_id = client.submit(callbackUrl="http://127.0.0.1:1/")["id"]
    callback = delivered(wr, execution_id)
    assert "Cannot connect" in callback["lastError"]


def test_replay_delivers_again(wr, client, receiver):
    execution_id = client.submit(callbackUrl=receiver.url)["id"]
    receiver.next()
    delivered(wr, execution_id)
    response = client.post(RECORD.format(execution_id) + "/replay-callback")
    assert response.json()["id"] == execution_id
    assert receiver.next()[1]["x-delivery-id"] == f"{execution_id}:2"


def test_replay_needs_a_callback_and_an_end(wr, client, receiver):
    replay = RECORD + "/replay-callback"
    assert client.post(replay.format("none")).status_code == 404
    assert client.post(replay.format(client.submit()["id"])).status_code == 422
    wr.script("SLOW", manual=True)
    assert client.post(replay.format(client.submit("SLOW", callbackUrl=receiver.url)["id"])).status_code == 422
    assert client.post(replay.format(client.submit()["id"]), '{"a":1}').status_code == 422


def test_a_reset_gives_up_deliveries(wr, client):
    wr.settings.callback_backoff = 60
    client.submit(callbackUrl="http://127.0.0.1:1/")
    wr.reset()
    assert wr.executions == []
