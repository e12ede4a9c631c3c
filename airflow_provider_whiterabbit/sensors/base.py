"""Base class of the sensors for executions and workflow runs: poking, rescheduling, deferring, and ending."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.client.defaults import POKE_INTERVAL
from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.compat import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    AirflowTaskTimeout,
    BaseSensorOperator,
    PokeReturnValue,
    conf,
)
from airflow_provider_whiterabbit.computed import ComputedAttribute
from airflow_provider_whiterabbit.deadlines import MAX_WAIT_SECONDS, limited
from airflow_provider_whiterabbit.ending.obstacles import code_obstacles
from airflow_provider_whiterabbit.ending.verdict import INVALID, no_retry_mends
from airflow_provider_whiterabbit.exceptions import WhiteRabbitError, WhiteRabbitOutputError
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.sensors.start import start_args, start_obstacles, starts_in_triggerer
from airflow_provider_whiterabbit.templated import connection_id, fixed_flag, seconds
from airflow_provider_whiterabbit.waiting import WaitingMixin, configured, is_nested

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_whiterabbit.compat import Context, XComArg
    from airflow_provider_whiterabbit.parameters import Seconds, SensorParameters


def _poke_seconds(value: Any) -> float:
    return seconds(value, "poke_interval", MAX_WAIT_SECONDS)


def _limit(value: Any) -> float:
    return limited(conf.getfloat("sensors", "default_timeout") if value is None else value)


class WhiteRabbitSensor(WaitingMixin, BaseSensorOperator):
    """Waits until an execution or a workflow run has ended, and returns its result as XCom.

    The credits that were spent are the XCom ``usage``. While it is deferred, the sensor holds no worker: its trigger
    follows the event stream in the triggerer. In the modes `poke` and `reschedule` the sensor reads the record every
    `poke_interval`. An execution or run that did not complete fails the task without retries, with White Rabbit's error
    in the message; with `soft_fail` the task is skipped instead. A refused key, an unknown id or an undocumented answer
    raises a `WhiteRabbitError`, which `soft_fail` never hides.

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

    template_fields: Sequence[str] = ("whiterabbit_conn_id", "poke_interval", "timeout")
    timeout_error = AirflowSensorTimeout
    ui_color = "#e9e1f5"

    start_from_trigger: Any = ComputedAttribute(lambda: False, starts_in_triggerer)
    start_trigger_args: Any = ComputedAttribute(lambda: None, start_args)

    _start_option: bool | None = None

    def __init__(
        self,
        *,
        whiterabbit_conn_id: str | XComArg = WhiteRabbitHook.default_conn_name,
        deferrable: bool = conf.getboolean("operators", "default_deferrable", fallback=False),
        poke_interval: Seconds = POKE_INTERVAL,
        start_from_trigger: bool | None = None,
        end_from_trigger: bool | None = None,
        timeout: Seconds | None = None,
        **kwargs: Unpack[SensorParameters],
    ) -> None:
        # Airflow's class refuses templates. Without these two, it would take those of the DAG's default_args.
        super().__init__(poke_interval=POKE_INTERVAL, timeout=0, **kwargs)
        self.poke_interval = self._unless_template(poke_interval, _poke_seconds)
        self.timeout = self._unless_template(timeout, _limit)
        self.whiterabbit_conn_id = self._unless_template(whiterabbit_conn_id, connection_id)
        options = {"start_from_trigger": start_from_trigger, "end_from_trigger": end_from_trigger}
        for name, value in {"deferrable": deferrable, **options}.items():
            fixed_flag(value, name)
        self.deferrable = deferrable or bool(start_from_trigger) or bool(end_from_trigger)
        self._end_option = end_from_trigger
        self._start_option = start_from_trigger

    @property
    def _shall_start_in_triggerer(self) -> bool:
        return self.deferrable and configured("start_from_trigger", self._start_option)

    @property
    def _given_id(self) -> Any:
        """The id as the DAG gives it: a string, a template, or another task's output."""
        name = self.waits_for.id_name
        return self._unrendered.get(name, getattr(self, name, None))  # not there while `__init__` runs

    @property
    def _target_id(self) -> Any:
        """The rendered id.

        :raises WhiteRabbitInputError: if it is not an id.
        """
        name = self.waits_for.id_name
        with self._naming_native_rendering(name):
            return checks.identifier(getattr(self, name), name, self._unrendered.get(name))

    @property
    def _id_text(self) -> str:
        """What messages call the execution or run."""
        return str(getattr(self, self.waits_for.id_name))

    def _lineage_id(self) -> str | None:
        with contextlib.suppress(WhiteRabbitError):  # not rendered yet, or not an id
            return super()._lineage_id() or self._target_id
        return None

    @property
    def _poll_seconds(self) -> float:
        return self._checked_argument("poke_interval", _poke_seconds)

    def _check_arguments(self) -> None:
        """Check the rendered arguments before anything is sent.

        :raises WhiteRabbitInputError: if one is wrong.
        """
        self.poke_interval, self.timeout = self._poll_seconds, self._timeout_seconds  # Airflow reads them as numbers

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Read the record once; return whether the execution or workflow run has ended, False on a temporary error."""
        with self._ending_for_good():
            return self._poke(context)

    def _poke(self, context: Context) -> bool | PokeReturnValue:
        from airflow_provider_whiterabbit.client.retry import is_refused, is_transient

        target_id = self._target_id
        followed = self.waits_for.followed(target_id)
        self._lineage_saw_id(target_id)
        self._push_link(context, target_id)
        self._hide_named_secrets()
        if not self.deferrable:
            self._whiterabbit_metrics.count(Metric.POLLS)
        try:
            record = self.whiterabbit_hook.get_conn().read_once(followed)
        except WhiteRabbitError as error:
            if is_refused(error):
                self._whiterabbit_metrics.count(Metric.REFUSALS)
            if not is_transient(error):
                raise
            self.log.warning("%s: %s; its record will be read again", followed.name, error)
            return False
        self._lineage_saw_record(record)
        self.log.info("%s: %s", followed.name, record.progress)
        if not record.is_terminal:
            return False
        self._push_usage(context, record)
        self._whiterabbit_metrics.ended(record)
        return PokeReturnValue(is_done=True, xcom_value=self._result_of(record, context))

    def execute(self, context: Context) -> Any:
        """Wait in the configured mode. The sensor does not defer if the execution or workflow run has ended already."""
        with self._skipping(), self._ending_for_good():
            self._check_arguments()
        if nested := is_nested(self, context):
            self.mode = "poke"  # rescheduled, the task around it would begin anew
        if nested or not self.deferrable:
            # Airflow 2.11 warns of a call to `execute` from within another task.
            return inspect.unwrap(BaseSensorOperator.execute)(self, context)
        if self._shall_start_in_triggerer and (obstacle := next(start_obstacles(self), None)) is not None:
            self.log.info("A worker starts the task: %s", obstacle)
        with self._skipping():
            poked = self.poke(context)
        if isinstance(poked, PokeReturnValue):
            return poked.xcom_value
        soft_fail = self.soft_fail or self.never_fail
        deadline = self._deadline(context["ti"].start_date)
        return self._defer_until_end(self._target_id, deadline, self._poll_seconds, soft_fail=soft_fail)

    def execute_complete(self, context: Context, event: Any = None, identity: str | None = None) -> Any:
        """Read the record of the execution or workflow run after the trigger's event, and return the task's result.

        :param event: the trigger's event.
        :param identity: id of the execution or run; None where a task that started in the triggerer is resumed.
        """
        record = self._record_after(event, identity or self._target_id)
        self._push_link(context, record.id)
        self._push_usage(context, record)
        self._whiterabbit_metrics.ended(record)
        return self._result_of(record, context)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume the task; with `soft_fail`, Airflow's own method would skip the task even after a lost connection."""
        next_kwargs = self._take_deferred_secrets(next_kwargs)
        with self._skipping():
            self._refuse_deferral_timeout(next_method, next_kwargs, f"the {self.waits_for.noun} {self._id_text}")
            if self.start_from_trigger and self.ends_in_triggerer:
                # No worker has logged it before, and the triggerer can't know it.
                for obstacle in code_obstacles(self):
                    self.log.info("A worker ends the task: %s", obstacle)
            with self._ending_for_good():
                return super(BaseSensorOperator, self).resume_execution(next_method, next_kwargs, context)

    @contextlib.contextmanager
    def _ending_for_good(self) -> Iterator[None]:
        """End the task without retries after an error that no retry mends.

        With `soft_fail`, that would skip the task; with `silent_fail`, the sensor shall poke on, but not after the end.
        """
        try:
            yield
        except WhiteRabbitError as error:
            pokes_on = self.silent_fail and not isinstance(error, WhiteRabbitOutputError)
            if no_retry_mends(error, INVALID) and not (self.soft_fail or self.never_fail or pokes_on):
                raise AirflowFailException(str(error)) from error
            raise

    @contextlib.contextmanager
    def _skipping(self) -> Iterator[None]:
        """Skip the task after an error for which Airflow skips a poking sensor; fail the task after other errors."""
        try:
            yield
        except (AirflowFailException, AirflowSensorTimeout, AirflowTaskTimeout) as error:
            if self.soft_fail or self.never_fail:
                self.log.info("Skipping: %s", error)  # Airflow's own message gives no reason
                option = "soft_fail" if self.soft_fail else "never_fail"
                raise AirflowSkipException(f"Skipping because {option} is set: {error}") from error
            raise
        except AirflowSkipException:
            raise
        except Exception as error:
            if self.never_fail:
                raise AirflowSkipException(f"Skipping because never_fail is set: {clean(str(error))}") from error
            raise
