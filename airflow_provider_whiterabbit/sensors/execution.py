"""`WhiteRabbitExecutionSensor`: waits for an execution and returns its output."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, NoReturn

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
            execution = self._hook.get_execution(self.execution_id)
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
        return self._look_or_defer(context, context["ti"].start_date + timedelta(seconds=self._patience))

    def execute_complete(self, context: Context, event: Any = None, deadline: float | None = None) -> Any:
        """Turn the trigger's event into the task's end.

        :param deadline: when the wait is over, in Unix seconds, should it have to go on.
        """
        try:
            check_event(event, "execution_id")
        except WhiteRabbitTimeoutError as error:
            raise self._timed_out(str(error)) from None
        except WhiteRabbitError as error:
            raise self._skipped(error) if self.never_fail else error from None
        until = (
            datetime.fromtimestamp(deadline, UTC) if deadline else datetime.now(UTC) + timedelta(seconds=self._patience)
        )
        return self._look_or_defer(context, until)

    def _look_or_defer(self, context: Context, deadline: datetime) -> Any:
        try:
            found = self.poke(context)
        except (AirflowFailException, WhiteRabbitError) as error:
            if self.never_fail or (self.soft_fail and isinstance(error, AirflowFailException)):
                raise self._skipped(error) from error
            raise
        if not isinstance(found, PokeReturnValue):
            self._defer_until(deadline)
        return found.xcom_value

    def _defer_until(self, deadline: datetime) -> NoReturn:
        self.defer(
            trigger=WhiteRabbitExecutionTrigger(
                execution_id=self.execution_id,
                whiterabbit_conn_id=self.whiterabbit_conn_id,
                poll_interval=self.poke_interval,
                deadline=deadline,
            ),
            method_name="execute_complete",
            kwargs={"deadline": deadline.timestamp()},
            timeout=max(deadline - datetime.now(UTC), timedelta()) + _GRACE,
        )

    @property
    def _patience(self) -> float:
        """Seconds of the time-out that comes first."""
        if self.execution_timeout is None:
            return self.timeout
        return min(self.timeout, self.execution_timeout.total_seconds())

    def _timed_out(self, message: str) -> BaseException:
        if self._patience == self.timeout:
            return AirflowSensorTimeout(message)
        if self.soft_fail or self.never_fail:  # as the base class does around poke
            return AirflowSkipException(message)
        return AirflowTaskTimeout(message)

    @staticmethod
    def _skipped(error: Exception) -> AirflowSkipException:
        return AirflowSkipException(f"Skipping because the sensor was asked not to fail: {error}")

    @cached_property
    def _hook(self) -> WhiteRabbitHook:
        return WhiteRabbitHook(self.whiterabbit_conn_id)
