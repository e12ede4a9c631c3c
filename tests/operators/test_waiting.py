"""How the operators wait: not at all, in the submitting call, in the worker, or in the triggerer."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.compat import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferred,
)
from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.polling import until
from dev.harness.standins import FakeAirflow, submission_record
from tests.operators.remotes import Component, Remote
from tests.versions import HAS_STORE


@pytest.fixture
def component(whiterabbit_emulator: Emulator) -> Component:
    """Return executions of a component, for tests of the inline wait, which workflows do not have."""
    return Component(whiterabbit_emulator)


def deferral(airflow: FakeAirflow, remote: Remote, **arguments: Any) -> TaskDeferred:
    """Execute an operator whose submission keeps running, and return its deferral."""
    remote.script("ACTIVE")
    with pytest.raises(TaskDeferred) as caught:
        airflow.run(remote.operator(deferrable=True, **arguments))
    return caught.value


def test_without_waiting(airflow: FakeAirflow, remote: Remote) -> None:
    """An operator that does not wait returns the id, and sends nothing after the submission."""
    remote.script("ACTIVE")
    assert airflow.run(remote.operator(wait_for_completion=False, deferrable=True)) == remote.newest
    assert [entry.kind for entry in remote.wr.journal] == [remote.submit]


def test_without_waiting_on_a_retry(airflow: FakeAirflow, remote: Remote) -> None:
    """A retry of an operator that does not wait returns the id of the earlier submission."""
    target_id = remote.create("ACTIVE")
    airflow.store.record = submission_record(target_id)
    assert airflow.run(remote.operator(wait_for_completion=False), 2) == target_id
    assert not remote.submissions


@pytest.mark.parametrize("has_store", [True, False])
@pytest.mark.parametrize("output", [{"a": [1, None]}, [], "text", 0, False, None])
def test_inline(component: Component, output: Any, has_store: bool) -> None:
    """An execution that ends within the inline wait takes one API call, and the operator does not defer."""
    airflow = FakeAirflow(has_store)
    component.wr.script("PAY", output=output, after=0.05)
    assert airflow.run(component.operator(inline_wait=5, deferrable=True)) == output
    assert [entry.kind for entry in component.wr.journal] == ["submit"]
    assert component.wr.requests()[0].json["waitForMs"] == 5000
    assert airflow.ti.ids == {"execution_id": component.newest}


@pytest.mark.parametrize(("choice", "retried"), [("fail", False), ("resubmit", True)])
def test_failed_inline(airflow: FakeAirflow, component: Component, choice: Any, retried: bool) -> None:
    """FAILED within the inline wait fails the task; only ``resubmit`` with a store lets Airflow retry it."""
    retried = retried and airflow.has_store
    component.script("FAILED")
    with pytest.raises(AirflowException, match="no funds") as caught:
        airflow.run(component.operator(inline_wait=timedelta(seconds=5), on_failed_execution=choice))
    assert isinstance(caught.value, AirflowFailException) is not retried
    assert [entry.kind for entry in component.wr.journal] == ["submit"]


def test_longer_than_inline(airflow: FakeAirflow, component: Component) -> None:
    """An operator whose execution outlives the inline wait stores the id and defers."""
    assert deferral(airflow, component, inline_wait=0.05).kwargs == {"identity": component.newest}
    assert airflow.store.record["id"] == component.newest


def test_in_the_worker(airflow: FakeAirflow, component: Component) -> None:
    """Waiting in the worker takes one submission, one stream, and at most three reads of the record."""
    component.wr.script("PAY", manual=True)

    def complete() -> None:
        component.wr.wait_for_request(kind="stream", timeout=60)
        component.wr.complete(component.newest, {"paid": 1})

    with ThreadPoolExecutor(1) as completing:
        completing.submit(complete)
        assert airflow.run(component.operator(deferrable=False)) == {"paid": 1}
    kinds = [entry.kind for entry in component.wr.journal]
    assert (kinds.count("submit"), kinds.count("stream")) == (1, 1)
    assert kinds.count("record") <= 3  # before the stream, with the stream, and after the end
    assert len(kinds) <= 5


def test_deferral(airflow: FakeAirflow, remote: Remote) -> None:
    """The trigger gets the id, and no deadline without a time-out; before it, only the submission was sent."""
    deferred = deferral(airflow, remote, poll_interval=timedelta(seconds=7), whiterabbit_conn_id="whiterabbit_default")
    assert deferred.trigger.serialize()[1] == {
        remote.id_name: remote.newest,
        "whiterabbit_conn_id": "whiterabbit_default",
        "poll_interval": 7.0,
        "deadline": None,
        "timeout": None,
    }
    assert (deferred.method_name, deferred.kwargs) == ("execute_complete", {"identity": remote.newest})
    assert deferred.timeout is None
    assert [entry.kind for entry in remote.wr.journal] == [remote.submit]


@pytest.mark.parametrize(
    ("timeout", "execution_timeout", "wait_seconds"),
    [
        (100, None, 100),
        (timedelta(minutes=1), None, 60),
        (None, timedelta(seconds=40), 40),
        (100, timedelta(seconds=40), 40),
        (40, timedelta(100), 40),
        (0, None, 0),
        (float("inf"), None, None),
        (1e12, None, None),
    ],
)
def test_deadline(
    airflow: FakeAirflow, remote: Remote, timeout: Any, execution_timeout: timedelta | None, wait_seconds: float | None
) -> None:
    """The deadline is the earlier of both time-outs after the task's start; Airflow's own timeout is later."""
    deferred = deferral(airflow, remote, timeout=timeout, execution_timeout=execution_timeout)
    deadline = deferred.trigger.serialize()[1]["deadline"]
    if wait_seconds is None:
        assert deadline is None
        assert deferred.timeout is None
    else:
        assert deadline == airflow.ti.start_date + timedelta(seconds=wait_seconds)
        assert datetime.now(UTC) + deferred.timeout > deadline + timedelta(minutes=1)


@pytest.mark.parametrize("deferrable", [False, True])
@pytest.mark.parametrize(
    ("timeout", "execution_timeout", "expected"),
    [
        (0.1, None, exc.WhiteRabbitTimeoutError),
        (0.1, timedelta(seconds=60), exc.WhiteRabbitTimeoutError),
        (None, timedelta(seconds=0.1), AirflowTaskTimeout),
        (60, timedelta(seconds=0.1), AirflowTaskTimeout),
    ],
)
def test_timeout(
    airflow: FakeAirflow,
    remote: Remote,
    deferrable: bool,
    timeout: Any,
    execution_timeout: timedelta | None,
    expected: type[BaseException],
) -> None:
    """Each time-out has its own exception, deferred or not, and the id stays stored for the retry."""
    airflow.timing = Timing(first_pause=0, final_read=60)  # its message depends on the last read of the record
    remote.script("ACTIVE")
    arguments: dict[str, Any] = {"timeout": timeout, "execution_timeout": execution_timeout}
    task = remote.operator(deferrable=deferrable, **arguments)
    if deferrable:
        with pytest.raises(TaskDeferred):
            airflow.run(task)
        event = {remote.id_name: remote.newest, "status": "TIMEOUT", "message": "it had not ended at the deadline"}
        with pytest.raises(expected, match="had not ended at the deadline"):
            remote.operator(deferrable=True, **arguments).execute_complete(airflow.context(task), event, remote.newest)
    elif airflow.has_store:
        with pytest.raises(expected, match="had not ended at the deadline"):
            airflow.run(task)
    else:  # a retry could not wait for it again
        with pytest.raises(AirflowFailException, match="had not ended at the deadline") as caught:
            airflow.run(task)
        assert f"{remote.newest} was submitted" in str(caught.value)
    assert airflow.store.record["id"] == remote.newest


def resume(airflow: FakeAirflow, remote: Remote, status: str, event: Any = None, **arguments: Any) -> Any:
    """Resume an operator after a trigger event; by default, the event says that the submission has ended."""
    target_id = remote.create(status)
    end_event = {remote.id_name: target_id, "status": status, "message": None}
    task = remote.operator(deferrable=True, **arguments)
    return task.execute_complete(airflow.context(task), end_event if event is None else event, target_id)


def test_resume(airflow: FakeAirflow, remote: Remote) -> None:
    """The resuming worker reads the record and returns its result."""
    assert resume(airflow, remote, "COMPLETED") is not None
    assert [entry.kind for entry in remote.wr.journal] == [remote.read]


def test_resume_after_a_failure(airflow: FakeAirflow, remote: Remote) -> None:
    """After FAILED, the resuming worker fails the task with White Rabbit's error, and submits nothing."""
    with pytest.raises(AirflowFailException, match="no funds"):
        resume(airflow, remote, "FAILED")
    assert not remote.submissions


def test_resume_after_an_error(airflow: FakeAirflow, remote: Remote) -> None:
    """An error of the trigger raises an exception that Airflow retries, so that the retry waits again."""
    event = {remote.id_name: (target_id := remote.create("ACTIVE")), "status": "ERROR", "message": "key refused"}
    task = remote.operator(deferrable=True)
    with pytest.raises(exc.WhiteRabbitError, match="key refused"):
        task.execute_complete(airflow.context(task), event, target_id)


@pytest.mark.parametrize(
    "event",
    [
        "success",
        [1],
        {},
        {"status": "COMPLETED"},
        {"execution_id": "another", "workflow_run_id": "another", "status": "COMPLETED", "message": None},
    ],
)
def test_unknown_event(airflow: FakeAirflow, remote: Remote, event: Any) -> None:
    """An event that this provider does not know raises an error."""
    with pytest.raises(exc.WhiteRabbitProtocolError, match="does not know"):
        resume(airflow, remote, "COMPLETED", event)


@pytest.mark.parametrize("do_xcom_push", [True, False])
def test_id_as_xcom(airflow: FakeAirflow, remote: Remote, do_xcom_push: bool) -> None:
    """The id is pushed as XCom before the wait, unless `do_xcom_push` is False."""
    deferral(airflow, remote, do_xcom_push=do_xcom_push)
    assert airflow.ti.ids == ({remote.id_name: remote.newest} if do_xcom_push else {})


def test_log_without_news(remote: Remote, caplog: pytest.LogCaptureFixture) -> None:
    """An operator that waits in a worker logs from time to time, when a keep-alive arrives, that the wait goes on."""
    airflow = FakeAirflow(timing=Timing(alive_interval=0.1))
    remote.wr.stream_options(ping_interval=0.02)
    remote.script("ACTIVE")
    caplog.set_level(logging.INFO)
    line = "0 min after it was created; the stream is alive"

    def complete() -> None:
        try:
            until(lambda: line in caplog.text, f"{line!r} in the log", 60, 0.01)
        finally:
            remote.complete()

    with ThreadPoolExecutor(1) as completing:
        completion = completing.submit(complete)
        airflow.run(remote.operator(deferrable=False, timeout=120))
        completion.result()


def test_on_kill(airflow: FakeAirflow, remote: Remote, read_log: Callable[[], str]) -> None:
    """A killed task logs that its submission may still be running; before the submission it logs nothing."""
    task = remote.operator(wait_for_completion=False)
    task.on_kill()
    assert "may still be running" not in read_log()
    target_id = airflow.run(task)
    task.on_kill()
    assert f"{target_id} may still be running at White Rabbit" in read_log()


def test_on_kill_after_resuming(airflow: FakeAirflow, remote: Remote, read_log: Callable[[], str]) -> None:
    """A task that is killed after it resumed logs the id too, unless the trigger or the record has told the end."""
    target_id = remote.create("FAILED")
    for status, error, may_run in (
        ("FAILED", AirflowFailException, False),
        ("TIMEOUT", exc.WhiteRabbitTimeoutError, True),
        ("ERROR", exc.WhiteRabbitError, True),
    ):
        task = remote.operator()
        event = {remote.id_name: target_id, "status": status, "message": "why"}
        with pytest.raises(error):
            task.execute_complete(airflow.context(task), event, target_id)
        read_log()
        task.on_kill()
        assert (f"{target_id} may still be running" in read_log()) is may_run, status


@pytest.mark.parametrize("status", ["COMPLETED", "FAILED", "ACTIVE"])
@pytest.mark.parametrize("deferrable", [False, True])
def test_on_kill_after_the_end(
    airflow: FakeAirflow, remote: Remote, read_log: Callable[[], str], status: str, deferrable: bool
) -> None:
    """A process that is killed after its task has ended, was deferred or was refused logs nothing."""
    if status == "ACTIVE" and not deferrable:
        remote.wr.fault(effects.Answer(400, {"errors": [{"code": "INVALID", "message": "no"}]}), kind=remote.submit)
    remote.script(status)
    task = remote.operator(deferrable=deferrable)
    with contextlib.suppress(AirflowFailException, TaskDeferred):
        airflow.run(task)
    assert len(remote.wr.requests(kind=remote.submit)) == 1
    task.on_kill()
    assert "may still be running" not in read_log()


@pytest.mark.parametrize("error", ["Trigger timeout", "Trigger/execution timeout"])
@pytest.mark.parametrize(
    ("arguments", "expected"),
    [({"timeout": 60}, exc.WhiteRabbitTimeoutError), ({"execution_timeout": timedelta(hours=1)}, AirflowTaskTimeout)],
)
def test_deferral_timeout(
    airflow: FakeAirflow, remote: Remote, error: str, arguments: dict[str, Any], expected: type[BaseException]
) -> None:
    """Airflow's own deferral timeout, by the name of each version, raises the same as the trigger's, with the id."""
    operator = remote.operator(deferrable=True, **arguments)
    remote.script("ACTIVE")
    with pytest.raises(TaskDeferred):
        airflow.run(operator)
    text = rf"before a triggerer saw the end of the (execution|workflow run) {remote.newest}"
    with pytest.raises(expected if HAS_STORE else AirflowFailException, match=text):
        operator.resume_execution("__fail__", {"error": error}, airflow.context(operator))
    assert remote.submissions
