"""Skimming a JSON object: the sketch keeps its top level alone, however the bytes are cut, in little time."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.wire.json_skim import Skimmer
from tests.client.properties import examples

NAMES = ("id", "status")
PIECE = 64 * 1024
"""Size of the pieces that the client feeds, in bytes."""

CPU_SECONDS = 0.05
"""CPU time within which a piece is skimmed."""

TEXTS = st.text(st.sampled_from('a"\\[]{}:, é😀\n\x00'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def skim(whole: bytes, size: int, names: tuple[str, ...] = NAMES) -> Skimmer:
    """Feed the bytes of an object in pieces of a size."""
    skimmer = Skimmer(names)
    for begin in range(0, len(whole), size):
        skimmer.feed(whole[begin : begin + size])
    return skimmer


def flat(value: Any) -> Any:
    """Return a value without what is in it, if it is a container."""
    return type(value)() if isinstance(value, list | dict) else value


@given(st.dictionaries(TEXTS, VALUES, max_size=5), st.booleans(), st.sampled_from([None, 1]), st.integers(1, 9))
@examples(400)
def test_sketches(members: dict[str, Any], ascii_only: bool, indent: int | None, size: int) -> None:
    """A sketch is the JSON of the same object with empty containers, however its bytes are cut."""
    whole = json.dumps(members, ensure_ascii=ascii_only, indent=indent).encode()
    result = json.loads(skim(whole, size, ("no such member",)).result())
    assert result == {name: flat(value) for name, value in members.items()}


@given(st.dictionaries(st.sampled_from([*NAMES, "output"]), VALUES, max_size=3), st.integers(1, 9))
@examples(200)
def test_needed_members(members: dict[str, Any], size: int) -> None:
    """As soon as all needed members are known, the result has these alone."""
    skimmer = skim(json.dumps(members).encode(), size)
    assert skimmer.is_complete is (set(NAMES) <= members.keys())
    if skimmer.is_complete:
        assert json.loads(skimmer.result()) == {name: flat(members[name]) for name in NAMES}


@pytest.mark.parametrize("tail", [5 * "é", 5 * '"', 5 * "\\", 3 * "😀", "\x00\x01"])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("size", [1, 7, PIECE])
def test_long_strings_are_cut_between_characters(tail: str, ascii_only: bool, size: int) -> None:
    """A string that is cut stays valid JSON, and is the beginning of the whole string."""
    for length in range(990, 1026):
        text = "x" * length + tail
        whole = json.dumps({"output": text, "more": 1}, ensure_ascii=ascii_only).encode()
        sketch = json.loads(skim(whole, size).result())
        assert (text + " ").startswith(sketch["output"].rstrip("\ud83d"))  # half a pair is valid JSON
        assert sketch["more"] == 1


HEAD, TAIL = b'{"id": "e-1", "output": ', b', "status": "COMPLETED"}'
SIZE = 8_000_000
LARGE = {
    "one string": b'"' + b"x" * SIZE + b'"',
    "escapes": b'"' + b'\\"' * (SIZE // 2) + b'"',
    "backslashes": b'"' + b"\\\\" * (SIZE // 2) + b'"',
    "deep nesting": b"[" * (SIZE // 2) + b"]" * (SIZE // 2),
    "empty lists": b"[" + b"[[],[]]," * (SIZE // 8) + b"0]",
    "empty strings": b"[" + b'"",' * (SIZE // 3) + b"0]",
    "objects": b"[" + b'{"a": "bc", "d": [1, 2]},' * (SIZE // 25) + b"0]",
    "digits": b"[" + b"1" * SIZE + b"]",
    "spaces": b" " * SIZE + b"0",
}


@pytest.mark.parametrize("kind", LARGE)
def test_large_records(kind: str) -> None:
    """A status behind any large output is found: each piece takes little time, and nothing is kept."""
    skimmer, whole = Skimmer(NAMES), HEAD + LARGE[kind] + TAIL
    longest = 0.0
    for begin in range(0, len(whole), PIECE):
        piece = whole[begin : begin + PIECE]
        started = time.thread_time()
        skimmer.feed(piece)
        longest = max(longest, time.thread_time() - started)
    assert json.loads(skimmer.result()) == {"id": "e-1", "status": "COMPLETED"}
    assert longest < CPU_SECONDS


def test_memory() -> None:
    """Skimming keeps little of a large record."""
    whole = HEAD + LARGE["objects"] + TAIL
    tracemalloc.start()
    try:
        skim(whole, PIECE)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "whole",
    [
        b"<html>",
        b"[1]",
        b'"text"',
        b"12",
        b"}",
        b"{" + b'"a":1,' * 10_000,
        b"{" + b'""' * 100_000,
        b'{"a": ' + b"1" * 100_000,
        b'{"a": [' + b"\\" * 7 + b'"]',
    ],
    ids=lambda whole: ascii(whole)[:20],
)
def test_other_bytes(whole: bytes) -> None:
    """Bytes that are not an object, or whose top level is too large, raise a ValueError."""
    with pytest.raises(ValueError, match="the answer"):
        skim(whole, PIECE)


@given(st.lists(st.sampled_from([b'"', b"\\", b"{", b"}", b"[", b"]", b":", b",", b"1", b"\xff", b" "]), max_size=40))
@examples(1000)
def test_noise(parts: list[bytes]) -> None:
    """Any bytes lead to a result or a ValueError."""
    for size in (1, 3, PIECE):
        try:
            skim(b"{" + b"".join(parts), size).result()
        except ValueError:
            continue


def test_byte_order_mark() -> None:
    """A byte order mark before the object is skipped, as `json` does."""
    assert skim(b'\xef\xbb\xbf{"id": 1, "status": 2}', PIECE).is_complete
