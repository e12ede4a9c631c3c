"""`Delay`, `Hold` and `Split`: when the endpoint processes a request, and when the client receives the answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import requests

from airflow_provider_whiterabbit.emulator import effects
from tests.emulator.effects.received import RECORD, TIMEOUT, completed

SUBMISSION = '{"module":"X","input":{},"config":{}}'


class InBackground:
    """A request in a thread: its result, or the error that it raised."""

    def __init__(self, request: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: requests.RequestException | None = None
        self._request = request
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.result = self._request()
        except requests.RequestException as error:
            self.error = error

    def join(self) -> None:
        """Wait until the request has ended."""
        self._thread.join(60)
        assert not self._thread.is_alive()


def test_delay(wr, client, completed_id):
    """Two delays of one request add up; a client with a shorter timeout fails."""
    wr.fault(effects.Delay(600), kind="record")  # longer than the client's thread may stand still
    wr.fault(effects.Delay(0.1), kind="record", skip=1)
    wr.fault(effects.Delay(0.1, before=True), kind="record", skip=1)
    with pytest.raises(requests.ReadTimeout):
        client.get(RECORD.format(completed_id), timeout=0.05)
    wr.wait_for_request(kind="record", timeout=TIMEOUT)  # the first fault is its, however late it arrives
    assert client.get(RECORD.format(completed_id), timeout=TIMEOUT).elapsed.total_seconds() >= 0.2


def test_hold_the_answer(wr, client):
    """The endpoint processes the request, and the client receives the answer after the release."""
    fault = wr.fault(effects.Hold(), kind="submit")
    submission = InBackground(client.submit)
    wr.wait_for_request(kind="submit")
    assert len(wr.executions) == 1
    assert wr.journal[0].status is None
    wr.release(fault)
    submission.join()
    assert submission.result["id"] == wr.executions[0]["id"]


def test_hold_is_released_by_the_fault(wr, client):
    """A test may release a hold with the method of the fault too, although that runs in the thread of the test."""
    for number in range(20):
        fault = wr.fault(effects.Hold(), kind="submit")
        submission = InBackground(client.submit)
        if number % 2:
            wr.wait_for_request(kind="submit", count=number + 1)
        fault.release()
        submission.join()
        assert submission.result["id"] == wr.executions[-1]["id"]


def test_hold_the_request(wr, client):
    """With `before`, the endpoint processes the request after the release, although the client has disconnected."""
    fault = wr.fault(effects.Hold(before=True), kind="submit")
    with pytest.raises(requests.ReadTimeout):
        client.post("/v1/sdk/components", SUBMISSION, timeout=0.05)
    assert wr.executions == []
    wr.release(fault)
    wr.wait_for_request(kind="submit", answered=True)
    assert len(wr.executions) == 1


@pytest.mark.parametrize("before", [True, False])
def test_a_reset_of_the_emulator_ends_a_hold(wr, client, before):
    """A reset of the emulator closes the connection of a held request, which is not processed later."""
    fault = wr.fault(effects.Hold(before=before), kind="submit")
    submission = InBackground(client.submit)
    wr.wait_for_request(kind="submit")
    wr.reset()
    submission.join()
    assert isinstance(submission.error, requests.ConnectionError)
    wr.release(fault)
    client.submit("RANDOM_UUID")
    assert len(wr.executions) == 1


def test_split_with_an_interval(wr, client):
    """The client receives the pieces of a stream one by one."""
    interval, execution_id = 0.05, completed(wr, 1)
    wr.fault(effects.Split([50], interval=interval), kind="stream")
    began = time.monotonic()
    with client.stream(execution_id, timeout=TIMEOUT) as stream:
        arrivals = [time.monotonic() - began for _piece in stream.raw.read_chunked()]
    assert len(arrivals) >= 3
    assert all(arrival >= number * interval for number, arrival in enumerate(arrivals))  # a reader may be late
    wr.fault(effects.Split([50], interval=3600), kind="stream")
    with client.stream(execution_id, timeout=TIMEOUT) as stream:
        assert len(next(stream.raw.read_chunked())) == 50  # the others are not sent yet
