"""The inputs of many executions: a list of objects, checked when the DAG is parsed or when Airflow has rendered it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from airflow_provider_whiterabbit.secrets import check_names
from airflow_provider_whiterabbit.templated import as_number, check_json, is_deferred

MAX_INPUTS = 10_000
"""How many inputs one task submits at most."""

AT_ONCE = 16
"""How many inputs are submitted at the same time, unless the task says otherwise."""

_MAX_AT_ONCE = 100

_SHAPE = (
    "inputs must be a list of objects (dicts), such as another task's output, or a template that renders to a JSON "
    "array of objects; got "
)


def key_of(index: int) -> str:
    """Return the key under which the submission of an input is recorded, which is also its name in messages."""
    return f"inputs[{index}]"


def at_once(value: Any) -> int:
    """Return how many inputs are submitted at the same time, from the number or its text."""
    return checks.whole_number(as_number(value), "at_once", 1, _MAX_AT_ONCE)


def literal_inputs(value: Any) -> list[Any]:
    """Check inputs that are known when the DAG is parsed, and return them; templates in them are left as they are.

    :raises WhiteRabbitInputError: if they are not a list of objects, or can't be sent as JSON.
    """
    inputs = _listed(value)
    for index, item in enumerate(inputs):
        if not is_deferred(item):
            checks.json_object(item, key_of(index))
    check_json(inputs, "inputs")
    check_names(inputs, "inputs")
    return inputs


def inputs_of(value: Any) -> list[Mapping[str, Any]]:
    """Return rendered inputs, from a list of objects, from what can be read like one, or from a JSON array.

    :raises WhiteRabbitInputError: if they are something else, or too many.
    """
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise WhiteRabbitInputError(f"{_SHAPE}a text that is not JSON") from None
    return [checks.json_object(item, key_of(index)) for index, item in enumerate(_listed(value))]


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise WhiteRabbitInputError(f"{_SHAPE}{type(value).__name__}")
    # Another task's outputs may be read one by one: never more than one too many.
    inputs = list(itertools.islice(value, MAX_INPUTS + 1))
    if len(inputs) > MAX_INPUTS:
        raise WhiteRabbitInputError(
            f"inputs has more than {MAX_INPUTS:,} objects, which is the most that one task submits. Divide them among "
            "several tasks, or map this operator over lists of inputs"
        )
    return inputs
