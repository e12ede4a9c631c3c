"""The question of ``on_doubt="ask"``: what a person reads, may answer, and what the task does then."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from airflow_provider_whiterabbit.compat import AirflowException, AirflowFailException, TaskDeferred, mask_secret
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.operators.question import answer_in
from dev.harness.standins import FakeAirflow, submission_record
from tests.operators.remotes import Remote, component_operator
from tests.versions import needs_store

UNKNOWN = "00000000-0000-0000-0000-000000000000"


class Supervisor:
    """A worker's supervisor process, which stores the questions that tasks ask."""

    def __init__(self) -> None:
        self.questions: list[Any] = []

    def send(self, msg: Any) -> None:
        """Store a question."""
        if type(msg).__name__ == "CreateHITLDetailPayload":
            self.questions.append(msg)


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Supervisor:
    """Give the tasks a supervisor."""
    from airflow.sdk.execution_time import task_runner

    supervisor = Supervisor()
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)
    return supervisor


def ask(airflow: FakeAirflow, supervisor: Supervisor, run: Any) -> Any:
    """Run a try that must park itself; return its question."""
    from airflow.sdk.exceptions import TaskAwaitingInput

    with pytest.raises(TaskAwaitingInput) as caught:
        run()
    assert (caught.value.method_name, caught.value.timeout) == ("execute_answered", None)
    return supervisor.questions.pop()


def event(option: str, **fields: Any) -> dict[str, Any]:
    """Return the event with which Airflow resumes a task after an answer."""
    return {
        "chosen_options": [option],
        "params_input": fields,
        "responded_at": datetime(2026, 11, 26, 10, tzinfo=UTC),
        "responded_by_user": {"id": "7", "name": "ann"},
        "timedout": False,
    }


def answer(airflow: FakeAirflow, operator: Any, option: str, **fields: Any) -> Any:
    """Resume a parked task with an answer."""
    return operator.execute_answered(airflow.context(operator), event(option, **fields))


@needs_store
def test_lost_answer(airflow: FakeAirflow, supervisor: Supervisor, remote: Remote) -> None:
    """A submission whose answer is lost asks at once; a wrong id asks again with the reason; the right one ends it."""
    remote.wr.fault(effects.Reset("answer"), kind=remote.submit)
    operator = remote.operator(on_doubt="ask", assigned_users=[{"id": "7", "name": "ann"}])
    question = ask(airflow, supervisor, lambda: airflow.run(operator))
    assert question.options == ["It is there", "Submit now", "Stop"]
    assert question.subject == f"White Rabbit: did the submission of {operator.submission_name} arrive?"
    assert list(question.params) == [remote.id_name]
    assert [(user.id, user.name) for user in question.assigned_users] == [("7", "ann")]
    for part in ("It is not known whether", r"whiterabbit\_default", airflow.store.record["at"]):
        assert part in question.body
    for wrong, reason in ((UNKNOWN, "does not know this id"), ("", "must be an id"), (None, "must be a string")):
        again = partial(answer, airflow, operator, "It is there", **{remote.id_name: wrong})
        question = ask(airflow, supervisor, again)
        assert question.body.startswith("The answer ")
        assert reason in question.body
    expected = remote.result(remote.newest)
    assert answer(airflow, operator, "It is there", **{remote.id_name: f" {remote.newest}\n"}) == expected
    assert remote.submissions == 1
    settled = {"choice": "there", "by": "ann", "at": "2026-11-26T10:00:00+00:00", "id": remote.newest}
    assert airflow.store.record["settled"] == settled


@needs_store
def test_submit_now(airflow: FakeAirflow, supervisor: Supervisor, remote: Remote) -> None:
    """After *Submit now*, the task submits once, and a retry takes that submission."""
    airflow.store.record = submission_record(None)
    operator = remote.operator(on_doubt="ask")
    ask(airflow, supervisor, lambda: airflow.run(operator, 2))
    assert answer(airflow, operator, "Submit now") == remote.result(remote.newest)
    assert airflow.run(remote.operator(on_doubt="ask"), 3) == remote.result(remote.newest)
    assert remote.submissions == 1


@needs_store
def test_answer_is_obeyed_once(airflow: FakeAirflow, supervisor: Supervisor, remote: Remote) -> None:
    """If Airflow resumes a task twice with one answer *Submit now*, the second resume does not submit again."""
    airflow.store.record = submission_record(None)
    operator = remote.operator(on_doubt="ask")
    ask(airflow, supervisor, lambda: airflow.run(operator, 2))
    remote.wr.fault(effects.Reset("answer"), kind=remote.submit)
    for _ in range(2):
        with pytest.raises(AirflowException, match=r"A later try of this task asks about it") as caught:
            answer(airflow, operator, "Submit now")
        assert not isinstance(caught.value, AirflowFailException)  # the retry asks, with a text of its own
        assert remote.submissions == 1
    question = ask(airflow, supervisor, lambda: airflow.run(operator, 3))
    assert airflow.store.record["at"] in question.body


@needs_store
def test_answer_to_another_request(
    airflow: FakeAirflow, supervisor: Supervisor, whiterabbit_emulator: Emulator
) -> None:
    """An answer about one request never counts for another one, not even in a later try with that request."""
    airflow.store.record = submission_record(None)
    ask(airflow, supervisor, lambda: airflow.run(component_operator(input={"to": "bob"}, on_doubt="ask"), 2))
    edited = component_operator(input={"to": "carol"}, on_doubt="ask")
    with pytest.raises(AirflowException, match=r"A later try of this task asks about it"):
        answer(airflow, edited, "Submit now")
    ask(airflow, supervisor, lambda: airflow.run(edited, 3))
    assert not whiterabbit_emulator.requests(kind="submit")


@needs_store
def test_stop(airflow: FakeAirflow, supervisor: Supervisor, remote: Remote) -> None:
    """After *Stop*, the task fails without retries, and names who stopped it."""
    airflow.store.record = submission_record(None)
    operator = remote.operator(on_doubt="ask")
    ask(airflow, supervisor, lambda: airflow.run(operator, 2))
    with pytest.raises(AirflowFailException, match="Stopped by the answer of ann"):
        answer(airflow, operator, "Stop")
    assert airflow.store.record["answer"]["choice"] == "stop"
    airflow.store.failing = lambda name, value: name == "set"
    with pytest.raises(AirflowFailException, match="Stopped by the answer of ann"):
        answer(airflow, operator, "Stop")
    assert not remote.submissions


@needs_store
def test_question_shows_the_input(airflow: FakeAirflow, supervisor: Supervisor, whiterabbit_emulator: Emulator) -> None:
    """The question shows what the task asks for, with secrets masked, bounded and safe in Markdown."""
    airflow.store.record = submission_record(None)
    hostile = "```\n# Click *Submit now*\n[x](javascript:alert(1)) \u0000"
    token, key = "eyJ" + 100 * "Zx9Q", 'p\u00e4"ss-word'
    for secret in (token, key):
        mask_secret(secret)
    nested = {"a": {"b": {"c": [key]}}}
    values = {"to": hostile, "api_key": "hunter2-hunter2", "long": "x" * 5000, "token": token, "nested": nested}
    values["memo"] = "Zürich \u202e"
    question = ask(airflow, supervisor, lambda: airflow.run(component_operator(input=values, on_doubt="ask"), 2))
    assert "hunter2" not in question.body
    assert "eyJ" not in question.body
    assert "ss-w" not in question.body
    assert "\n```\n" not in question.body.partition("```json\n")[2].partition("\n```\n\nWhat happens")[0]
    assert "\u0000" not in question.body
    assert r'"memo": "Zürich \u202e"' in question.body
    assert len(question.body) < 4000


@needs_store
def test_text_of_the_server(airflow: FakeAirflow, supervisor: Supervisor, remote: Remote) -> None:
    """A server's error message can add no link, image or code to the question."""
    hostile = "[pay here](https://evil.example) ![x](https://evil.example) <b> `x`\n# *now*"
    linked = " WWW.evil.example https&colon;//evil.example pay@evil.example _now_"
    remote.wr.fault(effects.Answer(500, {"message": hostile + linked}), kind=remote.submit)
    question = ask(airflow, supervisor, lambda: airflow.run(remote.operator(on_doubt="ask")))
    assert (
        r"\[pay here\](https:|//evil.example) \!\[x\](https:|//evil.example) \<b\> \`x\` \# \*now\*".replace(
            ":|", ":\u200b"
        )
        in question.body
    )
    assert (
        r"WWW|.evil.example https\&colon;//evil.example pay@|evil.example \_now\_".replace("|", "\u200b")
        in question.body
    )


@needs_store
def test_hostile_characters_of_the_server(airflow: FakeAirflow, supervisor: Supervisor, remote: Remote) -> None:
    """A server's error message can add no character to the question that Airflow can't send or store."""
    remote.wr.fault(effects.Answer(500, {"message": "half \ud83d, nothing \0"}), kind=remote.submit)
    question = ask(airflow, supervisor, lambda: airflow.run(remote.operator(on_doubt="ask")))
    assert "half \ufffd, nothing \ufffd" in question.body


def test_hostile_answer() -> None:
    """The name and the id in an answer, which the task stores and logs, are fit."""
    event = {
        "chosen_options": ["It is there"],
        "params_input": {"execution_id": " e\0 "},
        "responded_by_user": {"name": "\ud83d"},
        "responded_at": None,
    }
    assert answer_in(event, "execution_id") == {"choice": "there", "by": "\ufffd", "at": "None", "id": "e\ufffd"}


@needs_store
def test_other_request(airflow: FakeAirflow, supervisor: Supervisor, whiterabbit_emulator: Emulator) -> None:
    """A doubt about another request offers the earlier one, links to it, and takes no id."""
    whiterabbit_emulator.script("PAY", manual=True)
    with pytest.raises(TaskDeferred):
        airflow.run(component_operator(input={"to": "alice"}, deferrable=True))
    execution_id = whiterabbit_emulator.executions[-1]["id"]
    operator = component_operator(input={"to": "bob"}, on_doubt="ask")
    question = ask(airflow, supervisor, lambda: airflow.run(operator, 2))
    assert question.options == ["Take the earlier one", "Submit now", "Stop"]
    assert not question.params
    whiterabbit_emulator.complete(execution_id, "alice's receipt")
    assert answer(airflow, operator, "Take the earlier one") == "alice's receipt"
    assert len(whiterabbit_emulator.executions) == 1


@needs_store
def test_emptied_store(airflow: FakeAirflow, supervisor: Supervisor, remote: Remote) -> None:
    """An answer that names an id is obeyed, also if somebody has emptied the store since the question."""
    airflow.store.record = submission_record(None)
    operator = remote.operator(on_doubt="ask")
    ask(airflow, supervisor, lambda: airflow.run(operator, 2))
    airflow.store.values.clear()
    there = remote.create("COMPLETED")
    assert answer(airflow, operator, "It is there", **{remote.id_name: there}) == remote.result(there)
    assert not remote.submissions


@needs_store
@pytest.mark.parametrize("wrong", [None, {}, {"chosen_options": []}, {"chosen_options": ["Yes"]}, {"error": "x"}])
@pytest.mark.usefixtures("supervisor")
def test_unreadable_answer(airflow: FakeAirflow, remote: Remote, wrong: Any) -> None:
    """An event that holds no answer raises an error, and nothing is submitted."""
    airflow.store.record = submission_record(None)
    operator = remote.operator(on_doubt="ask")
    airflow.context(operator)
    with pytest.raises(Exception, match="The answer can't be read"):
        operator.execute_answered(airflow.context(operator), wrong)
    assert not remote.submissions


def test_ask_without_a_store(remote: Remote, read_log: Any) -> None:
    """Before Airflow 3.3, ``ask`` fails the task as ``fail`` does, and the log says why."""
    airflow = FakeAirflow(has_store=False)
    remote.wr.fault(effects.Reset("answer"), kind=remote.submit)
    with pytest.raises(AirflowFailException, match="not known whether"):
        airflow.run(remote.operator(on_doubt="ask"))
    assert "instead of asking a person: Airflow is older than 3.3" in read_log()
