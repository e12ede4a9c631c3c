"""`WhiteRabbitExecutionsSensor`: waits for many executions to end, and returns a list of their results."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.client.defaults import POKE_INTERVAL
from airflow_provider_whiterabbit.client.wait.target import EXECUTIONS
from airflow_provider_whiterabbit.compat import PokeReturnValue, conf
from airflow_provider_whiterabbit.ending.verdict import name_of_many
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitInputError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.sensors.hiding import HidingSensor
from airflow_provider_whiterabbit.templated import flag, literal_ids
from airflow_provider_whiterabbit.triggers.executions import WhiteRabbitExecutionsTrigger
from airflow_provider_whiterabbit.waiting_for_many import (
    Ended,
    OnFailedExecutions,
    WaitingForManyMixin,
    failed_choice,
)

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_whiterabbit.client.transport.many import ManyExecutions
    from airflow_provider_whiterabbit.client.wait.occurrences import Occurrence
    from airflow_provider_whiterabbit.compat import Context, XComArg
    from airflow_provider_whiterabbit.parameters import Rendered, Seconds, SensorParameters


class WhiteRabbitExecutionsSensor(WaitingForManyMixin, HidingSensor):
    """Waits until many White Rabbit executions have ended, and returns a list of their results as XCom.

    Each result is ``{"id": …, "status": "COMPLETED", "output": …, "usage": …}`` or ``{"id": …, "status": "FAILED",
    "error": …, "usage": …}``, in the order of the ids. While the sensor is deferred, one trigger follows all of them.
    In the modes `poke` and `reschedule` the sensor reads the records in order, up to the first execution that has not
    ended. A worker starts and ends the task.

    .. seealso::
        For more information on how to use this sensor, take a look at the guide:
        :ref:`wait-for-many-executions`

    :param execution_ids: ids of the executions: a list, of which each may be a template; the output of an upstream
        task; or a template that renders to a JSON array. Without ids, the result is an empty list.
    :param outputs: whether the results have the outputs; templated. Without them, read large outputs by their ids.
    :param on_failed_execution: what happens if some executions have failed, after all have ended: ``fail`` fails the
        task without retries; ``return`` returns the results, with their errors. Templated.
    :param hidden_secrets: the names of the secrets, made with `secrets.secret`, that the inputs of the executions hold.
        The outputs and the errors, which may repeat inputs, show stars in their places.
    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``; templated.
    :param deferrable: wait in the triggerer. The default is ``[operators] default_deferrable``.
    :param poke_interval: seconds or `timedelta` between two reads of the records; templated. A deferred sensor polls
        only while streaming is refused.
    :param timeout: seconds or `timedelta` after which `AirflowSensorTimeout` is raised; templated. The default is
        ``[sensors] default_timeout``. The executions are not cancelled. `execution_timeout` bounds the wait as well,
        also while deferred.
    """

    template_fields: Sequence[str] = (
        "execution_ids",
        "outputs",
        "on_failed_execution",
        *HidingSensor.template_fields,
    )
    waits_for = EXECUTIONS
    trigger_class = WhiteRabbitExecutionsTrigger
    operator_extra_links = ()

    _many: ManyExecutions[Ended] | None = None
    """What earlier pokes of this process have found."""

    def __init__(
        self,
        *,
        execution_ids: Iterable[str] | str | XComArg,
        outputs: bool | Rendered = True,
        on_failed_execution: OnFailedExecutions | Rendered = "fail",
        hidden_secrets: Collection[str] = (),
        whiterabbit_conn_id: str | XComArg = WhiteRabbitHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: Seconds = POKE_INTERVAL,
        timeout: Seconds | None = None,
        **kwargs: Unpack[SensorParameters],
    ) -> None:
        for name in ("start_from_trigger", "end_from_trigger"):
            if name in kwargs:
                raise WhiteRabbitInputError(
                    f"{name} can't be set here: a worker always starts and ends a sensor of many executions"
                )
        super().__init__(
            whiterabbit_conn_id=whiterabbit_conn_id,
            deferrable=deferrable,
            poke_interval=poke_interval,
            start_from_trigger=False,
            end_from_trigger=False,
            timeout=timeout,
            **kwargs,
        )
        self.execution_ids: Any = self._unless_template(execution_ids, lambda ids: literal_ids(ids, "execution_ids"))
        self.outputs: Any = self._unless_template(outputs, lambda value: flag(value, "outputs"))
        self.on_failed_execution: Any = self._unless_template(on_failed_execution, failed_choice)
        self._hide_secrets(hidden_secrets)

    @property
    def _target_id(self) -> list[str]:
        """The rendered ids.

        :raises WhiteRabbitInputError: if they are not a list of ids.
        """
        with self._naming_native_rendering("execution_ids"):
            return self._checked_ids("execution_ids")

    @property
    def _id_text(self) -> str:
        return name_of_many(self._target_id)

    def _lineage_id(self) -> str | None:
        with contextlib.suppress(WhiteRabbitError, TypeError):  # not rendered yet, or not a list of ids
            return self._id_text if self._lineage_seen is None else self._lineage_seen.identity
        return None

    def _check_arguments(self) -> None:
        super()._check_arguments()
        _ = self._has_outputs, self._returns_failures
        self._many = None

    def _poke(self, context: Context) -> bool | PokeReturnValue:
        self._hide_named_secrets()
        many = self._many = self._many or self._executions(self._target_id, self._count_poke)
        if not self.whiterabbit_hook.run_async(many.look):
            self.log.info("Executions: at least %s", many)
            return False
        return PokeReturnValue(is_done=True, xcom_value=self._results(many, context))

    def execute_complete(self, context: Context, event: Any = None, identity: Any = None) -> Any:
        """Read the records of the executions after the trigger's event, and return the task's result.

        :param event: the trigger's event.
        :param identity: ids of the executions; None in `dag.test()`, which hands on the event alone.
        """
        return self._results_after(event, self._target_id if identity is None else identity, context)

    def _count_poke(self, occurrence: Occurrence) -> None:
        if not self.deferrable or Metric(occurrence) is not Metric.POLLS:  # a deferrable sensor does not poll
            self._whiterabbit_metrics.observe(occurrence)
