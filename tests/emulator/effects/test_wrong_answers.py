"""`Answer`, `Truncate` and `Enlarge`: status, headers and body, as the client and the journal see them."""

from __future__ import annotations

import json
from email.utils import parsedate_to_datetime

import pytest

from airflow_provider_whiterabbit.emulator import effects
from tests.emulator.effects.received import RECORD, completed, receive_record


def test_answer(wr, client, completed_id):
    """The client receives the status, JSON body and headers of the fault, and the journal has its status."""
    wr.fault(effects.Answer(429, {"message": "slow down"}, {"Retry-After": "7"}), kind="record")
    response = client.get(RECORD.format(completed_id))
    assert (response.status_code, response.json()) == (429, {"message": "slow down"})
    assert response.headers["Retry-After"] == "7"
    assert "Date" in response.headers
    assert client.get(RECORD.format(completed_id)).status_code == 200
    assert [entry.status for entry in wr.journal] == [429, 200]


def test_answer_after_processing(wr, client):
    """With `process`, the client receives an error and the execution exists."""
    wr.fault(effects.Answer(503, process=True), kind="submit")
    assert client.post("/v1/sdk/components", '{"module":"X","input":{},"config":{}}').status_code == 503
    assert len(wr.executions) == 1


def test_date_header(wr, client, completed_id):
    """A ``Date`` header of the fault replaces the emulator's."""
    wr.fault(effects.Answer(401, headers={"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}))
    assert client.get(RECORD.format(completed_id)).headers["Date"] == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_retry_after_as_a_date(wr, client, add):
    """The date in ``Retry-After`` follows the emulator's clock, like the ``Date`` header."""
    wr.clock_offset = 1000
    add(effects.Answer(429, retry_at=60))
    headers = client.get(RECORD.format("x")).headers
    retry_at, now = (parsedate_to_datetime(headers[name]) for name in ("Retry-After", "Date"))
    assert 59 <= (retry_at - now).total_seconds() <= 60


def test_content_length_of_a_truncated_body(wr, client, completed_id):
    """A truncated body is complete by its ``Content-Length``, but its JSON is not."""
    wr.fault(effects.Truncate(5))
    response = client.get(RECORD.format(completed_id))
    assert int(response.headers["Content-Length"]) == len(response.content)
    with pytest.raises(json.JSONDecodeError):
        json.loads(response.content)
    assert json.loads(response.content + client.get(RECORD.format(completed_id)).content[-5:])


@pytest.mark.parametrize("scripted", [True, False])
def test_an_output_of_50_megabytes(wr, client, scripted):
    """The emulator answers other clients while one client reads an output of 50 MB slowly."""
    size = 50_000_000
    execution_id = completed(wr, "x" * size if scripted else 1)
    if not scripted:
        wr.fault(effects.Enlarge(size), kind="record")
    with client.get(RECORD.format(execution_id), stream=True) as response:
        assert response.raw.read(7) == b'{"id":"'
        assert [receive_record(wr, client).status for _ in range(3)] == [200] * 3
        rest = response.raw.read()
    assert rest.count(b"x") >= size
    assert len(json.loads(b'{"id":"' + rest)["output"]) == size
