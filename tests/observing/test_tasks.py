"""The metrics of tasks that submit and wait, as a StatsD server receives them from Airflow."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_whiterabbit.client.records.status import TERMINAL
from airflow_provider_whiterabbit.client.wait.occurrences import Occurrence
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.compat import AirflowException, AirflowFailException, TaskDeferred
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitTimeoutError
from airflow_provider_whiterabbit.observing.background import in_background
from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.observing.stats import Report, server_stats
from airflow_provider_whiterabbit.observing.tasks import TaskMetrics
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from dev.harness import statsd as received
from dev.harness.polling import until
from dev.harness.standins import FakeAirflow, FakeSupervisor, FakeTaskInstance, submission_record
from dev.harness.statsd import StatsdServer
from tests.observing.reporting import SERVERS, TASKS, reporting
from tests.operators.remotes import Component, Remote, Workflow
from tests.triggers.runs import execution_trigger, payloads_of
from tests.versions import needs_store, needs_triggerer_end

pytestmark = pytest.mark.usefixtures("emulator_connection")

DEFAULT = "connection=whiterabbit_default"
EXECUTION = (DEFAULT, "kind=execution")
PAY = (*EXECUTION, "module=PAY")
RUN = (DEFAULT, "kind=workflow_run")


@pytest.fixture(params=[Component, Workflow], ids=["component", "workflow"])
def remote(request: pytest.FixtureRequest, whiterabbit_emulator: Emulator) -> Remote:
    """Return each of the two kinds of work that operators submit."""
    kind: type[Remote] = request.param
    return kind(whiterabbit_emulator)


@pytest.fixture
def airflow() -> FakeAirflow:
    """Return an Airflow whose tasks retry requests without pauses."""
    return FakeAirflow(timing=Timing(first_pause=0))


Counters = dict[tuple[str, tuple[str, ...]], float]


def counters(server: StatsdServer, send: Callable[[Report], None] = Report.send) -> Counters:
    """Wait until all that was reported so far has arrived; return the counters by name without prefix, and tags.

    :param send: how the reports were sent.
    """
    mark = received.Metric("whiterabbit.polls", ("connection=mark", "kind=execution"))
    before = server.counters[mark]
    TaskMetrics("mark", "execution", server_stats, send).count(Metric.POLLS)
    until(lambda: server.counters[mark] > before, "the metrics to arrive", 30, 0.02)
    return {
        (metric.name.removeprefix("whiterabbit."), metric.tags): value
        for metric, value in list(server.counters.items())
        if metric != mark
    }


async def counters_of_triggers(server: StatsdServer) -> Counters:
    """Return the counters, also those that triggers have reported, as `counters` does."""
    return await asyncio.to_thread(counters, server, in_background.send)


def tags_of(remote: Remote) -> tuple[str, ...]:
    """Return the tags of what is known to exist at White Rabbit: workflows have no module."""
    return PAY if isinstance(remote, Component) else RUN


def credits_of(remote: Remote, usage: float) -> dict[Any, float]:
    """Return the counter of the credits that a submission spent."""
    return {("credits", tags_of(remote)): usage} if usage else {}


def usage_of(remote: Remote) -> float:
    """Return the credits in the newest record."""
    record = remote.wr.execution(remote.newest) if isinstance(remote, Component) else remote.wr.run(remote.newest)
    return float(record["totalUsage"] or 0)


# --- workers


def test_waiting_in_the_worker(airflow: FakeAirflow, remote: Remote, statsd: StatsdServer) -> None:
    """A submission and its end are counted once, with the credits, and the wait is timed."""
    airflow.run(remote.operator())
    tags = tags_of(remote)
    assert counters(statsd) == {
        ("submitted", tags): 1,
        ("ended.completed", tags): 1,
        **credits_of(remote, usage_of(remote)),
    }
    ((metric, values),) = statsd.timers.items()
    assert metric == received.Metric("whiterabbit.waited.seconds", EXECUTION if isinstance(remote, Component) else RUN)
    assert len(values) == 1
    assert 0 < values[0] < 60_000  # milliseconds


def test_credits(airflow: FakeAirflow, whiterabbit_emulator: Emulator, statsd: StatsdServer) -> None:
    """Credits are added up, also fractions of one; an execution without usage adds nothing."""
    for usage in (2, 0.25, 0):
        execution_id = whiterabbit_emulator.create_execution("PAY", output=1, usage=usage)
        sensor = WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id, deferrable=True)
        assert sensor.execute(airflow.context(sensor)) == 1
    assert counters(statsd) == {("ended.completed", PAY): 3, ("credits", PAY): 2.25}


@pytest.mark.parametrize("usage", [None, float("nan"), float("inf"), -1, -0.5, 0])
def test_strange_usage(statsd: StatsdServer, usage: Any) -> None:
    """Credits that are no positive number are not counted."""
    record = SimpleNamespace(status="COMPLETED", total_usage=usage, module=None)
    TaskMetrics("whiterabbit_default", "execution").ended(record)
    assert counters(statsd) == {("ended.completed", EXECUTION): 1}


@pytest.mark.parametrize("status", ["FAILED", "CANCELED"])
def test_failed(airflow: FakeAirflow, whiterabbit_emulator: Emulator, statsd: StatsdServer, status: str) -> None:
    """Each status has a counter of its own."""
    remote = Workflow(whiterabbit_emulator)
    remote.script(status)
    with pytest.raises(AirflowFailException):
        airflow.run(remote.operator())
    assert counters(statsd).items() >= {(f"ended.{status.lower()}", RUN): 1, ("submitted", RUN): 1}.items()


def test_without_waiting(airflow: FakeAirflow, remote: Remote, statsd: StatsdServer) -> None:
    """A task that does not wait counts no end."""
    airflow.run(remote.operator(wait_for_completion=False))
    assert counters(statsd) == {("submitted", tags_of(remote)): 1}


@needs_store
def test_reattached(airflow: FakeAirflow, remote: Remote, statsd: StatsdServer) -> None:
    """A retry that takes what an earlier try submitted counts as reattached, and not as submitted."""
    airflow.store.record = submission_record(remote.create("COMPLETED"))
    airflow.run(remote.operator(), 2)
    counted = counters(statsd)
    assert counted["reattached", tags_of(remote)] == 1
    assert counted["ended.completed", tags_of(remote)] == 1
    assert not [name for name, _ in counted if name == "submitted"]


@pytest.mark.parametrize("on_doubt", ["fail", "resubmit"])
def test_doubt(airflow: FakeAirflow, remote: Remote, statsd: StatsdServer, on_doubt: Any) -> None:
    """A submission that may not have arrived is a doubt, once, and the doubt has no module: it may not exist."""
    remote.wr.fault(effects.Answer(500, process=True), kind=remote.submit)
    with pytest.raises((AirflowException, WhiteRabbitError)):
        airflow.run(remote.operator(on_doubt=on_doubt))
    tags = EXECUTION if isinstance(remote, Component) else RUN
    assert counters(statsd) == ({("doubts", tags): 1} if on_doubt == "fail" else {})
    if on_doubt == "resubmit":
        airflow.run(remote.operator(on_doubt=on_doubt, wait_for_completion=False), 2)
        assert counters(statsd) == {("doubts", tags): 1, ("submitted", tags_of(remote)): 1}


def test_refused_submission(airflow: FakeAirflow, remote: Remote, statsd: StatsdServer) -> None:
    """A refused submission is a refusal, and nothing was submitted."""
    remote.wr.fault(effects.Answer(403, {"message": "no", "error": "Nope"}), kind=remote.submit, times=None)
    with pytest.raises(AirflowException):
        airflow.run(remote.operator())
    assert counters(statsd) == {("refusals", EXECUTION if isinstance(remote, Component) else RUN): 1}


@pytest.mark.parametrize(("status", "refusals"), [(400, 1), (404, 1), (425, 0), (429, 1)])
def test_refusals_of_submissions(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, statsd: StatsdServer, status: int, refusals: int
) -> None:
    """The statuses that count as refusals are the same for submissions, streams and records."""
    component = Component(whiterabbit_emulator)
    whiterabbit_emulator.fault(effects.Answer(status, {"message": "no", "error": "Nope"}), kind="submit", times=None)
    with pytest.raises((AirflowException, WhiteRabbitError)):
        airflow.run(component.operator())
    assert counters(statsd) == ({("refusals", EXECUTION): refusals} if refusals else {})


def test_refused_stream_in_the_worker(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, statsd: StatsdServer
) -> None:
    """An operator that waits in the worker counts what happens during the wait."""
    wr, component = whiterabbit_emulator, Component(whiterabbit_emulator)
    wr.script("PAY", output=1, polls=2)
    wr.fault(effects.Answer(403, {"message": "no", "error": "Nope"}), kind="stream", times=None)
    airflow.run(component.operator(poll_interval=1))
    counted = counters(statsd)
    assert counted["polls", EXECUTION] >= 1
    assert counted["refusals", EXECUTION] == 1


def test_timeout_in_the_worker(airflow: FakeAirflow, remote: Remote, statsd: StatsdServer) -> None:
    """A wait that its deadline ends is a timeout, with a time, and no end."""
    remote.script("ACTIVE")
    with pytest.raises((WhiteRabbitTimeoutError, AirflowFailException)):
        airflow.run(remote.operator(timeout=0.1))
    tags = EXECUTION if isinstance(remote, Component) else RUN
    assert counters(statsd) == {("submitted", tags_of(remote)): 1, ("timeouts", tags): 1}
    assert len(statsd.timers["whiterabbit.waited.seconds", tags]) == 1  # type: ignore[index]


def test_deferral_timeout(airflow: FakeAirflow, remote: Remote, statsd: StatsdServer) -> None:
    """A deferral that Airflow ends because no triggerer runs is a timeout too."""
    remote.script("ACTIVE")
    operator = remote.operator(timeout=60, deferrable=True)
    with pytest.raises(TaskDeferred):
        airflow.run(operator)
    with pytest.raises((WhiteRabbitTimeoutError, AirflowFailException)):
        operator.resume_execution("__fail__", {"error": "Trigger timeout"}, airflow.context(operator))
    tags = EXECUTION if isinstance(remote, Component) else RUN
    assert counters(statsd) == {("submitted", tags_of(remote)): 1, ("timeouts", tags): 1}


def test_poking_sensor(airflow: FakeAirflow, whiterabbit_emulator: Emulator, statsd: StatsdServer) -> None:
    """A sensor that pokes counts its polls and refusals, and the end with the module that the record names."""
    wr = whiterabbit_emulator
    sensor = WhiteRabbitExecutionSensor(
        task_id="wait", execution_id=wr.create_execution("PAY", output=1, usage=3, polls=2), deferrable=False
    )
    context = airflow.context(sensor)
    wr.fault(effects.Answer(429), kind="record")
    assert [bool(sensor.poke(context)) for _ in range(3)] == [False, False, True]
    assert counters(statsd) == {
        ("polls", EXECUTION): 3,
        ("refusals", EXECUTION): 1,
        ("ended.completed", PAY): 1,
        ("credits", PAY): 3,
    }


# --- triggers


async def test_deferred(airflow: FakeAirflow, remote: Remote, statsd: StatsdServer) -> None:
    """Of a deferred task, the worker counts the submission and the end, and the trigger times the wait: each once."""
    remote.script("ACTIVE")
    operator = remote.operator(deferrable=True)
    with pytest.raises(TaskDeferred) as caught:
        airflow.run(operator)  # not in a thread: Airflow 2.11 marks the thread in which tasks may be executed
    identity = (caught.value.kwargs or {})["identity"]
    wait = asyncio.create_task(payloads_of(caught.value.trigger))  # type: ignore[arg-type]
    if isinstance(remote, Component):
        remote.wr.complete(identity, 1)
    else:
        remote.wr.complete_stage(identity, 0)
    (event,) = await wait
    kwargs = {"event": event, "identity": identity}
    operator.resume_execution("execute_complete", kwargs, airflow.context(operator))
    counted = await counters_of_triggers(statsd)
    assert counted == {
        ("submitted", tags_of(remote)): 1,
        ("ended.completed", tags_of(remote)): 1,
        **credits_of(remote, usage_of(remote)),
    }
    assert [len(values) for values in statsd.timers.values()] == [1]


@needs_triggerer_end
@pytest.mark.parametrize(("error", "soft_fail"), [(None, False), ({"message": "no funds"}, True)])
async def test_ended_by_the_trigger(
    whiterabbit_emulator: Emulator,
    statsd: StatsdServer,
    install_supervisor: Callable[[FakeSupervisor], None],
    error: Any,
    soft_fail: bool,
) -> None:
    """A trigger that ends the task counts the end and the credits."""
    install_supervisor(FakeSupervisor())
    script = {"output": 1} if error is None else {"error": error}
    await end_in_triggerer(whiterabbit_emulator.create_execution("PAY", usage=2, **script), soft_fail)
    end = "ended.completed" if error is None else "ended.failed"
    assert await counters_of_triggers(statsd) == {(end, PAY): 1, ("credits", PAY): 2}
    assert [len(values) for values in statsd.timers.values()] == [1]


@needs_triggerer_end
async def test_handed_over(whiterabbit_emulator: Emulator, statsd: StatsdServer) -> None:
    """A trigger that leaves the end to a worker, here because its XComs can't be stored, counts no end."""
    await end_in_triggerer(whiterabbit_emulator.create_execution("PAY", output=1, usage=2))
    assert await counters_of_triggers(statsd) == {}


@needs_triggerer_end
async def test_late_in_the_triggerer(
    whiterabbit_emulator: Emulator, statsd: StatsdServer, install_supervisor: Callable[[FakeSupervisor], None]
) -> None:
    """A trigger that skips the task at the deadline counts a timeout."""
    install_supervisor(FakeSupervisor())
    await end_in_triggerer(whiterabbit_emulator.create_execution("PAY", manual=True), True, deadline=soon())
    assert await counters_of_triggers(statsd) == {("timeouts", EXECUTION): 1}


async def end_in_triggerer(execution_id: str, soft_fail: bool = False, **arguments: Any) -> None:
    """Run a trigger that may end its task."""
    trigger = execution_trigger(execution_id, end_from_trigger=True, soft_fail=soft_fail, **arguments)
    trigger.task_instance = FakeTaskInstance(map_index=None)  # type: ignore[assignment]
    await payloads_of(trigger)


def soon() -> datetime:
    """Return a deadline that is almost over."""
    return datetime.now(UTC) + timedelta(seconds=0.1)


async def test_late_deferred(airflow: FakeAirflow, whiterabbit_emulator: Emulator, statsd: StatsdServer) -> None:
    """Of a deferred task, the worker that fails the task counts the timeout, and the trigger does not."""
    execution_id = whiterabbit_emulator.create_execution("PAY", manual=True)
    (event,) = await payloads_of(execution_trigger(execution_id, deadline=soon()))
    assert await counters_of_triggers(statsd) == {}
    sensor = WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id, deferrable=True)
    with pytest.raises(AirflowException):
        sensor.execute_complete(airflow.context(sensor), event, execution_id)
    assert await counters_of_triggers(statsd) == {("timeouts", EXECUTION): 1}


async def test_reconnects(whiterabbit_emulator: Emulator, statsd: StatsdServer) -> None:
    """Each stream that is opened after another one of the wait is a reconnect."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("PAY", manual=True)
    wr.fault(effects.Close(events=1), kind="stream", times=3)
    wait = asyncio.create_task(payloads_of(execution_trigger(execution_id)))
    await asyncio.to_thread(until, lambda: len(wr.requests(kind="stream")) == 4, "three reconnects", 30, 0.01)
    await asyncio.to_thread(wr.wait_for_stream, execution_id)
    wr.complete(execution_id, 1)
    await wait
    assert await counters_of_triggers(statsd) == {("reconnects", EXECUTION): 3}


async def test_polls_and_refusals(whiterabbit_emulator: Emulator, statsd: StatsdServer) -> None:
    """A refused stream is one refusal, and each read of the record after it is a poll."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(403, {"message": "no", "error": "Nope"}), kind="stream", times=None)
    await payloads_of(execution_trigger(wr.create_execution("PAY", output=1, polls=3)))
    polls = len(wr.requests(kind="record"))
    assert polls >= 3
    assert await counters_of_triggers(statsd) == {("polls", EXECUTION): polls, ("refusals", EXECUTION): 1}


async def test_refused_key(whiterabbit_emulator: Emulator, statsd: StatsdServer) -> None:
    """A key that is refused for the stream and for the record gives two refusals, and the failed wait no time."""
    wr = whiterabbit_emulator
    wr.fault(effects.Answer(403, {"message": "no", "error": "Nope"}), times=None)
    await payloads_of(execution_trigger(wr.create_execution("PAY", manual=True)))
    counted = await counters_of_triggers(statsd)
    assert counted["refusals", EXECUTION] == 2
    assert not statsd.timers


def test_occurrences_are_metrics() -> None:
    """Each occurrence of a wait has the name of a metric."""
    assert {Metric(occurrence) for occurrence in Occurrence} == {Metric.RECONNECTS, Metric.POLLS, Metric.REFUSALS}


def test_statuses_are_metrics() -> None:
    """Each status with which an execution or workflow run can end has a counter, and no other status has."""
    ends = {metric.removeprefix("ended.").upper() for metric in Metric if metric.startswith("ended.")}
    assert ends == TERMINAL


# --- a metrics system with limits, and one that fails


@pytest.mark.parametrize(
    ("option", "value", "names"),
    [
        ("metrics_allow_list", "whiterabbit.ended,ti_", {"ended.completed"}),
        ("metrics_block_list", "whiterabbit.submitted", {"ended.completed", "credits"}),
        ("statsd_disabled_tags", "connection,kind,module", {"submitted", "ended.completed", "credits"}),
        ("stat_name_handler", "tests.observing.test_tasks.shouting", set()),
        ("stat_name_handler", "tests.observing.test_tasks.refusing", set()),
    ],
)
def test_options(
    airflow: FakeAirflow,
    whiterabbit_emulator: Emulator,
    statsd: StatsdServer,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    value: str,
    names: set[str],
) -> None:
    """Airflow's options about the names of metrics hold for those of this provider, and fail no task."""
    component = Component(whiterabbit_emulator)
    with monkeypatch.context() as patch, reporting(TASKS):
        patch.setenv(f"AIRFLOW__METRICS__{option.upper()}", value)
        assert airflow.run(component.operator()) == {"paid": 1}
    counted = counters(statsd)
    assert {name for name, _ in counted} == names
    if "tags" in option:
        assert {tags for _, tags in counted} == {()}


def shouting(name: str) -> str:
    """Return another name, as a user's handler may."""
    return name.upper()


def refusing(name: str) -> str:
    """Raise an error that Airflow does not expect of a user's handler."""
    raise LookupError(name)


@pytest.mark.parametrize(
    ("connection_id", "tag"),
    [
        ("team:wr/a,b=c|d\ne é\ud83d", "team_wr_a_b_c_d_e___"),
        ("c" * 250, "c" * 60),
        ("a.b-c_d", "a.b-c_d"),
    ],
)
def test_hostile_tags(statsd: StatsdServer, connection_id: str, tag: str) -> None:
    """Characters and lengths for which Airflow would drop the metric are replaced and cut."""
    TaskMetrics(connection_id, "execution").count(Metric.SUBMITTED, module="M" * 200)
    assert counters(statsd) == {("submitted", (f"connection={tag}", "kind=execution", f"module={'M' * 60}")): 1}


class WorkflowWithModule(WhiteRabbitTriggerWorkflowOperator):
    """A user's operator with an attribute that has the name of a tag."""

    module: Any = ("not", ["a", "component"])


def test_subclass(airflow: FakeAirflow, whiterabbit_emulator: Emulator, statsd: StatsdServer) -> None:
    """An attribute of a user's subclass that has the name of a tag neither becomes a tag nor fails the task."""
    Workflow(whiterabbit_emulator)
    airflow.run(WorkflowWithModule(task_id="pay", workflow_id="flow", wait_for_completion=False))
    assert counters(statsd) == {("submitted", RUN): 1}


class Failing:
    """A metrics system that raises."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __getattr__(self, name: str) -> Any:
        raise self.error


@pytest.mark.parametrize("error", [OSError("no route"), ValueError("a tag"), RuntimeError("no thread")], ids=repr)
async def test_errors(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """An error of the metrics system fails neither a task nor a trigger, and is logged once for each metric."""
    component = Component(whiterabbit_emulator)
    with reporting(TASKS, lambda: Failing(error)), reporting(SERVERS, lambda: Failing(error)):
        for _ in range(3):
            assert airflow.run(component.operator(wait_for_completion=False)) == component.newest
            await payloads_of(execution_trigger(component.newest))
        line = f"The metric whiterabbit.waited.seconds could not be reported: {error!r}"
        await asyncio.to_thread(until, lambda: line in caplog.messages, "the error in the log", 30, 0.02)
    for metric in ("submitted", "waited.seconds"):
        line = f"The metric whiterabbit.{metric} could not be reported: {error!r}"
        assert caplog.messages.count(line) == 1
