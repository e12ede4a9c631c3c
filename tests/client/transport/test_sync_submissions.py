"""Submissions of the blocking client: each is sent at most once, and an uncertain outcome raises its own error."""

from __future__ import annotations

import socket
import time
from itertools import pairwise

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.client.transport.sync import Client
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import Emulator, effects
from tests.client.transports import settings_for


def count_submissions(wr: Emulator) -> int:
    """Return how many submissions the emulator has received."""
    return len(wr.requests(kind="submit"))


# --- accepted


def test_submit(client: Client, whiterabbit_emulator: Emulator) -> None:
    """A submission returns the record of its execution, and sends only the fields that are set."""
    execution = Execution.from_dict(client.submit(api.execute_component("RANDOM_UUID")))
    assert (execution.module, execution.status, execution.completed) == ("RANDOM_UUID", "CREATED", False)
    assert whiterabbit_emulator.requests(kind="submit")[0].body == b'{"module":"RANDOM_UUID","input":{},"config":{}}'


def test_signature_of_a_body_that_python_writes_differently(client: Client) -> None:
    """The signature is valid for numbers, keys and text that Python's `json` writes differently from JavaScript."""
    inputs = {"b": 1.0, "10": 1e16, "9": 1e-7, "é😀\u2028": -0.0, "n": [1e21, 5e-324, 0.1]}
    execution = client.submit(api.execute_component("ECHO", inputs, inline_wait=5))
    assert execution["output"]["input"] == inputs


def test_inline_wait_may_exceed_the_request_timeout(client: Client, whiterabbit_emulator: Emulator) -> None:
    """The read timeout is longer than the `inline_wait` of the submission."""
    whiterabbit_emulator.script("SLOW", output=1, after=2.5)
    assert client.submit(api.execute_component("SLOW", inline_wait=5))["output"] == 1


def test_on_id_is_called_first(client: Client, whiterabbit_emulator: Emulator) -> None:
    """`on_id` receives the id of a submission although the rest of the answer is malformed."""
    whiterabbit_emulator.fault(effects.Answer(200, {"id": "e-1", "status": "PAUSED"}), kind="submit")
    ids: list[str] = []
    answer = client.submit(api.execute_component("X"), on_id=ids.append)
    assert ids == ["e-1"]
    with pytest.raises(exc.WhiteRabbitProtocolError, match=r"e-1.*PAUSED"):
        Execution.from_submission(answer)


# --- uncertain or refused


@pytest.mark.parametrize(
    "failure",
    [
        effects.Reset("request"),
        effects.Reset("answer"),
        effects.Reset("body", extra=10),
        effects.Answer(408, process=True),
        effects.Answer(500, process=True),
        effects.Answer(502, "<html>bad gateway</html>"),
        effects.Answer(504, process=True),
        effects.Answer(302, headers={"Location": "http://127.0.0.1:1/"}),
        effects.Answer(200, "<html>hello</html>"),
        effects.Answer(200, {"status": "CREATED"}),
        effects.Truncate(5),
        effects.Hold(),
    ],
    ids=repr,
)
def test_uncertain_submissions_are_not_repeated(
    client: Client, whiterabbit_emulator: Emulator, failure: effects.Effect
) -> None:
    """A submission that may have reached the server is not sent again, and raises the uncertain-submission error."""
    whiterabbit_emulator.fault(failure, kind="submit", times=None)
    with pytest.raises(exc.WhiteRabbitUncertainSubmissionError):
        client.submit(api.execute_component("PAY"))
    assert count_submissions(whiterabbit_emulator) == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, exc.WhiteRabbitInvalidRequestError),
        (401, exc.WhiteRabbitAuthenticationError),
        (403, exc.WhiteRabbitPermissionError),
        (404, exc.WhiteRabbitNotFoundError),
        (409, exc.WhiteRabbitResponseError),
        (422, exc.WhiteRabbitInvalidRequestError),
    ],
)
def test_refused_submissions_are_not_repeated(
    client: Client, whiterabbit_emulator: Emulator, status: int, error: type[Exception]
) -> None:
    """A submission that the server refused is not sent again, and raises an error with the server's message."""
    whiterabbit_emulator.fault(effects.Answer(status, {"message": "no", "error": "Nope"}), kind="submit", times=None)
    with pytest.raises(error, match=r"Nope: no") as caught:
        client.submit(api.execute_component("PAY"))
    assert type(caught.value) is error
    assert count_submissions(whiterabbit_emulator) == 1


# --- sent again


def test_too_many_requests(whiterabbit_emulator: Emulator) -> None:
    """A submission that was answered with 429 is sent again after the seconds of its `Retry-After`."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(429, retry_after=1), kind="submit", times=2)
    with Client(settings_for(wr), Timing(first_pause=0)) as client:
        client.submit(api.execute_component("PAY"))
    assert count_submissions(wr) == 3
    assert len(wr.executions) == 1
    assert all(second.monotonic - first.monotonic >= 1 for first, second in pairwise(wr.journal))


def test_each_attempt_is_signed_after_its_pause(whiterabbit_emulator: Emulator) -> None:
    """The signature of a second attempt has a time after the pause, because it is valid for only 30 seconds."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(429), kind="submit")
    pause_ends: list[int] = []

    def sleep(_: float) -> None:
        time.sleep(1.1)  # the time of a signature has whole seconds
        pause_ends.append(int(time.time()))

    with Client(settings_for(wr), sleep=sleep) as client:
        client.submit(api.execute_component("PAY"))
    assert [entry.status for entry in wr.journal] == [429, 200]
    first, second = (int(entry.headers["x-sdk-timestamp"]) for entry in wr.journal)
    assert first < pause_ends[0] <= second


def test_refused_connections_are_tried_again(whiterabbit_emulator: Emulator) -> None:
    """A submission whose connection was refused never left this machine, so it is sent again."""
    wr = whiterabbit_emulator
    wr.pause()
    with Client(settings_for(wr), sleep=lambda _: wr.resume()) as client:
        client.submit(api.execute_component("PAY"))
    assert count_submissions(wr) == 1


def test_unreachable_server(pauses: list[float], whiterabbit_emulator: Emulator) -> None:
    """A server that refuses every connection raises a transport error with `sent=False`, not an uncertain outcome."""
    with socket.socket() as bound:  # bound, but not listening: every connection is refused
        bound.bind(("127.0.0.1", 0))
        settings = settings_for(whiterabbit_emulator, f"http://127.0.0.1:{bound.getsockname()[1]}")
        with Client(settings, sleep=pauses.append) as client, pytest.raises(exc.WhiteRabbitTransportError) as caught:
            client.submit(api.execute_component("PAY"))
    assert not caught.value.sent
    assert len(pauses) == 4


def test_dead_keep_alive_connection(client: Client, whiterabbit_emulator: Emulator) -> None:
    """A submission uses a new connection, so a dead keep-alive connection does not make it uncertain."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("X")
    client.read(EXECUTION.followed(execution_id))
    wr.pause()
    wr.resume()
    client.submit(api.execute_component("PAY"))
    assert count_submissions(wr) == 1
