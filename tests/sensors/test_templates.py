"""Times of sensors that Airflow renders."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import DAG, AirflowSensorTimeout, TaskDeferred, XComArg
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.sensors.start import start_obstacles
from dev.harness.standins import FakeAirflow
from tests.failing import fails_for_good
from tests.serialization import serialized
from tests.versions import needs_triggerer_end


def sensor(execution_id: str = "e", **arguments: Any) -> WhiteRabbitExecutionSensor:
    """Return a sensor of a DAG."""
    with DAG("templates", schedule=None):
        return WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id, **arguments)


def render(task: Any, **values: Any) -> Any:
    """Render a sensor's templates, in which ``params`` holds the given values."""
    task.render_template_fields({"params": values})
    return task


TEMPLATES = {"timeout": "{{ params.timeout }}", "poke_interval": "{{ params.poke_interval }}"}


@pytest.mark.airflow  # in Airflow 2, a sensor reads its first start from the database
@pytest.mark.parametrize("mode", ["poke", "reschedule"])
def test_timeout_without_a_trigger(airflow: FakeAirflow, whiterabbit_emulator: Emulator, mode: str) -> None:
    """Airflow's own loop gets numbers."""
    execution_id = whiterabbit_emulator.create_execution("X", manual=True)
    task = render(sensor(execution_id, mode=mode, **TEMPLATES), timeout="0", poke_interval="0.5")
    with pytest.raises(AirflowSensorTimeout):
        airflow.run(task)
    assert (task.timeout, task.poke_interval) == (0.0, 0.5)


def test_timeout_of_a_trigger(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """The trigger gets the rendered times."""
    execution_id = whiterabbit_emulator.create_execution("X", manual=True)
    task = render(sensor(execution_id, deferrable=True, **TEMPLATES), timeout="90", poke_interval="7")
    with pytest.raises(TaskDeferred) as deferred:
        airflow.run(task)
    assert airflow.ti.start_date + timedelta(seconds=90) == task._deadline(airflow.ti.start_date)
    assert deferred.value.trigger.serialize()[1]["poll_interval"] == 7.0


@pytest.mark.parametrize("options", [{}, {"mode": "reschedule"}, {"deferrable": True}, {"soft_fail": True}], ids=str)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"timeout": "1h", "poke_interval": 1}, "timeout must be a number of seconds.*got the text '1h'"),
        ({"timeout": 1, "poke_interval": "None"}, "poke_interval has no value: '{{ params.poke_interval }}' rendered"),
        ({"timeout": "", "poke_interval": 1}, "timeout has no value"),
        ({"timeout": "-5", "poke_interval": 1}, "timeout must be .* not negative; got -5"),
    ],
    ids=str,
)
def test_wrong_value(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, options: dict[str, Any], values: Any, message: str
) -> None:
    """A wrong rendered value fails the sensor before anything is sent; soft_fail does not hide it."""
    task = render(sensor(**TEMPLATES, **options), **values)
    expected: Any = fails_for_good(exc.WhiteRabbitInputError, message)
    if options.get("soft_fail"):
        expected = pytest.raises(exc.WhiteRabbitInputError, match=message)
    with expected:
        airflow.run(task)
    assert not whiterabbit_emulator.journal


@pytest.mark.parametrize(
    "arguments",
    [{"timeout": "1h"}, {"timeout": -1}, {"poke_interval": "soon"}, {"poke_interval": -1}, {"poke_interval": None}],
    ids=str,
)
def test_wrong_literal(arguments: dict[str, Any]) -> None:
    """A wrong literal is found when the DAG is parsed."""
    with pytest.raises(exc.WhiteRabbitInputError, match=next(iter(arguments))):
        sensor(**arguments)


@needs_triggerer_end
@pytest.mark.parametrize("name", ["timeout", "poke_interval"])
def test_start_in_the_triggerer(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, read_log: Callable[[], str], name: str
) -> None:
    """A sensor with a template for a time starts in a worker, also if it is another task's output, and logs why."""
    with DAG("outputs", schedule=None) as dag:
        upstream = WhiteRabbitExecuteComponentOperator(task_id="up", module="X")
        late: Any = WhiteRabbitExecutionSensor(
            task_id="late", execution_id="e", start_from_trigger=True, **{name: XComArg(upstream)}
        )
        literal = WhiteRabbitExecutionSensor(
            task_id="literal", execution_id="e", start_from_trigger=True, timeout="90", poke_interval=7
        )
    seen = serialized(dag)
    assert not seen.get_task("late").start_from_trigger
    assert late.upstream_task_ids == {"up"}
    assert list(start_obstacles(late)) == [f"its {name} is a template, which the triggerer does not render"]
    assert literal.start_from_trigger
    assert literal.start_trigger_args is not None
    assert (literal.start_trigger_args.trigger_kwargs or {})["timeout"] == 90.0
    execution_id = whiterabbit_emulator.create_execution("X", output=1)
    task = render(sensor(execution_id, start_from_trigger=True, **{name: f"{{{{ params.{name} }}}}"}), **{name: "9"})
    assert airflow.run(task) == 1
    assert f"A worker starts the task: its {name} is a template" in read_log()


def test_defaults_of_the_dag() -> None:
    """A template in default_args reaches the sensor, though Airflow's own class refuses it; None means the default."""
    with DAG("defaults", schedule=None, default_args={**TEMPLATES, "soft_fail": True}):
        task = WhiteRabbitExecutionSensor(task_id="wait", execution_id="e")
        other = WhiteRabbitExecutionSensor(task_id="other", execution_id="e", timeout=timedelta(minutes=1))
    assert (task.timeout, task.poke_interval) == tuple(TEMPLATES.values())
    assert task.soft_fail
    assert other.timeout == 60.0
    assert sensor(timeout=None).timeout == sensor().timeout == 7 * 24 * 60 * 60


def test_mapped(airflow: FakeAirflow, whiterabbit_emulator: Emulator) -> None:
    """A mapped sensor renders what `partial` gives, and takes texts of numbers."""
    execution_id = whiterabbit_emulator.create_execution("X", output=1)
    with DAG("mapped", schedule=None):
        mapped = WhiteRabbitExecutionSensor.partial(task_id="wait", timeout="{{ params.timeout }}").expand(
            execution_id=["a"], poke_interval=["5"]
        )
    task = render(mapped.unmap({"execution_id": execution_id, "poke_interval": "5"}), timeout="60")
    assert airflow.run(task) == 1
    assert (task.timeout, task.poke_interval) == (60.0, 5.0)
