"""The inputs of many executions: a list of objects, checked when the DAG is parsed or when Airflow has rendered it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.operators.json_files import members
from airflow_provider_whiterabbit.operators.submission import key_of
from airflow_provider_whiterabbit.own_fields import is_deferred
from airflow_provider_whiterabbit.secrets import check_names
from airflow_provider_whiterabbit.templated import as_number, check_json, seconds

MAX_INPUTS = 10_000
"""How many inputs one task submits at most."""

AT_ONCE = 20
"""How many inputs are submitted at the same time, unless the task says otherwise: their records fill one page."""

INLINE_WAIT = 10.0
"""Seconds for which the worker looks for the ends before the task defers: about what deferring costs."""

_MAX_AT_ONCE = 100

_SHAPE = (
    "inputs must be a list of objects (dicts), such as another task's output, or a template that renders to a JSON "
    "array of objects; got "
)


def at_once(value: Any) -> int:
    """Return how many inputs are submitted at the same time, from the number or its text."""
    return checks.whole_number(as_number(value), "at_once", 1, _MAX_AT_ONCE)


def inline_wait(value: Any) -> float:
    """Return for how many seconds the worker looks for the ends, from seconds, their text or a `timedelta`."""
    return seconds(value, "inline_wait", checks.MAX_INLINE_WAIT)


def literal_inputs(value: Any) -> list[Any]:
    """Check inputs that are known when the DAG is parsed, and return them; templates in them are left as they are.

    :raises WhiteRabbitInputError: if they are not a list of objects, or can't be sent as JSON.
    """
    inputs = _listed(value)
    for index, item in enumerate(inputs):
        if not is_deferred(item):
            _object(item, index)
    check_json(inputs, "inputs")
    check_names(inputs, "inputs")
    return inputs


def readable_again(value: Any, *, is_mapped: bool) -> Any:
    """Return an argument that can be read more than once: an iterator is read, up to one input too many.

    :raises WhiteRabbitInputError: if a mapped operator has an iterator, which only one of its tasks could read.
    """
    if not isinstance(value, Iterator):
        return value
    if is_mapped:
        raise WhiteRabbitInputError(f"{_SHAPE}{type(value).__name__}, which only one of the mapped tasks could read")
    return list(itertools.islice(value, MAX_INPUTS + 1))


def inputs_of(value: Any) -> list[Mapping[str, Any]]:
    """Return rendered inputs, from a list of objects, from what can be read like one, or from a JSON array.

    :raises WhiteRabbitInputError: if they are something else, or too many.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value, object_pairs_hook=members)
        except (json.JSONDecodeError, RecursionError):
            raise WhiteRabbitInputError(f"{_SHAPE}a text that is not JSON") from None
        except ValueError as error:
            raise WhiteRabbitInputError(f"inputs, when rendered, is not valid: {error}") from None
    return [_object(item, index) for index, item in enumerate(_listed(value))]


def _object(item: Any, index: int) -> Mapping[str, Any]:
    if item is None:  # of a task that has returned nothing, perhaps
        raise WhiteRabbitInputError(
            f"{key_of(index)} must be an object (a dict), got None. An input without values is {{}}"
        )
    if isinstance(item, str):
        raise WhiteRabbitInputError(
            f"{key_of(index)} must be an object (a dict), got a text. Give an object with templates in its values, or "
            "one template for the whole list that renders to a JSON array"
        )
    return checks.json_object(item, key_of(index))


def _listed(value: Any) -> list[Any]:
    # A set has another order in each process.
    if isinstance(value, str | bytes | Mapping | AbstractSet) or not isinstance(value, Iterable):
        raise WhiteRabbitInputError(f"{_SHAPE}{type(value).__name__}")
    # Another task's outputs may be read one by one: never more than one too many.
    inputs = list(itertools.islice(value, MAX_INPUTS + 1))
    if len(inputs) > MAX_INPUTS:
        raise WhiteRabbitInputError(
            f"inputs has more than {MAX_INPUTS:,} objects, which is the most that one task submits. Divide them among "
            "several tasks, or map this operator over lists of inputs"
        )
    return inputs
