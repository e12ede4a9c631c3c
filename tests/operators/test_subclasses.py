"""Operators and sensors of users that subclass those of the provider, with attributes of their own."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_provider_whiterabbit.compat import BaseOperator
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from dev.harness.standins import FakeAirflow

USUAL_NAMES = ("target", "hook", "subject", "what", "record", "client", "conn", "status", "result", "timing", "name")
"""Attributes that operators of users and of other providers often have."""


@pytest.mark.parametrize("name", USUAL_NAMES)
@pytest.mark.parametrize("deferrable", [False, True])
def test_attributes_of_a_subclass(
    airflow: FakeAirflow, whiterabbit_emulator: Emulator, name: str, deferrable: bool
) -> None:
    """An attribute that a subclass sets under a usual name changes nothing about the submission or the wait."""

    class Pay(WhiteRabbitExecuteComponentOperator):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            setattr(self, name, "a value of the user's own")

    class Wait(WhiteRabbitExecutionSensor):
        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            setattr(self, name, "a value of the user's own")

    whiterabbit_emulator.script("PAY", output={"paid": 1})
    pay = Pay(task_id="pay", module="PAY", deferrable=deferrable, inline_wait=5)
    assert airflow.run(pay) == {"paid": 1}
    (submission,) = whiterabbit_emulator.executions
    wait = Wait(task_id="wait", execution_id=submission["id"], deferrable=deferrable)
    assert airflow.run(wait) == {"paid": 1}


@pytest.mark.airflow  # in Airflow 2, a sensor reads its first start from the database
@pytest.mark.parametrize("way", ["component", "sensor", "reschedule"])
def test_inside_an_operator(airflow: FakeAirflow, whiterabbit_emulator: Emulator, way: str) -> None:
    """What an operator of the user executes waits there: after a deferral, Airflow would resume that operator."""
    whiterabbit_emulator.script("PAY", output={"paid": 1}, after=0.5)
    inner: Any = WhiteRabbitExecuteComponentOperator(task_id="inner", module="PAY", deferrable=True)
    if way != "component":
        execution_id = whiterabbit_emulator.create_execution("PAY", output={"paid": 1}, after=0.5)
        arguments: dict[str, Any] = {"deferrable": True} if way == "sensor" else {"mode": way}
        inner = WhiteRabbitExecutionSensor(task_id="inner", execution_id=execution_id, **arguments)

    class Composite(BaseOperator):
        def execute(self, context: Any) -> Any:
            return inner.execute(context)

    inner.poke_interval = 0.01
    composite = Composite(task_id="composite")
    assert composite.execute(airflow.context(inner) | {"task": composite}) == {"paid": 1}
