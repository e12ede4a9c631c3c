"""How the operators wait: not at all, within the submitting call, in the worker, or in the triggerer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferred,
)

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.standins import Airflow, Component, Remote, record


@pytest.fixture
def component(whiterabbit_emulator: Emulator) -> Component:
    return Component(whiterabbit_emulator)


def deferral(airflow: Airflow, remote: Remote, **arguments: Any) -> TaskDeferred:
    """Return how an operator defers whose execution goes on."""
    remote.script("ACTIVE")
    with pytest.raises(TaskDeferred) as caught:
        airflow.run(remote.operator(deferrable=True, **arguments))
    return caught.value


def test_without_waiting(airflow: Airflow, remote: Remote) -> None:
    """The id is the return value, and nothing more is asked."""
    remote.script("ACTIVE")
    assert airflow.run(remote.operator(wait_for_completion=False, deferrable=True)) == remote.newest
    assert [entry.kind for entry in remote.wr.journal] == [remote.submit]


def test_without_waiting_on_a_retry(airflow: Airflow, remote: Remote) -> None:
    """A retry returns the id of what was submitted."""
    identity = remote.create("ACTIVE")
    airflow.store.record = record(identity)
    assert airflow.run(remote.operator(wait_for_completion=False), 2) == identity
    assert not remote.submissions


@pytest.mark.parametrize("is_kept", [True, False])
@pytest.mark.parametrize("output", [{"a": [1, None]}, [], "text", 0, False, None])
def test_inline(component: Component, output: Any, is_kept: bool) -> None:
    """What ends within the inline wait takes one API call, and never defers."""
    airflow = Airflow(is_kept)
    component.wr.script("PAY", output=output, after=0.05)
    assert airflow.run(component.operator(inline_wait=5, deferrable=True)) == output
    assert [entry.kind for entry in component.wr.journal] == ["submit"]
    assert component.wr.requests()[0].json["waitForMs"] == 5000
    assert airflow.ti.ids == {"execution_id": component.newest}


@pytest.mark.parametrize(("choice", "retried"), [("fail", False), ("resubmit", True)])
def test_failed_inline(airflow: Airflow, component: Component, choice: Any, retried: bool) -> None:
    """A failure within the inline wait is one like any other, and without a store a retry could not know of it."""
    retried = retried and airflow.is_kept
    component.script("FAILED")
    with pytest.raises(AirflowException, match="no funds") as caught:
        airflow.run(component.operator(inline_wait=timedelta(seconds=5), on_failed_execution=choice))
    assert isinstance(caught.value, AirflowFailException) is not retried
    assert [entry.kind for entry in component.wr.journal] == ["submit"]


def test_longer_than_inline(airflow: Airflow, component: Component) -> None:
    """What does not end within the inline wait is waited for as usual."""
    assert deferral(airflow, component, inline_wait=0.05).kwargs == {"identity": component.newest}
    assert airflow.store.record["id"] == component.newest


def test_in_the_worker(airflow: Airflow, component: Component) -> None:
    """One submission, one stream, and two reads of the record at the most."""
    component.wr.script("PAY", output={"paid": 1}, after=0.1)
    assert airflow.run(component.operator(deferrable=False)) == {"paid": 1}
    kinds = [entry.kind for entry in component.wr.journal]
    assert (kinds.count("submit"), kinds.count("stream")) == (1, 1)
    assert kinds.count("record") <= 2
    assert len(kinds) <= 4


def test_deferral(airflow: Airflow, remote: Remote) -> None:
    """The trigger gets the id and no deadline where none was asked for; nothing else was asked before."""
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
    ("timeout", "execution_timeout", "patience"),
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
    airflow: Airflow, remote: Remote, timeout: Any, execution_timeout: timedelta | None, patience: float | None
) -> None:
    """The wait is bounded by what comes first, from the task's start on; Airflow's own time-out lies behind it."""
    deferred = deferral(airflow, remote, timeout=timeout, execution_timeout=execution_timeout)
    deadline = deferred.trigger.serialize()[1]["deadline"]
    if patience is None:
        assert deadline is None
        assert deferred.timeout is None
    else:
        assert deadline == airflow.ti.start_date + timedelta(seconds=patience)
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
def test_time_is_up(
    airflow: Airflow,
    remote: Remote,
    deferrable: bool,
    timeout: Any,
    execution_timeout: timedelta | None,
    expected: type[BaseException],
) -> None:
    """Each time-out has its own exception, however it was waited; what was submitted is kept for the retry."""
    remote.script("ACTIVE")
    arguments: dict[str, Any] = {"timeout": timeout, "execution_timeout": execution_timeout}
    task = remote.operator(deferrable=deferrable, **arguments)
    if deferrable:
        with pytest.raises(TaskDeferred):
            airflow.run(task)
        event = {remote.id_name: remote.newest, "status": "TIMEOUT", "message": "it did not end in time"}
        with pytest.raises(expected, match="did not end in time"):
            remote.operator(deferrable=True, **arguments).execute_complete(airflow.context(task), event, remote.newest)
    else:
        with pytest.raises(expected, match="did not end in time"):
            airflow.run(task)
    assert airflow.store.record["id"] == remote.newest


def resumed(airflow: Airflow, remote: Remote, status: str, event: Any = None, **arguments: Any) -> Any:
    """Resume after an event, by default the trigger's for what has ended."""
    identity = remote.create(status)
    ended = {remote.id_name: identity, "status": status, "message": None}
    task = remote.operator(deferrable=True, **arguments)
    return task.execute_complete(airflow.context(task), ended if event is None else event, identity)


def test_resume(airflow: Airflow, remote: Remote) -> None:
    """The resuming worker reads the record and returns its result."""
    assert resumed(airflow, remote, "COMPLETED") is not None
    assert [entry.kind for entry in remote.wr.journal] == [remote.read]


def test_resume_after_a_failure(airflow: Airflow, remote: Remote) -> None:
    """A failure ends the task, with White Rabbit's words."""
    with pytest.raises(AirflowFailException, match="no funds"):
        resumed(airflow, remote, "FAILED")
    assert not remote.submissions


def test_resume_after_an_error(airflow: Airflow, remote: Remote) -> None:
    """What ended the wait in the triggerer is raised as what Airflow retries: the retry reattaches."""
    event = {remote.id_name: (identity := remote.create("ACTIVE")), "status": "ERROR", "message": "key refused"}
    task = remote.operator(deferrable=True)
    with pytest.raises(exc.WhiteRabbitError, match="key refused"):
        task.execute_complete(airflow.context(task), event, identity)


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
def test_foreign_event(airflow: Airflow, remote: Remote, event: Any) -> None:
    """An event that is none of ours is never a success."""
    with pytest.raises(exc.WhiteRabbitProtocolError, match="none of ours"):
        resumed(airflow, remote, "COMPLETED", event)


@pytest.mark.parametrize("do_xcom_push", [True, False])
def test_id_as_xcom(airflow: Airflow, remote: Remote, do_xcom_push: bool) -> None:
    """The id is there while it is waited for, unless the task is to push nothing."""
    deferral(airflow, remote, do_xcom_push=do_xcom_push)
    assert airflow.ti.ids == ({remote.id_name: remote.newest} if do_xcom_push else {})


def test_on_kill(airflow: Airflow, remote: Remote, said: Callable[[], str]) -> None:
    """A killed task says, with the id, that what it submitted goes on; before that there is nothing to say."""
    task = remote.operator(wait_for_completion=False)
    task.on_kill()
    assert "goes on" not in said()
    identity = airflow.run(task)
    task.on_kill()
    assert f"{identity} goes on at White Rabbit" in said()


def test_on_kill_after_resuming(airflow: Airflow, remote: Remote, said: Callable[[], str]) -> None:
    """A task that is killed as it resumes knows the id as well."""
    identity = remote.create("FAILED")
    task = remote.operator()
    event = {remote.id_name: identity, "status": "FAILED", "message": None}
    with pytest.raises(AirflowFailException):
        task.execute_complete(airflow.context(task), event, identity)
    task.on_kill()
    assert identity in said()
