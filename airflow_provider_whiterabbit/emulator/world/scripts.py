"""Scripts: when the emulated executions of a module end, and with which output or error."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final, TypedDict

from airflow_provider_whiterabbit.emulator.plumbing.json_out import encode
from airflow_provider_whiterabbit.emulator.world.components import sample_output


class _Default:
    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final = _Default()
"""Stands for an output that was not given: the script's output, or a sample if the script has no output."""


class ScriptOptions(TypedDict, total=False):
    """The parameters of `Script`, for functions that create a `Script` from keyword arguments."""

    output: Any
    error: Any
    after: float
    polls: int
    manual: bool
    executing_after: float
    usage: float
    times: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """How an emulated execution proceeds. Without `after`, `polls` and `manual`, the execution ends at once.

    :param output: JSON value, or a function of input and config that returns one. If the function raises, the execution
        fails with the exception's message. The default output is that of `sample_output`.
    :param error: JSON value. With an error, the execution ends FAILED instead of COMPLETED.
    :param after: seconds until the execution ends.
    :param polls: number of the first read of the record that shows the end; earlier reads show EXECUTING.
    :param manual: the status changes only when a test changes it.
    :param executing_after: seconds until the execution is EXECUTING. Without it the execution is EXECUTING at once,
        unless `polls` or `manual` is set.
    :param usage: credits spent at the end.
    :param times: how many executions use this script before the next script of the sequence. The default is one, but
        the last script of a sequence is used for all further executions.
    :raises ValueError: if the parameters contradict each other, or a number is too small.
    :raises TypeError: if `output` or `error` is not JSON, `output` is a function that does not take two arguments, or
        another parameter has a wrong type.
    """

    output: Any = DEFAULT
    error: Any = None
    after: float | None = None
    polls: int | None = None
    manual: bool = False
    executing_after: float | None = None
    usage: float = 1
    times: int | None = None

    def __post_init__(self) -> None:
        if sum((self.after is not None, self.polls is not None, self.manual)) > 1:
            raise ValueError("after, polls and manual exclude each other")
        if self.output is not DEFAULT and self.error is not None:
            raise ValueError("an execution has an output or an error, not both")
        for name, minimum in (("after", 0), ("executing_after", 0), ("usage", 0), ("polls", 1), ("times", 1)):
            _check_number(name, getattr(self, name), minimum, whole=minimum == 1)
        if not isinstance(self.manual, bool):
            raise TypeError(f"manual must be True or False, not {self.manual!r:.80}")
        if callable(self.output):
            _check_takes_two(self.output)
        elif self.output is not DEFAULT:
            encode(self.output)
        encode(self.error)

    def result(self, module: str, inputs: Any, config: Any) -> Any:
        """Return the output that the script gives an execution with this module, input and config."""
        if callable(self.output):
            output = self.output(inputs, config)
            encode(output)
            return output
        if self.output is DEFAULT:
            return sample_output(module, inputs)
        return self.output


def _check_number(name: str, number: Any, minimum: int, *, whole: bool) -> None:
    if number is None and name != "usage":
        return
    if not isinstance(number, int if whole else int | float) or isinstance(number, bool):
        raise TypeError(f"{name} must be a {'whole ' if whole else ''}number, not {number!r:.80}")
    if not minimum <= number < float("inf"):
        raise ValueError(f"{name} must be at least {minimum}")


def _check_takes_two(function: Callable[..., Any]) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some functions that are written in C have none
        return
    try:
        signature.bind({}, {})
    except TypeError as error:
        raise TypeError(f"output must be a function that takes input and config: {error}") from None


_END_AT_ONCE = Script()


class ScriptBook:
    """The scripts of all modules."""

    def __init__(self) -> None:
        self._upcoming: dict[str, Iterator[Script]] = {}

    def write(self, module: str, steps: Sequence[Script]) -> None:
        """Replace a module's scripts: the module's next executions use the scripts `steps` in turn."""
        self._upcoming[module] = _script_for_each_execution(steps)

    def next(self, module: str) -> Script:
        """Return the script for the next execution of a module."""
        return next(self._upcoming.get(module, iter(())), _END_AT_ONCE)

    def clear(self) -> None:
        """Remove the scripts of all modules."""
        self._upcoming.clear()


def _script_for_each_execution(steps: Sequence[Script]) -> Iterator[Script]:
    for step in steps:
        if step.times is not None:
            yield from repeat(step, step.times)
        elif step is steps[-1]:
            yield from repeat(step)
        else:
            yield step
