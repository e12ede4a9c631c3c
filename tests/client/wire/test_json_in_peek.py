"""The first members of an object, out of a beginning that is cut anywhere: right, or nothing."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.wire.json_in import peek
from tests.client.properties import examples

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(
    st.sampled_from(["id", "status", "output", "é", ""]) | st.text(max_size=4), VALUES, max_size=5
)
LAYOUTS: list[dict[str, Any]] = [
    {"separators": (",", ":")},
    {"indent": 2, "ensure_ascii": False},
    {"separators": (" ,\n", "\t:\r\n")},
]


@given(OBJECTS, st.sampled_from(LAYOUTS), st.sampled_from([("id",), ("id", "status"), ("é", ""), ("output",)]))
@examples(150)
def test_every_cut(data: dict[str, Any], layout: dict[str, Any], names: tuple[str, ...]) -> None:
    """Wherever it is cut, what is found is what the whole says; uncut, everything is found."""
    whole = json.dumps(data, **layout).encode("utf-8", "surrogatepass")
    expected = {name: data[name] for name in names if name in data}
    complete = len(expected) == len(names)
    for cut in range(len(whole) + 1):
        found = peek(whole[:cut], names)
        assert found is None or (complete and same(found, expected)), whole[:cut]
    assert (found is not None) is complete


def same(one: Any, other: Any) -> bool:
    """Whether two values are the same JSON: True is not 1, and 1.0 not 1."""
    return repr(one) == repr(other) or json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@pytest.mark.parametrize("number", ["12", "-120", "1.25", "1e10", "0.5E-3", "-0"])
def test_cut_number(number: str) -> None:
    """The digits that are there are not taken for all of them."""
    head = f'{{"id": "e", "status": {number}'.encode()
    for cut in range(len(head) + 1):
        assert peek(head[:cut], ("id", "status")) is None
    assert peek(head + b",", ("id", "status")) == {"id": "e", "status": json.loads(number)}


@pytest.mark.parametrize("text", ["EXECUTING", "caf\u00e9", "a\\b", 'a"b', "\U0001f407", "\u2028"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_cut_string(text: str, ascii_only: bool) -> None:
    """A string is there when its last quote is, and never shorter."""
    whole = json.dumps({"status": text, "more": 1}, ensure_ascii=ascii_only).encode()
    found = [peek(whole[:cut], ("status",)) for cut in range(len(whole) + 1)]
    assert {json.dumps(one) for one in found} == {json.dumps(None), json.dumps({"status": text})}


def test_what_follows_does_not_matter() -> None:
    """Nothing beyond what was asked for is looked at."""
    assert peek(b'{"id": "e", "status": "X", "output": {not json at all', ("status", "id")) == {
        "id": "e",
        "status": "X",
    }


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b" ",
        b"[",
        b"[1]",
        b"null",
        b'"id"',
        b"<html>",
        b"{",
        b"{}",
        b'{"id"',
        b'{"id":',
        b'{"id" "e"}',
        b'{"id": "e" "status": 1}',
        b'{"other": "e"}',
        b"{id: 1}",
        b'{"id": tru',
        b'{"id": \xff}',
        b'{"other": ' + b"[" * 100_000,
    ],
    ids=lambda head: ascii(head)[:30],
)
def test_nothing_to_find(head: bytes) -> None:
    """Whatever is no such object is None, and no error."""
    assert peek(head, ("id",)) is None


def test_damaged_text() -> None:
    """Bytes that are no UTF-8 are not left out of a value: a cut may only hurt the end."""
    assert peek(b'{"id": "a\xffb", "status": 1}', ("id",)) is None


def test_nested_members_are_not_mistaken() -> None:
    """Only the object's own members count."""
    assert peek(b'{"output": {"id": "inner"}, "id": "outer", "x": 1', ("id",)) == {"id": "outer"}
    assert peek(b'{"output": {"id": "inner"}, "ot', ("id",)) is None


def test_large_beginning() -> None:
    """A megabyte that does not hold what was asked for is given up within a blink of an eye."""
    head = b'{"output": ["' + b"x" * 1_000_000
    before = time.thread_time()
    assert peek(head, ("id",)) is None
    assert time.thread_time() - before < 0.1
