"""Which bodies of a submission are accepted, and what is answered to the others."""

from __future__ import annotations

import json

import pytest

from tests.emulator.api_client import COMPONENTS


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"module": ""}, "module"),
        ({"module": 1}, "module"),
        ({"input": []}, "input"),
        ({"config": None}, "config"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": 4}, "attempts"),
        ({"attempts": True}, "attempts"),
        ({"attempts": 1.5}, "attempts"),
        ({"attempts": None}, "attempts"),
        ({"waitForMs": -1}, "waitForMs"),
        ({"waitForMs": 15001}, "waitForMs"),
        ({"callbackUrl": "http://example.com/x"}, "callbackUrl"),
        ({"callbackUrl": "http://mylocalhost/x"}, "callbackUrl"),
        ({"callbackUrl": "https://"}, "callbackUrl"),
        ({"callbackUrl": "https://[x/"}, "callbackUrl"),
        ({"callbackUrl": 1}, "callbackUrl"),
        ({"callbackSecret": 1}, "callbackSecret"),
        ({"callbackHeaders": {"a": 1}}, "callbackHeaders"),
        ({"callbackHeaders": []}, "callbackHeaders"),
        ({"callbackHeaders": {"X-Signature": "a"}}, "X-Signature"),
        ({"callbackHeaders": {"X A": "a"}}, "callbackHeaders"),
        ({"callbackHeaders": {"X-A": "a\r\nX-B: b"}}, "callbackHeaders"),
        ({"idempotencyKey": "x"}, "idempotencyKey should not exist"),
    ],
)
def test_an_invalid_field_is_refused(wr, client, change, problem):
    """An invalid or unknown field answers 422 with a message that names the field, and creates no execution."""
    body = {"module": "ECHO", "input": {}, "config": {}, **change}
    response = client.post(COMPONENTS, json.dumps(body, separators=(",", ":")))
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["code"] == "VALIDATION_ERROR"
    assert problem in error["message"]
    assert wr.executions == []


def test_one_answer_lists_all_problems(client):
    """The answer has one error for each problem."""
    errors = client.post(COMPONENTS, '{"module":1,"x":2}').json()["errors"]
    assert len(errors) == 4


@pytest.mark.parametrize("body", ["[]", '"x"', "1", "null"])
def test_a_body_must_be_an_object(client, body):
    """JSON that is not an object answers 422."""
    assert client.post(COMPONENTS, body).status_code == 422


def test_optional_fields_are_accepted_at_their_limits(client):
    """The smallest and the largest allowed values are accepted."""
    client.submit(attempts=1, waitForMs=0, callbackHeaders={})
    client.submit(attempts=3, waitForMs=15_000, callbackUrl="https://example.invalid/x", callbackHeaders={"a": "b"})
    for host in ("localhost", "app.localhost", "127.0.0.2", "[::1]"):
        client.submit(callbackUrl=f"http://{host}:1/x")
