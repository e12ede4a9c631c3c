"""The obstacles that keep a task from ending in the triggerer; `tests/e2e` shows those of a real deployment."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_whiterabbit.ending.obstacles import code_obstacles, version_obstacles
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from tests.versions import needs_triggerer_end


@pytest.mark.parametrize(
    ("version", "is_old"), [("2.11.0", True), ("3.2.2", True), ("3.3.0", True), ("3.3.1", False), ("3.4.0rc1", False)]
)
def test_version(version: str, is_old: bool) -> None:
    """An Airflow before 3.3.1 is an obstacle."""
    assert bool(list(version_obstacles(version))) is is_old


class UserSensor(WhiteRabbitExecutionSensor):
    """A sensor of a user, with code that runs before and after the wait."""

    def pre_execute(self, context: Any) -> None:
        """Do nothing."""

    def execute_complete(self, context: Any, event: Any = None, identity: str | None = None) -> Any:
        """Return a list of the output."""
        return [super().execute_complete(context, event, identity)]


def ending_sensor(sensor_class: type[WhiteRabbitExecutionSensor], **arguments: Any) -> WhiteRabbitExecutionSensor:
    """Return a sensor that is asked to start and to end in the triggerer."""
    return sensor_class(task_id="wait", execution_id="e", start_from_trigger=True, end_from_trigger=True, **arguments)


@needs_triggerer_end
def test_code_of_the_user() -> None:
    """A user's method or hook that runs after the wait is an obstacle; one that runs before the wait is not."""
    assert not list(code_obstacles(ending_sensor(WhiteRabbitExecutionSensor)))
    assert list(code_obstacles(ending_sensor(UserSensor))) == ["UserSensor has an execute_complete of its own"]
    hooked = ending_sensor(WhiteRabbitExecutionSensor, post_execute=lambda context, result: None)
    assert list(code_obstacles(hooked)) == ["it has a post_execute hook"]
    assert hooked.start_trigger_args is not None
    assert hooked.start_trigger_args.trigger_kwargs["end_from_trigger"] is False
