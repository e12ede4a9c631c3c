"""What differs between two definitions of a component, and what of it breaks a DAG that was written for the first.

A DAG gives input and config: it breaks if a value that was allowed is no longer. It takes the output: it breaks if
the output may be what it could not be before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from airflow_provider_whiterabbit.components.schemas import PARTS


class Change(NamedTuple):
    """A difference.

    :param text: the place and what has changed, such as ``input.amount: number, was string``.
    :param breaks: whether it breaks a DAG that uses the component.
    """

    text: str
    breaks: bool


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Change]:
    """Yield the differences between the schemas of a component's `PARTS`."""
    for part in PARTS:
        yield from _changes(old[part], new[part], part, part != "output")


def _changes(old: Mapping[str, Any], new: Mapping[str, Any], place: str, given: bool) -> Iterator[Change]:
    if old == new:
        return
    if "properties" in old and "properties" in new:
        yield from _changed_fields(old, new, place, given)
    elif _lists_items(old) and _lists_items(new):
        yield from _changes(old["items"], new["items"], f"{place}[]", given)
    else:
        narrow, wide = (old, new) if given else (new, old)
        yield Change(f"{place}: {described(new)}, was {described(old)}", not fits(narrow, wide))


def _changed_fields(old: Mapping[str, Any], new: Mapping[str, Any], place: str, given: bool) -> Iterator[Change]:
    before, after = old["properties"], new["properties"]
    for field in sorted(before.keys() | after.keys()):
        where = f"{place}.{field}"
        was_required, is_required = field in old["required"], field in new["required"]
        kind = "required" if is_required else "optional"
        if field not in after:
            yield Change(f"{where}: removed", breaks=True)
        elif field not in before:
            yield Change(f"{where}: new, {kind}, {described(after[field])}", given and is_required)
        else:
            if was_required != is_required:
                yield Change(f"{where}: {kind} now", is_required == given)
            yield from _changes(before[field], after[field], where, given)


def fits(narrow: Mapping[str, Any], wide: Mapping[str, Any]) -> bool:
    """Return whether each value of one schema is a value of the other, as far as it can be told."""
    if not wide or narrow == wide:
        return True
    if "anyOf" in narrow:
        return all(fits(choice, wide) for choice in narrow["anyOf"])
    if "anyOf" in wide:
        return any(fits(narrow, choice) for choice in wide["anyOf"])
    if wide.get("type", narrow.get("type")) != narrow.get("type"):
        return False
    if "enum" in wide:
        return "enum" in narrow and all(value in wide["enum"] for value in narrow["enum"])
    if "properties" in wide:
        return "properties" in narrow and not any(change.breaks for change in _changes(narrow, wide, "", True))
    return "items" not in wide or ("items" in narrow and fits(narrow["items"], wide["items"]))


def described(schema: Mapping[str, Any]) -> str:
    """Return a schema in words."""
    if "anyOf" in schema:
        return " or ".join(map(described, schema["anyOf"]))
    kind = str(schema.get("type", "anything"))
    if "enum" in schema:
        return f"{kind} ({', '.join(map(str, schema['enum']))})"
    if "items" in schema:
        return f"{kind} of {described(schema['items'])}"
    if "properties" in schema:
        return f"{kind} with the fields {', '.join(schema['properties']) or 'none'}"
    return kind


def _lists_items(schema: Mapping[str, Any]) -> bool:
    return "items" in schema and "anyOf" not in schema["items"] and "enum" not in schema
