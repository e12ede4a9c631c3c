"""The journal: the requests that the emulator received."""

from __future__ import annotations

import json
import re
import threading

import pytest
import requests

from tests.emulator.api_client import COMPONENTS, UNKNOWN_EXECUTION


def test_the_journal_shows_requests_without_secrets(wr, client):
    """Each request is in the journal with its kind, body and status, but without keys, signatures and secrets."""
    client.submit(callbackSecret="very-secret", callbackUrl="https://example.invalid/x", input={"a": 1})
    client.get(UNKNOWN_EXECUTION)
    client.post(COMPONENTS, '{"callbackSecret":"very-secret"')
    requests.get(f"{wr.url}/v1/elsewhere", timeout=60)
    first, second, third, fourth = wr.journal
    assert (first.method, first.path, first.kind, first.status) == ("POST", COMPONENTS, "submit", 200)
    assert first.json["input"] == {"a": 1}
    assert json.loads(first.body) == first.json
    assert (second.kind, second.status, second.body, second.json) == ("record", 404, b"", None)
    assert (third.status, third.json) == (400, None)
    assert (fourth.kind, fourth.status) == (None, 404)
    assert first.monotonic < second.monotonic
    assert first.headers["x-api-key"] == first.headers["x-sdk-signature"] == "***"
    shown = repr(wr.journal) + repr(wr.executions)
    for secret in ("very-secret", wr.api_key, wr.api_secret):
        assert secret not in shown


def test_requests_by_method_path_and_kind(wr, client):
    """`requests` returns the requests with a method, a kind, and a path by glob or regular expression."""
    execution_id = client.submit()["id"]
    client.record(execution_id)
    client.record(execution_id)
    assert len(wr.requests(method="POST")) == 1
    assert len(wr.requests(path="*/executions/*")) == 2
    assert len(wr.requests(path=re.compile(r"/v1/sdk/components"))) == 1
    assert len(wr.requests(kind="record", method="GET")) == 2


def test_wait_for_request(wr, client):
    """`wait_for_request` returns when the request is answered, and raises `TimeoutError` without enough requests."""
    submission = threading.Thread(target=client.submit)
    submission.start()
    (entry,) = wr.wait_for_request(method="POST", path="/v1/sdk/*", answered=True)
    assert entry.status == 200
    submission.join()
    with pytest.raises(TimeoutError):
        wr.wait_for_request(count=2, timeout=0.01)
