"""Doubts about an earlier submission: another request, a record that is gone, a clear that can't be told."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client import api
from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.compat import AirflowFailException, TaskDeferred
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.submission import digest
from dev.harness.polling import until
from dev.harness.standins import ANSWER_KEY, RETRIES, FakeAirflow, FakeTaskInstance, submission_record
from tests.failing import fails_for_good
from tests.operators.remotes import REMEDY, component_operator
from tests.versions import NO_STORE

ALICE, BOB = {"to": "alice"}, {"to": "bob"}
UNKNOWN = "00000000-0000-0000-0000-000000000000"
CLEARED = {"try_number": 2, "max_tries": RETRIES + 1}


@pytest.fixture
def airflow(airflow: FakeAirflow) -> FakeAirflow:
    """Return an Airflow with a task state store, without which there is nothing to compare."""
    if not airflow.has_store:
        pytest.skip(NO_STORE)
    return airflow


@pytest.fixture
def wr(whiterabbit_emulator: Emulator) -> Emulator:
    """Return an emulator whose component PAY ends when the test ends it."""
    whiterabbit_emulator.script("PAY", manual=True)
    return whiterabbit_emulator


def pay(payee: Any, **options: Any) -> Any:
    """Return an operator that pays."""
    return component_operator(input=payee, **{"deferrable": True, "retries": RETRIES} | options)


def submitted(airflow: FakeAirflow, wr: Emulator, ended: bool) -> str:
    """Let a first try pay Alice and die while it waits; return the execution's id."""
    with pytest.raises(TaskDeferred) as caught:
        airflow.run(pay(ALICE))
    execution_id = str((caught.value.kwargs or {})["identity"])
    if ended:
        wr.complete(execution_id, ALICE)
    return execution_id


def message_of_doubt(airflow: FakeAirflow, kind: str, operator: Any, **tries: int) -> str:
    """Run a try that must fail for good with a doubt of this kind; return the message."""
    with pytest.raises(AirflowFailException) as caught:
        airflow.run(operator, **{"try_number": 2} | tries)
    message = str(caught.value)
    assert message.endswith(
        f"(Doubt: {kind}.) Look for it in White Rabbit, then settle the doubt with this command: "
        f"{REMEDY} (see at-most-once in this provider's documentation)."
    )
    assert airflow.store.record["doubt"] == kind
    return message


# --- another request


def test_hostile_texts_in_a_stored_record(airflow: FakeAirflow, wr: Emulator) -> None:
    """Texts that another program has stored become fit for the message, which ends with the command all the same."""
    hostile = "\0 \x1b[31m \u202e \ud83d" * 100
    airflow.store.record = submission_record(None) | {"at": hostile, "subject": hostile, "request": hostile}
    airflow.store.record |= {"replaces": {"id": hostile, "at": hostile}, "answer": {"choice": "there", "id": hostile}}
    message = message_of_doubt(airflow, "uncertain", pay(ALICE))
    assert clean(message) == message


@pytest.mark.parametrize("tries", [{}, CLEARED], ids=["retry", "cleared"])
def test_other_request_that_runs(airflow: FakeAirflow, wr: Emulator, tries: dict[str, int]) -> None:
    """A task that asks for another request while the earlier one runs is in doubt, also after a clear."""
    execution_id = submitted(airflow, wr, ended=False)
    message = message_of_doubt(airflow, "other request", pay(BOB), **tries)
    assert execution_id in message
    assert airflow.store.record["request"][:8] in message
    assert len(wr.executions) == 1


def test_other_request_that_ended(airflow: FakeAirflow, wr: Emulator) -> None:
    """A retry never returns the output of another request; after a clear, the task submits what it asks for."""
    submitted(airflow, wr, ended=True)
    message_of_doubt(airflow, "other request", pay(BOB))
    message_of_doubt(airflow, "other request", pay(BOB, on_clear="reattach"), **CLEARED)
    with pytest.raises(TaskDeferred):
        airflow.run(pay(BOB), **CLEARED)
    assert [request.json["input"] for request in wr.requests(kind="submit")] == [ALICE, BOB]


def test_other_connection_is_another_request(
    airflow: FakeAirflow, wr: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same input through another connection is another request."""
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", wr.environ["AIRFLOW_CONN_WHITERABBIT_DEFAULT"])
    submitted(airflow, wr, ended=False)
    message_of_doubt(airflow, "other request", pay(ALICE, whiterabbit_conn_id="other"))


def test_same_request_is_reattached(airflow: FakeAirflow, wr: Emulator) -> None:
    """The order of the input's members and the inline wait make no other request."""
    with pytest.raises(TaskDeferred):
        airflow.run(pay({"a": 1, "b": {"c": 1.0, "d": "2"}}))
    with pytest.raises(TaskDeferred):
        airflow.run(pay({"b": {"d": "2", "c": 1}, "a": 1}, inline_wait=1), 2)
    assert len(wr.executions) == 1


def test_record_of_an_earlier_version(airflow: FakeAirflow, wr: Emulator) -> None:
    """A record without a digest is taken as before, and what was asked stays unknown in it."""
    execution_id = wr.create_execution("PAY", manual=True)
    airflow.store.record = submission_record(execution_id)
    for try_number in (2, 3):
        with pytest.raises(TaskDeferred):
            airflow.run(pay(BOB), try_number)
        assert (airflow.store.record["id"], airflow.store.record["request"]) == (execution_id, None)


def test_doubt_with_resubmit(airflow: FakeAirflow, wr: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """With ``resubmit``, as an argument or for the deployment, a doubt leads to a new submission."""
    submitted(airflow, wr, ended=False)
    with pytest.raises(TaskDeferred):
        airflow.run(pay(BOB, on_doubt="resubmit"), 2)
    monkeypatch.setenv("AIRFLOW__WHITERABBIT__ON_DOUBT", "resubmit")
    with pytest.raises(TaskDeferred):
        airflow.run(pay(ALICE), 3)
    assert [request.json["input"] for request in wr.requests(kind="submit")] == [ALICE, BOB, ALICE]


def test_refused_resubmission(airflow: FakeAirflow, wr: Emulator) -> None:
    """If a submission that replaces an earlier one is refused, the earlier one is not forgotten."""
    submitted(airflow, wr, ended=False)
    before = airflow.store.record
    wr.fault(effects.Answer(422, {"code": "NO", "message": "no"}), kind="submit")
    with pytest.raises((AirflowFailException, exc.WhiteRabbitError)):
        airflow.run(pay(BOB, on_doubt="resubmit"), 2)
    assert airflow.store.record == before


def test_unknown_default(airflow: FakeAirflow, wr: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown word in the option of the deployment fails the task before anything is sent."""
    monkeypatch.setenv("AIRFLOW__WHITERABBIT__ON_DOUBT", "guess")
    with pytest.raises(AirflowFailException, match="must be one of fail, resubmit, ask; got 'guess'"):
        airflow.run(pay(BOB))
    assert not wr.journal


# --- a record that is gone


def test_gone(airflow: FakeAirflow, wr: Emulator) -> None:
    """An id that White Rabbit does not know, or that belongs to another module, is a doubt."""
    airflow.store.record = submission_record(UNKNOWN)
    assert UNKNOWN in message_of_doubt(airflow, "gone", pay(ALICE))
    airflow.store.record = submission_record(wr.create_execution("OTHER", output=1))
    assert "the module 'OTHER', not PAY" in message_of_doubt(airflow, "gone", pay(ALICE))


def test_page_of_a_proxy_is_no_doubt(airflow: FakeAirflow, wr: Emulator) -> None:
    """A 404 without the API's JSON says nothing about the execution, so a retry may find it."""
    submitted(airflow, wr, ended=False)
    wr.fault(effects.Answer(404, "<html>not here</html>"), kind="record", times=None)
    with pytest.raises(exc.WhiteRabbitNotFoundError):
        airflow.run(pay(ALICE), 2)
    assert "doubt" not in airflow.store.record


# --- clears


def test_lowered_retries(airflow: FakeAirflow, wr: Emulator) -> None:
    """A clear that looks like a retry, because `retries` was lowered, is a doubt; the next clear is not."""
    execution_id = submitted(airflow, wr, ended=True)
    airflow.clear_number = 1
    lowered = pay(ALICE)
    lowered.retries = RETRIES - 1
    assert execution_id in message_of_doubt(airflow, "perhaps cleared", lowered)
    assert airflow.run(pay(ALICE, retries=RETRIES), 2) == ALICE  # with `retries` as before, it is a retry
    airflow.clear_number = 2
    with pytest.raises(TaskDeferred):
        airflow.run(lowered, 3, RETRIES + 1)
    assert len(wr.executions) == 2


@pytest.mark.parametrize("choice", ["resubmit", "reattach"])
def test_clear_after_the_end(airflow: FakeAirflow, wr: Emulator, choice: Any) -> None:
    """After a clear, the task submits anew, or takes the earlier output with ``on_clear="reattach"``."""
    submitted(airflow, wr, ended=True)
    if choice == "reattach":
        assert airflow.run(pay(ALICE, on_clear=choice), **CLEARED) == ALICE
    else:
        with pytest.raises(TaskDeferred):
            airflow.run(pay(ALICE, on_clear=choice), **CLEARED)
    assert len(wr.executions) == (1 if choice == "reattach" else 2)


# --- answers


def answered(airflow: FakeAirflow, choice: str, identity: str | None = None) -> dict[str, Any]:
    """Store an answer as the command does; return the answer."""
    answer = {"choice": choice, "by": "ann", "at": "2026-11-26T10:00:00+00:00"} | ({"id": identity} if identity else {})
    record = airflow.store.record
    airflow.store.values[ANSWER_KEY] = answer | {"for": {name: record.get(name) for name in ("id", "at", "asked")}}
    return answer


def test_answer_earlier(airflow: FakeAirflow, wr: Emulator) -> None:
    """After the answer ``earlier``, the task takes the other request for its own, in later retries too."""
    submitted(airflow, wr, ended=True)
    message_of_doubt(airflow, "other request", pay(BOB))
    answer = answered(airflow, "earlier")
    for try_number in (3, 4):
        assert airflow.run(pay(BOB), try_number) == ALICE
        assert airflow.store.record["settled"] == answer
        assert "answer" not in airflow.store.record
    assert len(wr.executions) == 1


def test_answer_submit(airflow: FakeAirflow, wr: Emulator) -> None:
    """After the answer ``submit``, the task submits once, and a retry finds that submission."""
    submitted(airflow, wr, ended=False)
    message_of_doubt(airflow, "other request", pay(BOB))
    answer = answered(airflow, "submit")
    for try_number in (3, 4):
        with pytest.raises(TaskDeferred):
            airflow.run(pay(BOB), try_number)
        assert airflow.store.record["settled"] == answer
    assert len(wr.executions) == 2


def test_answer_there(airflow: FakeAirflow, wr: Emulator) -> None:
    """An id that a person names is checked; if it is wrong, the doubt remains and the message says why."""
    airflow.store.record = submission_record(None)
    for wrong, reason in (
        (UNKNOWN, "White Rabbit does not know this id"),
        (wr.create_execution("OTHER", output=1), "the module 'OTHER', not PAY"),
        ("../x", "must be an id"),
        (None, "must be a string"),
    ):
        answered(airflow, "there", wrong)
        message = message_of_doubt(airflow, "uncertain", pay(ALICE))
        assert message.startswith("The answer ")
        assert reason in message
    execution_id = wr.create_execution("PAY", output=ALICE)
    answered(airflow, "there", execution_id)
    assert airflow.run(pay(ALICE), 3) == ALICE
    assert airflow.store.record["id"] == execution_id
    assert airflow.store.record["request"]
    assert not wr.requests(kind="submit")


def test_id_that_a_person_fills_in(airflow: FakeAirflow, wr: Emulator) -> None:
    """An id that a person fills into the record of a lost submission counts, after a clear too."""
    wr.fault(effects.Reset("answer"), kind="submit")
    with pytest.raises(AirflowFailException, match="not known whether"):
        airflow.run(pay(ALICE))
    execution_id = wr.executions[-1]["id"]
    wr.complete(execution_id, ALICE)
    answered(airflow, "submit")
    airflow.store.record |= {"id": f" {execution_id}\n", "answer": {"choice": "submit"}}  # the id is the later word
    assert airflow.run(pay(ALICE), **CLEARED) == ALICE
    assert len(wr.executions) == 1


def test_id_filled_into_a_record_of_an_earlier_version(airflow: FakeAirflow, wr: Emulator) -> None:
    """An id that a person fills into an earlier version's record, about which this version had a doubt, counts too."""
    airflow.store.record = submission_record(None)
    message_of_doubt(airflow, "uncertain", pay(ALICE))
    execution_id = wr.create_execution("PAY", output=ALICE)
    airflow.store.record |= {"id": execution_id}
    assert airflow.run(pay(ALICE), **CLEARED) == ALICE
    assert not wr.requests(kind="submit")


def test_late_answer(airflow: FakeAirflow, wr: Emulator) -> None:
    """An answer that arrives when the task has submitted since does not count, and is not obeyed in a later try."""
    wr.fault(effects.Reset("answer"), kind="submit")
    message_of_doubt(airflow, "uncertain", pay(ALICE), try_number=1)
    answered(airflow, "submit")
    late = airflow.store.values[ANSWER_KEY]
    for try_number in (2, 3):
        with pytest.raises(TaskDeferred):
            airflow.run(pay(ALICE), try_number)
        airflow.store.values[ANSWER_KEY] = late
    assert len(wr.requests(kind="submit")) == 2


def test_answer_of_another_module(airflow: FakeAirflow, wr: Emulator) -> None:
    """A record of another module in the answer to the submission, or at the end, is never the task's output."""
    record = {"id": UNKNOWN, "module": "PAYROLL", "status": "COMPLETED", "output": "a salary", "error": None}
    wr.fault(effects.Answer(200, record), kind="submit")
    with pytest.raises(exc.WhiteRabbitProtocolError, match=rf"{UNKNOWN} has the module 'PAYROLL', not PAY"):
        airflow.run(pay(ALICE))


def test_answer_for_another_request(airflow: FakeAirflow, wr: Emulator) -> None:
    """An answer counts for the request that the person was told of, not for one that the task asks for since."""
    submitted(airflow, wr, ended=True)
    message_of_doubt(airflow, "other request", pay(BOB))
    answered(airflow, "earlier")
    message_of_doubt(airflow, "other request", pay({"to": "carol"}), try_number=3)
    answered(airflow, "earlier")
    assert airflow.run(pay({"to": "carol"}), 3) == ALICE


def test_uncertain_about_another_request(airflow: FakeAirflow, wr: Emulator) -> None:
    """The doubt about a lost submission names what was submitted, and says that this try asks for something else."""
    wr.fault(effects.Reset("answer"), kind="submit")
    with pytest.raises(AirflowFailException):
        airflow.run(pay(ALICE))
    message = message_of_doubt(airflow, "uncertain", component_operator("REFUND", input=ALICE))
    assert "the submission of component PAY made at" in message
    assert "another request than the one of this try, which asks for component REFUND" in message


def test_replacement_names_what_it_replaced(airflow: FakeAirflow, wr: Emulator) -> None:
    """If the answer to a submission that replaces another is lost, the doubt still names the one before."""
    execution_id = submitted(airflow, wr, ended=False)
    message_of_doubt(airflow, "other request", pay(BOB))
    answered(airflow, "submit")
    wr.fault(effects.Reset("answer"), kind="submit")
    assert f"It replaced {execution_id}, submitted at" in message_of_doubt(airflow, "uncertain", pay(BOB))


def test_two_processes_of_one_try(airflow: FakeAirflow, wr: Emulator) -> None:
    """If another process of the task submits while this one still prepares, this one sends nothing."""

    class Slow(WhiteRabbitExecuteComponentOperator):
        def _check_before_submission(self) -> None:
            with pytest.raises(TaskDeferred):
                airflow.run(pay(ALICE))

    with pytest.raises(exc.WhiteRabbitError, match="Another process of this task"):
        airflow.run(Slow(task_id="pay", module="PAY", input=ALICE, deferrable=True))
    assert len(wr.requests(kind="submit")) == 1
    with pytest.raises(TaskDeferred):
        airflow.run(pay(ALICE), 2)
    assert len(wr.requests(kind="submit")) == 1


@pytest.mark.parametrize("replaces", [False, True])
def test_late_process(airflow: FakeAirflow, wr: Emulator, replaces: bool) -> None:
    """A process whose POST hangs while a person lets another one submit keeps what the other one has submitted."""
    if replaces:
        submitted(airflow, wr, ended=True)
    wr.script("PAY", output=ALICE)
    wr.fault(effects.Answer(400, {"code": "VALIDATION_ERROR", "message": "no"}), kind="submit")
    hold = wr.fault(effects.Hold(before=True), kind="submit")
    airflow.ti = FakeTaskInstance(2, RETRIES + replaces)
    late = pay(ALICE, deferrable=False)
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(late.execute, airflow.context(late))
        until(lambda: hold.hits, "the POST", 60)
        answered(airflow, "submit")
        assert airflow.run(pay(ALICE, deferrable=False), 3, RETRIES + replaces) == ALICE
        wr.release(hold)
        with pytest.raises(AirflowFailException, match="VALIDATION_ERROR"):
            ending.result(60)
    assert airflow.run(pay(ALICE), 4, RETRIES + replaces) == ALICE
    assert airflow.store.record["id"] == wr.executions[-1]["id"]
    assert len(wr.executions) == 1 + replaces


def test_answer_with_the_id_of_what_is_replaced(airflow: FakeAirflow, wr: Emulator) -> None:
    """An answer with the id of the execution that the submission replaces does not tell whether it was received."""
    earlier = submitted(airflow, wr, ended=True)
    wr.fault(effects.Alter({"id": earlier}), kind="submit")
    message = message_of_doubt(airflow, "uncertain", pay(ALICE), **CLEARED)
    assert f"It replaced {earlier}, submitted at" in message
    assert f"has the id {earlier}, which is the id of the submission that was replaced" in message
    message_of_doubt(airflow, "uncertain", pay(ALICE), try_number=3, max_tries=RETRIES + 1)
    assert len(wr.executions) == 2


def test_answer_stop(airflow: FakeAirflow, wr: Emulator) -> None:
    """The answer ``stop`` settles nothing: the next try is in doubt again."""
    submitted(airflow, wr, ended=False)
    answered(airflow, "stop")
    message_of_doubt(airflow, "other request", pay(BOB))


# --- the digest


def identity(**changes: Any) -> Any:
    """Return the identity of a task instance."""
    return SimpleNamespace(**{"dag_id": "d", "run_id": "r", "task_id": "t", "map_index": -1} | changes)


def test_digest_tells_requests_apart() -> None:
    """Every field that says what is asked, the connection and the task instance make another digest."""
    base = api.execute_component("PAY", {"to": "bob"}, callback_url="https://x.example/a", callback_secret="whsec_1")
    digests = [
        digest(base, "c", identity()),
        digest(base, "other", identity()),
        *(digest(base, "c", identity(**{name: 3 if name == "map_index" else "x"})) for name in vars(identity())),
        digest(api.execute_component("PAY", {"to": "bob"}), "c", identity()),
        digest(api.execute_component("PAY", {"to": "bob"}, attempts=2), "c", identity()),
        digest(api.execute_component("PAY", {"to": "bo"}), "c", identity()),
        digest(api.execute_component("PAY", {"to": "bob"}, {"a": 1}), "c", identity()),
        digest(api.execute_component("PAY", {}, {"to": "bob"}), "c", identity()),
        digest(api.execute_component("PA", {"to": "bob"}), "c", identity()),
        digest(api.trigger_workflow("w-1"), "c", identity()),
        digest(api.trigger_workflow("w-2"), "c", identity()),
    ]
    assert len(set(digests)) == len(digests)
    assert {len(bytes.fromhex(each)) for each in digests} == {32}


def test_digest_ignores_how() -> None:
    """A rotated callback secret and another inline wait do not make another request."""
    url = "https://x.example/a"
    one = api.execute_component("PAY", callback_url=url, callback_secret="whsec_1", callback_headers={"a": "b"})
    two = api.execute_component("PAY", callback_url=url, callback_secret="whsec_2", inline_wait=5)
    assert digest(one, "c", identity()) == digest(two, "c", identity())


# --- errors that no retry mends


@pytest.mark.parametrize("status", [401, 403, 503])
def test_errors_after_a_submission_keep_the_retries(airflow: FakeAirflow, wr: Emulator, status: int) -> None:
    """An error of the API about what was submitted leaves the retries, which may reattach."""
    submitted(airflow, wr, ended=False)
    wr.fault(effects.Answer(status, {"message": "no"}), kind="record", times=None)
    with pytest.raises(exc.WhiteRabbitResponseError):
        airflow.run(pay(ALICE), 2)


def test_wrong_connection_after_a_submission(
    airflow: FakeAirflow, wr: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that can't be used ends the task only if nothing was submitted; otherwise a retry may reattach."""
    good = wr.environ["AIRFLOW_CONN_WHITERABBIT_DEFAULT"]
    submitted(airflow, wr, ended=False)
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", good.replace("127.0.0.1", "user:x@127.0.0.1"))
    for options in ({}, {"callback_url": "https://dags.example/"}):  # which takes its secret from the connection
        with pytest.raises(exc.WhiteRabbitConfigError):
            airflow.run(pay(ALICE, **options), 2)
    airflow.store.values.clear()
    with fails_for_good(exc.WhiteRabbitConfigError):
        airflow.run(pay(ALICE))


def test_refused_after_a_clear(airflow: FakeAirflow, wr: Emulator) -> None:
    """A refusal of the submission after a clear ends the task, and its message does not blame the earlier one."""
    submitted(airflow, wr, ended=True)
    wr.fault(effects.Answer(422, {"code": "NO", "message": "no"}), kind="submit")
    with fails_for_good(exc.WhiteRabbitInvalidRequestError) as caught:
        airflow.run(pay(ALICE), **CLEARED)
    assert "was submitted" not in str(caught.value)


@pytest.mark.parametrize("users", [[], ["ada"], [{"id": "7"}], [{"id": 7, "name": "Ada"}], "ada", {"id": "7"}])
def test_wrong_users(users: Any) -> None:
    """Wrong `assigned_users` are refused when the DAG is parsed, also an empty list, which would mean everyone."""
    with pytest.raises(exc.WhiteRabbitInputError, match="assigned_users must"):
        pay(ALICE, assigned_users=users)


def test_operator_in_the_code_of_a_task(airflow: FakeAirflow, wr: Emulator) -> None:
    """An operator in the code of a `@task` neither defers nor asks, because Airflow would resume the `@task` itself."""
    operator = pay(ALICE, on_doubt="ask")
    context = airflow.context(operator) | {"task": SimpleNamespace(python_callable=print, retries=0)}
    airflow.ti.try_number = 1
    wr.script("PAY", output=ALICE)
    assert operator.execute(context) == ALICE
    airflow.store.record = submission_record(None)
    airflow.ti.try_number = 2
    with pytest.raises(AirflowFailException, match="not known whether"):
        pay(ALICE, on_doubt="ask").execute(airflow.context(operator) | {"task": context["task"]})
    with pytest.raises(AirflowFailException, match="executes operators more than once"):
        pay(ALICE).execute(airflow.context(operator) | {"task": context["task"]})  # another context of the same try


def test_errors_without_a_store_are_final(wr: Emulator) -> None:
    """Without a store, a retry could only fail with a misleading message, so the first error ends the task."""
    airflow = FakeAirflow(has_store=False, timing=Timing(first_pause=0))
    wr.pause()
    with fails_for_good(exc.WhiteRabbitTransportError):
        airflow.run(pay(ALICE))
    with pytest.raises(exc.WhiteRabbitTransportError):
        airflow.run(pay(ALICE, on_doubt="resubmit"))
    wr.resume()
    wr.fault(effects.Answer(401, {"code": "NO", "message": "key revoked"}), kind="record", times=None)
    wr.fault(effects.Answer(401, {"code": "NO", "message": "key revoked"}), kind="stream", times=None)
    with fails_for_good(exc.WhiteRabbitAuthenticationError) as caught:
        airflow.run(pay(ALICE, deferrable=False))
    assert f"(The execution {wr.executions[-1]['id']} was submitted)" in str(caught.value)
