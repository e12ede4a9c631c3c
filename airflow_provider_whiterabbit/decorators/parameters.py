"""Types of `@task.whiterabbit`; only type checkers import this module."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol, TypeAlias, Unpack

from airflow_provider_whiterabbit.compat import XComArg
from airflow_provider_whiterabbit.operators.doubt import OnDoubt, OnFailedExecution
from airflow_provider_whiterabbit.operators.earlier import OnClear
from airflow_provider_whiterabbit.parameters import Rendered, Seconds, TaskParameters

_Object: TypeAlias = Mapping[str, Any]

ComponentFunction: TypeAlias = Callable[..., _Object | tuple[_Object, _Object]]
"""A function that returns the input of a component, or the input and the config."""


class ComponentTaskParameters(TaskParameters, total=False):
    """The parameters of `WhiteRabbitExecuteComponentOperator` that `@task.whiterabbit` has beside the module."""

    task_id: str
    config: _Object | str | XComArg | None
    attempts: int | Rendered | None
    callback_url: str | XComArg | None
    callback: bool | str | XComArg
    inline_wait: Seconds
    allowed_secrets: Collection[str]
    validate: bool | Rendered
    whiterabbit_conn_id: str | XComArg
    wait_for_completion: bool | Rendered
    deferrable: bool
    end_from_trigger: bool | None
    timeout: Seconds | None
    poll_interval: Seconds
    on_failed_execution: OnFailedExecution | Rendered
    on_doubt: OnDoubt | Rendered | None
    on_clear: OnClear | Rendered
    assigned_users: list[dict[str, str]] | None


class ComponentTask(Protocol):
    """What `@task.whiterabbit` makes of a function: each call adds a task to the DAG, and returns the task's output."""

    def __call__(self, *args: Any, **kwargs: Any) -> XComArg:
        """Add a task that calls the function with these arguments."""

    def partial(self, **kwargs: Any) -> ComponentTask:
        """Give arguments of the function that all mapped tasks have."""

    def expand(self, **kwargs: Any) -> XComArg:
        """Add mapped tasks, one for each element of the arguments."""

    def expand_kwargs(self, kwargs: Any, *, strict: bool = True) -> XComArg:
        """Add mapped tasks, one for each dict of arguments."""

    def override(self, *, module: str | XComArg = ..., **kwargs: Unpack[ComponentTaskParameters]) -> ComponentTask:
        """Replace parameters of the decorator."""
