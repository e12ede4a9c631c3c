"""`WhiteRabbitExecutionSensor`: waits for an execution to end, and returns the execution's output."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.sensors.base import WhiteRabbitSensor
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import XComArg


class WhiteRabbitExecutionSensor(WhiteRabbitSensor):
    """Waits until a White Rabbit execution has ended, and returns the execution's output (JSON) as XCom.

    A FAILED execution fails the task without retries, with White Rabbit's error in the message.

    .. seealso::
        For more information on how to use this sensor, take a look at the guide:
        :ref:`wait-for-what-something-else-submitted`

    :param execution_id: id of the execution; templated, or the output of an upstream task. The other parameters are
        those of `WhiteRabbitSensor`.
    """

    template_fields: Sequence[str] = ("execution_id", "whiterabbit_conn_id")
    waits_for = EXECUTION
    trigger_class = WhiteRabbitExecutionTrigger

    def __init__(self, *, execution_id: str | XComArg, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.execution_id = execution_id
