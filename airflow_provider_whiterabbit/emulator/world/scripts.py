"""What executions and workflow stages are going to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import Any, Final, TypedDict
from uuid import uuid4

from airflow_provider_whiterabbit.emulator.plumbing.json_out import encode


class _Default:
    def __repr__(self) -> str:
        return "DEFAULT"


DEFAULT: Final = _Default()
"""Stands for an output that nobody gave: the script's, and where there is none, an echo of the input."""


class ScriptOptions(TypedDict, total=False):
    """The parameters of `Script`, for functions that pass them on."""

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
    """How an execution goes on after it is CREATED. Without `after`, `polls` and `manual` it ends at once.

    :param output: JSON value, or a function of input and config that returns one; if it raises, the execution fails
        with that message. The default echoes module and input.
    :param error: JSON value; the execution ends FAILED with it instead of COMPLETED.
    :param after: seconds until it ends.
    :param polls: the n-th read of the record is the first that shows the end; earlier ones show EXECUTING.
    :param manual: it moves only when it is told to.
    :param executing_after: seconds until it is EXECUTING. The default: at once, where it is neither `polls` nor
        `manual`.
    :param usage: credits spent at the end.
    :param times: how many executions take this script before the next one's turn comes. The default: one, but the
        last script in a sequence stays for good.
    :raises ValueError: if the parameters contradict each other.
    :raises TypeError: if `output` or `error` is not JSON.
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
        for name, low in (("after", 0), ("executing_after", 0), ("usage", 0), ("polls", 1), ("times", 1)):
            value = getattr(self, name)
            if value is not None and value < low:
                raise ValueError(f"{name} must be at least {low}")
        if self.output is not DEFAULT and not callable(self.output):
            encode(self.output)
        encode(self.error)

    def result(self, module: str, inputs: Any, config: Any) -> Any:
        """Return the output for this input."""
        if callable(self.output):
            output = self.output(inputs, config)
            encode(output)
            return output
        if self.output is DEFAULT:
            return {"module": module, "input": inputs}
        return self.output


_BUILT_IN = {"RANDOM_UUID": Script(output=lambda _inputs, _config: {"uuid": str(uuid4())})}
_AT_ONCE = Script()


class ScriptBook:
    """The scripts by module."""

    def __init__(self) -> None:
        self._turns: dict[str, Iterator[Script]] = {}

    def write(self, module: str, steps: Sequence[Script]) -> None:
        """Let the module's next executions take these scripts in turn. Replaces what was written before."""
        self._turns[module] = _turns(steps)

    def next(self, module: str) -> Script:
        """Return the script of the module's next execution."""
        return next(self._turns.get(module, iter(())), _BUILT_IN.get(module, _AT_ONCE))

    def clear(self) -> None:
        """Forget all scripts."""
        self._turns.clear()


def _turns(steps: Sequence[Script]) -> Iterator[Script]:
    for step in steps:
        if step.times is not None:
            yield from repeat(step, step.times)
        elif step is steps[-1]:
            yield from repeat(step)
        else:
            yield step
