"""Endpoints: each function returns exactly the documented request, and refuses invalid arguments."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.wire.messages import Request
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError

ID = "7d0c5bb4-6c3b-4f55-9d0f-6f3f8d6e7a10"
PATH = f"/v1/sdk/components/executions/{ID}"
URL = "https://example.org/hook"


@pytest.mark.parametrize(
    ("arguments", "body"),
    [
        ({}, b'{"module":"M","input":{},"config":{}}'),
        ({"input": None, "config": None}, b'{"module":"M","input":{},"config":{}}'),
        (
            {"input": {"b": 1.0, "10": "x", "2": None}, "config": {"c": [True]}},
            b'{"module":"M","input":{"2":null,"10":"x","b":1},"config":{"c":[true]}}',
        ),
        ({"attempts": 1}, b'{"module":"M","input":{},"config":{},"attempts":1}'),
        ({"attempts": 3}, b'{"module":"M","input":{},"config":{},"attempts":3}'),
        ({"inline_wait": 0}, b'{"module":"M","input":{},"config":{}}'),
        ({"inline_wait": timedelta(0)}, b'{"module":"M","input":{},"config":{}}'),
        ({"inline_wait": 1.5}, b'{"module":"M","input":{},"config":{},"waitForMs":1500}'),
        ({"inline_wait": 15}, b'{"module":"M","input":{},"config":{},"waitForMs":15000}'),
        ({"inline_wait": timedelta(milliseconds=250)}, b'{"module":"M","input":{},"config":{},"waitForMs":250}'),
        (
            {"callback_url": URL},
            b'{"module":"M","input":{},"config":{},"callbackUrl":"https://example.org/hook"}',
        ),
        (
            {"callback_url": "http://127.0.0.1:8080/hook", "callback_secret": "s"},
            b'{"module":"M","input":{},"config":{},"callbackUrl":"http://127.0.0.1:8080/hook","callbackSecret":"s"}',
        ),
        (
            {"callback_headers": {"X-Team": "pay"}, "callback_secret": "s", "callback_url": URL, "attempts": 2},
            (
                b'{"module":"M","input":{},"config":{},"attempts":2,"callbackUrl":"https://example.org/hook",'
                b'"callbackSecret":"s","callbackHeaders":{"X-Team":"pay"}}'
            ),
        ),
    ],
)
def test_body_of_a_submission(arguments: dict[str, Any], body: bytes) -> None:
    """The body of a submission has the three required fields, and the optional fields that are set."""
    request = api.execute_component("M", **arguments)
    assert (request.method, request.path, request.body) == ("POST", "/v1/sdk/components", body)
    assert not request.idempotent


@pytest.mark.parametrize(("wait", "expected"), [(None, 0.0), (2, 2.0), (timedelta(seconds=15), 15.0)])
def test_server_wait_of_a_submission(wait: Any, expected: float) -> None:
    """The request of a submission with `inline_wait` has the same number of seconds as its `server_wait`."""
    assert api.execute_component("M", inline_wait=wait).server_wait == expected


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"module": ""}, "module"),
        ({"module": "  "}, "module"),
        ({"module": None}, "module"),
        ({"module": 7}, "module"),
        ({"module": "\ud800"}, "module"),
        ({"input": []}, "input"),
        ({"input": "{}"}, "input"),
        ({"input": 0}, "input"),
        ({"config": ()}, "config"),
        ({"config": "text"}, "config"),
        ({"input": {"amount": 10**18}}, "input.amount"),
        ({"config": {"rate": math.nan}}, "config.rate"),
        ({"input": {"a": {"b": [b"x"]}}}, r"input\.a\.b\[0\]"),
        ({"attempts": 0}, "attempts"),
        ({"attempts": 4}, "attempts"),
        ({"attempts": True}, "attempts"),
        ({"attempts": 2.0}, "attempts"),
        ({"attempts": "2"}, "attempts"),
        ({"inline_wait": -1}, "inline_wait"),
        ({"inline_wait": 15.001}, "inline_wait"),
        ({"inline_wait": timedelta(seconds=16)}, "inline_wait"),
        ({"inline_wait": timedelta(seconds=-1)}, "inline_wait"),
        ({"inline_wait": math.nan}, "inline_wait"),
        ({"inline_wait": math.inf}, "inline_wait"),
        ({"inline_wait": True}, "inline_wait"),
        ({"inline_wait": "5"}, "inline_wait"),
        ({"inline_wait": ""}, "inline_wait"),
        ({"callback_url": ""}, "callback_url"),
        ({"callback_url": 7}, "callback_url"),
        ({"callback_url": "example.org/hook"}, "callback_url"),
        ({"callback_url": "http://example.org/hook"}, "callback_url"),
        ({"callback_url": "ftp://example.org/hook"}, "callback_url"),
        ({"callback_url": "https:///hook"}, "callback_url"),
        ({"callback_url": "https://[::1/hook"}, "callback_url"),
        ({"callback_url": "http://localhost.example.org/"}, "callback_url"),
        ({"callback_url": URL, "callback_secret": ""}, "callback_secret"),
        ({"callback_url": URL, "callback_secret": b"s"}, "callback_secret"),
        ({"callback_url": URL, "callback_headers": []}, "callback_headers"),
        ({"callback_url": URL, "callback_headers": {"a b": "c"}}, "callback_headers"),
        ({"callback_url": URL, "callback_headers": {"": "c"}}, "callback_headers"),
        ({"callback_url": URL, "callback_headers": {7: "c"}}, "callback_headers"),
        ({"callback_url": URL, "callback_headers": {"X-A": 7}}, "X-A"),
        ({"callback_url": URL, "callback_headers": {"X-A": "a\r\nX-B: c"}}, "X-A"),
        ({"callback_url": URL, "callback_headers": {"X-A\n": "a"}}, "callback_headers"),
        ({"callback_url": URL, "callback_headers": {"X-A": "ü"}}, "X-A"),
        ({"callback_secret": "s"}, "callback_url"),
        ({"callback_headers": {}}, "callback_url"),
    ],
)
def test_refused_arguments(arguments: dict[str, Any], field: str) -> None:
    """An argument that is out of range or not JSON is refused with a message that names the argument."""
    with pytest.raises(WhiteRabbitInputError, match=field):
        api.execute_component(**{"module": "M", **arguments})


@pytest.mark.parametrize(
    "arguments",
    [
        {"callback_url": "http://hunter2.example/"},
        {"callback_secret": "hunter2"},
        {"callback_url": URL, "callback_headers": {"X-A": "hunter2\n"}},
        {"input": {"a": [b"hunter2"]}},
    ],
)
def test_refusals_do_not_show_secrets(arguments: dict[str, Any]) -> None:
    """The message of a refusal shows no callback URL, callback secret, callback header, or value of the input."""
    with pytest.raises(WhiteRabbitInputError) as refused:
        api.execute_component("M", **arguments)
    assert "hunter2" not in str(refused.value)


def test_requests_of_an_execution() -> None:
    """The requests to read, to stream and to redeliver are as documented, and are idempotent."""
    assert api.get_execution(ID) == Request("GET", PATH, idempotent=True)
    assert api.stream_execution(ID) == Request("GET", f"{PATH}/stream", idempotent=True)
    assert api.redeliver_callback(ID) == Request("POST", f"{PATH}/replay-callback", b"{}", idempotent=True)


BUILDERS = [api.get_execution, api.stream_execution, api.redeliver_callback]


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("identity", ["a", "0", "bull-12345", "a_b~c", "a..b", ".a", "A" * 200, api.NIL_UUID])
def test_ids(build: Any, identity: str) -> None:
    """An id of unreserved URL characters becomes part of the path unchanged."""
    assert f"/executions/{identity}" in build(identity).path


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize(
    "identity",
    [
        *("", " ", "a b", " a", "a\n", "\n", "a\r\nX-B: c", "a\tb", "\x00"),
        *(".", "..", "...", "../x", "a/b", "/", "a/../b", "%2e%2e", "a%2Fb", "\\", "a\\b"),
        *("?", "a?b=c", "#", "a#b", ";", "a;b", "@", "a:b", "a,b", "a|b", "*", "+"),
        *("é", "\uff11", "\u2028", "\u200b", "🐇", "\ud800"),
        *("A" * 201, "A" * 300),
        "None",
    ],
)
def test_refused_ids(build: Any, identity: str) -> None:
    """An id with characters that could change the path is refused with a message that names the argument."""
    with pytest.raises(WhiteRabbitInputError, match="execution_id must be an id") as refused:
        build(identity)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("identity", ["{{ ti }}", "{{ ti.xcom_pull('submit') }}", "{% if x %}", "a{{b"])
def test_templates_instead_of_ids(build: Any, identity: str) -> None:
    """An id that is a template is refused with the message that the template was not rendered."""
    with pytest.raises(WhiteRabbitInputError, match="template that was not rendered"):
        build(identity)


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("identity", [None, 7, b"a", ["a"], {"id": "a"}, True])
def test_ids_that_are_not_strings(build: Any, identity: Any) -> None:
    """An id that is not a string is refused with a message that names its type."""
    with pytest.raises(WhiteRabbitInputError, match=f"must be a string, got {type(identity).__name__}"):
        build(identity)
