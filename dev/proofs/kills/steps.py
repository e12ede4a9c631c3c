"""Run the steps of many cases concurrently in one thread."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from typing import TypeVar

T = TypeVar("T")
Steps = Generator[Callable[[], object], None, T]
"""The steps of a case, as a generator: it yields a condition, and continues when the condition has become true."""


def run_concurrently(
    steps: Mapping[str, Steps[None]], poll: Callable[[], None], timeout: float
) -> dict[str, BaseException | None]:
    """Run the steps of many cases concurrently.

    :param steps: the steps of each case, by the case's module.
    :param poll: is called before each round of conditions.
    :param timeout: seconds after which the unfinished cases are given up.
    :return: the error with which each case's steps have failed or timed out; None for steps that have ended.
    """
    results: dict[str, BaseException | None] = {}
    conditions: dict[str, Callable[[], object]] = dict.fromkeys(steps, lambda: True)
    deadline = time.monotonic() + timeout
    while conditions:
        poll()
        for module, condition in list(conditions.items()):
            try:
                if condition():
                    conditions[module] = next(steps[module])
                elif time.monotonic() > deadline:
                    raise TimeoutError(f"the case did not end within {timeout:g} s")
            except StopIteration:
                results[module] = None
            except Exception as error:
                results[module] = error
            if module in results:
                del conditions[module]
        time.sleep(0.5)
    return results
