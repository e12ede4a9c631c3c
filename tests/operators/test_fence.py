"""At most one submission, whatever an earlier try left behind and whatever becomes of this one."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.standins import RETRIES, Airflow, Component, Remote, TaskInstance, Workflow, record
from tests.versions import needs_store

# --- what an earlier try left behind


def test_nothing_earlier(airflow: Airflow, remote: Remote) -> None:
    """Where nothing was submitted, the first try and a retry alike submit once."""
    for try_number in (1, 2):
        airflow.store.values.clear()
        assert airflow.run(remote.operator(), try_number) == remote.result(remote.newest)
        assert remote.submissions == try_number
        assert airflow.store.record["id"] == remote.newest
        assert airflow.ti.ids == {remote.id_name: remote.newest}


def test_active_is_reattached_to(airflow: Airflow, remote: Remote) -> None:
    """A retry waits for what goes on, without another submission, and pushes the id again."""
    identity = remote.create("ACTIVE")
    airflow.store.record = record(identity)
    with pytest.raises(TaskDeferred) as caught:
        airflow.run(remote.operator(deferrable=True), 2)
    assert caught.value.kwargs == {"identity": identity}
    assert airflow.ti.ids == {remote.id_name: identity}
    assert not remote.submissions


@pytest.mark.parametrize("deferrable", [False, True])
def test_completed_is_returned(airflow: Airflow, remote: Remote, deferrable: bool) -> None:
    """A retry returns the result of what has ended well, without another submission."""
    identity = remote.create("COMPLETED")
    airflow.store.record = record(identity)
    assert airflow.run(remote.operator(deferrable=deferrable), 2) == remote.result(identity)
    assert [entry.kind for entry in remote.wr.journal] == [remote.read]


def test_failed_fails(airflow: Airflow, remote: Remote) -> None:
    """A retry that finds a failure ends the task, with White Rabbit's words."""
    airflow.store.record = record(remote.create("FAILED"))
    with pytest.raises(AirflowFailException, match="no funds"):
        airflow.run(remote.operator(), 2)
    assert not remote.submissions


def test_failed_is_submitted_anew_on_request(airflow: Airflow, remote: Remote) -> None:
    """With ``resubmit``, a retry that finds a failure submits once more."""
    failed = remote.create("FAILED")
    airflow.store.record = record(failed)
    assert airflow.run(remote.operator(on_failed_execution="resubmit"), 2) == remote.result(remote.newest)
    assert remote.submissions == 1
    assert airflow.store.record["id"] == airflow.ti.xcoms[remote.id_name] == remote.newest != failed


@pytest.mark.parametrize(("choice", "retried"), [("resubmit", True), ("fail", False)])
def test_failure_leaves_the_retries_on_request(airflow: Airflow, remote: Remote, choice: Any, retried: bool) -> None:
    """With ``resubmit``, a failure raises what Airflow retries, deferred or not; without, what it does not.

    Neither does it where there is no store, and a retry could not know of the failure.
    """
    retried = retried and airflow.is_kept
    remote.script("FAILED")
    task = remote.operator(on_failed_execution=choice)
    with pytest.raises(AirflowException, match="no funds") as caught:
        airflow.run(task)
    assert isinstance(caught.value, AirflowFailException) is not retried
    event = {remote.id_name: remote.newest, "status": "FAILED", "message": None}
    with pytest.raises(AirflowException, match="no funds") as caught:
        task.execute_complete(airflow.context(task), event, remote.newest)
    assert isinstance(caught.value, AirflowFailException) is not retried


@pytest.mark.parametrize("choice", ["fail", "resubmit"])
def test_canceled_is_never_submitted_anew(airflow: Airflow, whiterabbit_emulator: Emulator, choice: Any) -> None:
    """Somebody wanted it to end; a retry does not undo that."""
    remote = Workflow(whiterabbit_emulator)
    airflow.store.record = record(remote.create("CANCELED"))
    with pytest.raises(AirflowFailException, match="second thoughts"):
        airflow.run(remote.operator(on_failed_execution=choice), 2)
    assert not remote.submissions


REMEDY = (
    "/api/v2/dags/pay.daily/dagRuns/manual__2026-11-24T10%3A00%3A00%2B00%3A00%2F%C3%A9/taskInstances/group.pay"
    "/state-store/whiterabbit_submission?map_index=3"
)


@pytest.mark.parametrize("max_tries", [RETRIES, RETRIES + 3], ids=["retry", "cleared"])
def test_uncertain_fails(airflow: Airflow, remote: Remote, max_tries: int) -> None:
    """An intent without an id ends the task, also after a clear, and the message says how to settle it."""
    airflow.store.record = record(None)
    with pytest.raises(AirflowFailException) as caught:
        airflow.run(remote.operator(), max_tries - RETRIES + 1, max_tries)
    message = str(caught.value)
    for part in (REMEDY, "PUT", '{"value": {"id": "<its id>"}}', "DELETE", "2026-11-24T09:08:07", "clear this task"):
        assert part in message
    assert remote.submissions == 0
    assert airflow.store.record == record(None)


def test_uncertain_is_submitted_anew_on_request(airflow: Airflow, remote: Remote) -> None:
    """With ``resubmit``, a retry submits although an earlier submission may have arrived."""
    airflow.store.record = record(None)
    assert airflow.run(remote.operator(on_uncertain_submission="resubmit"), 2) == remote.result(remote.newest)
    assert remote.submissions == 1


# --- after a clear


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELED"])
def test_cleared_terminal_is_submitted_anew(airflow: Airflow, remote: Remote, status: str) -> None:
    """A clear asks for a new run of what has ended, in whichever way."""
    if status == "CANCELED" and isinstance(remote, Component):
        status = "COMPLETED"
    earlier = remote.create(status)
    airflow.store.record = record(earlier)
    assert airflow.run(remote.operator(), 2, RETRIES + 1) == remote.result(remote.newest)
    assert remote.submissions == 1
    assert airflow.store.record["max_tries"] == RETRIES + 1
    assert airflow.store.record["id"] == remote.newest != earlier


def test_cleared_active_is_reattached_to(airflow: Airflow, remote: Remote) -> None:
    """A clear does not submit beside what goes on; from then on it belongs to the new generation."""
    identity = remote.create("ACTIVE")
    airflow.store.record = record(identity)
    with pytest.raises(TaskDeferred):
        airflow.run(remote.operator(deferrable=True), 2, RETRIES + 1)
    assert not remote.submissions
    assert (airflow.store.record["id"], airflow.store.record["max_tries"]) == (identity, RETRIES + 1)


@pytest.mark.parametrize("form", [lambda identity: {"id": identity}, lambda identity: identity], ids=["object", "id"])
@pytest.mark.parametrize("max_tries", [RETRIES, RETRIES + 3], ids=["retry", "cleared"])
def test_record_by_a_person(
    airflow: Airflow, remote: Remote, form: Callable[[str], Any], max_tries: int, said: Callable[[], str]
) -> None:
    """What a person found and stored is what this task submitted, also after the clear that follows."""
    airflow.store.record = form(ended := remote.create("COMPLETED"))
    assert airflow.run(remote.operator(), max_tries - RETRIES + 1, max_tries) == remote.result(ended)
    airflow.store.record = form(active := remote.create("ACTIVE"))
    with pytest.raises(TaskDeferred) as caught:
        airflow.run(remote.operator(deferrable=True), max_tries - RETRIES + 1, max_tries)
    assert caught.value.kwargs == {"identity": active}
    assert not remote.submissions
    assert said().count("Submitted before (an unknown time)") == 2


@pytest.mark.parametrize("value", [7, [], ["e-1"], True, {"id": 7}, {"id": ["e-1"]}, ""])
def test_malformed_record(airflow: Airflow, remote: Remote, value: Any) -> None:
    """A record that nobody can understand is no licence to submit; the message says where it stands."""
    airflow.store.record = value
    with pytest.raises(exc.WhiteRabbitProtocolError) as caught:
        airflow.run(remote.operator(), 2)
    assert REMEDY in str(caught.value)
    assert not remote.wr.journal
    assert airflow.store.record == value


@pytest.mark.parametrize("value", [{}, {"id": None}, {"id": ""}])
def test_record_without_id_and_time(airflow: Airflow, remote: Remote, value: Any) -> None:
    """A record without an id is uncertain, and a time that is not known is not called None."""
    airflow.store.record = value
    with pytest.raises(AirflowFailException, match="not known whether") as caught:
        airflow.run(remote.operator(), 2)
    assert "an unknown time" in str(caught.value)
    assert not remote.submissions


def test_record_of_something_forgotten(airflow: Airflow, remote: Remote) -> None:
    """An id that White Rabbit does not know is no licence to submit; the message says how to settle it."""
    airflow.store.record = record("00000000-0000-0000-0000-000000000000")
    with pytest.raises(Exception, match="404") as caught:
        airflow.run(remote.operator(), 2)
    assert not remote.submissions
    assert REMEDY in str(caught.value)


def test_record_that_leaves_its_path(airflow: Airflow, remote: Remote) -> None:
    """What a person stores is checked like every other id."""
    airflow.store.record = {"id": "../../x"}
    with pytest.raises(exc.WhiteRabbitInputError, match=remote.id_name):
        airflow.run(remote.operator(), 2)
    assert not remote.wr.journal


def test_execute_knows_only_the_record(airflow: Airflow, remote: Remote) -> None:
    """The same object run twice, as in tests of DAGs, does not mistake what another run submitted for its own."""
    task = remote.operator()
    for count in (1, 2):
        airflow.store.values.clear()
        assert airflow.run(task) == remote.result(remote.newest)
        assert remote.submissions == count


# --- the submission itself


def test_order(airflow: Airflow, remote: Remote) -> None:
    """First the intent, then the POST, the id, the XCom; only then is the rest of the answer looked at."""
    odd = {"id": "e-1", "runId": "e-1", "status": "PAUSED"}
    remote.wr.fault(effects.Answer(200, odd), kind=remote.submit)
    seen: list[tuple[Any, int]] = []

    class Watched(list[Any]):
        def append(self, what: Any) -> None:
            seen.append((what, remote.submissions))

    airflow.happened = airflow.store.happened = Watched()
    with pytest.raises(exc.WhiteRabbitError):
        airflow.run(remote.operator())
    assert seen == [("intent", 0), ("id stored", 1), ("xcom", 1)]
    assert airflow.store.record["id"] == "e-1"
    assert {"max_tries", "try_number", "at"} < airflow.store.record.keys()


@needs_store
def test_never_expires(airflow: Airflow, remote: Remote) -> None:
    """A clear may come in a year."""
    from airflow.sdk.execution_time.context import NEVER_EXPIRE

    airflow.run(remote.operator())
    assert airflow.store.retentions == [NEVER_EXPIRE, NEVER_EXPIRE]


@pytest.fixture
def interrupted(remote: Remote) -> Iterator[Callable[[BaseException], None]]:
    """Let an exception be raised in the main thread while the answer to a submission is held back."""
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
def test_interrupted(
    airflow: Airflow,
    remote: Remote,
    interrupted: Callable[[BaseException], None],
    error: BaseException,
    choice: Any,
) -> None:
    """A time-out or a signal within the POST leaves the intent, which a retry finds."""
    interrupted(error)
    with pytest.raises(type(error)):
        airflow.run(remote.operator(on_uncertain_submission=choice))
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
def test_refused(airflow: Airflow, remote: Remote, status: int, error: type[Exception]) -> None:
    """A refusal is told with the server's words and leaves no intent behind."""
    remote.wr.fault(effects.Answer(status, {"message": "no", "error": "Nope"}), kind=remote.submit, times=None)
    with pytest.raises(error, match="Nope: no"):
        airflow.run(remote.operator())
    assert airflow.store.record is None
    assert remote.submissions == (5 if status == 429 else 1)


def test_never_sent(airflow: Airflow, remote: Remote) -> None:
    """Where nobody listens nothing was sent, and no intent is left behind."""
    remote.wr.pause()
    with pytest.raises(exc.WhiteRabbitTransportError) as caught:
        airflow.run(remote.operator())
    assert not caught.value.sent
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


@pytest.mark.parametrize("trouble", UNCERTAIN, ids=repr)
def test_uncertain(airflow: Airflow, remote: Remote, trouble: effects.Effect) -> None:
    """A lost or senseless answer ends the task at once, with the remedy; the intent stays, and one POST was sent."""
    remote.wr.fault(trouble, kind=remote.submit, times=None)
    with pytest.raises(AirflowFailException, match="not known whether") as caught:
        airflow.run(remote.operator())
    assert (REMEDY in str(caught.value)) is airflow.is_kept
    assert remote.submissions == 1
    assert not airflow.ti.ids
    if airflow.is_kept:
        assert airflow.store.record["id"] is None


def test_answer_too_late(airflow: Airflow, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that does not come in time is uncertain too."""
    connection = remote.wr.connection
    connection["extra"]["request_timeout"] = 0.2
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
    remote.wr.fault(effects.Hold(), kind=remote.submit)
    with pytest.raises(AirflowFailException, match="not known whether"):
        airflow.run(remote.operator())
    assert remote.submissions == 1
    assert airflow.store.record["id"] is None


def test_uncertain_leaves_the_retries_on_request(airflow: Airflow, remote: Remote) -> None:
    """With ``resubmit``, an uncertain submission raises what Airflow retries, and the retry submits."""
    remote.wr.fault(effects.Answer(500, process=True), kind=remote.submit)
    with pytest.raises(exc.WhiteRabbitUncertainSubmissionError):
        airflow.run(remote.operator(on_uncertain_submission="resubmit"))
    assert airflow.store.record["id"] is None
    airflow.run(remote.operator(on_uncertain_submission="resubmit"), 2)
    assert remote.submissions == 2


def test_too_many_requests(airflow: Airflow, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """429 refuses for now: it is sent again after the wait, signed afresh, and runs once."""
    wr = remote.wr
    wr.fault(effects.Answer(429), kind=remote.submit)
    task = remote.operator(wait_for_completion=False)
    client = task._hook.get_conn()
    passed = [0.0]

    def sleep(_: float) -> None:
        passed[0] += 100
        monkeypatch.setattr(wr, "clock_offset", passed[0])

    clock = client._signer._clock
    monkeypatch.setattr(client._signer, "_clock", lambda: clock() + passed[0])
    monkeypatch.setattr(client, "_sleep", sleep)
    identity = airflow.run(task)
    assert [entry.status for entry in wr.journal] == [429, 200]
    assert airflow.store.record["id"] == identity == remote.newest
    assert airflow.happened == ["intent", "id stored", "xcom"]


def test_refusal_by_a_wrong_clock(airflow: Airflow, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 401 that the clock explains is a refusal: sent again with the right time, it runs once."""
    monkeypatch.setattr(remote.wr, "clock_offset", 100)
    airflow.run(remote.operator(wait_for_completion=False))
    assert [entry.status for entry in remote.wr.journal] == [401, 200]
    assert airflow.store.record["id"] == remote.newest


# --- the store in trouble


@pytest.mark.parametrize("call", ["get", "set"])
def test_store_in_trouble_before(airflow: Airflow, remote: Remote, call: str) -> None:
    """Where nothing can be known or written down, nothing is sent."""
    airflow.store.failing = lambda name, value: name == call
    with pytest.raises(ConnectionError):
        airflow.run(remote.operator())
    assert not remote.wr.journal


def test_store_in_trouble_after(airflow: Airflow, remote: Remote, caplog: pytest.LogCaptureFixture) -> None:
    """An id that can't be stored is in the log, and waited for; a retry would call it uncertain."""
    caplog.set_level("INFO")
    airflow.store.failing = lambda name, value: name == "set" and value["id"] is not None
    assert airflow.run(remote.operator()) == remote.result(remote.newest)
    assert airflow.store.record["id"] is None
    assert airflow.happened == ["intent", *["id stored"] * 3, "xcom"]
    assert remote.newest in caplog.text
    assert "could not be stored" in caplog.text
    assert airflow.ti.ids == {remote.id_name: remote.newest}


def test_store_in_trouble_for_a_moment(airflow: Airflow, remote: Remote) -> None:
    """The id deserves a second attempt."""
    airflow.store.failing = lambda name, value: airflow.happened.count("id stored") == 1
    airflow.run(remote.operator())
    assert airflow.store.record["id"] == remote.newest


def test_withdrawal_in_trouble(airflow: Airflow, remote: Remote, caplog: pytest.LogCaptureFixture) -> None:
    """An intent that can't be withdrawn does not hide why nothing was submitted."""
    airflow.store.failing = lambda name, value: name == "delete"
    remote.wr.fault(effects.Answer(403, {"message": "not allowed here"}), kind=remote.submit)
    with pytest.raises(exc.WhiteRabbitPermissionError, match="not allowed here"):
        airflow.run(remote.operator())
    assert "could not be withdrawn" in caplog.text


# --- without a store (Airflow before 3.3)


@pytest.mark.parametrize(
    ("retries", "try_number", "max_tries", "is_first"),
    [
        (0, 1, 0, True),
        (2, 1, 2, True),
        (2, 2, 2, False),
        (2, 3, 2, False),
        (0, 2, 0, False),
        (2, 4, 5, True),
        (2, 5, 5, False),
        (2, 6, 5, False),
        (0, 4, 3, True),
        (0, 5, 3, False),
        (3, 2, 4, True),
        (3, 3, 4, False),
        (0, 2, 2, False),  # `retries` was lowered meanwhile
        (1, 2, 3, False),
        (2, 1, 0, True),  # `retries` was raised
    ],
)
def test_before_3_3(remote: Remote, retries: int, try_number: int, max_tries: int, is_first: bool) -> None:
    """The first try of each generation submits; a retry refuses, unless submitting twice does no harm."""
    airflow = Airflow(is_kept=False)
    if is_first:
        airflow.run(remote.operator(retries=retries), try_number, max_tries)
    else:
        with pytest.raises(AirflowFailException, match="clear this task") as caught:
            airflow.run(remote.operator(retries=retries), try_number, max_tries)
        assert "state-store" not in str(caught.value)
        assert not remote.submissions
        task = remote.operator(retries=retries, on_uncertain_submission="resubmit")
        airflow.run(task, try_number, max_tries)
    assert remote.submissions == 1
    assert airflow.ti.ids == {remote.id_name: remote.newest}


@pytest.mark.parametrize("another", [False, True])
def test_second_operator(airflow: Airflow, remote: Remote, another: bool) -> None:
    """Within the same task another one is refused, or the same again: it would get what was submitted before."""
    operator = remote.operator()
    context = airflow.context(operator)
    operator.execute(context)
    with pytest.raises(exc.WhiteRabbitInputError, match="map one over its inputs"):
        (remote.operator() if another else operator).execute(context)
    assert remote.submissions == 1


def test_id_that_can_not_be_stored_as_xcom(airflow: Airflow, remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends nothing: the wait begins, and the log has the id."""

    def push(_ti: Any, key: str, value: Any) -> None:
        if key == remote.id_name:
            raise ConnectionError("no bucket")

    monkeypatch.setattr(TaskInstance, "xcom_push", push)
    assert airflow.run(remote.operator()) == remote.result(remote.newest)


def test_uncertain_before_3_3(remote: Remote) -> None:
    """An uncertain submission ends the task, and the message does not speak of a store that there is not."""
    remote.wr.fault(effects.Reset("answer"), kind=remote.submit)
    with pytest.raises(AirflowFailException, match="not known whether") as caught:
        Airflow(is_kept=False).run(remote.operator())
    assert "state-store" not in str(caught.value)
    assert remote.submissions == 1


def test_failed_resubmit_before_3_3(remote: Remote, said: Callable[[], str]) -> None:
    """That a retry can't know of a failure there is said."""
    Airflow(is_kept=False).run(remote.operator(on_failed_execution="resubmit"))
    assert "needs Airflow 3.3" in said()
