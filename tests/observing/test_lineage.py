"""What tasks remember for OpenLineage, which is not installed here: see `test_openlineage` for real events."""

from __future__ import annotations

import contextlib
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from airflow_provider_whiterabbit.compat import AirflowFailException, TaskDeferred
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.observing.lineage import MAX_TEXT, SeenRun
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.sensors.executions import WhiteRabbitExecutionsSensor
from airflow_provider_whiterabbit.sensors.workflow import WhiteRabbitWorkflowRunSensor
from dev.harness.standins import FakeAirflow

pytestmark = pytest.mark.usefixtures("emulator_connection")

SECRET_INPUT = "https://user:password-of-the-rpc@rpc.example.org/"


@pytest.fixture
def airflow() -> FakeAirflow:
    """Return an Airflow that executes tasks in this process."""
    return FakeAirflow()


def known(task: Any) -> dict[str, Any]:
    """Return what OpenLineage would get to know from a task, without what is None."""
    return {name: value for name, value in task._lineage_facts().items() if value is not None}


def known_of(wr: Emulator, identity: str, **more: Any) -> dict[str, Any]:
    """Return what OpenLineage gets to know of an execution, and more."""
    connection = {"connection_id": "whiterabbit_default", "host": urlsplit(wr.url).netloc}
    return {"id_name": "execution_id", "identity": identity, **connection, **more}


def pay(**arguments: Any) -> WhiteRabbitExecuteComponentOperator:
    """Return an operator that executes the component PAY."""
    return WhiteRabbitExecuteComponentOperator(task_id="pay", module="PAY", **arguments)


def test_nothing_without_openlineage(airflow: FakeAirflow, caplog: pytest.LogCaptureFixture) -> None:
    """The methods for OpenLineage raise nothing without it, also if a subclass uses the provider's names for others."""

    class Own(WhiteRabbitExecuteComponentOperator):
        _lineage_seen: Any = "a value of the user's own"

    for task in pay(), Own(task_id="own", module="PAY"):
        assert task.get_openlineage_facets_on_start() is None
        assert task.get_openlineage_facets_on_complete(airflow.ti) is None
        assert task.get_openlineage_facets_on_failure(airflow.ti) is None
    assert caplog.text.count("OpenLineage gets nothing about White Rabbit") == 6


def test_the_connection_may_still_change(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """OpenLineage asks a task before its `pre_execute` hook, which can set the connection: the hook is not made yet."""
    task = pay(whiterabbit_conn_id="other")
    assert known(task)["connection_id"] == "other"
    task.whiterabbit_conn_id = "whiterabbit_default"
    airflow.run(task)
    assert known(task)["identity"] == whiterabbit_emulator.executions[0]["id"]


def test_own_hook(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A task whose class makes the hook at each use tells what it knows, without the host."""

    class WithHook(WhiteRabbitExecuteComponentOperator):
        @property
        def whiterabbit_hook(self) -> Any:
            return WhiteRabbitHook(self.whiterabbit_conn_id)

    task = WithHook(task_id="own", module="PAY")
    airflow.run(task)
    expected = known_of(whiterabbit_emulator, whiterabbit_emulator.executions[0]["id"], subject="PAY")
    del expected["host"]
    assert known(task).items() >= expected.items()
    assert "host" not in known(task)


@pytest.mark.parametrize("ended", [True, False])
def test_host_of_many(airflow: FakeAirflow, whiterabbit_emulator: Emulator, ended: bool) -> None:
    """A sensor of many executions tells the host as soon as it has read their records."""
    ids = [whiterabbit_emulator.create_execution("X", manual=True) for _ in range(2)]
    if ended:
        for execution_id in ids:
            whiterabbit_emulator.complete(execution_id, {"a": 1})
    task = WhiteRabbitExecutionsSensor(task_id="many", execution_ids=ids, deferrable=True)
    with contextlib.nullcontext() if ended else pytest.raises(TaskDeferred):
        airflow.run(task)
    assert known(task)["host"] == urlsplit(whiterabbit_emulator.url).netloc


def test_before_the_task_runs(whiterabbit_emulator: Emulator) -> None:
    """A task that has not run tells what the DAG says, and reads no connection."""
    connection = {"connection_id": "whiterabbit_default"}
    assert known(pay()) == {"id_name": "execution_id", "subject": "PAY", **connection}
    workflow = WhiteRabbitTriggerWorkflowOperator(task_id="w", workflow_id="flow")
    assert known(workflow) == {"id_name": "workflow_run_id", "subject": "flow", **connection}
    wait = WhiteRabbitWorkflowRunSensor(task_id="s", workflow_run_id="r-1")
    assert known(wait) == {"id_name": "workflow_run_id", "identity": "r-1", **connection}
    for given in ("{{ dag_run.conf['id'] }}", "None", "", "../x", "x" * 500):
        sensor = WhiteRabbitExecutionSensor(task_id="s", execution_id="{{ dag_run.conf['id'] }}")
        sensor.execution_id = given  # as Airflow renders it
        assert "identity" not in known(sensor)
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize(
    ("arguments", "ends"), [({}, True), ({"inline_wait": 5}, True), ({"wait_for_completion": False}, False)], ids=str
)
def test_operator(airflow: FakeAirflow, whiterabbit_emulator: Emulator, arguments: dict[str, Any], ends: bool) -> None:
    """An operator tells the id, the status that it saw last, and the credits."""
    wr = whiterabbit_emulator
    wr.script("PAY", output={"paid": 1}, usage=1.5, **({"after": 0.2} if ends else {"manual": True}))
    task = pay(**arguments)
    airflow.run(task)
    (execution,) = wr.executions
    seen = {"status": "COMPLETED", "credits_spent": 1.5} if ends else {"status": "CREATED"}
    assert known(task) == known_of(wr, execution["id"], subject="PAY", **seen)


def test_an_operator_that_runs_again_forgets(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A try that submits nothing tells nothing of what an earlier try in the same process has submitted."""
    task = pay()
    airflow.has_store = False
    airflow.run(task)
    assert "identity" in known(task)
    whiterabbit_emulator.fault(effects.Answer(503), kind="submit")
    with pytest.raises(Exception, match="503"):
        airflow.run(task)
    assert "identity" not in known(task)


def test_deferred_operator(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A deferred task that another process resumes tells the same as one that a worker has waited for."""
    wr = whiterabbit_emulator
    wr.script("PAY", error={"message": "no funds"}, usage=0.5, polls=2)
    with pytest.raises(TaskDeferred) as deferral:
        airflow.run(pay(deferrable=True))
    (execution,) = wr.executions
    resumed = pay(deferrable=True)
    event = {"execution_id": execution["id"], "status": "TIMEOUT", "message": "too late"}
    arguments = {"event": event, **(deferral.value.kwargs or {})}
    with pytest.raises(Exception, match="too late"):
        resumed.resume_execution("execute_complete", arguments, airflow.context(resumed))
    assert known(resumed)["identity"] == execution["id"]
    assert not {"host", "status"} & known(resumed).keys()
    arguments["event"] = {**event, "status": "FAILED"}
    resumed = pay(deferrable=True)
    with pytest.raises(AirflowFailException):
        resumed.resume_execution("execute_complete", arguments, airflow.context(resumed))
    failure = f"Execution {execution['id']} (PAY) FAILED: no funds"
    seen = {"status": "FAILED", "credits_spent": 0.5, "failure": failure}
    assert known(resumed) == known_of(wr, execution["id"], subject="PAY", **seen)


def test_sensor(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A sensor tells the component that the record names, and keeps the last status if a later read fails."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("PAY", manual=True)
    wr.start(execution_id)
    task = WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id)
    context = airflow.context(task)
    assert task.poke(context) is False
    wr.fault(effects.Answer(500), kind="record", times=1)
    assert task.poke(context) is False
    assert known(task) == known_of(wr, execution_id, subject="PAY", status="EXECUTING")
    wr.fail(execution_id, "half an emoji \ud83d and a NUL \x00", usage=2)
    with pytest.raises(AirflowFailException):
        task.poke(context)
    assert known(task)["failure"].endswith("FAILED: half an emoji \ufffd and a NUL \ufffd")
    assert known(task)["credits_spent"] == 2


def test_workflow_run(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A task with a workflow run tells the id of the run, and the credits of all stages."""
    wr = whiterabbit_emulator
    wr.script_workflow("flow", [{"module": "A", "usage": 2}, {"module": "B", "usage": 1}])
    task = WhiteRabbitTriggerWorkflowOperator(task_id="w", workflow_id="flow")
    airflow.run(task)
    (run,) = wr.runs
    seen = {"id_name": "workflow_run_id", "subject": "flow", "status": "COMPLETED", "credits_spent": 3}
    assert known(task) == known_of(wr, run["id"]) | seen
    wait = WhiteRabbitWorkflowRunSensor(task_id="wait", workflow_run_id=run["id"])
    airflow.run(wait)
    del seen["subject"]  # the record of a run does not name its workflow
    assert known(wait) == known_of(wr, run["id"]) | seen


def test_texts_are_short_and_clean() -> None:
    """Texts of White Rabbit are cut, and have no line ends and no characters that a database refuses."""
    task = WhiteRabbitExecutionSensor(task_id="wait", execution_id="e-1")
    task._lineage_seen = SeenRun("e-1", status="\x00", module="M\n" * 500, failure="\ud83d" * 10_000)
    facts = known(task)
    assert facts["status"] == "\ufffd"
    assert len(facts["subject"]) <= MAX_TEXT
    assert "\n" not in facts["subject"]
    assert len(facts["failure"]) <= 2_000
    json.dumps(facts, ensure_ascii=False).encode()


def test_no_secret_in_the_attributes(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """OpenLineage can report all attributes of a task: none that is JSON holds the output, the key or a secret."""
    wr = whiterabbit_emulator
    wr.script("PAY", output={"key": SECRET_INPUT})
    task = pay()
    airflow.run(task)
    text = json.dumps(vars(task), default=lambda value: type(value).__name__)
    for secret in (SECRET_INPUT, wr.connection["password"], wr.connection["extra"]["api_key"]):
        assert secret not in text
    assert SECRET_INPUT not in repr(known(task))
