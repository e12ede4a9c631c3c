"""The debug lines about requests: what they tell, and that they tell no secret."""

from __future__ import annotations

import logging
import re

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.emulator import Emulator, effects
from tests.client.transports import Fetch, both_clients, settings_for, streams

LOGGER = "airflow_provider_whiterabbit.client"


@pytest.fixture(autouse=True)
def debug(caplog: pytest.LogCaptureFixture) -> None:
    """Let the client write debug lines."""
    caplog.set_level(logging.DEBUG, LOGGER)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines about requests."""
    return [record.getMessage() for record in caplog.records if record.name.startswith(f"{LOGGER}.transport")]


@both_clients
def test_line_of_a_request(whiterabbit_emulator: Emulator, fetch: Fetch, caplog: pytest.LogCaptureFixture) -> None:
    """A request writes one line: method, path, status, time, size and attempt."""
    execution_id = whiterabbit_emulator.create_execution("X", output=1)
    fetch(settings_for(whiterabbit_emulator), execution_id)
    (line,) = lines(caplog)
    assert re.fullmatch(rf"GET /v1/\S*{execution_id}: 200 in \d+ ms, \d\d+ bytes \(attempt 1\)", line)


@both_clients
def test_line_of_a_refusal(whiterabbit_emulator: Emulator, fetch: Fetch, caplog: pytest.LogCaptureFixture) -> None:
    """The line of a refused request has its status and the server's id of the request."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(403, {"code": "X", "message": "no"}, headers={"X-Request-Id": "r-1"}), kind="record")
    with pytest.raises(exc.WhiteRabbitPermissionError):
        fetch(settings_for(wr), "e-1")
    (line,) = lines(caplog)
    assert re.search(r": 403 in \d+ ms, \d+ bytes \(attempt 1, request id r-1\)$", line)


@both_clients
def test_line_without_an_answer(whiterabbit_emulator: Emulator, fetch: Fetch, caplog: pytest.LogCaptureFixture) -> None:
    """The line of a request without an answer says so, and names the error."""
    with pytest.raises(exc.WhiteRabbitTransportError):
        fetch(settings_for(whiterabbit_emulator, "http://127.0.0.1:9"), "e-1")
    (line,) = lines(caplog)
    assert re.search(r": no answer in \d+ ms, 0 bytes, WhiteRabbitTransportError \(attempt 1\)$", line)


@streams
def test_lines_of_a_stream(whiterabbit_emulator: Emulator, fetch: Fetch, caplog: pytest.LogCaptureFixture) -> None:
    """A stream writes a line when it opens, and one when it closes."""
    execution_id = whiterabbit_emulator.create_execution("X", manual=True)
    fetch(settings_for(whiterabbit_emulator), execution_id)
    opened, closed = lines(caplog)
    assert re.search(r"/\S*: stream opened in \d+ ms \(attempt 1\)$", opened)
    assert re.search(r"/\S*: stream closed after \d+\.\d s, \d\d+ bytes \(attempt 1\)$", closed)


def test_attempts(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """The lines of a call that is repeated count its attempts."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(500), kind="record", times=2)
    with Client(settings_for(wr), sleep=lambda _: None) as client:
        client.call(api.get_execution(wr.create_execution("X", output=1)))
    assert [re.findall(r": (\d+) in .*attempt (\d)", line) for line in lines(caplog)] == [
        [("500", "1")],
        [("500", "2")],
        [("200", "3")],
    ]


def test_lines_show_no_secrets(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """No line contains a key, a signature, or a part of a body."""
    wr = whiterabbit_emulator
    with Client(settings_for(wr)) as client:
        client.submit(api.execute_component("PAY", {"card": "4242424242424242"}))
    (request,) = wr.requests(kind="submit")
    signature = {name.lower(): value for name, value in request.headers.items()}["x-sdk-signature"]
    secrets = [wr.api_key, wr.api_secret, "4242424242424242", signature]
    assert lines(caplog)
    assert not [secret for secret in secrets if secret in caplog.text]
