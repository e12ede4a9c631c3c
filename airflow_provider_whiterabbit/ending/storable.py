"""Finds what Airflow can't store in the output of an execution or workflow run, and says where it is.

An output may be any JSON value. Airflow 3 sends an XCom in UTF-8, which has no lone surrogates, and PostgreSQL stores
no NUL, no NaN and no infinity. Airflow's serializer refuses some names of members, and its models refuse deep nesting.
Without this check, a task with such an output ends without a reason in its log, or with one that does not say that the
execution is paid for.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any

from airflow_provider_whiterabbit.client.text import clean
from airflow_provider_whiterabbit.client.wait.target import Target
from airflow_provider_whiterabbit.exceptions import WhiteRabbitOutputError
from airflow_provider_whiterabbit.masking import masked

_UNSTORABLE = re.compile(r"[\x00\ud800-\udfff]")

_RESERVED = ("__classname__", "__id__")
"""The names of members that Airflow's serializer refuses (`airflow.sdk.serde`)."""

MAX_DEPTH = 190
"""How many arrays and objects of an output may be nested. A task can't read an XCom with 200: pydantic refuses it."""

_MAX_PLACE = 500
"""How many characters of the place of a character an error shows at most."""


def check_storable(result: Any, target: Target[Any], target_id: str, part: str = "output") -> None:
    """Check that Airflow can store the result of an execution or workflow run as XCom.

    :param result: the output of an execution, or the record of a workflow run.
    :param part: what the result is: ``output``, or the ``error`` of an execution that has failed.
    :raises WhiteRabbitOutputError: if Airflow can't. The message says what it can't store, at which place, and how to
        get the output.
    """
    if not _has_plain_xcoms():
        return
    found = unstorable(result)
    if found is not None:
        what, place = found
        read = f"WhiteRabbitHook.get_{target.id_name.removesuffix('_id')}"
        raise WhiteRabbitOutputError(
            f"{target.noun.capitalize()} {target_id} has {'completed' if part == 'output' else 'failed'} and is paid "
            f"for, but Airflow can't store its {part} as XCom: it has {what} at {clean(masked(place), _MAX_PLACE)}. "
            f"Read the {part} with {read}, use an XCom backend that can store it, or set do_xcom_push=False"
        )


def unstorable(value: Any) -> tuple[str, str] | None:
    """Return what in a JSON value Airflow can't store as XCom, and its place, such as ``$.a[0]``; None for nothing.

    :param value: made of dicts, lists, strings, numbers, booleans and None.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
        is_fit = not any(mark in text for mark in (r"\u0000", *_RESERVED)) and not _is_deep(value)
    except (ValueError, RecursionError):  # a lone surrogate, NaN or an infinity; or nested very deeply
        is_fit = False
    # This slow search finds nothing if the text only quotes the escape, as an article about JSON does.
    return None if is_fit else next(_faults(value), None)


def _is_deep(value: Any) -> bool:
    """Return whether more than `MAX_DEPTH` arrays and objects are nested in a JSON value."""
    level = [value] if isinstance(value, dict | list) else []  # all of one depth: recursion could exhaust the stack
    for _ in range(MAX_DEPTH):
        level = [
            member
            for item in level
            for member in (item.values() if isinstance(item, dict) else item)
            if isinstance(member, dict | list)
        ]
        if not level:
            break
    return bool(level)


def _has_plain_xcoms() -> bool:
    """Return whether Airflow stores XComs as they are: Airflow 2 escapes them, and a custom XCom backend may, too."""
    try:
        from airflow.sdk.execution_time import xcom
    except ImportError:
        return False
    plain: Any = getattr(xcom, "BaseXCom")  # noqa: B009 (before Airflow 3.1 it is defined there, later imported)
    return xcom.XCom is plain


def _faults(value: Any) -> Iterator[tuple[str, str]]:
    """Yield everything in a JSON value that Airflow can't store, in the order of the JSON, with its place."""
    levels = [iter([("$", "", value)])]  # no recursion, which the nesting of an output could exhaust
    while levels:
        for place, name, item in levels[-1]:
            for text in name, item:
                if isinstance(text, str) and (match := _UNSTORABLE.search(text)):
                    yield f"the character U+{ord(match.group()):04X}", place
            if isinstance(item, float) and not math.isfinite(item):
                yield f"the number {item}", place
            if name in _RESERVED:
                yield f"a member with the name {name}", place
            if isinstance(item, dict | list) and len(levels) > MAX_DEPTH:
                yield f"more than {MAX_DEPTH} nested arrays and objects", place
            levels.append(_members(place, item))
            break
        else:
            levels.pop()


def _members(place: str, item: Any) -> Iterator[tuple[str, str, Any]]:
    """Yield the members of a JSON object or the elements of an array, with their places and names."""
    if isinstance(item, dict):
        for name, member in item.items():
            yield f"{place}.{name}" if name.isidentifier() else f"{place}[{name!r}]", name, member
    elif isinstance(item, list):
        for index, member in enumerate(item):
            yield f"{place}[{index}]", "", member
