"""What all tasks that wait for White Rabbit share: deferring, the dashboard link, secrets and the credits spent."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_whiterabbit.client.wait.target import Target
from airflow_provider_whiterabbit.compat import conf
from airflow_provider_whiterabbit.computed import ComputedAttribute
from airflow_provider_whiterabbit.deadlines import DeadlineMixin
from airflow_provider_whiterabbit.ending.obstacles import code_obstacles, task_obstacles
from airflow_provider_whiterabbit.ending.storable import check_storable
from airflow_provider_whiterabbit.ending.verdict import USAGE_KEY, ended_id, result_of
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.links import LINK_KEY, WhiteRabbitLink
from airflow_provider_whiterabbit.native import NativeRenderingMixin
from airflow_provider_whiterabbit.observing.lineage import LineageMixin
from airflow_provider_whiterabbit.observing.tasks import TaskMetrics
from airflow_provider_whiterabbit.secrets import SecretName, as_names
from airflow_provider_whiterabbit.templated import TemplatedMixin, connection_id
from airflow_provider_whiterabbit.triggers.base import GRACE, WhiteRabbitTrigger

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import Context


def configured(option: str, argument: bool | None) -> bool:
    """Return a task's argument; if the argument is None, Airflow's option of that name in section ``[whiterabbit]``."""
    return conf.getboolean("whiterabbit", option, fallback=False) if argument is None else argument


def _extra_links() -> tuple[WhiteRabbitLink, ...]:
    """Return the link for which Airflow's UI reserves a place; without the option none, because it may stay empty."""
    return (WhiteRabbitLink(),) if configured("dashboard_links", None) else ()


def _ends_in_triggerer(task: WaitingMixin) -> bool:
    return task.deferrable and configured("end_from_trigger", task._end_option)


class WaitingMixin(DeadlineMixin, LineageMixin, NativeRenderingMixin, TemplatedMixin):
    """Mixin for Airflow tasks that wait for an execution or a workflow run."""

    operator_extra_links: Any = ComputedAttribute(_extra_links, lambda task: _extra_links())

    waits_for: ClassVar[Target[Any]]
    """What the task waits for: an execution or a workflow run."""

    trigger_class: ClassVar[type[WhiteRabbitTrigger]]
    """The trigger that waits while the task is deferred."""

    whiterabbit_conn_id: str
    deferrable: bool = False
    _end_option: bool | None = None

    ends_in_triggerer: Any = ComputedAttribute(lambda: False, _ends_in_triggerer)
    """Whether the trigger may end the task. The attribute is not named ``end_from_trigger``, because Airflow refuses a
    DAG with that name set to True if a listener is installed; a worker ends the task in that case."""

    _unfinished: str | None = None
    """What may be running at White Rabbit if this process is killed, as part of a sentence; None if nothing is."""

    _deferred_secrets: frozenset[SecretName] | None = None
    """The names of the secrets with which the execution was submitted, where Airflow resumes the task: the DAG may name
    others now."""

    _linked_id: str | None = None
    """The id whose dashboard link was stored in this process."""

    shallow_copy_attrs: Sequence[str] = ("whiterabbit_hook",)
    """Airflow copies the task when it copies a part of a DAG. A hook that was used has locks, which can't be copied."""

    @cached_property
    def whiterabbit_hook(self) -> WhiteRabbitHook:
        """The hook that calls White Rabbit with the task's connection."""
        return WhiteRabbitHook(self._checked_conn_id())

    def _checked_conn_id(self) -> str:
        """Return the rendered id of the connection.

        :raises WhiteRabbitInputError: if it is not an id.
        """
        with self._naming_native_rendering("whiterabbit_conn_id"):
            return self._checked_argument("whiterabbit_conn_id", connection_id)

    @property
    def _whiterabbit_metrics(self) -> TaskMetrics:
        return TaskMetrics(self.whiterabbit_conn_id, self.waits_for.kind)

    def _defer_until_end(
        self, target_id: Any, deadline: datetime | None, poll_interval: float, *, soft_fail: bool = False
    ) -> None:
        """Defer the task until the execution or workflow run has ended and Airflow calls `execute_complete`.

        :param poll_interval: seconds between two reads of the record while streaming is refused.
        :param soft_fail: whether the trigger skips the task instead of failing it, if the trigger ends it.
        """
        ending, names = self._ending_arguments(soft_fail), sorted(map(str, self._secret_names()))
        if names:
            ending["inputs_are_secret"] = True
        self._unfinished = None  # from here on, the trigger waits
        self.defer(
            trigger=self.trigger_class(target_id, self.whiterabbit_conn_id, poll_interval, deadline, **ending),
            method_name="execute_complete",
            kwargs={"identity": target_id, **({"secrets": names} if names else {})},
            timeout=None if deadline is None else max(deadline - datetime.now(UTC), timedelta()) + GRACE,
        )

    def _ending_arguments(self, soft_fail: bool) -> dict[str, Any]:
        """Return the trigger's arguments for ending the task without a worker; empty if a worker must end the task."""
        if not self.ends_in_triggerer:
            return {}
        obstacles = itertools.chain(self._secret_obstacles(), task_obstacles(self), code_obstacles(self))
        obstacle = next(obstacles, None)
        if obstacle is not None:
            self.log.info("A worker will end the task: %s", obstacle)
            return {}
        return {"end_from_trigger": True, "soft_fail": soft_fail}

    def _secret_obstacles(self) -> Iterator[str]:
        if self._secret_names():
            yield "only a worker can read the secrets that its inputs name, and hide them in the output"

    def _secret_names(self) -> frozenset[SecretName]:
        """Return the names of the secrets in the inputs of the execution, as far as this task knows."""
        return frozenset()

    def _read_named_secrets(self) -> None:
        """Read the secrets that inputs of the execution name, and hide them in everything that White Rabbit answers."""

    def _hide_named_secrets(self) -> None:
        """Read the secrets with which the execution was submitted, only to hide them: nothing is sent any more.

        :raises WhiteRabbitError: if one can't be read. The record is then not read either.
        """
        names = self._secret_names() if self._deferred_secrets is None else self._deferred_secrets
        for name in sorted(names, key=str):
            self.whiterabbit_hook.secret_values.read_name(name, "an input")
        if names:
            self.whiterabbit_hook.read_secrets({}, ())

    def _take_deferred_secrets(self, next_kwargs: dict[str, Any] | None) -> dict[str, Any] | None:
        """Take the names of secrets from the arguments with which Airflow resumes the task; return the others."""
        if not next_kwargs or "secrets" not in next_kwargs:
            return next_kwargs
        self._deferred_secrets = as_names(next_kwargs["secrets"], "secrets")
        return {name: value for name, value in next_kwargs.items() if name != "secrets"}

    def _push_link(self, context: Context, target_id: str) -> None:
        """Store the link to White Rabbit's dashboard as XCom, once per process, if the connection has a template.

        It is stored with `do_xcom_push=False` too, as Airflow itself stores the links of such a task.
        """
        if self._linked_id == target_id:
            return
        link = self.whiterabbit_hook.get_conn().settings.link_to(self.waits_for, target_id)
        if link is not None:
            context["ti"].xcom_push(key=LINK_KEY, value=link)
        self._linked_id = target_id
        others = tuple(link for link in self.operator_extra_links if type(link) is not WhiteRabbitLink)
        # Airflow 3 stores all links when the process ends, ours once more, also if it is empty.
        with contextlib.suppress(AttributeError):  # it may be a property of a subclass
            self.operator_extra_links = others

    def _push_usage(self, context: Context, record: Any) -> None:
        """Log the number of credits that were spent, and store the number as XCom ``usage``."""
        if record.total_usage is not None:
            self.log.info("Credits used: %.12g", record.total_usage)
            if self.do_xcom_push:
                context["ti"].xcom_push(key=USAGE_KEY, value=record.total_usage)

    def _result_of(self, record: Any, context: Context) -> Any:
        """Return the task's result from the record of an execution or workflow run that has ended.

        :raises AirflowFailException: if it did not complete.
        :raises WhiteRabbitOutputError: if Airflow is to store the result as XCom, and can't.
        """
        result = result_of(record)
        if self.do_xcom_push and not is_nested(self, context):
            check_storable(result, self.waits_for, record.id)
        return result

    def _record_after(self, event: Any, target_id: str | None) -> Any:
        """Read the record of the execution or workflow run after the trigger's event, which carries no output.

        :param target_id: id of the execution or run; None if only the event knows it.
        :raises Exception: `timeout_error` or `AirflowTaskTimeout`, if the deadline passed first.
        """
        self._lineage_saw_id(target_id)
        with self._as_task_timeout():
            ended = ended_id(event, self.waits_for, target_id)
        self._unfinished = None
        self._hide_named_secrets()
        record = self.whiterabbit_hook.get_conn().read_ended(self.waits_for.followed(ended))
        self._lineage_saw_record(record)
        return record


def is_nested(operator: Any, context: Context) -> bool:
    """Return whether an operator is executed in the code of another task, such as a `@task`, which Airflow resumes."""
    task: Any = context.get("task", operator)
    # Not `is`: before Airflow 3.1, the context may hold the task of which Airflow executes a copy.
    return type(task) is not type(operator) or task.task_id != operator.task_id
