"""What the application does with every request: body limits, JSON errors, unknown paths, and the ``Date`` header."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
import requests

from airflow_provider_whiterabbit.emulator import effects
from tests.emulator.api_client import CATALOGUE, COMPONENTS, UNKNOWN_EXECUTION, WORKFLOWS


def test_malformed_json_answers_400(client):
    """A body that is not JSON answers 400."""
    response = client.post(COMPONENTS, '{"module":')
    assert response.status_code == 400
    assert response.json()["statusCode"] == 400


def test_deeply_nested_json_answers_400(client):
    """A body that is nested too deeply for the parser answers 400."""
    depth = 50_000  # The maximum depth of a parser depends on the version of Python.
    body = '{"module":"ECHO","input":{"a":' + "[" * depth + "]" * depth + '},"config":{}}'
    assert client.post(COMPONENTS, body).status_code == 400


def test_a_body_over_the_limit_answers_413(wr, client):
    """A body with more bytes than `Settings.max_body` answers 413."""
    wr.settings.max_body = 1000
    assert client.post(COMPONENTS, '{"a":"' + "x" * 1000 + '"}').status_code == 413


@pytest.mark.parametrize(
    "content_type", [None, "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "json"]
)
def test_a_body_that_is_not_announced_as_json_does_not_count(wr, client, content_type):
    """Such a body answers 401 and says why: it counts as ``{}``, and is refused also if it is signed as that."""
    body = '{"module":"ECHO","input":{},"config":{}}'
    refusal = client.post(COMPONENTS, body, content_type=content_type)
    assert (refusal.status_code, refusal.json()["code"]) == (401, "INVALID_SIGNATURE")
    assert "Content-Type is not application/json" in refusal.json()["message"]
    for path, text in ((COMPONENTS, body), (f"{WORKFLOWS}/demo", "{not JSON"), (f"{WORKFLOWS}/demo", "{}")):
        headers = client.headers("POST", path, "{}")
        refusal = client.post(path, text, headers=headers, content_type=content_type)
        assert (refusal.status_code, refusal.json()["code"]) == (401, "BODY_NOT_PARSED")
        assert "Content-Type is not application/json" in refusal.json()["message"]
    assert wr.runs == []
    assert wr.executions == []


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON;charset=UTF-8"])
def test_json_may_name_its_charset(client, content_type):
    """The type of a body may have parameters and any case."""
    assert client.post(COMPONENTS, '{"module":"ECHO","input":{},"config":{}}', content_type=content_type).ok


def test_wrong_methods_and_paths(client):
    """A wrong method answers 405, and an unknown path answers 404."""
    assert client.get(COMPONENTS).status_code == 405
    assert client.get("/v1/sdk/nothing").status_code == 404
    assert client.get("/v2/x").json()["errors"][0]["code"] == "NOT_FOUND"


def test_every_answer_has_exactly_one_date(client):
    """An answer has one ``Date`` header."""
    answer = client.get(UNKNOWN_EXECUTION)
    assert "," not in answer.headers["Date"].partition(",")[2]


@pytest.mark.parametrize("offset", [-100, 0, 250])
def test_the_date_shows_the_emulators_clock(wr, client, offset):
    """``Date`` shows the time with the clock offset, also in an error and in the answer of a fault."""
    wr.clock_offset = offset
    wr.fault(effects.Answer(503), skip=2)
    now = datetime.now(UTC) + timedelta(seconds=offset)
    answers = [client.get(UNKNOWN_EXECUTION) for _ in range(2)]
    answers.append(requests.get(wr.url + CATALOGUE, timeout=60))
    assert [answer.status_code for answer in answers] == [404 if offset == 0 else 401] * 2 + [503]
    for answer in answers:
        assert abs(parsedate_to_datetime(answer.headers["Date"]) - now) < timedelta(seconds=20)
