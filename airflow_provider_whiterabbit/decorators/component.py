"""`@task.whiterabbit`: executes a component once, with the input that a Python function returns.

A worker calls the function in each try of the task, when it is known what an earlier try has submitted. A task that
resumes after a wait does not call the function again. What the function returns is data: nothing in it is rendered, and
it may only name the secrets that `allowed_secrets` lists. Only the question about a doubt shows it in Airflow.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from airflow_provider_whiterabbit.compat import DecoratedOperator, determine_kwargs, task_decorator_factory
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator

if TYPE_CHECKING:
    from typing import Unpack

    from airflow_provider_whiterabbit.compat import Context, XComArg
    from airflow_provider_whiterabbit.decorators.parameters import (
        ComponentFunction,
        ComponentTask,
        ComponentTaskParameters,
    )


def whiterabbit_task(
    module: str | XComArg, **kwargs: Unpack[ComponentTaskParameters]
) -> Callable[[ComponentFunction], ComponentTask]:
    """Make a task of a Python function that returns the input of a component: ``@task.whiterabbit("RANDOM_UUID")``.

    The function returns the input, a dict, or the input and the config, a tuple of two dicts. The task executes the
    component once with it, as `WhiteRabbitExecuteComponentOperator` does, and returns the execution's output.

    ``task.whiterabbit`` of Airflow is this function. Import the function itself for type checkers, which do not know
    the decorators of providers.

    .. seealso::
        For more information on how to use this decorator, take a look at the guide:
        :ref:`inputs-from-a-function`

    :param module: module name, as ``RANDOM_UUID``; templated.
    :param kwargs: all other parameters of `WhiteRabbitExecuteComponentOperator` but `input`, and those of Airflow's
        `BaseOperator`. The function's name is the default of `task_id`.
    :raises WhiteRabbitInputError: if the function is ``async`` or a generator, or an argument is wrong.
    """
    given: Any = module
    if callable(given):  # a decorator without parentheses
        raise WhiteRabbitInputError('@task.whiterabbit needs the module: @task.whiterabbit("RANDOM_UUID")')
    # Airflow would take the annotation of what the function returns for that of the output.
    options: dict[str, Any] = {"multiple_outputs": False, **kwargs}
    make_task = task_decorator_factory(decorated_operator_class=_WhiteRabbitDecoratedOperator, module=module, **options)

    def decorate(function: ComponentFunction) -> ComponentTask:
        kinds = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
        if any(is_kind(function) for is_kind in kinds):
            raise WhiteRabbitInputError(
                f"@task.whiterabbit needs a function that returns the input; {_named(function)} is async or a generator"
            )
        return cast("ComponentTask", make_task(function))

    return decorate


class _WhiteRabbitDecoratedOperator(DecoratedOperator, WhiteRabbitExecuteComponentOperator):
    """Executes a component once, with the input, or the input and the config, that a Python function returns."""

    custom_operator_name = "@task.whiterabbit"
    template_fields: Sequence[str] = (
        *DecoratedOperator.template_fields,
        *(name for name in WhiteRabbitExecuteComponentOperator.template_fields if name != "input"),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"op_args": "py", "op_kwargs": "py", "config": "json"}
    shallow_copy_attrs: Sequence[str] = (
        *DecoratedOperator.shallow_copy_attrs,
        *WhiteRabbitExecuteComponentOperator.shallow_copy_attrs,
    )

    def __init__(self, **kwargs: Any) -> None:
        if "input" in kwargs:
            raise WhiteRabbitInputError("@task.whiterabbit takes no input, because its function returns the input")
        super().__init__(**kwargs)

    def execute(self, context: Context) -> Any:
        """Execute the component as the operator does; `DecoratedOperator.execute` of Airflow 3.0 fails after that."""
        return WhiteRabbitExecuteComponentOperator.execute(self, context)

    def _complete_arguments(self, context: Context) -> None:
        """Call the function, and take what it returns as the input, or as the input and the config."""
        from airflow_provider_whiterabbit.client.wire.canonical import to_json  # which a DAG file may not need

        function = _named(self.python_callable)
        objects = _objects(self._call(context), function)
        if "config" in objects and self.config is not None:
            raise WhiteRabbitInputError(f"{function} returns a config, but its @task.whiterabbit has a config")
        to_json(objects)
        for name, value in objects.items():
            setattr(self, name, value)
            self._note_data(value)

    def _call(self, context: Context) -> Any:
        given: Any = copy.copy(context)  # the task itself uses Airflow's objects, whatever the DAG calls its own
        given.update(self.op_kwargs)
        with self._naming_native_rendering("op_args", "op_kwargs"):
            kwargs = determine_kwargs(self.python_callable, self.op_args, given)
            try:
                return self.python_callable(*self.op_args, **kwargs)
            except Exception:  # a skip, too
                if self._submitted is not None:
                    self.log.warning("%s, which an earlier try has submitted, may still be running", self._submitted)
                raise


def _objects(returned: Any, function: str) -> dict[str, Any]:
    """Return the input, and perhaps the config, that a function has returned.

    :raises WhiteRabbitInputError: if it is something else. The message shows no value, because a value can be secret.
    """
    is_tuple = isinstance(returned, tuple)
    values = returned if is_tuple else (returned,)
    if len(values) == 1 + is_tuple and all(isinstance(value, Mapping) for value in values):
        return dict(zip(("input", "config"), values, strict=False))
    got = type(returned).__name__
    if is_tuple:
        got = f"a tuple of {len(values)}: {', '.join(type(value).__name__ for value in values[:3])}"
    raise WhiteRabbitInputError(
        f"{function} must return the input, an object (a dict), or the input and the config, a tuple of "
        f"two objects; got {got}"
    )


def _named(function: Any) -> str:
    return f"the function {getattr(function, '__name__', function)!s:.100}"
