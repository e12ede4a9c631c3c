"""The operator of many inputs submits each at most once, and waits for all of them together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.compat import (
    DAG,
    AirflowException,
    AirflowFailException,
    AirflowTaskTimeout,
    TaskDeferred,
    XComArg,
)
from airflow_provider_whiterabbit.emulator import Emulator, Script, effects
from airflow_provider_whiterabbit.ending.verdict import name_of_many
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.components import WhiteRabbitExecuteComponentsOperator
from airflow_provider_whiterabbit.operators.inputs import MAX_INPUTS
from airflow_provider_whiterabbit.secrets import secret
from dev.harness.polling import until
from dev.harness.standins import RETRIES, FakeAirflow
from tests.failing import fails_for_good
from tests.operators.conftest import AirflowOfThisVersion
from tests.serialization import serialized
from tests.versions import needs_store

PAYEES = ("alice", "bob", "carol", "dave", "erin")


@pytest.fixture
def wr(whiterabbit_emulator: Emulator) -> Emulator:
    """Return the emulator with a component that pays."""
    whiterabbit_emulator.script("PAY", output=lambda inputs, _: {"paid": inputs["to"]}, usage=0.5)
    return whiterabbit_emulator


def pay(*payees: str, **arguments: Any) -> WhiteRabbitExecuteComponentsOperator:
    """Return a task that pays each payee."""
    given = {"module": "PAY", "inputs": [{"to": payee} for payee in payees], "inline_wait": 0, **arguments}
    return WhiteRabbitExecuteComponentsOperator(task_id="pay", **given)


def paid(wr: Emulator) -> list[str]:
    """Return the payees of all submissions that White Rabbit has received."""
    return [entry.json["input"]["to"] for entry in wr.requests(kind="submit")]


def payees_in(results: Any) -> list[str]:
    """Return whom the outputs of results name."""
    return [result["output"]["paid"] for result in results]


def records(airflow: FakeAirflow) -> dict[str, Any]:
    """Return the stored records by their keys."""
    pages = (value for name, value in airflow.store.values.items() if name.startswith("whiterabbit_once_"))
    return {key: record for page in pages for key, record in page.items()}


def deferral(airflow: FakeAirflow, task: WhiteRabbitExecuteComponentsOperator) -> TaskDeferred:
    """Execute a task until it defers."""
    with pytest.raises(TaskDeferred) as caught:
        airflow.run(task)
    return caught.value


def resume(airflow: FakeAirflow, deferred: TaskDeferred, task: WhiteRabbitExecuteComponentsOperator) -> Any:
    """Run the trigger to its end, and resume the task in another process."""

    async def events() -> list[Any]:
        return [event.payload async for event in deferred.trigger.run()]  # type: ignore[union-attr]

    (event,) = asyncio.run(events())
    kwargs = {**(deferred.kwargs or {}), "event": event}
    return task.resume_execution(deferred.method_name, kwargs, airflow.context(task))


# --- the whole way


@pytest.mark.parametrize("options", [{}, {"at_once": 1}, {"at_once": "3"}], ids=str)
def test_in_the_worker(
    airflow: FakeAirflow, wr: Emulator, options: dict[str, Any], read_log: Callable[[], str]
) -> None:
    """Each input is submitted, and the results have the order of the inputs."""
    results = airflow.run(pay(*PAYEES, **options))
    ids = airflow.ti.xcoms["execution_ids"]
    assert results[0] == {"id": ids[0], "status": "COMPLETED", "output": {"paid": "alice"}, "usage": 0.5}
    assert [result["id"] for result in results] == ids
    assert payees_in(results) == list(PAYEES)
    assert sorted(paid(wr)) == sorted(PAYEES)
    assert airflow.ti.xcoms["usage"] == 2.5
    assert "Executions: 5 of 5 ended, 0 failed, 2.5 credits" in read_log()
    if options.get("at_once") == 1:
        assert paid(wr) == list(PAYEES)


def test_deferred(airflow: FakeAirflow, wr: Emulator) -> None:
    """The task defers once for all executions; a worker reads the records after that."""
    wr.script("PAY", manual=True)
    deferred = deferral(airflow, pay(*PAYEES, deferrable=True))
    assert type(deferred.trigger).__name__ == "WhiteRabbitExecutionsTrigger"
    assert "end_from_trigger" not in deferred.trigger.serialize()[1]
    for entry, execution in zip(paid(wr), wr.executions, strict=True):
        wr.complete(execution["id"], {"paid": entry})
    assert payees_in(resume(airflow, deferred, pay(deferrable=True))) == list(PAYEES)


@pytest.mark.parametrize("inline_wait", [15, "15", timedelta(seconds=15)], ids=str)
def test_short_ones(airflow: FakeAirflow, wr: Emulator, inline_wait: Any) -> None:
    """A task whose executions end soon does not defer, and reads one record at a time while the first one runs."""
    wr.script("PAY", output=lambda inputs, _: {"paid": inputs["to"]}, after=0.7)
    results = airflow.run(pay(*PAYEES, deferrable=True, inline_wait=inline_wait))
    assert payees_in(results) == list(PAYEES)
    kinds = Counter(entry.kind for entry in wr.journal)
    assert set(kinds) == {"submit", "record"}
    assert kinds["submit"] == 5
    assert kinds["record"] < 12  # some for the first one, and one for each; more if one ends between two reads


def test_long_ones(airflow: FakeAirflow, wr: Emulator) -> None:
    """A task that has looked for a while at executions that run defers, and those that had ended are not lost."""
    wr.script("PAY", Script(output={"paid": "alice"}), Script(manual=True))
    waiting = pay("alice", "bob", deferrable=True, inline_wait=0.1, at_once=1)
    deferred = deferral(airflow, waiting)
    wr.complete(wr.executions[1]["id"], {"paid": "bob"})
    assert payees_in(resume(airflow, deferred, waiting)) == ["alice", "bob"]


def test_inline_within_the_timeout(airflow: FakeAirflow, wr: Emulator) -> None:
    """The worker looks no longer than the task may take; the trigger then finds that the time is up."""
    wr.script("PAY", manual=True)
    waiting = pay("alice", deferrable=True, inline_wait=15, timeout=0.5)
    fails = pytest.raises if airflow.has_store else fails_for_good  # without a store, no retry could wait
    if airflow.has_store:  # then the submission need not be faster than a timeout
        deferral(airflow, pay("alice", deferrable=True))
    with fails(exc.WhiteRabbitTimeoutError):
        resume(airflow, deferral(airflow, waiting), waiting)


def test_hanging_server_while_looking(airflow: FakeAirflow, wr: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer holds the worker no longer than the time to look."""
    patient = wr.connection["extra"] | {"request_timeout": 600}
    monkeypatch.setenv("AIRFLOW_CONN_PATIENT", json.dumps(wr.connection | {"extra": patient}))
    held = wr.fault(effects.Hold(before=True), kind="record")
    deferral(airflow, pay("alice", deferrable=True, inline_wait=0.1, whiterabbit_conn_id="patient"))
    wr.release(held)


def test_pause_while_looking(airflow: FakeAirflow, wr: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """During a pause that White Rabbit asks for, which ends after the time to look, the worker does not wait."""
    # Under another name of the host, because the pause holds for all clients of this process.
    monkeypatch.setenv(
        "AIRFLOW_CONN_PAUSED", json.dumps(wr.connection | {"host": wr.url.replace("127.0.0.1", "localhost")})
    )
    wr.fault(effects.Answer(429, {}, retry_after=60), kind="record")
    deferral(airflow, pay("alice", deferrable=True, inline_wait=15, whiterabbit_conn_id="paused"))
    assert len(wr.requests(kind="record")) == 1


def test_outage_while_looking(airflow: FakeAirflow, wr: Emulator) -> None:
    """An outage while the worker looks delays the end, and fails nothing."""
    wr.fault(effects.Answer(503, {}), kind="record", times=2)
    assert payees_in(airflow.run(pay("alice", deferrable=True, inline_wait=15))) == ["alice"]


def test_ids_alone(airflow: FakeAirflow, wr: Emulator) -> None:
    """A task that does not wait returns the ids, in the order of the inputs."""
    ids = airflow.run(pay(*PAYEES, wait_for_completion=False, deferrable=True))
    assert [wr.execution(one)["module"] for one in ids] == ["PAY"] * len(PAYEES)
    assert len(set(ids)) == len(PAYEES)
    assert {entry.kind for entry in wr.journal} == {"submit"}


def test_none(airflow: FakeAirflow, wr: Emulator) -> None:
    """Without inputs, the result is an empty list, and nothing is sent."""
    assert airflow.run(pay(deferrable=True)) == []
    assert not wr.journal


def test_common_arguments(airflow: FakeAirflow, wr: Emulator) -> None:
    """The config, the attempts and the callback are those of each submission."""
    airflow.run(pay("alice", "bob", config={"network": "test"}, attempts=2, callback_url="https://x.example/hook"))
    for entry in wr.requests(kind="submit"):
        assert entry.json["config"] == {"network": "test"}
        assert entry.json["attempts"] == 2
        assert entry.json["callbackUrl"] == "https://x.example/hook"


@pytest.mark.parametrize("outputs", [False, "False"])
def test_without_outputs(airflow: FakeAirflow, wr: Emulator, outputs: Any) -> None:
    """Outputs can be left out of the results."""
    assert all("output" not in result for result in airflow.run(pay("alice", outputs=outputs)))


# --- failures of executions


def test_failed(airflow: FakeAirflow, wr: Emulator) -> None:
    """Executions that have failed fail the task for good, after all have ended."""
    wr.script("PAY", Script(error={"message": "no funds"}, times=2), Script(output=1))
    with pytest.raises(AirflowFailException, match=r"2 of 5 executions did not complete: .* FAILED: no funds"):
        airflow.run(pay(*PAYEES))
    assert all(execution["completed"] for execution in wr.executions)


def test_failures_are_returned(airflow: FakeAirflow, wr: Emulator) -> None:
    """With ``return``, failed executions are part of the result."""
    wr.script("PAY", Script(error={"message": "no"}, times=1), Script(output=1))
    first, second = airflow.run(pay("alice", "bob", at_once=1, on_failed_execution="return"))
    assert (first["status"], first["error"]) == ("FAILED", {"message": "no"})
    assert (second["status"], second["output"]) == ("COMPLETED", 1)


# --- tries


@needs_store
def test_retry(airflow: FakeAirflow, wr: Emulator) -> None:
    """A retry submits nothing that was submitted, and does not defer if all have ended."""
    airflow.run(pay("alice", "bob"))
    assert payees_in(
        airflow.run(pay(*PAYEES, deferrable=True, wait_for_completion=True, inputs=[{"to": "alice"}, {"to": "bob"}]), 2)
    ) == ["alice", "bob"]
    assert payees_in(airflow.run(pay(*PAYEES), 3)) == list(PAYEES)
    assert sorted(paid(wr)) == sorted(PAYEES)


@needs_store
@pytest.mark.parametrize(("on_clear", "times"), [("reattach", 1), ("resubmit", 2)])
def test_clear(airflow: FakeAirflow, wr: Emulator, on_clear: str, times: int) -> None:
    """A clear takes what was submitted, unless the DAG says otherwise; a retry after it does not submit once more."""
    airflow.run(pay(*PAYEES, on_clear=on_clear))
    airflow.run(pay(*PAYEES, on_clear=on_clear), 2, 1 + RETRIES + 1)
    airflow.run(pay(*PAYEES, on_clear=on_clear), 3, 1 + RETRIES + 1)
    assert sorted(paid(wr)) == sorted(PAYEES * times)


@needs_store
def test_cleared_while_they_run(airflow: FakeAirflow, wr: Emulator) -> None:
    """What runs is taken after a clear also with ``resubmit``, and not submitted by a retry after it has ended."""
    wr.script("PAY", manual=True)
    deferral(airflow, pay("alice", on_clear="resubmit", deferrable=True))
    with pytest.raises(TaskDeferred):
        airflow.run(pay("alice", on_clear="resubmit", deferrable=True), 2, 1 + RETRIES + 1)
    wr.complete(wr.executions[0]["id"], {"paid": "alice"})
    assert payees_in(airflow.run(pay("alice", on_clear="resubmit"), 3, 1 + RETRIES + 1)) == ["alice"]
    assert paid(wr) == ["alice"]


@needs_store
def test_other_inputs(airflow: FakeAirflow, wr: Emulator, read_log: Callable[[], str]) -> None:
    """Another input at a place is a doubt, and nothing is submitted; one that is gone is named in the log."""
    airflow.run(pay("alice", "bob"))
    with pytest.raises(AirflowFailException) as caught:
        airflow.run(pay("alice", "mallory", "carol"), 2)
    text = str(caught.value)
    assert text.startswith(
        "There is a doubt about inputs[1], so no more was submitted; 1 of 3 inputs are known to be submitted. "
    )
    assert "Key 'inputs[1]': This task submitted another request before" in text
    assert "(Doubt: other request.)" in text
    assert "airflow whiterabbit doubts pay.daily" in text
    assert records(airflow)["inputs[1]"]["doubt"] == "other request"
    assert payees_in(airflow.run(pay("alice"), 3)) == ["alice"]
    assert "An earlier try has submitted 1 inputs more than this try has: nobody waits for inputs[1]" in read_log()
    assert paid(wr) == ["alice", "bob"] or sorted(paid(wr)) == ["alice", "bob"]


@pytest.mark.parametrize("on_clear", ["reattach", "resubmit"])
def test_without_a_store(wr: Emulator, on_clear: str) -> None:
    """Before Airflow 3.3, a retry refuses; so does a clear, unless the DAG says that it submits anew."""
    airflow, options = FakeAirflow(has_store=False, timing=Timing(first_pause=0)), {"retries": RETRIES}
    airflow.run(pay(*PAYEES, on_clear=on_clear, **options))
    with pytest.raises(AirflowFailException, match=r"There is a doubt about inputs\[0\].*Before version 3\.3"):
        airflow.run(pay(*PAYEES, on_clear=on_clear, **options), 2)
    assert len(paid(wr)) == len(PAYEES)
    cleared = pay(*PAYEES, on_clear=on_clear, **options), 2, 1 + RETRIES
    if on_clear == "resubmit":
        airflow.run(*cleared)
    else:
        with pytest.raises(AirflowFailException, match="There is a doubt"):
            airflow.run(*cleared)
    airflow.run(pay("alice", on_doubt="resubmit", **options), 3)
    assert len(paid(wr)) == len(PAYEES) * (1 + (on_clear == "resubmit")) + 1


# --- submissions that fail


def refuse(wr: Emulator, status: int, message: str = "no", **where: Any) -> effects.Fault:
    """Let White Rabbit refuse submissions."""
    return wr.fault(effects.Answer(status, {"errors": [{"code": "NO", "message": message}]}), kind="submit", **where)


@needs_store
def test_refused(airflow: FakeAirflow, wr: Emulator) -> None:
    """The first refused input ends the submitting and the retries; after a clear, the task goes on there."""
    refuse(wr, 422, skip=2)
    with pytest.raises(
        AirflowFailException,
        match=r"^inputs\[2\]: White Rabbit answered 422 .*So no more was submitted; 2 of 5 inputs are submitted\. "
        r"Correct it, and clear this task: it takes what is submitted, and submits the others\.$",
    ):
        airflow.run(pay(*PAYEES, at_once=1))
    assert paid(wr) == ["alice", "bob", "carol"]
    assert list(records(airflow)) == ["inputs[0]", "inputs[1]"]
    corrected = ("alice", "bob", "carla", "dave", "erin")
    assert payees_in(airflow.run(pay(*corrected), 2, 1 + RETRIES + 1)) == list(corrected)
    assert sorted(paid(wr)[3:]) == ["carla", "dave", "erin"]


@needs_store
def test_what_is_under_way_is_recorded(airflow: FakeAirflow, wr: Emulator) -> None:
    """A submission that is under way when another one is refused is finished, and its id is stored. Nothing follows."""
    held = wr.fault(effects.Hold(before=True), kind="submit")
    refuse(wr, 422)

    def release() -> None:
        wr.wait_for_request(kind="submit", count=2, timeout=60)
        # The refused thread stops the others before it withdraws its record.
        until(lambda: len(records(airflow)) == 1, "the record of the refused input to be withdrawn", 60, 0.001)
        wr.release(held)

    releasing = threading.Thread(target=release)
    releasing.start()
    with pytest.raises(AirflowFailException, match="1 of 5 inputs are submitted"):
        airflow.run(pay(*PAYEES, at_once=2))
    releasing.join()
    assert len(paid(wr)) == 2
    assert [record["id"] for record in records(airflow).values()] == [wr.executions[0]["id"]]


@needs_store
def test_too_many_requests(airflow: FakeAirflow, wr: Emulator, read_log: Callable[[], str]) -> None:
    """While White Rabbit has too many requests, inputs wait, and fewer of them are submitted at once."""
    refuse(wr, 429, times=40)
    assert payees_in(airflow.run(pay(*PAYEES))) == list(PAYEES)
    assert "White Rabbit has too many requests: from now on, 10 inputs are submitted at once" in read_log()
    assert len(wr.executions) == len(PAYEES)


@needs_store
@pytest.mark.parametrize("options", [{}, {"on_doubt": "resubmit"}], ids=str)
def test_uncertain(airflow: FakeAirflow, wr: Emulator, options: dict[str, Any]) -> None:
    """A lost answer ends the submitting; later tries do what the DAG says about doubts."""
    wr.fault(effects.Reset("answer"), kind="submit", skip=1)
    with pytest.raises(AirflowException, match=r"inputs\[1\]") as caught:
        airflow.run(pay("alice", "bob", "carol", at_once=1, **options))
    assert paid(wr) == ["alice", "bob"]
    again = pay("alice", "bob", "carol", at_once=1, **options)
    if options:
        assert not isinstance(caught.value, AirflowFailException)
        assert len(airflow.run(again, 2)) == 3
        assert paid(wr) == ["alice", "bob", "bob", "carol"]
    else:
        with pytest.raises(AirflowFailException, match=r"There is a doubt about inputs\[1\].*Doubt: uncertain"):
            airflow.run(again, 2)
        assert paid(wr) == ["alice", "bob"]


class Killed(BaseException):
    """Ends a try as SIGKILL does."""


class KillingStore:
    """Kills the try before or after a write of the store, and then refuses all calls, as Airflow does.

    :param number: the number of the write, from 0.
    """

    def __init__(self, airflow: FakeAirflow, number: int, after: bool) -> None:
        self._writes = airflow.store.retentions
        self._number = number + after
        self._after = after
        self.is_dead = False

    def __call__(self, name: str, value: Any) -> bool:
        """Raise the kill."""
        self.is_dead |= len(self._writes) >= self._number and (name == "set" or self._after)
        if self.is_dead:
            raise Killed
        return False


@needs_store
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_killed_at_every_write(wr: Emulator, after: bool) -> None:
    """Wherever a try is killed, each input is submitted at most once by it and the next try, and doubts name the rest.

    The store refuses all that a killed process would still write.
    """
    probe = AirflowOfThisVersion(timing=Timing(first_pause=0))
    probe.run(pay(*PAYEES, at_once=2))
    writes = len(probe.store.retentions)
    for number in range(writes - after):  # after the last one, the try submits nothing any more
        wr.reset()
        wr.component("PAY")
        wr.script("PAY", output=lambda inputs, _: {"paid": inputs["to"]})
        airflow = AirflowOfThisVersion(timing=Timing(first_pause=0))
        airflow.store.failing = failing = KillingStore(airflow, number, after)
        with pytest.raises((Killed, AirflowException)):
            airflow.run(pay(*PAYEES, at_once=2))
        assert failing.is_dead
        airflow.store.failing = lambda name, value: False
        try:
            assert payees_in(airflow.run(pay(*PAYEES, at_once=2), 2)) == list(PAYEES)
        except AirflowFailException as error:
            assert "Doubt: uncertain" in str(error)  # noqa: PT017
        assert len(set(paid(wr))) == len(paid(wr)), number


# --- time and kills


def test_timeout_while_waiting(airflow: FakeAirflow, wr: Emulator) -> None:
    """The timeouts raise their exceptions, in the worker and after a deferral; nothing is submitted again."""
    wr.script("PAY", manual=True)
    fails = pytest.raises if airflow.has_store else fails_for_good  # without a store, no retry could wait
    if airflow.has_store:  # then the submission need not be faster than a timeout
        deferral(airflow, pay("alice", deferrable=True))
    with fails(exc.WhiteRabbitTimeoutError, match="1 of 1 executions had not ended"):
        airflow.run(pay("alice", timeout=2))
    with fails(exc.WhiteRabbitTimeoutError):
        resume(airflow, deferral(airflow, pay("alice", timeout=2, deferrable=True)), pay("alice", deferrable=True))
    assert len(paid(wr)) == (1 if airflow.has_store else 2)


@needs_store
def test_timeout_while_submitting(airflow: FakeAirflow, wr: Emulator) -> None:
    """After the deadline nothing more is submitted, and a retry goes on."""
    with pytest.raises(exc.WhiteRabbitTimeoutError, match="The time is up, and only 0 of 5 inputs are submitted"):
        airflow.run(pay(*PAYEES, timeout=0))
    assert not paid(wr)
    assert payees_in(airflow.run(pay(*PAYEES), 2)) == list(PAYEES)


@needs_store
def test_airflows_timeout(airflow: FakeAirflow, wr: Emulator) -> None:
    """Airflow's timeout of the task, which a signal raises, stops the submitting; what is under way is recorded."""
    import signal

    held = wr.fault(effects.Hold(before=True), kind="submit")

    def ring(*_: Any) -> None:
        wr.release(held)
        raise AirflowTaskTimeout("Timeout")

    before = signal.signal(signal.SIGUSR1, ring)
    try:

        def kill_when_held() -> None:
            wr.wait_for_request(kind="submit", timeout=60)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

        killer = threading.Thread(target=kill_when_held)
        killer.start()
        with pytest.raises((AirflowFailException, AirflowTaskTimeout), match="Timeout"):
            airflow.run(pay(*PAYEES, at_once=1))
        killer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert paid(wr) == ["alice"]
    assert [record["id"] for record in records(airflow).values()] == [wr.executions[0]["id"]]


def test_kill(airflow: FakeAirflow, wr: Emulator, read_log: Callable[[], str]) -> None:
    """A task that is killed while it submits submits no more, and names what goes on."""
    held = wr.fault(effects.Hold(before=True), kind="submit", skip=1)
    task = pay(*PAYEES, at_once=1)

    def kill() -> None:
        wr.wait_for_request(kind="submit", count=2, timeout=60)
        task.on_kill()
        wr.release(held)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(AirflowException, match="The task was stopped: 2 of 5 inputs are submitted"):
        airflow.run(task)
    killer.join()
    first = wr.executions[0]["id"]
    assert (
        f"1 of 5 inputs are submitted; their executions may still be running at White Rabbit, and were not cancelled: "
        f"{first}"
    ) in read_log()
    assert paid(wr) == ["alice", "bob"]


def test_kill_while_records_are_read(airflow: FakeAirflow, wr: Emulator, read_log: Callable[[], str]) -> None:
    """A task that is killed when all executions have ended does not say that some may be running."""
    wr.script("PAY", output={"paid": "alice"}, after=0.2)
    task = pay("alice", deferrable=True)
    deferred = deferral(airflow, task)

    class KilledOperator(WhiteRabbitExecuteComponentsOperator):
        def _kept(self, record: Any) -> Any:
            self.on_kill()
            return super()._kept(record)

    resumed = KilledOperator(task_id="pay", module="PAY", inputs=[{"to": "alice"}], deferrable=True)
    assert payees_in(resume(airflow, deferred, resumed)) == ["alice"]
    assert "may still be running" not in read_log()


def test_kill_after_the_end(airflow: FakeAirflow, wr: Emulator, read_log: Callable[[], str]) -> None:
    """When nothing runs any more, or a trigger waits, a kill logs nothing."""
    done, deferring = pay("alice"), pay("bob", deferrable=True)
    airflow.run(done)
    wr.script("PAY", manual=True)
    with pytest.raises(TaskDeferred):
        FakeAirflow(timing=Timing(first_pause=0)).run(deferring)
    for task in (done, deferring):
        task.on_kill()
    assert "may still be running" not in read_log()


# --- arguments


@pytest.mark.parametrize(
    "inputs", [None, "x", 5, {"a": 1}, [1], ["x"], [["a"]], [{"a": 2**60}], [{"a": {1}}], [{1: 2}]], ids=repr
)
def test_wrong_inputs(airflow: FakeAirflow, wr: Emulator, inputs: Any) -> None:
    """What is not a list of JSON objects is refused when the DAG is parsed, or before anything is sent."""
    with pytest.raises(exc.WhiteRabbitInputError, match="inputs"):
        pay(inputs=inputs)
    task = pay(inputs="{{ x }}")
    task.inputs = inputs
    with fails_for_good(exc.WhiteRabbitInputError, "inputs"):
        airflow.run(task)
    assert not wr.journal


def test_all_are_checked_first(airflow: FakeAirflow, wr: Emulator) -> None:
    """An input that can't be sent is named, and no other is sent."""
    task = pay(inputs="{{ x }}")
    task.inputs = [{"to": "alice"}, {"to": {"amount": 2**60}}]
    with fails_for_good(exc.WhiteRabbitInputError, r"inputs\[1\]\.to\.amount"):
        airflow.run(task)
    assert not wr.journal


def test_too_many(airflow: FakeAirflow) -> None:
    """A list that is too long is refused, and is not read to its end."""

    def endless() -> Iterator[dict[str, Any]]:
        while True:
            yield {}

    with pytest.raises(exc.WhiteRabbitInputError, match=f"more than {MAX_INPUTS:,} objects"):
        pay(inputs=endless())


@pytest.mark.parametrize(
    "arguments",
    [
        {"at_once": 0},
        {"at_once": 101},
        {"at_once": "many"},
        {"inline_wait": -1},
        {"inline_wait": 15.1},
        {"inline_wait": "soon"},
        {"outputs": "no"},
        {"on_failed_execution": "resubmit"},
        {"on_doubt": "never"},
        {"on_clear": "never"},
    ],
    ids=str,
)
def test_wrong_options(airflow: FakeAirflow, wr: Emulator, arguments: dict[str, Any]) -> None:
    """Wrong options are refused when the DAG is parsed, or before a request."""
    [(name, value)] = arguments.items()
    with pytest.raises(exc.WhiteRabbitInputError, match=name):
        pay("alice", **arguments)
    task = pay("alice", **{name: "{{ x }}"})
    setattr(task, name, value)
    with fails_for_good(exc.WhiteRabbitInputError, name):
        airflow.run(task)
    assert not wr.journal


@pytest.mark.parametrize("of", ["deployment", "DAG"])
def test_ask(
    airflow: FakeAirflow, wr: Emulator, monkeypatch: pytest.MonkeyPatch, read_log: Callable[[], str], of: str
) -> None:
    """The option `ask` of the deployment, or of the DAG for all its operators, counts as `fail`."""
    monkeypatch.setenv("AIRFLOW__WHITERABBIT__ON_DOUBT", "ask" if of == "deployment" else "resubmit")
    with DAG("asks", schedule=None, default_args={"on_doubt": "ask"} if of == "DAG" else {}):
        task = pay("alice")
    airflow.run(task)
    assert "The task fails instead of asking a person: it submits many inputs" in read_log()


def test_templates(airflow: FakeAirflow, wr: Emulator) -> None:
    """The inputs may have templates in their values, be a template of a JSON array, or another task's output."""
    rows = [{"to": "alice"}, {"to": "bob"}]
    with DAG("templates", schedule=None) as dag:
        upstream = WhiteRabbitExecuteComponentOperator(task_id="up", module="X")
        given = ([{"to": "{{ params.one }}"}, rows[1]], "{{ params.rows | tojson }}", XComArg(upstream))
        tasks = [
            WhiteRabbitExecuteComponentsOperator(task_id=f"pay_{number}", module="PAY", inputs=inputs, at_once=1)
            for number, inputs in enumerate(given)
        ]
    assert tasks[2].upstream_task_ids == {"up"}
    tasks[2].inputs = tuple(rows)
    for task in tasks[:2]:
        task.render_template_fields({"params": {"one": "alice", "rows": rows}})
    for task in tasks:
        assert payees_in(AirflowOfThisVersion(timing=Timing(first_pause=0)).run(task)) == ["alice", "bob"]
    assert serialized(dag).get_task("pay_0").template_fields == list(tasks[0].template_fields)


def test_native_rendering(airflow: FakeAirflow, wr: Emulator) -> None:
    """A text of which Airflow made a number is refused with its place."""
    with DAG("native", schedule=None, render_template_as_native_obj=True):
        task = pay(inputs=[{"to": "alice"}, {"to": "100"}])
    task.render_template_fields({})
    with fails_for_good(exc.WhiteRabbitInputError, r"inputs\[1\]\.to.*render_template_as_native_obj"):
        airflow.run(task)
    assert not wr.journal


def test_validate(airflow: FakeAirflow, wr: Emulator) -> None:
    """The catalogue's checks name the input, before anything is sent."""
    with fails_for_good(exc.WhiteRabbitInputError, "NO_SUCH"):
        airflow.run(pay("alice", module="NO_SUCH", validate=True))
    assert not paid(wr)


# --- secrets, lineage, metrics


def test_secrets(airflow: FakeAirflow, wr: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The values of named secrets are sent; results show stars; the trigger is told that there are some."""
    key = "Kj7dYw2mZq91XvbT"
    monkeypatch.setenv("AIRFLOW_VAR_RPC_KEY", key)
    name = secret(variable="rpc_key")
    with DAG("secrets", schedule=None):
        task = pay(inputs=[{"to": f"x{name}"}, {"to": "bob"}])
    task.render_template_fields({})
    assert payees_in(airflow.run(task)) == ["x***", "bob"]
    assert sorted(paid(wr)) == ["bob", f"x{key}"]
    if airflow.has_store:
        assert key not in str(airflow.store.values)
    wr.script("PAY", manual=True)
    with DAG("deferred_secrets", schedule=None):
        waiting = pay(inputs=[{"to": str(name)}], deferrable=True)
    waiting.render_template_fields({})
    deferred = deferral(FakeAirflow(timing=Timing(first_pause=0)), waiting)
    assert deferred.trigger.serialize()[1]["inputs_are_secret"] is True
    assert (deferred.kwargs or {})["secrets"] == [str(name)]


def test_secrets_in_data(airflow: FakeAirflow, wr: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data can't name secrets, unless the DAG allows them."""
    monkeypatch.setenv("AIRFLOW_VAR_RPC_KEY", "Kj7dYw2mZq91XvbT")
    name = secret(variable="rpc_key")
    for options in ({}, {"allowed_secrets": [name]}):
        with DAG("data", schedule=None):
            task = pay(inputs="{{ params.rows | tojson }}", **options)
        task.render_template_fields({"params": {"rows": [{"to": str(name)}]}})
        if options:
            assert len(airflow.run(task)) == 1
        else:
            with fails_for_good(exc.WhiteRabbitInputError, r"inputs\[0\]\.to names the variable 'rpc_key'"):
                airflow.run(task)
            assert not paid(wr)


def test_lineage(airflow: FakeAirflow, wr: Emulator) -> None:
    """OpenLineage gets the component, the number and a digest of the ids, and the credits."""
    task = pay(*PAYEES)
    results = airflow.run(task)
    facts = task._lineage_facts()
    assert facts["identity"] == name_of_many([result["id"] for result in results])
    assert facts["subject"] == "PAY"
    assert facts["credits_spent"] == 2.5
    assert task.operator_extra_links == ()


@pytest.mark.parametrize("choice", ["return", "fail"])
def test_lineage_of_failures(airflow: FakeAirflow, wr: Emulator, choice: str) -> None:
    """Executions that have failed are an error of the task only if they fail it."""
    wr.script("PAY", error={"message": "no funds"})
    task = pay("alice", on_failed_execution=choice)
    with contextlib.nullcontext() if choice == "return" else pytest.raises(AirflowFailException):
        airflow.run(task)
    assert bool(task._lineage_facts()["failure"]) == (choice == "fail")


def test_other_module(airflow: FakeAirflow, wr: Emulator) -> None:
    """An execution of another component than the one that the task asked for is an error."""
    task = pay("alice", deferrable=True)
    other = wr.create_execution("OTHER", output=1)
    event = {"execution_ids": name_of_many([other]), "status": "COMPLETED", "message": None}
    fails = pytest.raises if airflow.has_store else fails_for_good
    with fails(exc.WhiteRabbitProtocolError, match="OTHER"):
        task.resume_execution("execute_complete", {"event": event, "identity": [other]}, airflow.context(task))
