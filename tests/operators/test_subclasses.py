"""Operators and sensors of users that subclass those of the provider, with attributes of their own."""

from __future__ import annotations

from typing import Any

import pytest

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
