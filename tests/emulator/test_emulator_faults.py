"""Faults: which requests they befall, and what happens then."""

from __future__ import annotations

import json
import threading

import pytest
import requests

from airflow_provider_whiterabbit.emulator import effects

RECORD = "/v1/sdk/components/executions/{}"


@pytest.fixture
def done(wr) -> str:
    return wr.create_execution("X", after=0)


def get(client, execution_id: str, **options) -> requests.Response:
    return client.get(RECORD.format(execution_id), **options)


class InBackground:
    """One request from a thread of its own."""

    def __init__(self, function, *arguments) -> None:
        self.result = self.error = None
        self._thread = threading.Thread(target=self._run, args=(function, *arguments))
        self._thread.start()

    def _run(self, function, *arguments) -> None:
        try:
            self.result = function(*arguments)
        except requests.RequestException as error:
            self.error = error

    def join(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()


def test_an_answer_instead_of_the_endpoint(wr, client, done):
    wr.fault(effects.Answer(429, {"message": "slow down"}, {"Retry-After": "7"}), kind="record")
    response = get(client, done)
    assert (response.status_code, response.json(), response.headers["Retry-After"]) == (
        429,
        {"message": "slow down"},
        "7",
    )
    assert "Date" in response.headers
    assert get(client, done).status_code == 200
    assert [entry.status for entry in wr.journal] == [429, 200]


@pytest.mark.parametrize("status", [401, 403, 404, 408, 500, 502, 503])
def test_any_status(wr, client, done, status):
    wr.fault(effects.Answer(status))
    assert get(client, done).status_code == status


def test_html_with_200_and_a_redirect(wr, client, done):
    wr.fault(effects.Answer(200, "<html>hello</html>"))
    response = get(client, done)
    assert (response.status_code, response.text) == (200, "<html>hello</html>")
    assert response.headers["Content-Type"] == "text/html"
    wr.fault(effects.Answer(302, headers={"location": "http://example.invalid/"}))
    assert get(client, done).headers["Location"] == "http://example.invalid/"


def test_a_wrong_answer_to_a_request_that_was_processed(wr, client):
    wr.fault(effects.Answer(503, process=True), kind="submit")
    assert client.post("/v1/sdk/components", '{"module":"X","input":{},"config":{}}').status_code == 503
    assert len(wr.executions) == 1


def test_an_own_date_is_kept(wr, client, done):
    wr.fault(effects.Answer(401, headers={"Date": "Thu, 01 Jan 1970 00:00:00 GMT"}))
    assert get(client, done).headers["Date"] == "Thu, 01 Jan 1970 00:00:00 GMT"


def test_which_requests_are_befallen(wr, client, done):
    first = wr.fault(effects.Answer(500), path="*/executions/*", skip=1, times=2)
    assert [get(client, done).status_code for _ in range(4)] == [200, 500, 500, 200]
    assert first.hits == 2
    wr.fault(effects.Answer(501), kind="record", times=None)
    wr.fault(effects.Answer(502), method="POST", times=None)
    assert [get(client, done).status_code for _ in range(3)] == [501] * 3
    assert client.post("/v1/sdk/workflows/demo").status_code == 502
    wr.clear_faults()
    assert get(client, done).status_code == 200


def test_faults_that_are_added_later_wrap_the_earlier_ones(wr, client, done):
    wr.fault(effects.Answer(500, "abcdef"))
    wr.fault(effects.Truncate(2))
    response = get(client, done)
    assert (response.status_code, response.text) == (500, "abcd")


def test_delays(wr, client, done):
    wr.fault(effects.Delay(0.1), kind="record", times=2)
    wr.fault(effects.Delay(0.1, before=True), kind="record", skip=1)
    with pytest.raises(requests.ReadTimeout):
        get(client, done, timeout=0.05)
    assert get(client, done).elapsed.total_seconds() >= 0.2


def test_a_held_answer_to_a_processed_request(wr, client):
    hold = wr.fault(effects.Hold(), kind="submit")
    request = InBackground(client.submit)
    wr.wait_for_request(kind="submit")
    assert len(wr.executions) == 1
    assert wr.journal[0].status is None
    wr.release(hold)
    request.join()
    assert request.result["id"] == wr.executions[0]["id"]


def test_a_request_that_is_held_before_it_is_processed(wr, client):
    hold = wr.fault(effects.Hold(before=True), kind="submit")
    with pytest.raises(requests.ReadTimeout):
        client.post("/v1/sdk/components", '{"module":"X","input":{},"config":{}}', timeout=0.05)
    assert wr.executions == []
    wr.release(hold)
    wr.wait_for_request(kind="submit", answered=True)
    assert len(wr.executions) == 1


@pytest.mark.parametrize("before", [True, False])
def test_a_reset_cuts_what_is_held_back(wr, client, before):
    hold = wr.fault(effects.Hold(before=before), kind="submit")
    request = InBackground(client.submit)
    wr.wait_for_request(kind="submit")
    wr.reset()
    request.join()
    assert isinstance(request.error, requests.ConnectionError)
    wr.release(hold)
    client.submit()
    assert len(wr.executions) == 1


def test_a_reset_before_processing(wr, client):
    wr.fault(effects.Reset("request"), kind="submit")
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        client.submit()
    assert wr.executions == []
    assert wr.journal[0].status is None


def test_a_reset_after_processing(wr, client):
    wr.fault(effects.Reset(), kind="submit")
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        client.submit()
    assert len(wr.executions) == 1
    assert wr.journal[0].status is None


@pytest.mark.parametrize("extra", [0, 10])
def test_a_reset_in_the_body(wr, client, done, extra):
    wr.fault(effects.Reset("body", extra=extra))
    response = get(client, done, stream=True)
    assert response.status_code == 200
    assert response.raw.read(extra) == b'{"id":"'[:extra] + done.encode()[: max(0, extra - 7)]
    with pytest.raises(requests.RequestException):
        _ = response.content


def test_a_truncated_body_is_whole_to_http(wr, client, done):
    wr.fault(effects.Truncate(5))
    response = get(client, done)
    assert int(response.headers["Content-Length"]) == len(response.content)
    with pytest.raises(json.JSONDecodeError):
        json.loads(response.content)
    assert json.loads(response.content + get(client, done).content[-5:])


def test_a_body_in_pieces(wr, client, done):
    wr.fault(effects.Split((1, 7)))
    assert get(client, done).json()["id"] == done


def test_a_kind_that_does_not_exist_is_refused(wr):
    with pytest.raises(ValueError, match="kind must be one of submit"):
        wr.fault(effects.Answer(500), kind="submission")


@pytest.mark.parametrize("sizes", [(), (0,)])
def test_pieces_have_a_size(sizes):
    with pytest.raises(ValueError, match="sizes"):
        effects.Split(sizes)
