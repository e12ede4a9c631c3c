"""Starting a sensor in the triggerer."""

from __future__ import annotations

from typing import Any

from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.ending.obstacles import version_obstacles
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from airflow_provider_whiterabbit.sensors.start import start_obstacles
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
    assert not list(start_obstacles(start_sensor(), "e"))
    user_sensor = UserSensor(task_id="wait", execution_id="e", start_from_trigger=True)
    assert list(start_obstacles(user_sensor, "e")) == ["UserSensor has a pre_execute of its own"]


def test_mapped_sensor() -> None:
    """A mapped sensor starts in a worker: Airflow takes start arguments from the class, which has none."""
    with DAG("mapped", schedule=None):
        mapped = WhiteRabbitExecutionSensor.partial(task_id="wait", start_from_trigger=True).expand(
            execution_id=["a", "b"]
        )
    assert mapped.start_trigger_args is None


@needs_triggerer_end
def test_start_arguments_are_stable() -> None:
    """The start arguments are the same at each parse, because a change would make a new version of the DAG."""
    first, second = start_sensor("{{ x }}"), start_sensor("{{ x }}")
    assert first.start_trigger_args == second.start_trigger_args
    assert first.start_trigger_args is not None
