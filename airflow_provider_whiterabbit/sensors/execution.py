"""`WhiteRabbitExecutionSensor`: waits for an execution to end, and returns the execution's output."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.defaults import POKE_INTERVAL
from airflow_provider_whiterabbit.client.wait.target import EXECUTION
from airflow_provider_whiterabbit.compat import conf
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.sensors.hiding import HidingSensor
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_whiterabbit.compat import XComArg
    from airflow_provider_whiterabbit.parameters import Seconds, SensorParameters


class WhiteRabbitExecutionSensor(HidingSensor):
    """Waits until a White Rabbit execution has ended, and returns the execution's output (JSON) as XCom.

    A FAILED execution fails the task without retries, with White Rabbit's error in the message.

    .. seealso::
        For more information on how to use this sensor, take a look at the guide:
        :ref:`wait-for-an-execution`

    :param execution_id: id of the execution; templated, or the output of an upstream task.
    :param hidden_secrets: the names of the secrets, made with `secrets.secret`, that the inputs of the execution hold.
        The output and the error, which may repeat inputs, show stars in their places. A worker then starts and ends
        the task.
    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``; templated.
    :param deferrable: wait in the triggerer. The default is ``[operators] default_deferrable``.
    :param poke_interval: seconds or `timedelta` between two reads of the record; templated. A deferred sensor polls
        only while streaming is refused.
    :param start_from_trigger: start in the triggerer, without a worker (Airflow 3.3.1+). The default is ``[whiterabbit]
        start_from_trigger``. A task that can't, such as a mapped one, one in a mapped task group, or one whose
        `timeout` or `poke_interval` is a template, starts in a worker.
    :param end_from_trigger: end in the triggerer, without a worker (Airflow 3.3.1+). The default is ``[whiterabbit]
        end_from_trigger``. A task that would lose something by it is ended by a worker.
    :param timeout: seconds or `timedelta` after which `AirflowSensorTimeout` is raised; templated. The default is
        ``[sensors] default_timeout``. The execution or run is not cancelled. `execution_timeout` bounds the wait as
        well, also while deferred.
    """

    template_fields: Sequence[str] = ("execution_id", *HidingSensor.template_fields)
    waits_for = EXECUTION
    trigger_class = WhiteRabbitExecutionTrigger

    def __init__(
        self,
        *,
        execution_id: str | XComArg,
        hidden_secrets: Collection[str] = (),
        whiterabbit_conn_id: str | XComArg = WhiteRabbitHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: Seconds = POKE_INTERVAL,
        start_from_trigger: bool | None = None,
        end_from_trigger: bool | None = None,
        timeout: Seconds | None = None,
        **kwargs: Unpack[SensorParameters],
    ) -> None:
        super().__init__(
            whiterabbit_conn_id=whiterabbit_conn_id,
            deferrable=deferrable,
            poke_interval=poke_interval,
            start_from_trigger=start_from_trigger,
            end_from_trigger=end_from_trigger,
            timeout=timeout,
            **kwargs,
        )
        self.execution_id: Any = self._unless_template(
            execution_id, lambda value: checks.identifier(value, "execution_id")
        )
        self._hide_secrets(hidden_secrets)
