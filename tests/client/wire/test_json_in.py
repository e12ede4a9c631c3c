"""Reading JSON: integers lose no digit, and `peek` finds the first members of an object that is cut anywhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.webhooks import finished_record
from airflow_provider_whiterabbit.client.wire.answers import data_of
from airflow_provider_whiterabbit.client.wire.canonical import to_json
from airflow_provider_whiterabbit.client.wire.json_in import integer, peek
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.client.wire.sse import event_data
from tests.client.properties import examples

# --- integer

MIN_INT64, MAX_UINT64 = -(2**63), 2**64 - 1
"""The smallest and the largest integer of MessagePack."""


@given(number=st.integers(MIN_INT64, MAX_UINT64))
@examples(300)
@example(number=MIN_INT64)
@example(number=MAX_UINT64)
def test_integers_of_64_bits_stay_integers(number: int) -> None:
    """An integer that MessagePack can hold is parsed as an int of the same value."""
    assert integer(str(number)) == number
    assert isinstance(integer(str(number)), int)


@given(number=st.floats(allow_nan=False, allow_infinity=False))
@examples(2000)
@example(number=1e20)
@example(number=-(2.0**69))
@example(number=2.0**64)
def test_floats_that_javascript_writes_as_integers(number: float) -> None:
    """A number that JavaScript wrote is parsed as an equal number, in a type that MessagePack can hold."""
    parsed = json.loads(to_json(number), parse_int=integer)
    assert float(parsed) == number
    assert isinstance(parsed, float) or MIN_INT64 <= parsed <= MAX_UINT64


@pytest.mark.parametrize(
    "digits", ["18446744073709551617", "-9223372036854775809", "123456789012345678901", f"1{'0' * 400}", "9" * 5000]
)
def test_integers_with_too_many_digits_become_strings(digits: str) -> None:
    """An integer with more digits than a float keeps is parsed as a string of its digits."""
    assert integer(digits) == digits


ANSWER = b'{"id": "x", "status": "COMPLETED", "output": {"wei": 100000000000000000000, "id": 123456789012345678901}}'
OUTPUT = {"wei": 1e20, "id": "123456789012345678901"}


@pytest.mark.parametrize(
    "read_output",
    [
        lambda: data_of(Request("GET", "/"), Response(200, {}, ANSWER, 0.0))["output"],
        lambda: event_data(b"data: " + ANSWER + b"\n\n")["output"],
        lambda: finished_record(ANSWER).output,
    ],
    ids=["answer", "event", "callback"],
)
def test_records_events_and_callbacks_parse_integers_alike(read_output: Callable[[], Any]) -> None:
    """Records, stream events and callbacks all parse large integers by the same rules."""
    assert read_output() == OUTPUT
    assert isinstance(read_output()["wei"], float)


# --- peek

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
OBJECTS = st.dictionaries(
    st.sampled_from(["id", "status", "output", "é", ""]) | st.text(max_size=4), JSON_VALUES, max_size=5
)
LAYOUTS: list[dict[str, Any]] = [
    {"separators": (",", ":")},
    {"indent": 2, "ensure_ascii": False},
    {"separators": (" ,\n", "\t:\r\n")},
]


@given(OBJECTS, st.sampled_from(LAYOUTS), st.sampled_from([("id",), ("id", "status"), ("é", ""), ("output",)]))
@examples(150)
def test_peek_at_every_cut(members: dict[str, Any], layout: dict[str, Any], names: tuple[str, ...]) -> None:
    """`peek` returns None or the members of the whole object wherever the JSON is cut; uncut, it finds them."""
    whole = json.dumps(members, **layout).encode("utf-8", "surrogatepass")
    expected = {name: members[name] for name in names if name in members}
    has_all_names = len(expected) == len(names)
    for cut in range(len(whole) + 1):
        peeked = peek(whole[:cut], names)
        assert peeked is None or (has_all_names and is_same_json(peeked, expected)), whole[:cut]
    assert (peeked is not None) is has_all_names


def is_same_json(left: Any, right: Any) -> bool:
    """Return whether two values are the same JSON. In contrast to ``==``, True is not 1, and 1.0 is not 1."""
    return repr(left) == repr(right) or json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


@pytest.mark.parametrize("number", ["12", "-120", "1.25", "1e10", "0.5E-3", "-0"])
def test_peek_at_a_cut_number(number: str) -> None:
    """`peek` does not return a number whose last digits may be missing."""
    head = f'{{"id": "e", "status": {number}'.encode()
    for cut in range(len(head) + 1):
        assert peek(head[:cut], ("id", "status")) is None
    assert peek(head + b",", ("id", "status")) == {"id": "e", "status": json.loads(number)}


@pytest.mark.parametrize("text", ["EXECUTING", "caf\u00e9", "a\\b", 'a"b', "\U0001f407", "\u2028"])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_peek_at_a_cut_string(text: str, ascii_only: bool) -> None:
    """`peek` returns a string only if its closing quote has arrived, and never a shorter string."""
    whole = json.dumps({"status": text, "more": 1}, ensure_ascii=ascii_only).encode()
    peeked = [peek(whole[:cut], ("status",)) for cut in range(len(whole) + 1)]
    assert {json.dumps(members) for members in peeked} == {json.dumps(None), json.dumps({"status": text})}


def test_peek_ignores_the_rest() -> None:
    """`peek` does not parse what follows the last member that it needs."""
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
def test_peek_finds_nothing(head: bytes) -> None:
    """`peek` returns None, and raises nothing, for bytes that do not begin a JSON object with the wanted member."""
    assert peek(head, ("id",)) is None


def test_peek_refuses_damaged_text() -> None:
    """`peek` returns None for a value with bytes that are not UTF-8, rather than the value without these bytes."""
    assert peek(b'{"id": "a\xffb", "status": 1}', ("id",)) is None


def test_peek_ignores_nested_members() -> None:
    """`peek` returns members of the object itself, and no members of the objects inside it."""
    assert peek(b'{"output": {"id": "inner"}, "id": "outer", "x": 1', ("id",)) == {"id": "outer"}
    assert peek(b'{"output": {"id": "inner"}, "ot', ("id",)) is None


def test_peek_at_a_large_beginning_is_fast() -> None:
    """`peek` needs less than 0.1 s of CPU for a megabyte that does not hold the wanted member."""
    head = b'{"output": ["' + b"x" * 1_000_000
    before = time.thread_time()
    assert peek(head, ("id",)) is None
    assert time.thread_time() - before < 0.1
