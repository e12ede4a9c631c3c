"""Attributes of Airflow tasks that are computed when they are read, or changed when they are set."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class ComputedAttribute:
    """A descriptor: an attribute of a task that is computed each time it is read, unless it was set.

    Cluster policies change a task after its `__init__`, and so does a subclass after ``super().__init__()``. Airflow
    serializes the task after that, and so reads what follows from these changes.

    :param default: returns the value on the class, which Airflow reads for mapped tasks.
    :param compute: returns the value for a task. Airflow also calls it while the task's `__init__` still runs.
    """

    def __init__(self, default: Callable[[], Any], compute: Callable[[Any], Any]) -> None:
        self._default = default
        self._compute = compute

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, task: Any, owner: type | None = None) -> Any:
        if task is None:
            return self._default()
        return vars(task)[self._name] if self._name in vars(task) else self._compute(task)

    def __set__(self, task: Any, value: Any) -> None:
        vars(task)[self._name] = value


class ChangedAttribute:
    """A descriptor: an attribute of a task whose value is changed when it is set, by whom and whenever that is.

    :param change: returns the value to keep for the value that was set.
    """

    def __init__(self, change: Callable[[Any], Any]) -> None:
        self._change = change

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, task: Any, owner: type | None = None) -> Any:
        if task is None:
            return self
        try:
            return vars(task)[self._name]
        except KeyError:
            raise AttributeError(f"{type(task).__name__} has no {self._name} yet") from None

    def __set__(self, task: Any, value: Any) -> None:
        vars(task)[self._name] = self._change(value)
