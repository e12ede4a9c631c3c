"""What the sensors share: to poke, to reschedule, to defer, and how each of them ends."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
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

from airflow_provider_whiterabbit.ending import obstacles as triggerer_path
from airflow_provider_whiterabbit.ending.verdict import result_of
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitTimeoutError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.waiting import WaitingMixin

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


_FAIL = "__fail__"
"""The method by which Airflow resumes a task whose trigger failed or is too late."""

_TIME_IS_UP = ("Trigger timeout", "Trigger/execution timeout")
"""What Airflow 3 and Airflow 2.11 call the latter."""


class WhiteRabbitSensor(WaitingMixin, BaseSensorOperator):
    """Waits until something at White Rabbit has ended, and returns its result (as XCom; the credits as XCom ``usage``).

    Deferrable, it frees its worker and follows the event stream in the triggerer, which hears of the end at once;
    `poke` and `reschedule` read the record every `poke_interval`. What did not end well fails the task without retries,
    with White Rabbit's error in the message; `soft_fail` skips it instead. A refused key, an unknown id or an answer
    that the API does not have raises a `WhiteRabbitError`, which `soft_fail` never hides.

    :param whiterabbit_conn_id: id of a connection of type ``whiterabbit``; templated.
    :param deferrable: wait in the triggerer; by default what ``[operators] default_deferrable`` says.
    :param poke_interval: seconds or `timedelta` between two reads of the record. Deferrable, it only counts while there
        is no stream.
    :param start_from_trigger: start in the triggerer, without a worker (Airflow 3.3.1+); by default what
        ``[whiterabbit] start_from_trigger`` says. A task that can't, such as a mapped one, starts in a worker.
    :param end_from_trigger: end in the triggerer, without a worker (Airflow 3.3.1+); by default what ``[whiterabbit]
        end_from_trigger`` says. A task that would lose something by it is ended by a worker.
    :param silent_fail: counts in `poke` and `reschedule` only.
    :param timeout: seconds or `timedelta` after which `AirflowSensorTimeout` is raised (what is waited for goes on).
        `execution_timeout` bounds the wait as well, also while deferred.
    """

    timeout_error = AirflowSensorTimeout

    def __init__(
        self,
        *,
        whiterabbit_conn_id: str = WhiteRabbitHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        start_from_trigger: bool | None = None,
        end_from_trigger: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.whiterabbit_conn_id = whiterabbit_conn_id
        self.deferrable = deferrable or bool(start_from_trigger) or bool(end_from_trigger)
        self.ends_in_triggerer = self.deferrable and triggerer_path.option("end_from_trigger", end_from_trigger)
        self._starts_in_triggerer = self.deferrable and triggerer_path.option("start_from_trigger", start_from_trigger)
        self._why_not_there: str | None = None

    def _prepare_start(self, identity: Any) -> None:
        """Let the task start in the triggerer, if it is to and can. A mapped task keeps the class's defaults: a worker.

        :param identity: as the DAG gives it: an id, a template, or another task's output.
        """
        if not self._starts_in_triggerer:
            return
        self._why_not_there = next(triggerer_path.of_start(self, identity), None)
        if self._why_not_there is None:
            self.start_from_trigger = True
            self.start_trigger_args = triggerer_path.start_of(self, identity)

    @property
    def _identity(self) -> str:
        return getattr(self, self.trigger_class.id_name)  # type: ignore[no-any-return]  # rendered by now

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Read the record once. Trouble that may pass means not yet."""
        from airflow_provider_whiterabbit.client.retry import is_transient

        followed = self.trigger_class.followed(self._identity)
        self._show_link(context, self._identity)
        try:
            record = self._hook.get_conn().look(followed)
        except WhiteRabbitError as error:
            if not is_transient(error):
                raise
            self.log.warning("%s: %s; looking again later", followed.what, error)
            return False
        self.log.info("%s: %s", followed.what, record.progress)
        if not record.status.is_terminal:
            return False
        self._report_usage(context, record)
        return PokeReturnValue(is_done=True, xcom_value=result_of(record))

    def execute(self, context: Context) -> Any:
        """Wait in the way that was asked for. What has ended already does not defer."""
        if not self.deferrable:
            # Airflow 2.11 would take the call for a foreign one, from within another task.
            return inspect.unwrap(BaseSensorOperator.execute)(self, context)
        if self._why_not_there is not None:
            self.log.info("A worker starts the task: %s", self._why_not_there)
        with self._skipping():
            found = self.poke(context)
        if isinstance(found, PokeReturnValue):
            return found.xcom_value
        lenient = self.soft_fail or self.never_fail
        return self._defer_until(self._identity, self._deadline(context), self.poke_interval, soft_fail=lenient)

    def execute_complete(self, context: Context, event: Any = None, identity: str | None = None) -> Any:
        """Turn the trigger's event into the task's end."""
        record = self._record_after(event, identity or self._identity)
        self._show_link(context, record.id)
        self._report_usage(context, record)
        return result_of(record)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume, and skip only where `poke` would: the base class skips after all trouble, a lost connection too."""
        with self._skipping():
            if next_method == _FAIL and (next_kwargs or {}).get("error") in _TIME_IS_UP:
                with self._telling_timeouts_apart():
                    raise WhiteRabbitTimeoutError(
                        "The time-out is over, and no triggerer has followed the wait to its end"
                    )
            if self.start_from_trigger and self.ends_in_triggerer:
                # No worker has told why before, and the triggerer can't know.
                for reason in triggerer_path.of_class(self):
                    self.log.info("A worker ends the task: %s", reason)
            return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)

    @contextlib.contextmanager
    def _skipping(self) -> Iterator[None]:
        """Skip instead of failing where the base class would around `poke`."""
        try:
            yield
        except (AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout) as error:
            if self.soft_fail or self.never_fail:
                self.log.info("Skipping: %s", error)  # Airflow's own words for it tell no reason
                raise AirflowSkipException(f"Skipping because the sensor is not to fail: {error}") from error
            raise
        except AirflowSkipException:
            raise
        except Exception as error:
            if self.never_fail:
                raise AirflowSkipException(f"Skipping because the sensor is never to fail: {error}") from error
            raise
