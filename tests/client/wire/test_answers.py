"""What an answer means: its JSON, or an error that tells what the server said and what to do."""

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
def test_each_status_has_its_error(status: int):
    """Every status but 2xx raises its own kind of error, with status, method and path, even where the body is JSON."""
    with pytest.raises(exc.WhiteRabbitResponseError) as raised:
        data_of(GET, response(status, {"id": "1", "status": "COMPLETED"}))
    assert type(raised.value) is KINDS[status]
    assert (raised.value.status, raised.value.method, raised.value.path) == (status, "GET", GET.path)
    assert f"White Rabbit answered {status} to GET {GET.path}" in str(raised.value)


@pytest.mark.parametrize(
    ("body", "errors", "said"),
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
def test_what_the_server_said(body: Any, errors: tuple[tuple[str, str], ...], said: str):
    """Both documented shapes of errors are told to people; of anything else, as a proxy's page, nothing is."""
    error = error_of(GET, response(422, body))
    assert error.errors == errors
    assert error.codes == tuple(code for code, _ in errors if code)
    expected = f"White Rabbit answered 422 to GET {GET.path}"
    assert str(error) == (f"{expected}. {said}" if said else expected)


def test_an_endless_message_is_cut():
    """However much a server says, an error stays short enough for a log."""
    for body in (
        {"errors": [{"code": "c" * 10_000, "message": "m" * 10_000}] * 100},
        {"message": ["m" * 10_000] * 100, "error": {"deep": "x" * 10_000}},
    ):
        assert len(str(error_of(GET, response(400, body)))) < 11_000


@given(body=st.binary(max_size=60), status=st.integers(300, 999))
@examples(200)
def test_any_body_of_an_error(body: bytes, status: int):
    """No body that an error may have keeps it from being told."""
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
def test_retry_after(value: str, expected: float | None):
    """`Retry-After` is read as seconds and as a date, and nonsense as if it were not there."""
    assert error_of(GET, response(429, retry_after=value)).retry_after == expected


def test_a_date_of_retry_after_is_the_servers():
    """A `Retry-After` date is measured from the date on which the server answered, not from our clock."""
    headers = {"retry_after": formatdate(NOW + 1030, usegmt=True), "date": formatdate(NOW + 1000, usegmt=True)}
    assert error_of(GET, response(429, **headers)).retry_after == 30.0


@pytest.fixture(params=["UTC", "Asia/Tokyo", "America/Los_Angeles"])
def _time_zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
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
def test_the_clock_offset(date: str, expected: float | None):
    """The server's clock, to the middle of its second, is read from each form of date (RFC 9110, section 5.6.7)."""
    assert error_of(GET, response(401, date=date)).clock_offset == expected


@pytest.mark.parametrize(
    ("request_", "status", "offset", "hints", "absent"),
    [
        (GET, 401, 90, ["clock is 90 seconds behind"], ["empty_body_signature"]),
        (POST, 401, -91, ["clock is 90 seconds ahead of"], ["empty_body_signature"]),
        (GET, 401, 20, ["empty_body_signature"], ["clock"]),
        (GET, 401, None, ["empty_body_signature"], ["clock"]),
        (POST, 401, 0, [], ["clock", "empty_body_signature"]),
        (GET, 302, 90, ["never redirects", "host"], ["clock"]),
        (GET, 403, 90, [], ["clock", "empty_body_signature"]),
        (GET, 500, 90, [], ["clock", "empty_body_signature"]),
    ],
)
def test_hints(request_: Request, status: int, offset: int | None, hints: list[str], absent: list[str]):
    """A refused key tells of a wrong clock or else of the other signature of an empty body; a redirect, of the host."""
    date = {} if offset is None else {"date": formatdate(NOW + offset, usegmt=True)}
    said = str(error_of(request_, response(status, {"message": "no"}, **date)))
    assert [hint for hint in hints if hint not in said] == []
    assert [hint for hint in absent if hint in said] == []


@pytest.mark.parametrize("data", [{}, [], None, 0, "text", {"id": "1", "größer": [1.5]}])
def test_the_json_of_a_success(data: Any):
    """Any 2xx gives its JSON, whatever it is."""
    for status in (200, 201, 202, 299):
        assert data_of(GET, response(status, data)) == data


@pytest.mark.parametrize("body", [HTML, b"{", b'{"id": 1', b"\xff", b"undefined", b"[" * 100_000])
def test_a_success_without_json(body: bytes):
    """A 2xx that is not JSON is no answer of the API: it is trouble on the way, and the request may have arrived."""
    with pytest.raises(exc.WhiteRabbitTransportError, match="is not JSON") as raised:
        data_of(POST, response(200, body, content_type="text/html; charset=utf-8"))
    assert raised.value.sent
    assert "text/html" in str(raised.value)
    assert POST.path in str(raised.value)
    assert "Gateway" not in str(raised.value)


def test_a_refusal_with_nested_reasons():
    """However deep they are nested, something of them is shown."""
    deep = b"[" * 500 + b'"why"' + b"]" * 500
    error = error_of(GET, response(400, b'{"message": ["bad", ' + deep + b"]}"))
    assert "bad; [" in str(error)


def test_a_success_without_json_and_without_a_type():
    """An empty answer is none to a question. Where an answer does not say what it is, the error says that."""
    with pytest.raises(exc.WhiteRabbitTransportError, match="no content type"):
        data_of(GET, response(204))
    assert data_of(POST, response(204)) is None


def test_the_id_of_a_submission():
    """The id is found whatever else is in the answer."""
    assert submitted_id(POST, {"id": "7d0c", "status": "NEW STATUS", "output": object()}) == "7d0c"


@pytest.mark.parametrize("data", [{}, {"id": ""}, {"id": None}, {"id": 7}, {"id": ["1"]}, [], None, "7d0c", 1])
def test_a_submission_without_id(data: Any):
    """A submission that was accepted without an id runs somewhere: the error says that it is uncertain."""
    with pytest.raises(exc.WhiteRabbitUncertainSubmissionError, match="holds no id"):
        submitted_id(POST, data)


def test_errors_survive_a_process_boundary():
    """Errors can be sent to another process and say the same there."""
    headers = {"retry_after": "7", "date": formatdate(NOW + 90, usegmt=True)}
    error = error_of(GET, response(401, {"message": "no", "code": "C"}, **headers))
    for original in (error, exc.WhiteRabbitTransportError("cut", sent=False)):
        copy = pickle.loads(pickle.dumps(original))  # noqa: S301
        assert (type(copy), str(copy), vars(copy)) == (type(original), str(original), vars(original))
