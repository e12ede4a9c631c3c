"""Starting a sensor in the triggerer."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jinja2
import pytest
from airflow.serialization import serialized_objects

from airflow_provider_whiterabbit.compat import DAG, task, task_group
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.ending.obstacles import version_obstacles
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.sensors.start import start_obstacles
from dev.harness.standins import FakeAirflow
from tests.failing import fails_for_good
from tests.serialization import serialized
from tests.versions import needs_triggerer_end


def start_sensor(execution_id: str = "e") -> WhiteRabbitExecutionSensor:
    """Return a sensor that is asked to start in the triggerer."""
    return WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id, start_from_trigger=True)


def test_version() -> None:
    """A sensor starts in the triggerer unless the installed Airflow is too old."""
    old = bool(list(version_obstacles()))
    assert start_sensor().start_from_trigger is not old
    assert (start_sensor().start_trigger_args is None) is old


class UserSensor(WhiteRabbitExecutionSensor):
    """A sensor of a user, with code that runs before and after the wait."""

    def pre_execute(self, context: Any) -> None:
        """Do nothing."""

    def execute_complete(self, context: Any, event: Any = None, identity: str | None = None) -> Any:
        """Return a list of the output."""
        return [super().execute_complete(context, event, identity)]


@needs_triggerer_end
def test_code_of_the_user() -> None:
    """A user's method that runs before the wait is an obstacle to the start; one that runs after it is not."""
    assert not list(start_obstacles(start_sensor()))
    user_sensor = UserSensor(task_id="wait", execution_id="e", start_from_trigger=True)
    assert list(start_obstacles(user_sensor)) == ["UserSensor has a pre_execute of its own"]


@needs_triggerer_end
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("user_defined_macros", {"id_of": str}),
        ("user_defined_filters", {"id_of": str}),
        ("jinja_environment_kwargs", {"extensions": ["jinja2.ext.do"]}),
        ("template_undefined", jinja2.Undefined),
    ],
)
def test_jinja_of_the_dag(name: str, value: Any) -> None:
    """A worker starts a sensor whose templates may need what only the DAG's file knows; other sensors don't need it."""
    reason = f"its id or connection may be a template, and the triggerer does not know the DAG's {name}"
    arguments: dict[str, Any] = {name: value}
    with DAG("jinja", schedule=None, **arguments):
        assert list(start_obstacles(start_sensor("{{ id_of(1) }}"))) == [reason]
        connection = {"task_id": "other", "execution_id": "e", "whiterabbit_conn_id": "{{ conf.x }}"}
        assert list(start_obstacles(WhiteRabbitExecutionSensor(**connection, start_from_trigger=True))) == [reason]
        literal = WhiteRabbitExecutionSensor(task_id="literal", execution_id="e", start_from_trigger=True)
        # Jinja's marks may be others in such a DAG, so anything could be a template.
        assert list(start_obstacles(literal)) == ([reason] if name == "jinja_environment_kwargs" else [])
    with DAG("plain", schedule=None, user_defined_macros={}):
        assert not list(start_obstacles(start_sensor("{{ params.id }}")))


@needs_triggerer_end
def test_files_and_code_of_a_template() -> None:
    """A worker starts a sensor whose template includes a file, or whose class renders in a way of its own."""
    for text in ("{% include 'id.txt' %}", "{%- from 'ids.txt' import id %}{{ id }}"):
        assert list(start_obstacles(start_sensor(text))) == [
            "a template includes a file, and the triggerer has none of the DAG's"
        ]

    class Rendering(WhiteRabbitExecutionSensor):
        def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
            """Render nothing."""

    rendering = Rendering(task_id="wait", execution_id="e", start_from_trigger=True)
    assert list(start_obstacles(rendering)) == ["Rendering has a render_template_fields of its own"]


def test_mapped_sensor() -> None:
    """A mapped sensor starts in a worker: Airflow takes start arguments from the class, which has none."""
    with DAG("mapped", schedule=None):
        mapped = WhiteRabbitExecutionSensor.partial(task_id="wait", start_from_trigger=True).expand(
            execution_id=["a", "b"]
        )
    assert mapped.start_trigger_args is None


@needs_triggerer_end
def test_log_of_a_mapped_sensor(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, read_log: Callable[[], str]
) -> None:
    """The worker that starts a mapped sensor logs why."""
    execution_id = whiterabbit_emulator.create_execution("X", output=1)
    with DAG("mapped", schedule=None):
        mapped = WhiteRabbitExecutionSensor.partial(task_id="wait", start_from_trigger=True).expand(execution_id=["a"])
    assert airflow.run(mapped.unmap({"execution_id": execution_id})) == 1
    assert read_log().count("A worker starts the task: it is a mapped task") == 1


def grouped_sensor(**arguments: Any) -> WhiteRabbitExecutionSensor:
    """Return a sensor in a mapped task group, which waits for what another task of the group submits."""
    with DAG("grouped", schedule=None) as dag:

        @task
        def submit(name: str) -> str:
            """Return an id."""
            return name

        @task_group
        def each(name: str) -> None:
            """Submit and wait."""
            WhiteRabbitExecutionSensor(task_id="wait", execution_id=submit(name), **arguments)

        each.expand(name=["a", "b"])
    sensor = dag.get_task("each.wait")
    assert isinstance(sensor, WhiteRabbitExecutionSensor)
    return sensor


@pytest.mark.airflow  # in Airflow 2, a sensor reads its first start from the database
@pytest.mark.parametrize("arguments", [{}, {"mode": "reschedule"}, {"deferrable": True}, {"start_from_trigger": True}])
def test_mapped_task_group(
    airflow: FakeAirflow,
    whiterabbit_emulator: Emulator,
    read_log: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: dict[str, Any],
) -> None:
    """In a mapped task group a worker starts each sensor, and logs why, also if the deployment sets the option."""
    monkeypatch.setenv("AIRFLOW__WHITERABBIT__START_FROM_TRIGGER", "True")
    sensor = grouped_sensor(**arguments)
    assert not sensor.start_from_trigger
    assert sensor.start_trigger_args is None
    rendered = sensor.prepare_for_execution()
    rendered.execution_id = whiterabbit_emulator.create_execution("X", output=1)
    assert airflow.run(rendered) == 1
    reason = "Airflow " if list(version_obstacles()) else "it is in a mapped task group"
    assert (f"A worker starts the task: {reason}" in read_log()) is rendered.deferrable


class ConfiguredSensor(WhiteRabbitExecutionSensor):
    """A sensor of a user, which sets attributes after the provider's `__init__`."""

    def __init__(self, *, changes: dict[str, Any], **arguments: Any) -> None:
        super().__init__(**arguments)
        for name, value in changes.items():
            setattr(self, name, value)


CHANGES: list[tuple[dict[str, Any], dict[str, Any] | None]] = [
    ({"timeout": 60.0}, {"timeout": 60.0}),
    ({"timeout": timedelta(minutes=1)}, {"timeout": 60.0}),
    ({"poke_interval": timedelta(seconds=5)}, {"poll_interval": 5.0}),
    ({"whiterabbit_conn_id": "other"}, {"whiterabbit_conn_id": "other"}),
    ({"execution_id": "{{ other }}"}, {"execution_id": "{{ other }}"}),
    ({"soft_fail": True}, {"soft_fail": True}),
    ({"_post_execute_hook": print}, {"end_from_trigger": False}),
    ({"ends_in_triggerer": False}, {"end_from_trigger": False}),
    ({"execution_timeout": timedelta(minutes=1)}, None),
    ({"on_execute_callback": print}, None),
    ({"_pre_execute_hook": print}, None),
    ({"deferrable": False}, None),
    ({"start_from_trigger": False}, None),
]
"""What is set after `__init__`, and how the trigger's arguments then differ; None for a sensor that a worker starts."""


@needs_triggerer_end
@pytest.mark.parametrize("sets", ["subclass", "policy"])
@pytest.mark.parametrize(("changes", "expected"), CHANGES, ids=[str(changes) for changes, _ in CHANGES])
def test_what_is_set_after_init(changes: dict[str, Any], expected: dict[str, Any] | None, sets: str) -> None:
    """What a subclass or a cluster policy sets after `__init__` counts for the start in the triggerer."""
    with DAG("late", schedule=None) as dag:
        arguments: dict[str, Any] = {"execution_id": "e", "start_from_trigger": True, "end_from_trigger": True}
        sensor = ConfiguredSensor(changes=changes if sets == "subclass" else {}, task_id="wait", **arguments)
        unchanged = WhiteRabbitExecutionSensor(task_id="unchanged", **arguments).start_trigger_args
    if sets == "policy":
        for name, value in changes.items():
            setattr(sensor, name, value)
    seen = serialized(dag).get_task("wait")
    assert seen.start_from_trigger is (expected is not None)
    if expected is not None:
        trigger_kwargs = serialized_objects.BaseSerialization.deserialize(seen.start_trigger_args.trigger_kwargs)
        assert trigger_kwargs == unchanged.trigger_kwargs | expected
        timeout = expected.get("timeout", unchanged.trigger_kwargs["timeout"])
        assert seen.start_trigger_args.timeout == timedelta(seconds=timeout, minutes=2)


def test_serialized() -> None:
    """A sensor and a mapped sensor can be serialized, on each Airflow, whatever prevents their start."""
    with DAG("all", schedule=None) as dag:
        WhiteRabbitExecutionSensor(task_id="plain", execution_id="e", start_from_trigger=True)
        WhiteRabbitExecutionSensor(task_id="hooked", execution_id="e", start_from_trigger=True, pre_execute=print)
        WhiteRabbitExecutionSensor.partial(task_id="mapped", start_from_trigger=True).expand(execution_id=["a", "b"])
    tasks = serialized(dag).task_dict
    assert (tasks["plain"].start_trigger_args is None) is bool(list(version_obstacles()))
    assert tasks["hooked"].start_trigger_args is None
    assert tasks["mapped"].start_trigger_args is None


@pytest.mark.parametrize("option", ["", "deferrable", "start_from_trigger"])
@pytest.mark.parametrize("given", ["", None, "None"])
def test_no_id(airflow: FakeAirflow, whiterabbit_emulator: Emulator, given: Any, option: str) -> None:
    """A template that renders to nothing, or to None, fails the task for good before anything is sent; it is named."""
    template = "{{ ti.xcom_pull(task_ids='submit') }}"
    with DAG("empty", schedule=None, render_template_as_native_obj=given is None):
        options = {option: True} if option else {}
        sensor = WhiteRabbitExecutionSensor(task_id="wait", execution_id=template, **options)

    class NoXComs:
        def xcom_pull(self, **_: Any) -> Any:
            return given

    sensor.render_template_fields({"ti": NoXComs()})
    with fails_for_good(WhiteRabbitInputError, "execution_id must be .*rendered from .*xcom_pull.*submit"):
        airflow.run(sensor)
    assert not whiterabbit_emulator.journal


@needs_triggerer_end
def test_start_arguments_are_stable() -> None:
    """The start arguments are the same at each parse, because a change would make a new version of the DAG."""
    first, second = start_sensor("{{ x }}"), start_sensor("{{ x }}")
    assert first.start_trigger_args == second.start_trigger_args
    assert first.start_trigger_args is not None
