"""`WhiteRabbitExecutionSensor`: waits for an execution and returns its output."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)

from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitTimeoutError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.triggers.execution import WhiteRabbitExecutionTrigger
from airflow_provider_whiterabbit.verdict import check_event, output_of

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

_LONGEST_WAIT = 10 * 365 * 24 * 60 * 60.0  # seconds; a longer time-out would leave the calendar
_GRACE = timedelta(minutes=2)  # by which Airflow's own time-out of a deferral lies behind the trigger's


class WhiteRabbitExecutionSensor(BaseSensorOperator):
    """Waits until a White Rabbit execution has ended, and returns its output (as XCom).

    Deferrable, it frees its worker and follows the execution's event stream in the triggerer, which hears of the end at
    once; `poke` and `reschedule` read the record every `poke_interval`. A FAILED execution fails the task without
    retries, with White Rabbit's error in the message; `soft_fail` skips it instead. A refused key, an unknown execution
    or an answer that the API does not have raises a `WhiteRabbitError`, which `soft_fail` never hides.

    :param execution_id: id of the execution; templated, or the output of an upstream task.
    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``; templated.
    :param deferrable: wait in the triggerer; by default what ``[operators] default_deferrable`` says.
    :param poke_interval: seconds or `timedelta` between two reads of the record. Deferrable, it only counts while there
        is no stream.
    :param silent_fail: counts in `poke` and `reschedule` only.
    :param timeout: seconds or `timedelta` after which `AirflowSensorTimeout` is raised (the execution itself goes on).
        `execution_timeout` bounds the wait as well, also while deferred.
    """

    template_fields: Sequence[str] = ("execution_id", "whiterabbit_conn_id")

    def __init__(
        self,
        *,
        execution_id: str,
        whiterabbit_conn_id: str = WhiteRabbitHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.execution_id = execution_id
        self.whiterabbit_conn_id = whiterabbit_conn_id
        self.deferrable = deferrable

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Read the record once. Trouble that may pass means not yet."""
        from airflow_provider_whiterabbit.client.retry import is_transient

        try:
            execution = self._hook.get_conn().look_at_execution(self.execution_id)
        except WhiteRabbitError as error:
            if not is_transient(error):
                raise
            self.log.warning("Execution %s: %s; looking again later", self.execution_id, error)
            return False
        self.log.info("Execution %s: %s", execution.id, execution.progress)
        if not execution.completed:
            return False
        return PokeReturnValue(is_done=True, xcom_value=output_of(execution))

    def execute(self, context: Context) -> Any:
        """Wait in the way that was asked for. An execution that has ended already does not defer."""
        if not self.deferrable:
            return super().execute(context)
        with self._skipping():
            found = self.poke(context)
        if isinstance(found, PokeReturnValue):
            return found.xcom_value
        self._defer_until(context["ti"].start_date + timedelta(seconds=self._patience))
        return None

    def execute_complete(self, context: Context, event: Any = None) -> Any:
        """Turn the trigger's event into the task's end. The output is read here, as events carry none."""
        with self._skipping():
            try:
                check_event(event, "execution_id", self.execution_id)
            except WhiteRabbitTimeoutError as error:
                raise self._timed_out(str(error)) from None
            return output_of(self._hook.get_conn().get_ended_execution(self.execution_id))

    def _defer_until(self, deadline: datetime) -> None:
        self.defer(
            trigger=WhiteRabbitExecutionTrigger(
                execution_id=self.execution_id,
                whiterabbit_conn_id=self.whiterabbit_conn_id,
                poll_interval=self.poke_interval,
                deadline=deadline,
            ),
            method_name="execute_complete",
            timeout=max(deadline - datetime.now(UTC), timedelta()) + _GRACE,
        )

    @contextlib.contextmanager
    def _skipping(self) -> Iterator[None]:
        """Skip instead of failing where the base class would around `poke`."""
        try:
            yield
        except (AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout) as error:
            if self.soft_fail or self.never_fail:
                raise AirflowSkipException(f"Skipping because the sensor is not to fail: {error}") from error
            raise
        except Exception as error:
            if self.never_fail:
                raise AirflowSkipException(f"Skipping because the sensor is never to fail: {error}") from error
            raise

    @property
    def _patience(self) -> float:
        """Seconds of the time-out that comes first."""
        of_execution = math.inf if self.execution_timeout is None else self.execution_timeout.total_seconds()
        return min(self.timeout, of_execution, _LONGEST_WAIT)

    def _timed_out(self, message: str) -> BaseException:
        return AirflowSensorTimeout(message) if self._patience == self.timeout else AirflowTaskTimeout(message)

    @cached_property
    def _hook(self) -> WhiteRabbitHook:
        return WhiteRabbitHook(self.whiterabbit_conn_id)
