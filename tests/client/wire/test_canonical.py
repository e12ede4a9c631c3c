"""Canonical JSON: the bytes are those that JavaScript writes, and values that JavaScript would change are refused."""

from __future__ import annotations

import json
import math
import struct
from collections import OrderedDict, UserList, deque
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.wire.canonical import MAX_DEPTH, to_json
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from tests.client.javascript import ENGINES, Stringify
from tests.client.properties import examples

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "canonical.json").read_text("utf-8"))

MAX_SAFE = 2**53 - 1

SPECIAL_TEXTS = (
    *("", "0", "1", "-1", "-0", "00", "01", "1.0", "1e3", "10", "9", "2", " 1", "+1", "Infinity", "NaN"),
    *("4294967293", "4294967294", "4294967295", "4294967296", "2147483647", "2147483648", "9007199254740992"),
    *(
        "99999999999",
        "\u0663",
        "\uff11",
        "1\n",
        "__proto__",
        "constructor",
        "toString",
        "toJSON",
        "length",
        "a.b",
        "a b",
    ),
    *("\x00", "\x1f", "\x7f", "\x80", "\u2028", "\u2029", "\ufeff", "\uffff", "\ud7ff", "\ue000", "🐇", "é", "e\u0301"),
    *('"', "\\", "/", "</script>", "\b\f\n\r\t", "a\\u0041"),
)


def number_of_bits(bits: int) -> float:
    """Return the double with this IEEE 754 pattern."""
    return struct.unpack(">d", struct.pack(">Q", bits))[0]


def near(value: float) -> st.SearchStrategy[float]:
    """Return a strategy for doubles that are at most four steps away from a value."""
    bits = struct.unpack(">Q", struct.pack(">d", value))[0]
    return st.integers(-4, 4).map(lambda steps: number_of_bits(max(0, bits + steps))).filter(math.isfinite)


texts = st.sampled_from(SPECIAL_TEXTS) | st.text(st.characters(exclude_categories=("Cs",)), max_size=12)
keys = texts | st.integers(0, 2**33).map(str) | st.integers(0, 120).map(str)
integers = st.integers(-MAX_SAFE, MAX_SAFE) | st.sampled_from((MAX_SAFE, -MAX_SAFE, 0, -1))
floats = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=True, min_value=-1e-300, max_value=1e-300),
    st.integers(0, 2**64 - 1).map(number_of_bits).filter(math.isfinite),
    st.builds(lambda digits, power: float(f"{digits}e{power}"), st.integers(-(10**17), 10**17), st.integers(-24, 24)),
    st.integers(-8, 24).map(lambda power: 10.0**power).flatmap(near),
    st.sampled_from((0.0, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 2.0**53)).flatmap(near),
    st.sampled_from((-0.0, 1.0, -1e21, 0.1, 1 / 3)),
)


def is_rounded(value: float) -> bool:
    """Return whether the shortest text of a double is also its correctly rounded text.

    QuickJS writes the few other doubles, such as 2**-24, with one digit more than ECMA-262 allows.
    """
    digits = len(repr(value).split("e")[0].replace(".", "").strip("-0"))
    return float(f"{value:.{max(0, digits - 1)}e}") == value


values = st.recursive(
    st.none() | st.booleans() | integers | floats.filter(is_rounded) | texts,
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(keys, inner, max_size=8),
    max_leaves=25,
)


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Stringify]]:
    """Yield the JavaScript engines of this machine by name; skip the test if there is none."""
    if not ENGINES:
        pytest.skip("this machine has neither Node nor the quickjs module")
    with ExitStack() as stack:
        yield {name: stack.enter_context(engine()) for name, engine in ENGINES.items()}


@given(value=values)
@examples(400)
@example(value={"b": 1, "10": 2, "9": 3, "a": 4, "4294967294": 5, "4294967295": 6, "01": 7})
@example(value={"__proto__": {"__proto__": 1}, "constructor": None})
@example(value=[{}, [], [[]], {"": {}}])
def test_bytes_are_a_fixed_point_of_javascript(engines: dict[str, Stringify], value: Any) -> None:
    """A JavaScript engine that parses the bytes of any value and writes it again gives the same bytes."""
    body = to_json(value)
    assert {name: javascript(body) for name, javascript in engines.items()} == dict.fromkeys(engines, body)
    # Written without a fraction, a float beyond 2^53 is not the same integer; JavaScript has no integers.
    assert json.loads(body, parse_int=float) == value


@pytest.mark.parametrize("items", [(0, 1, 2), range(3), deque([0, 1, 2]), UserList([0, 1, 2])], ids=repr)
def test_sequences(items: Any) -> None:
    """Every sequence except bytes becomes an array, for instance the outputs of a mapped task."""
    assert to_json({"a": items}) == b'{"a":[0,1,2]}'


@given(value=floats)
@examples(2000)
@example(value=2.0**-24)
def test_numbers_are_written_as_javascript_writes_them(engines: dict[str, Stringify], value: float) -> None:
    """A float of any magnitude is written as JavaScript's Number::toString writes it, and parses to the same float."""
    body = to_json(value)
    for name, javascript in engines.items():
        if name != "quickjs" or is_rounded(value):
            assert javascript(body) == body
    assert float(body) == value


@given(entries=st.dictionaries(keys, st.none(), max_size=30))
@examples(300)
def test_keys_are_ordered_as_javascript_orders_them(engines: dict[str, Stringify], entries: dict[str, None]) -> None:
    """Keys that are array indices come first, in numeric order; the other keys keep their order."""
    python = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    assert {javascript(python) for javascript in engines.values()} == {to_json(entries)}


@pytest.mark.parametrize("vector", VECTORS["texts"], ids=lambda vector: vector["name"])
def test_known_texts(vector: dict[str, str]) -> None:
    """Each text of the test vectors gives the bytes of the test vectors."""
    assert to_json(json.loads(vector["input"])) == vector["expected"].encode()


@pytest.mark.parametrize("vector", VECTORS["texts"], ids=lambda vector: vector["name"])
def test_javascript_agrees_with_the_vectors(engines: dict[str, Stringify], vector: dict[str, str]) -> None:
    """A JavaScript engine makes the expected bytes of the test vectors from their inputs."""
    assert {stringify(vector["input"].encode()) for stringify in engines.values()} == {vector["expected"].encode()}


@pytest.mark.parametrize("vector", VECTORS["numbers"], ids=lambda vector: vector["ieee754"])
def test_number_samples_of_rfc_8785(vector: dict[str, Any]) -> None:
    """The number samples of RFC 8785, appendix B, give the texts in the RFC; NaN and Infinity are refused."""
    value = number_of_bits(int(vector["ieee754"], 16))
    if vector["expected"] is None:
        with pytest.raises(WhiteRabbitInputError, match="NaN and the infinities"):
            to_json(value)
    else:
        assert to_json(value) == vector["expected"].encode()


class Color(StrEnum):
    """An enum whose members are strings."""

    RED = "red"


class Mixed(str, Enum):  # noqa: UP042 (the older way, with another __str__)
    """An enum whose members are strings with a different `str`."""

    ONE = "1"
    WORD = "word"


class Level(IntEnum):
    """An enum whose members are integers."""

    HIGH = 7


class Text(str):
    """A string whose `str` is a different text."""

    __slots__ = ()

    def __str__(self) -> str:
        return "not this"


class Whole(int):
    """An integer whose `repr` is a different text."""

    def __repr__(self) -> str:
        return "not this"


class Real(float):
    """A float whose `repr` is a different text."""

    def __repr__(self) -> str:
        return "not this"


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Color.RED, b'"red"'),
        (Mixed.WORD, b'"word"'),
        (Level.HIGH, b"7"),
        (Text("this"), b'"this"'),
        (Whole(3), b"3"),
        (Real(2.0), b"2"),
        ({Mixed.WORD: 1, Mixed.ONE: 2, Text("k"): 3}, b'{"1":2,"word":1,"k":3}'),
        ({"attempts": True, "none": [False, None]}, b'{"attempts":true,"none":[false,null]}'),
        ((1, ("a",), ()), b'[1,["a"],[]]'),
        (OrderedDict(b=1, a=2), b'{"b":1,"a":2}'),
        (MappingProxyType({"a": MappingProxyType({})}), b'{"a":{}}'),
        ("", b'""'),
        (MAX_SAFE, b"9007199254740991"),
        (-MAX_SAFE, b"-9007199254740991"),
        (1e300, b"1e+300"),
        ([1e-7, "1e-7", {"1e-7": -1e21}], b'[1e-7,"1e-7",{"1e-7":-1e+21}]'),
    ],
    ids=repr,
)
def test_python_types_that_are_json(value: Any, expected: bytes) -> None:
    """Subclasses of JSON types, enums, tuples and other mappings are written by their value; a bool stays a bool."""
    assert to_json(value) == expected


CYCLE: list[Any] = []
CYCLE.append({"again": CYCLE})


def nested(levels: int) -> Any:
    """Return an empty list inside lists, with so many levels in all."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "place", "reason"),
    [
        ({"input": {"amounts": [1, 2, 3, 2**53]}}, "input.amounts[3]", "pass it as a str"),
        ({"input": {"a b": -(2**53)}}, "input['a b']", "pass it as a str"),
        ({"input": {"a": [[0, math.nan]]}}, "input.a[0][1]", "NaN"),
        ({"config": {"rate": math.inf}}, "config.rate", "infinities"),
        ({"config": {"rate": -math.inf}}, "config.rate", "infinities"),
        (10**30, "the body", "pass it as a str"),
        ([10**5000], "[0]", "pass it as a str"),
        ({"input": {"text": "ab\ud800c"}}, "input.text", "lone surrogate at character 2"),
        ({"input": {"text": "\ud8001e-7"}}, "input.text", "lone surrogate at character 0"),
        ({"input": {"x\udc00": 1}}, "input['x\\udc00']", "lone surrogate at character 1"),
        ({"input": {1: "a"}}, "input[1]", "the key is a int"),
        ({"input": {None: "a"}}, "input[None]", "the key is a NoneType"),
        ({"input": {b"k": "a"}}, "input[b'k']", "the key is a bytes"),
        ({"input": {"price": Decimal("1.5")}}, "input.price", "a Decimal is not JSON"),
        ({"input": {"when": datetime(2026, 1, 1, tzinfo=UTC)}}, "input.when", "a datetime is not JSON"),
        ({"input": {"s": {1}}}, "input.s", "a set is not JSON"),
        ({"input": {"b": b"x"}}, "input.b", "a bytes is not JSON"),
        ({"input": {"": b"x"}}, "input['']", "a bytes is not JSON"),
        ({"input": {"0": b"x"}}, "input['0']", "a bytes is not JSON"),
        ({"input": {"é": b"x"}}, "input['é']", "a bytes is not JSON"),
        ({"a b": {"c": [object()]}}, "['a b'].c[0]", "a object is not JSON"),
        (iter(()), "the body", "is not JSON"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_values(value: Any, place: str, reason: str) -> None:
    """A value that JavaScript cannot hold unchanged is refused, and the message names its place and the reason."""
    with pytest.raises(WhiteRabbitInputError) as refused:
        to_json(value)
    message = str(refused.value)
    assert message.startswith(f"{place}: ")
    assert reason in message


def test_deepest_nesting() -> None:
    """A value with `MAX_DEPTH` levels is written; a deeper value is refused."""
    assert to_json(nested(MAX_DEPTH)) == b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    with pytest.raises(WhiteRabbitInputError, match=f"nested deeper than {MAX_DEPTH} levels"):
        to_json(nested(MAX_DEPTH + 2))


def test_a_value_that_contains_itself() -> None:
    """A list that contains itself is refused."""
    with pytest.raises(WhiteRabbitInputError, match="or it contains itself"):
        to_json({"input": CYCLE})


def test_a_refused_value_is_not_shown() -> None:
    """The message shows the place of a refused value, and never the value, which may be secret."""
    with pytest.raises(WhiteRabbitInputError) as refused:
        to_json({"input": {"secret": b"hunter2", "other": "hunter2"}})
    assert "hunter2" not in str(refused.value)


def test_the_value_is_not_modified() -> None:
    """`to_json` changes neither the value nor the order of its keys."""
    value = {"b": [1.0, (2,)], "10": None, "2": {}}
    to_json(value)
    assert list(value.items()) == [("b", [1.0, (2,)]), ("10", None), ("2", {})]
