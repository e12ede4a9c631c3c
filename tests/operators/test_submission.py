"""At most one submission, whatever happens to its POST, and what the task state store then holds."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import AirflowFailException, AirflowTaskTimeout
from airflow_provider_whiterabbit.emulator import effects
from dev.harness.standins import FakeAirflow
from tests.failing import fails_for_good
from tests.operators.remotes import REMEDY, Remote
from tests.versions import needs_store


def test_order(airflow: FakeAirflow, remote: Remote) -> None:
    """The operator stores the intent, sends the POST, stores the id, and pushes it, all before it parses the record."""
    unknown_status = {"id": "e-1", "runId": "e-1", "status": "PAUSED"}
    remote.wr.fault(effects.Answer(200, unknown_status), kind=remote.submit)
    steps: list[tuple[Any, int]] = []

    class Steps(list[Any]):
        def append(self, step: Any) -> None:
            steps.append((step, remote.submissions))

    airflow.happened = airflow.store.happened = Steps()
    with pytest.raises(exc.WhiteRabbitError):
        airflow.run(remote.operator())
    assert steps == [("intent", 0), ("id stored", 1), ("xcom", 1)]
    assert airflow.store.record["id"] == "e-1"
    assert {"max_tries", "try_number", "at"} < airflow.store.record.keys()


@needs_store
def test_record_never_expires(airflow: FakeAirflow, remote: Remote) -> None:
    """The stored record never expires: a user may clear the task a year later."""
    from airflow.sdk.execution_time.context import NEVER_EXPIRE

    airflow.run(remote.operator())
    assert airflow.store.retentions == [NEVER_EXPIRE, NEVER_EXPIRE]


@pytest.fixture
def interrupt_submission(remote: Remote) -> Iterator[Callable[[BaseException], None]]:
    """Return a function that raises an exception in the main thread while a submission has no answer."""
    before = signal.getsignal(signal.SIGUSR1)
    threads: list[threading.Thread] = []

    def interrupt(error: BaseException) -> None:
        def handle(*_: Any) -> None:
            raise error

        def send() -> None:
            remote.wr.wait_for_request(kind=remote.submit)
            os.kill(os.getpid(), signal.SIGUSR1)

        signal.signal(signal.SIGUSR1, handle)
        remote.wr.fault(effects.Hold(), kind=remote.submit)
        threads.append(threading.Thread(target=send))
        threads[-1].start()

    yield interrupt
    for thread in threads:
        thread.join()
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("choice", ["fail", "resubmit"])
@pytest.mark.parametrize("error", [AirflowTaskTimeout("late"), KeyboardInterrupt(), SystemExit(1)], ids=repr)
def test_interrupted_submission(
    airflow: FakeAirflow,
    remote: Remote,
    interrupt_submission: Callable[[BaseException], None],
    error: BaseException,
    choice: Any,
) -> None:
    """After a time-out or a signal during the POST, the intent is stored, and a retry does not submit."""
    interrupt_submission(error)
    uses_up_retries = airflow.has_store or choice == "resubmit" or not isinstance(error, AirflowTaskTimeout)
    with pytest.raises(type(error) if uses_up_retries else AirflowFailException):
        airflow.run(remote.operator(on_doubt=choice))
    assert airflow.store.record["id"] is None
    assert remote.submissions == 1
    if choice == "fail":
        with pytest.raises(AirflowFailException):
            airflow.run(remote.operator(), 2)
        assert remote.submissions == 1


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, exc.WhiteRabbitInvalidRequestError),
        (401, exc.WhiteRabbitAuthenticationError),
        (403, exc.WhiteRabbitPermissionError),
        (404, exc.WhiteRabbitNotFoundError),
        (409, exc.WhiteRabbitResponseError),
        (422, exc.WhiteRabbitInvalidRequestError),
        (429, exc.WhiteRabbitRateLimitError),
    ],
)
def test_refused(airflow: FakeAirflow, remote: Remote, status: int, error: type[Exception]) -> None:
    """A refused submission leaves no intent, and ends the task for good unless a retry could be accepted."""
    remote.wr.fault(effects.Answer(status, {"message": "no", "error": "Nope"}), kind=remote.submit, times=None)
    with pytest.raises(Exception, match="Nope: no") as caught:
        airflow.run(remote.operator())
    uses_up_retries = airflow.has_store and status in (409, 429)
    refusal = caught.value if uses_up_retries else caught.value.__cause__
    assert isinstance(refusal, error)
    assert isinstance(caught.value, AirflowFailException) is not uses_up_retries
    assert airflow.store.record is None
    assert remote.submissions == (5 if status == 429 else 1)


def test_never_sent(airflow: FakeAirflow, remote: Remote) -> None:
    """If the connection is refused, nothing was sent, and no intent stays stored."""
    remote.wr.pause()
    with pytest.raises((exc.WhiteRabbitTransportError, AirflowFailException)) as caught:
        airflow.run(remote.operator())
    error = caught.value if airflow.has_store else caught.value.__cause__
    assert isinstance(error, exc.WhiteRabbitTransportError)
    assert not error.sent
    assert airflow.store.record is None
    assert airflow.happened == ["intent"]


UNCERTAIN = [
    effects.Answer(408, process=True),
    effects.Answer(500, process=True),
    effects.Answer(502, "<html>bad gateway</html>"),
    effects.Answer(503, process=True),
    effects.Answer(302, headers={"Location": "http://127.0.0.1:1/"}),
    effects.Reset("request"),
    effects.Reset("answer"),
    effects.Reset("body", extra=10),
    effects.Truncate(5),
    effects.Answer(200, "<html>hello</html>"),
    effects.Answer(200, {"status": "CREATED"}),
    effects.Answer(200, {"id": 7, "runId": ""}),
    effects.Answer(200, ["e-1"]),
]


@pytest.mark.parametrize("fault", UNCERTAIN, ids=repr)
def test_uncertain(airflow: FakeAirflow, remote: Remote, fault: effects.Effect) -> None:
    """A lost or invalid answer to the only POST fails the task with the remedy, and the intent stays stored."""
    remote.wr.fault(fault, kind=remote.submit, times=None)
    with pytest.raises(AirflowFailException, match="not known whether") as caught:
        airflow.run(remote.operator())
    assert (REMEDY in str(caught.value)) is airflow.has_store
    assert remote.submissions == 1
    assert not airflow.ti.ids
    if airflow.has_store:
        assert airflow.store.record["id"] is None


def test_late_answer(airflow: FakeAirflow, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """A submission without an answer in time is uncertain."""
    connection = remote.wr.connection
    connection["extra"]["request_timeout"] = 0.2
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
    remote.wr.fault(effects.Hold(), kind=remote.submit)
    with pytest.raises(AirflowFailException, match="not known whether"):
        airflow.run(remote.operator())
    assert remote.submissions == 1
    assert airflow.store.record["id"] is None


def test_uncertain_keeps_the_retries(airflow: FakeAirflow, remote: Remote) -> None:
    """With ``resubmit``, an uncertain submission raises an exception that Airflow retries, and the retry submits."""
    remote.wr.fault(effects.Answer(500, process=True), kind=remote.submit)
    with pytest.raises(exc.WhiteRabbitUncertainSubmissionError):
        airflow.run(remote.operator(on_doubt="resubmit"))
    assert airflow.store.record["id"] is None
    airflow.run(remote.operator(on_doubt="resubmit"), 2)
    assert remote.submissions == 2


def test_too_many_requests(airflow: FakeAirflow, remote: Remote) -> None:
    """A submission that was answered with 429 is sent again after the pause, signed then, and runs once."""
    remote.wr.fault(effects.Answer(429, headers={"Retry-After": "1"}), kind=remote.submit)
    submitted_id = airflow.run(remote.operator(wait_for_completion=False))
    refused, accepted = remote.wr.journal
    assert (refused.status, accepted.status) == (429, 200)
    assert accepted.received_at - refused.received_at >= 1
    assert int(accepted.headers["x-sdk-timestamp"]) >= int(refused.received_at) + 1
    assert airflow.store.record["id"] == submitted_id == remote.newest
    assert airflow.happened == ["intent", "id stored", "xcom"]


def test_wrong_clock(airflow: FakeAirflow, remote: Remote) -> None:
    """A submission that is refused because of this machine's clock is sent once more with the corrected time."""
    remote.wr.clock_offset = 100
    airflow.run(remote.operator(wait_for_completion=False))
    assert [entry.status for entry in remote.wr.journal] == [401, 200]
    assert airflow.store.record["id"] == remote.newest


def test_clock_that_is_too_wrong(airflow: FakeAirflow, remote: Remote) -> None:
    """A refusal because of this machine's clock leaves the retries, because another worker's clock may be right."""
    remote.wr.clock_offset = 1000
    error: Any = exc.WhiteRabbitAuthenticationError if airflow.has_store else AirflowFailException
    with pytest.raises(error, match="seconds behind White Rabbit's"):
        airflow.run(remote.operator())


@pytest.mark.parametrize("other_operator", [False, True])
def test_second_execute(airflow: FakeAirflow, remote: Remote, other_operator: bool) -> None:
    """A second execute within one task raises an error: it would find the first submission instead of submitting."""
    operator = remote.operator()
    context = airflow.context(operator)
    operator.execute(context)
    with fails_for_good(exc.WhiteRabbitInputError, "Map one operator over its inputs"):
        (remote.operator() if other_operator else operator).execute(context)
    assert remote.submissions == 1


# --- when Airflow's store or its XComs fail


@pytest.mark.parametrize("call", ["get", "set"])
def test_store_fails_before_submission(airflow: FakeAirflow, remote: Remote, call: str) -> None:
    """If the store cannot be read or written, nothing is sent."""
    airflow.store.failing = lambda name, value: name == call
    with pytest.raises(ConnectionError):
        airflow.run(remote.operator())
    assert not remote.wr.journal


def test_store_fails_after_submission(airflow: FakeAirflow, remote: Remote, caplog: pytest.LogCaptureFixture) -> None:
    """An id that cannot be stored is logged and waited for; the stored intent makes a retry uncertain."""
    caplog.set_level("INFO")
    airflow.store.failing = lambda name, value: name == "set" and value["id"] is not None
    assert airflow.run(remote.operator()) == remote.result(remote.newest)
    assert airflow.store.record["id"] is None
    assert airflow.happened == ["intent", *["id stored"] * 3, "xcom"]
    assert remote.newest in caplog.text
    assert "could not be stored" in caplog.text
    assert airflow.ti.ids == {remote.id_name: remote.newest}


def test_store_fails_once(airflow: FakeAirflow, remote: Remote) -> None:
    """If the store fails once, the operator tries again to store the id."""
    airflow.store.failing = lambda name, value: airflow.happened.count("id stored") == 1
    airflow.run(remote.operator())
    assert airflow.store.record["id"] == remote.newest


def test_intent_that_cannot_be_deleted(airflow: FakeAirflow, remote: Remote, caplog: pytest.LogCaptureFixture) -> None:
    """If the intent cannot be deleted, the task still fails with the server's refusal."""
    airflow.store.failing = lambda name, value: name == "delete"
    remote.wr.fault(effects.Answer(403, {"code": "NO", "message": "not allowed here"}), kind=remote.submit)
    with pytest.raises(AirflowFailException, match="not allowed here"):
        airflow.run(remote.operator())
    assert "could not be deleted" in caplog.text


def test_id_that_cannot_be_pushed(airflow: FakeAirflow, remote: Remote) -> None:
    """If the id cannot be pushed as XCom, the operator still waits, and returns the result."""
    airflow.refused_xcoms = {remote.id_name}
    assert airflow.run(remote.operator()) == remote.result(remote.newest)
    assert not airflow.ti.ids
