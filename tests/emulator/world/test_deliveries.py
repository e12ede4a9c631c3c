"""Deliveries of callbacks: their content, their signatures, and repeated and failed attempts."""

from __future__ import annotations

import hashlib
import hmac
import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from airflow_provider_whiterabbit.client import webhooks
from airflow_provider_whiterabbit.emulator import Emulator
from tests.emulator.api_client import EXECUTIONS

UNREACHABLE = "http://127.0.0.1:1/"
"""A URL that refuses connections."""


class Receiver:
    """An HTTP server for callbacks.

    Each delivery is answered with the next status of `answers`, or with 204 if there is none.
    """

    def __init__(self) -> None:
        self.deliveries: queue.Queue[tuple[str, dict[str, str], bytes]] = queue.Queue()
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
        """Wait for the next delivery and return its path, headers and body."""
        path, headers, body = self.deliveries.get(timeout=60)
        return path, {name.lower(): value for name, value in headers.items()}, body

    def close(self) -> None:
        """Stop the server."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Return a receiver of callbacks."""
    receiver = Receiver()
    yield receiver
    receiver.close()


@pytest.fixture(autouse=True)
def short_backoff(wr: Emulator) -> None:
    """Let the emulator repeat a failed attempt after a short time."""
    wr.settings.callback_backoff = 0.01


def callback_after_delivery(wr: Emulator, execution_id: str) -> dict[str, Any]:
    """Wait until a delivery has ended, and return the ``callback`` part of the record."""
    wr.wait_for_delivery(execution_id)
    callback: dict[str, Any] = wr.execution(execution_id)["callback"]
    return callback


def test_a_finished_record_is_delivered(wr, client, receiver):
    """The receiver gets the finished record with the callback headers and a signature, and the record shows it."""
    created = client.submit(
        callbackUrl=receiver.url + "/hook?x=1", callbackHeaders={"X-Team": "a"}, callbackSecret="s3"
    )
    execution_id = created["id"]
    assert created["callback"] == {
        "url": receiver.url + "/hook?x=1",
        "signed": True,
        "signatureAlgorithm": "hmac-sha256-v1",
        "headerNames": ["X-Team"],
        "lastAttemptAt": None,
        "deliveredAt": None,
        "attemptCount": 0,
        "lastError": None,
    }
    path, headers, body = receiver.next()
    assert path == "/hook?x=1"
    record = json.loads(body)
    assert record == {
        "id": execution_id,
        "module": "ECHO",
        "status": "COMPLETED",
        "completed": True,
        "output": {"module": "ECHO", "input": {}},
        "error": None,
        "totalUsage": 1,
        "callback": record["callback"],
        "createdAt": created["createdAt"],
        "updatedAt": record["updatedAt"],
    }
    assert record["callback"].keys() == created["callback"].keys()
    assert record["createdAt"] <= record["updatedAt"]
    assert headers["content-type"] == "application/json"
    assert headers["x-team"] == "a"
    assert headers["x-delivery-id"] == f"{execution_id}:1"
    assert headers["x-event"] == "component.execution.terminal"
    assert headers["x-signature-version"] == "v1"
    message = headers["x-signature-timestamp"].encode() + b"." + body
    assert headers["x-signature"] == "sha256=" + hmac.new(b"s3", message, hashlib.sha256).hexdigest()
    callback = callback_after_delivery(wr, execution_id)
    assert callback["attemptCount"] == 1
    assert callback["deliveredAt"] >= callback["lastAttemptAt"]
    assert callback["lastError"] is None
    assert client.record(execution_id)["callback"] == callback


def test_a_delivery_without_a_secret_is_not_signed(client, receiver):
    """Without a secret, the delivery has a timestamp but no signature."""
    assert client.submit(callbackUrl=receiver.url)["callback"]["signed"] is False
    _, headers, _ = receiver.next()
    assert "x-signature" not in headers
    assert "x-signature-version" not in headers
    assert headers["x-signature-timestamp"]


@pytest.mark.parametrize("form", ["timed", "wr", "body", "both"])
def test_forms_of_the_signature(wr, client, receiver, form):
    """The setting `callback_signature` chooses the headers and what they sign; the provider verifies each form."""
    wr.settings.callback_signature = form
    client.submit(callbackUrl=receiver.url, callbackSecret="s3")
    _, headers, body = receiver.next()
    names = {name for name in headers if "signature" in name}
    mac = hmac.new(b"s3", body, hashlib.sha256).hexdigest()
    timed = {"x-signature", "x-signature-timestamp", "x-signature-version"}
    if form == "body":
        assert names == {"x-signature"}
        assert headers["x-signature"] == f"sha256={mac}"
    else:
        wr_names = {"x-wr-signature", "x-signature-timestamp"}
        assert names == {"timed": timed, "wr": wr_names, "both": timed | wr_names}[form]
    if "x-wr-signature" in names:
        assert headers["x-wr-signature"] == f"hmac-sha256-v1={mac}"
    if timed <= names:
        message = headers["x-signature-timestamp"].encode() + b"." + body
        assert headers["x-signature"] == "sha256=" + hmac.new(b"s3", message, hashlib.sha256).hexdigest()
    assert webhooks.verify(body, headers, "s3", raw_signatures=form in ("wr", "body")).status == "COMPLETED"


def test_a_failed_execution_is_delivered(wr, client, receiver):
    """The record of a failed execution is delivered as well."""
    wr.script("REFUSE", error="no")
    client.submit("REFUSE", callbackUrl=receiver.url)
    assert json.loads(receiver.next()[2])["error"] == "no"


def test_a_failed_attempt_is_repeated(wr, client, receiver):
    """After an answer of 500, a second attempt is made, with its own delivery id."""
    receiver.answers = [500]
    execution_id = client.submit(callbackUrl=receiver.url)["id"]
    delivery_ids = [receiver.next()[1]["x-delivery-id"] for _ in range(2)]
    assert delivery_ids == [f"{execution_id}:1", f"{execution_id}:2"]
    callback = callback_after_delivery(wr, execution_id)
    assert (callback["attemptCount"], callback["lastError"]) == (2, None)


def test_a_delivery_fails_after_three_attempts(wr, client, receiver):
    """After three attempts without a 2xx answer, the record shows the last error; a redirect is not followed."""
    receiver.answers = [500, 404, 302]
    execution_id = client.submit(callbackUrl=receiver.url)["id"]
    for _ in range(3):
        assert receiver.next()[0] == "/"
    callback = callback_after_delivery(wr, execution_id)
    assert (callback["attemptCount"], callback["deliveredAt"], callback["lastError"]) == (3, None, "HTTP 302")
    assert receiver.deliveries.empty()


def test_an_unreachable_receiver(wr, client):
    """If the receiver refuses the connection, the record shows the connection error."""
    wr.settings.callback_attempts = 1
    execution_id = client.submit(callbackUrl=UNREACHABLE)["id"]
    callback = callback_after_delivery(wr, execution_id)
    assert "Cannot connect" in callback["lastError"]


def test_replay_delivers_again(wr, client, receiver):
    """``replay-callback`` delivers the record again, with the next delivery id; it needs no body."""
    execution_id = client.submit(callbackUrl=receiver.url)["id"]
    receiver.next()
    wr.wait_for_delivery(execution_id)
    for count, body in enumerate(["{}", None], start=2):
        response = client.request("POST", f"{EXECUTIONS}/{execution_id}/replay-callback", body)
        assert response.json()["id"] == execution_id
        assert receiver.next()[1]["x-delivery-id"] == f"{execution_id}:{count}"
        wr.wait_for_delivery(execution_id, count=count)


def test_replay_needs_a_callback_and_an_end(wr, client, receiver):
    """``replay-callback`` refuses unknown and unfinished executions, executions without a callback, and a body."""
    replay = EXECUTIONS + "/{}/replay-callback"
    assert client.post(replay.format("none")).status_code == 404
    assert client.post(replay.format(client.submit()["id"])).status_code == 422
    wr.script("SLOW", manual=True)
    assert client.post(replay.format(client.submit("SLOW", callbackUrl=receiver.url)["id"])).status_code == 422
    assert client.post(replay.format(client.submit()["id"]), '{"a":1}').status_code == 422


def test_a_reset_cancels_deliveries(wr, client):
    """A reset does not wait for deliveries."""
    wr.settings.callback_backoff = 60
    client.submit(callbackUrl=UNREACHABLE)
    wr.reset()
    assert wr.executions == []
