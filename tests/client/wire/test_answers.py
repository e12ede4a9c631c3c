"""Answers: the JSON of a success, and the errors that other answers are turned into."""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Iterator
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client.wire.answers import data_of, error_of, submitted_id
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from tests.client.properties import examples

GET = Request("GET", "/v1/sdk/components/executions/1", idempotent=True)
POST = Request("POST", "/v1/sdk/components", b"{}")
NOW = 1_776_679_200.0
HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"


def response(status: int, body: Any = b"", **headers: str) -> Response:
    """Return an answer; an underscore in a header name stands for a hyphen."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, content, NOW)


KINDS = {
    400: exc.WhiteRabbitInvalidRequestError,
    401: exc.WhiteRabbitAuthenticationError,
    403: exc.WhiteRabbitPermissionError,
    404: exc.WhiteRabbitNotFoundError,
    422: exc.WhiteRabbitInvalidRequestError,
    429: exc.WhiteRabbitRateLimitError,
    500: exc.WhiteRabbitServerError,
    502: exc.WhiteRabbitServerError,
    503: exc.WhiteRabbitServerError,
    599: exc.WhiteRabbitServerError,
    301: exc.WhiteRabbitResponseError,
    308: exc.WhiteRabbitResponseError,
    402: exc.WhiteRabbitResponseError,
    408: exc.WhiteRabbitResponseError,
    409: exc.WhiteRabbitResponseError,
}


@pytest.mark.parametrize("status", KINDS)
def test_each_status_has_its_error(status: int) -> None:
    """Every status except 2xx raises the error class of that status, with status, method and path."""
    with pytest.raises(exc.WhiteRabbitResponseError) as raised:
        data_of(GET, response(status, {"id": "1", "status": "COMPLETED"}))
    assert type(raised.value) is KINDS[status]
    assert (raised.value.status, raised.value.method, raised.value.path) == (status, "GET", GET.path)
    assert f"White Rabbit answered {status} to GET {GET.path}" in str(raised.value)


@pytest.mark.parametrize(
    ("body", "errors", "shown"),
    [
        (
            {"errors": [{"code": "A", "message": "first"}, {"code": "B", "message": "second."}]},
            (("A", "first"), ("B", "second.")),
            "A: first; B: second",
        ),
        ({"errors": [{"message": "only words"}]}, (("", "only words"),), "only words"),
        ({"errors": [{"code": "ONLY_CODE"}]}, (("ONLY_CODE", ""),), "ONLY_CODE"),
        ({"errors": ["text", 1, None, {"code": "A", "message": "b"}]}, (("A", "b"),), "A: b"),
        ({"errors": [{}, {"code": None, "message": ""}]}, (), ""),
        ({"errors": []}, (), ""),
        ({}, (), ""),
        ({"message": "no", "error": "Bad Request", "statusCode": 400}, (("Bad Request", "no"),), "Bad Request: no"),
        ({"message": "Unauthorized", "statusCode": 401}, (("401", "Unauthorized"),), "401: Unauthorized"),
        ({"message": "no", "error": "Bad Request", "code": "X"}, (("X", "no"),), "X: no"),
        ({"message": ["a bad", "b bad"], "error": "E"}, (("E", "a bad; b bad"),), "E: a bad; b bad"),
        ({"message": "größer 🐇"}, (("", "größer 🐇"),), "größer 🐇"),
        (b"", (), ""),
        (HTML, (), ""),
        (b"null", (), ""),
        ([1], (), ""),
        (b'"text"', (), ""),
        (b"\xff\xfe", (), ""),
        (b"[" * 100_000, (), ""),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_error_bodies(body: Any, errors: tuple[tuple[str, str], ...], shown: str) -> None:
    """The message quotes errors of both documented shapes, and nothing of any other body, such as a proxy's page."""
    error = error_of(GET, response(422, body))
    assert error.errors == errors
    assert error.codes == tuple(code for code, _ in errors if code)
    expected = f"White Rabbit answered 422 to GET {GET.path}"
    assert str(error) == (f"{expected}. {shown}" if shown else expected)


def test_long_error_bodies_are_cut() -> None:
    """The message of an error has fewer than 11,000 characters, whatever the length of the server's errors."""
    for body in (
        {"errors": [{"code": "c" * 10_000, "message": "m" * 10_000}] * 100},
        {"message": ["m" * 10_000] * 100, "error": {"deep": "x" * 10_000}},
    ):
        assert len(str(error_of(GET, response(400, body)))) < 11_000


@given(body=st.binary(max_size=60), status=st.integers(300, 999))
@examples(200)
def test_any_error_body(body: bytes, status: int) -> None:
    """An answer other than 2xx becomes an error with status and method, whatever bytes its body holds."""
    assert str(error_of(GET, response(status, body))).startswith(f"White Rabbit answered {status} to GET ")


DATE = formatdate(NOW, usegmt=True)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("0", 0.0),
        ("7", 7.0),
        (" 120 ", 120.0),
        ("99999999999999999999", 999_999_999.0),
        (formatdate(NOW + 30, usegmt=True), 30.0),
        (formatdate(NOW - 30, usegmt=True), 0.0),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("\u0663", None),
        ("²", None),
        ("Mon, 99 Foo 2026 99:99:99 GMT", None),
    ],
)
def test_retry_after(value: str, expected: float | None) -> None:
    """`Retry-After` is parsed as seconds or as an HTTP date; any other value is ignored."""
    assert error_of(GET, response(429, retry_after=value)).retry_after == expected


def test_retry_after_dates_use_the_server_clock() -> None:
    """A date in `Retry-After` is compared with the `Date` of the answer, not with this machine's clock."""
    headers = {"retry_after": formatdate(NOW + 1030, usegmt=True), "date": formatdate(NOW + 1000, usegmt=True)}
    assert error_of(GET, response(429, **headers)).retry_after == 30.0


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def _time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run the test in several time zones of this machine."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", request.param)
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("_time_zone")
@pytest.mark.parametrize(
    ("date", "expected"),
    [
        (formatdate(NOW + 90, usegmt=True), 90.5),
        (formatdate(NOW - 90, usegmt=True), -89.5),
        ("Mon Apr 20 10:01:30 2026", 90.5),
        ("Monday, 20-Apr-26 10:01:30 GMT", 90.5),
        ("yesterday", None),
        ("", None),
    ],
)
def test_clock_offset(date: str, expected: float | None) -> None:
    """The clock offset comes from each form of HTTP date (RFC 9110, section 5.6.7), plus half a second."""
    assert error_of(GET, response(401, date=date)).clock_offset == expected


@pytest.mark.parametrize(
    ("other", "status", "offset", "hints", "absent"),
    [
        ("omitted", 401, 90, ["clock is 90 seconds behind"], ["empty_body_signature"]),
        (None, 401, -91, ["clock is 90 seconds ahead of"], ["empty_body_signature"]),
        ("omitted", 401, 20, ["'empty_body_signature': 'omitted'"], ["clock"]),
        ("object", 401, None, ["'empty_body_signature': 'object'"], ["clock"]),
        (None, 401, 0, [], ["clock", "empty_body_signature"]),
        ("omitted", 302, 90, ["never redirects", "host"], ["clock"]),
        ("omitted", 403, 90, [], ["clock", "empty_body_signature"]),
        ("omitted", 500, 90, [], ["clock", "empty_body_signature"]),
    ],
)
def test_hints(other: str | None, status: int, offset: int | None, hints: list[str], absent: list[str]) -> None:
    """A 401 hints at a wrong clock or at `empty_body_signature`, a redirect hints at the host, others at nothing."""
    date = {} if offset is None else {"date": formatdate(NOW + offset, usegmt=True)}
    message = str(error_of(GET, response(status, {"message": "no"}, **date), other))
    assert [hint for hint in hints if hint not in message] == []
    assert [hint for hint in absent if hint in message] == []


@pytest.mark.parametrize("body", [HTML, {"code": "INVALID_API_KEY", "message": "no"}, {"code": "TIMESTAMP"}], ids=str)
def test_no_hint_at_the_signature(body: Any) -> None:
    """A 401 of a server that checks no signature, or about something else, does not hint at the signature."""
    assert "empty_body_signature" not in str(error_of(GET, response(401, body), "omitted"))
    assert "empty_body_signature" in str(error_of(GET, response(401, {"code": "INVALID_SIGNATURE"}), "omitted"))


@pytest.mark.parametrize("data", [{}, [], None, 0, "text", {"id": "1", "größer": [1.5]}])
def test_json_of_a_success(data: Any) -> None:
    """An answer with a 2xx status gives its JSON, whatever JSON value that is."""
    for status in (200, 201, 202, 299):
        assert data_of(GET, response(status, data)) == data


@pytest.mark.parametrize("body", [HTML, b"{", b'{"id": 1', b"\xff", b"undefined", b"[" * 100_000])
def test_a_success_without_json(body: bytes) -> None:
    """A 2xx answer that is not JSON raises a transport error, and counts as sent: the request may have arrived."""
    with pytest.raises(exc.WhiteRabbitTransportError, match="is not JSON") as raised:
        data_of(POST, response(200, body, content_type="text/html; charset=utf-8"))
    assert raised.value.sent
    assert "text/html" in str(raised.value)
    assert POST.path in str(raised.value)
    assert "Gateway" not in str(raised.value)


def test_nested_error_messages() -> None:
    """An error message that holds deeply nested lists is shown in part."""
    deep = b"[" * 500 + b'"why"' + b"]" * 500
    error = error_of(GET, response(400, b'{"message": ["bad", ' + deep + b"]}"))
    assert "bad; [" in str(error)


def test_empty_answers() -> None:
    """An empty answer to a GET raises an error that says "no content type"; an empty answer to a POST gives None."""
    with pytest.raises(exc.WhiteRabbitTransportError, match="no content type"):
        data_of(GET, response(204))
    assert data_of(POST, response(204)) is None


def test_id_of_a_submission() -> None:
    """`submitted_id` returns the id without a look at the other members of the answer."""
    assert submitted_id(POST, {"id": "7d0c", "status": "NEW STATUS", "output": object()}, "id") == "7d0c"


@pytest.mark.parametrize("data", [{}, {"id": ""}, {"id": None}, {"id": 7}, {"id": ["1"]}, [], None, "7d0c", 1])
def test_a_submission_without_id(data: Any) -> None:
    """A submission that was accepted, but whose answer has no id, raises the uncertain-submission error."""
    with pytest.raises(exc.WhiteRabbitUncertainSubmissionError, match="has no usable 'id'"):
        submitted_id(POST, data, "id")


def test_errors_can_be_pickled() -> None:
    """An error that is pickled and loaded again has the same class, message and attributes."""
    headers = {"retry_after": "7", "date": formatdate(NOW + 90, usegmt=True)}
    error = error_of(GET, response(401, {"message": "no", "code": "C"}, **headers))
    for original in (error, exc.WhiteRabbitTransportError("cut", sent=False)):
        copy = pickle.loads(pickle.dumps(original))  # noqa: S301
        assert (type(copy), str(copy), vars(copy)) == (type(original), str(original), vars(original))
