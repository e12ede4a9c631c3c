"""What an operator does about an earlier submission of its task: in a retry, and after a clear."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import AirflowException, AirflowFailException, TaskDeferred
from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.standins import RETRIES, FakeAirflow, submission_record
from tests.operators.remotes import REMEDY, Component, Remote, Workflow

# --- in a retry


def test_nothing_earlier(airflow: FakeAirflow, remote: Remote) -> None:
    """If no submission is stored, the first try submits once, and so does a retry."""
    for try_number in (1, 2):
        airflow.store.values.clear()
        assert airflow.run(remote.operator(), try_number) == remote.result(remote.newest)
        assert remote.submissions == try_number
        assert airflow.store.record["id"] == remote.newest
        assert airflow.ti.ids == {remote.id_name: remote.newest}


def test_retry_waits_for_active(airflow: FakeAirflow, remote: Remote) -> None:
    """A retry waits for an earlier submission that is still running, submits nothing, and pushes the id again."""
    target_id = remote.create("ACTIVE")
    airflow.store.record = submission_record(target_id)
    with pytest.raises(TaskDeferred) as caught:
        airflow.run(remote.operator(deferrable=True), 2)
    assert caught.value.kwargs == {"identity": target_id}
    assert airflow.ti.ids == {remote.id_name: target_id}
    assert not remote.submissions


@pytest.mark.parametrize("deferrable", [False, True])
def test_retry_returns_completed(airflow: FakeAirflow, remote: Remote, deferrable: bool) -> None:
    """A retry returns the result of an earlier submission that is COMPLETED, and submits nothing."""
    target_id = remote.create("COMPLETED")
    airflow.store.record = submission_record(target_id)
    assert airflow.run(remote.operator(deferrable=deferrable), 2) == remote.result(target_id)
    assert [entry.kind for entry in remote.wr.journal] == [remote.read]


def test_retry_fails_after_failed(airflow: FakeAirflow, remote: Remote) -> None:
    """A retry that finds a FAILED submission fails the task with White Rabbit's error, and submits nothing."""
    airflow.store.record = submission_record(remote.create("FAILED"))
    with pytest.raises(AirflowFailException, match="no funds"):
        airflow.run(remote.operator(), 2)
    assert not remote.submissions


def test_retry_resubmits_failed(airflow: FakeAirflow, remote: Remote) -> None:
    """With ``resubmit``, a retry that finds a FAILED submission submits once more."""
    failed = remote.create("FAILED")
    airflow.store.record = submission_record(failed)
    assert airflow.run(remote.operator(on_failed_execution="resubmit"), 2) == remote.result(remote.newest)
    assert remote.submissions == 1
    assert airflow.store.record["id"] == airflow.ti.xcoms[remote.id_name] == remote.newest != failed


@pytest.mark.parametrize(("choice", "retried"), [("resubmit", True), ("fail", False)])
def test_failed_keeps_the_retries(airflow: FakeAirflow, remote: Remote, choice: Any, retried: bool) -> None:
    """Airflow retries a task after FAILED only with ``resubmit`` and a store, in which the retry finds the failure."""
    retried = retried and airflow.has_store
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
def test_retry_never_resubmits_canceled(airflow: FakeAirflow, whiterabbit_emulator: Emulator, choice: Any) -> None:
    """A retry that finds a CANCELED run fails the task, also with ``resubmit``: a person wanted the run to end."""
    remote = Workflow(whiterabbit_emulator)
    airflow.store.record = submission_record(remote.create("CANCELED"))
    with pytest.raises(AirflowFailException, match="second thoughts"):
        airflow.run(remote.operator(on_failed_execution=choice), 2)
    assert not remote.submissions


@pytest.mark.parametrize("max_tries", [RETRIES, RETRIES + 3], ids=["retry", "cleared"])
def test_uncertain_submission_fails(airflow: FakeAirflow, remote: Remote, max_tries: int) -> None:
    """A stored intent without an id fails the task, also after a clear, and the message tells how to settle it."""
    airflow.store.record = submission_record(None)
    with pytest.raises(AirflowFailException) as caught:
        airflow.run(remote.operator(), max_tries - RETRIES + 1, max_tries)
    message = str(caught.value)
    for part in (REMEDY, "2026-11-24T09:08:07", "(Doubt: uncertain.)"):
        assert part in message
    assert remote.submissions == 0
    asked = airflow.store.record.pop("asked")
    assert len(asked) == 64
    assert airflow.store.record == submission_record(None) | {"stored": None, "doubt": "uncertain", "answer": {}}


def test_retry_resubmits_uncertain(airflow: FakeAirflow, remote: Remote) -> None:
    """With ``resubmit``, a retry submits although White Rabbit may have received an earlier submission."""
    airflow.store.record = submission_record(None)
    assert airflow.run(remote.operator(on_doubt="resubmit"), 2) == remote.result(remote.newest)
    assert remote.submissions == 1


# --- after a clear


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "CANCELED"])
def test_clear_resubmits_terminal(airflow: FakeAirflow, remote: Remote, status: str) -> None:
    """After a clear, the task submits again if the earlier submission has ended, well or not."""
    if status == "CANCELED" and isinstance(remote, Component):
        status = "COMPLETED"
    earlier = remote.create(status)
    airflow.store.record = submission_record(earlier)
    assert airflow.run(remote.operator(), 2, RETRIES + 1) == remote.result(remote.newest)
    assert remote.submissions == 1
    assert airflow.store.record["max_tries"] == RETRIES + 1
    assert airflow.store.record["id"] == remote.newest != earlier


def test_clear_waits_for_active(airflow: FakeAirflow, remote: Remote) -> None:
    """After a clear, the task waits for an earlier submission that is still running, and adopts it."""
    target_id = remote.create("ACTIVE")
    airflow.store.record = submission_record(target_id)
    with pytest.raises(TaskDeferred):
        airflow.run(remote.operator(deferrable=True), 2, RETRIES + 1)
    assert not remote.submissions
    assert (airflow.store.record["id"], airflow.store.record["max_tries"]) == (target_id, RETRIES + 1)


@pytest.mark.parametrize(
    "form", [lambda target_id: {"id": target_id}, lambda target_id: target_id], ids=["object", "id"]
)
@pytest.mark.parametrize("max_tries", [RETRIES, RETRIES + 3], ids=["retry", "cleared"])
def test_id_stored_by_a_person(
    airflow: FakeAirflow, remote: Remote, form: Callable[[str], Any], max_tries: int, read_log: Callable[[], str]
) -> None:
    """An id that a person stored counts as this task's submission, also after a clear."""
    airflow.store.record = form(ended := remote.create("COMPLETED"))
    assert airflow.run(remote.operator(), max_tries - RETRIES + 1, max_tries) == remote.result(ended)
    airflow.store.record = form(active := remote.create("ACTIVE"))
    with pytest.raises(TaskDeferred) as caught:
        airflow.run(remote.operator(deferrable=True), max_tries - RETRIES + 1, max_tries)
    assert caught.value.kwargs == {"identity": active}
    assert not remote.submissions
    assert read_log().count("Submitted before, at an unknown time") == 2


@pytest.mark.parametrize("value", [7, [], ["e-1"], True, {"id": 7}, {"id": ["e-1"]}, ""])
def test_malformed_record(airflow: FakeAirflow, remote: Remote, value: Any) -> None:
    """A stored record that cannot be read raises an error that names its place, and nothing is submitted."""
    airflow.store.record = value
    with pytest.raises(exc.WhiteRabbitProtocolError, match="it is the key whiterabbit_submission"):
        airflow.run(remote.operator(), 2)
    assert not remote.wr.journal
    assert airflow.store.record == value


@pytest.mark.parametrize("value", [{}, {"id": None}, {"id": ""}])
def test_record_without_id_and_time(airflow: FakeAirflow, remote: Remote, value: Any) -> None:
    """A stored record without an id and a time is an uncertain submission, made at an unknown time."""
    airflow.store.record = value
    with pytest.raises(AirflowFailException, match="not known whether") as caught:
        airflow.run(remote.operator(), 2)
    assert "an unknown time" in str(caught.value)
    assert not remote.submissions


def test_unknown_id(airflow: FakeAirflow, remote: Remote) -> None:
    """A stored id that White Rabbit does not know is a doubt, which uses up no retries; nothing is submitted."""
    airflow.store.record = submission_record("00000000-0000-0000-0000-000000000000")
    with pytest.raises(AirflowFailException, match=r"does not know the .* \(Doubt: gone\.\)") as caught:
        airflow.run(remote.operator(), 2)
    assert not remote.submissions
    assert REMEDY in str(caught.value)


def test_unsafe_id(airflow: FakeAirflow, remote: Remote) -> None:
    """A stored id that cannot be part of a URL path raises an error before anything is sent."""
    airflow.store.record = {"id": "../../x"}
    with pytest.raises(AirflowFailException, match=remote.id_name):
        airflow.run(remote.operator(), 2)
    assert not remote.wr.journal


def test_same_operator_in_two_runs(airflow: FakeAirflow, remote: Remote) -> None:
    """If one operator object executes two task instances, as in tests of DAGs, each submits once."""
    task = remote.operator()
    for count in (1, 2):
        airflow.store.values.clear()
        assert airflow.run(task) == remote.result(remote.newest)
        assert remote.submissions == count
