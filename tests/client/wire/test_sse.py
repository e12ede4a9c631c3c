"""Event streams: the decoder finds the same events however the bytes are cut, and no incomplete event."""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_whiterabbit.client.wire.sse import EventDecoder, event_data, peek_data
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError
from tests.client.properties import examples

LINES = (
    *(":ping", ""),
    *("", ""),
    *('data: {"id": "1", "status": "CREATED"}', ""),
    *("data: :ping", ""),
    *("data::ping", ""),
    *(": a comment", "event: message", "id: 7", "retry: 3000", "unknown: field", "data:[1,", "data: 2,", ":inside"),
    *("data: 3]", ""),
    *("id", "event: only", ""),
    *("data", ""),
    *("data: ", "data:", ""),
    *("no colon at all", "  ", "\ufeffdata: no field", ""),
    *('data: {"text": "größer 🐇 \u2028 \u0085 \x0b \x7f"}'.replace("\x0b", "\\u000b"), ""),
    *(":ping", ":ping", "data:  null", ""),
    *('data: "data: \\n\\n nested"', ""),
    *(":ping", ""),
    *("data: {not even", "data: begun"),
)
EVENTS = [
    {"id": "1", "status": "CREATED"},
    [1, 2, 3],
    {"text": "größer 🐇 \u2028 \u0085 \x0b \x7f"},
    None,
    "data: \n\n nested",
]


def with_ends(lines: Iterable[str], ends: Iterable[str]) -> bytes:
    """Join lines with these line ends, but replace an LF right after a CR: the two would be one line end."""
    text, line_end = "", ""
    for line, end in zip(lines, ends, strict=False):
        line_end = "\r" if end == "\n" and not line and line_end == "\r" else end
        text += line + line_end
    return text.encode()


def mixed_ends(seed: int, count: int) -> list[str]:
    """Return random line ends of the three kinds."""
    return random.Random(seed).choices(("\n", "\r\n", "\r"), k=count)  # noqa: S311


TEXTS = {
    "LF": with_ends(LINES, ["\n"] * len(LINES)),
    "CRLF": with_ends(LINES, ["\r\n"] * len(LINES)),
    "CR": with_ends(LINES, ["\r"] * len(LINES)),
    "mixed": with_ends(LINES, mixed_ends(1, len(LINES))),
    "mixed again": with_ends(LINES, mixed_ends(2, len(LINES))),
    "BOM": b"\xef\xbb\xbf" + with_ends(LINES, ["\n"] * len(LINES)),
    "BOM before data": b"\xef\xbb\xbf" + with_ends(LINES[4:], ["\r\n"] * len(LINES)),
}


def decode(chunks: Iterable[bytes], **options: Any) -> list[Any]:
    """Return the data of all events in these chunks of a stream."""
    decoder = EventDecoder(**options)
    return [event_data(event) for event in [event for chunk in chunks for event in decoder.feed(chunk)]]


def cut(text: bytes, places: Iterable[int]) -> list[bytes]:
    """Return the pieces of a text that is cut at these places."""
    edges = [0, *sorted(places), len(text)]
    return [text[start:end] for start, end in pairwise(edges)]


@pytest.mark.parametrize("name", TEXTS)
def test_every_cut_in_two(name: str) -> None:
    """A stream that is cut in two at any byte, also inside a character, gives the same events as the whole stream."""
    text = TEXTS[name]
    for place in range(len(text) + 1):
        assert decode(cut(text, [place])) == EVENTS


@pytest.mark.parametrize("name", TEXTS)
def test_byte_by_byte(name: str) -> None:
    """A stream that arrives byte by byte, with or without empty chunks in between, gives the same events."""
    text = TEXTS[name]
    assert decode(text[at : at + 1] for at in range(len(text))) == EVENTS
    assert decode(chunk for at in range(len(text)) for chunk in (b"", text[at : at + 1], b"")) == EVENTS


@given(name=st.sampled_from(sorted(TEXTS)), places=st.lists(st.integers(0, 600), max_size=30))
@examples(300)
def test_any_cuts(name: str, places: list[int]) -> None:
    """A stream that is cut into any pieces gives the same events as the whole stream."""
    text = TEXTS[name]
    assert decode(cut(text, [min(place, len(text)) for place in places])) == EVENTS


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_an_event_is_returned_with_its_last_byte(end: str) -> None:
    """`feed` returns an event when the last byte of its blank line arrives: no earlier, and without further bytes."""
    text = f"id: 1{end}data: 1{end}{end}".encode()
    decoder = EventDecoder()
    at = len(text) - (end == "\r\n")  # a CR ends its line, whether or not an LF follows
    assert [decoder.feed(text[i : i + 1]) for i in range(at)] == [[]] * (at - 1) + [[b"id: 1\ndata: 1\n\n"]]
    assert decoder.feed(text[at:]) == []


@pytest.mark.parametrize("text", [b"data: 1", b"data: 1\n", b"data: 1\r\n", b"data: 1\r", b"data: 1\n:ping\n"])
def test_incomplete_events_are_dropped(text: bytes) -> None:
    """An event whose blank line is missing is not returned."""
    assert decode([text]) == []


def test_all_events_of_a_chunk() -> None:
    """A chunk that completes many events returns all of them in order."""
    assert decode([b"data: 0\n\n" + b"".join(b":ping\n\ndata: %d\n\n" % n for n in range(1, 500))]) == list(range(500))


field_lines = st.sampled_from(("id: 1", "event: x", "retry: 5", ": comment", ":ping", "other: 1", "data", "", "é: 🐇"))
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-1000, 1000)
    | st.text(st.characters(exclude_categories=("Cs",)), max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab🐇", max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(
    values=st.lists(st.tuples(st.lists(field_lines, max_size=4), json_values), max_size=6),
    escaped=st.booleans(),
    seed=st.integers(0, 10**6),
    places=st.lists(st.integers(0, 500), max_size=12),
)
@examples(250)
def test_any_stream(values: list[tuple[list[str], Any]], escaped: bool, seed: int, places: list[int]) -> None:
    """The JSON of any events, between any other lines and in any pieces, is returned once and in order."""
    lines: list[str] = []
    for other_lines, value in values:
        text = json.dumps(value, ensure_ascii=escaped, indent=1)
        lines += [line for line in other_lines if line != "data"]
        lines += [*(f"data: {line}" for line in text.split("\n")), ""]
    stream = with_ends(lines, mixed_ends(seed, len(lines)))
    assert decode(cut(stream, [min(place, len(stream)) for place in places])) == [value for _, value in values]


def by_the_standard(text: bytes) -> list[str] | None:
    """Return the data of the events by WHATWG HTML, section 9.2.6, line by line; None if the stream is not UTF-8."""
    try:
        lines = re.split("\r\n|\n|\r", text.decode().removeprefix("\ufeff"))
    except UnicodeDecodeError:
        return None
    events: list[str] = []
    data: list[str] = []
    for line in lines[:-1]:
        field, _, value = line.partition(":")
        if field == "data":
            data.append(value.removeprefix(" "))
        elif not line:
            events += ["\n".join(data)] if data else []
            data = []
    return [text for text in events if text.strip() and not text.lstrip().startswith(":")]


pieces = st.sampled_from(
    (b"data", b":", b" ", b"\n", b"\r", b"\n\n", b"\r\n", b"1", b'"', b"[", b"]", b"id", b"\xc3\xbc")
)


@given(parts=st.lists(pieces, max_size=30), places=st.lists(st.integers(0, 60), max_size=8))
@examples(800)
def test_the_decoder_agrees_with_the_standard(parts: list[bytes], places: list[int]) -> None:
    """Fields and line ends in any order give the events that the standard defines, or an error if one is not JSON."""
    text = b"".join(parts)
    events = by_the_standard(text)
    assert events is not None
    try:
        expected = [json.loads(data) for data in events]
    except ValueError:
        with pytest.raises(WhiteRabbitStreamError, match="not JSON"):
            decode(cut(text, [min(place, len(text)) for place in places]))
    else:
        assert decode(cut(text, [min(place, len(text)) for place in places])) == expected


def events_or_error(chunks: Iterable[bytes]) -> Any:
    """Return the data of the events in these chunks, or the message of the error that decoding raises."""
    try:
        return decode(chunks, max_bytes=40)
    except WhiteRabbitStreamError as error:
        return str(error)


@given(
    text=st.binary(max_size=120) | st.lists(pieces | st.binary(max_size=30), max_size=30).map(b"".join),
    places=st.lists(st.integers(0, 200), max_size=10),
)
@examples(800)
def test_any_bytes(text: bytes, places: list[int]) -> None:
    """Any bytes give either events or a stream error, and the same ones however the bytes are cut."""
    pieces_of_text = cut(text, [min(place, len(text)) for place in places])
    assert events_or_error(pieces_of_text) == events_or_error([text])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"data: {\n\n", "not JSON"),
        (b"data: {}\ndata: {}\n\n", "not JSON"),
        (b"data: undefined\n\n", "not JSON"),
        (b"data: " + b"[" * 100_000 + b"\n\n", "not JSON"),
        (b"data: \xf0\x9f\n\n", "not JSON"),
    ],
    ids=["cut", "twice", "no literal", "deep", "half a character"],
)
def test_refused_events(text: bytes, reason: str) -> None:
    """An event that is not JSON raises a stream error with the reason."""
    with pytest.raises(WhiteRabbitStreamError, match=reason):
        decode([text])


def test_bytes_that_are_not_utf_8() -> None:
    """Bytes that are not UTF-8 become U+FFFD, and break no stream (WHATWG HTML, section 9.2.5)."""
    assert decode([b': \xff\nid: \xff\ndata: {"a": "\xff"}\n\n']) == [{"a": "\ufffd"}]


def test_an_error_does_not_show_the_data() -> None:
    """The error about a malformed event neither shows nor keeps the event's data, which may be secret and large."""
    with pytest.raises(WhiteRabbitStreamError) as refused:
        decode([b'data: {"output": "hunter2"\n\n'])
    assert "hunter2" not in str(refused.value)
    assert refused.value.__context__ is None


def test_largest_event() -> None:
    """An event of exactly `max_bytes` is returned, and one more byte raises an error, however the bytes are cut."""
    event = b'data: "' + b"a" * 90 + b'"\n\n'
    assert len(event) == 100
    for place in range(len(event) + 1):
        assert decode(cut(event, [place]), max_bytes=100) == ["a" * 90]
        with pytest.raises(WhiteRabbitStreamError, match="larger than 99 bytes"):
            decode(cut(event, [place]), max_bytes=99)


def test_max_bytes_limits_each_event() -> None:
    """`max_bytes` limits the size of each single event, not the size of the whole stream with its pings."""
    assert decode([b":ping\n\n" * 1000 + b"data: 1\n\n" * 1000], max_bytes=20) == [1] * 1000


def test_an_event_without_end() -> None:
    """An event that never ends raises an error as soon as it exceeds `max_bytes`."""
    decoder = EventDecoder(max_bytes=10_000)
    for _ in range(10):
        assert decoder.feed(b"a" * 1000) == []
    with pytest.raises(WhiteRabbitStreamError, match="larger than 10000 bytes"):
        decoder.feed(b"a")


def test_a_large_event_in_small_pieces() -> None:
    """An event of 4 MiB in pieces of 1 KiB is decoded in linear time, not in time that grows with its square."""
    text = b"data: " + json.dumps("ab" * 2**21).encode() + b"\n\n"
    pieces = (text[at : at + 1024] for at in range(0, len(text), 1024))
    assert decode(pieces, max_bytes=2**23) == ["ab" * 2**21]


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b'data: {"id": "1", "status": "A", "output": never parsed\n\n', {"id": "1", "status": "A"}),
        (b'id: 7\nevent: x\ndata:{"status":"A","id":"1"}\n\n', {"id": "1", "status": "A"}),
        (b'data: {"id": "1"}\n\n', None),
        (b'data: {"id": "1",\ndata: "status": "A"}\n\n', None),
        (b'data: {"output": "%s", "id": "1", "status": "A"}\n\n' % (b"a" * 2000), None),
        (b'data: {"id": "\xff", "status": "A"}\n\n', None),
        (b"data: []\n\n", None),
        (b"id: 7\n\n", None),
    ],
    ids=ascii,
)
def test_a_peek_at_the_data(event: bytes, expected: Any) -> None:
    """A peek returns the named members if they come first and in one line, and otherwise None."""
    assert peek_data(event, ("id", "status")) == expected


def test_an_event_of_a_large_run_is_cheap() -> None:
    """A peek at an event with thousands of open stages takes less than a twentieth of the time of parsing it."""
    stages = [{"id": f"{n:036}", "module": "A", "status": "RUNNING", "executionAttempt": 1} for n in range(4000)]
    text = json.dumps({"id": "1", "status": "EXECUTING", "output": {"nonTerminalStages": stages}})
    event = b"data: %s\n\n" % text.encode()

    def seconds(call: Callable[[], object]) -> float:
        started = time.thread_time()
        for _ in range(20):
            call()
        return time.thread_time() - started

    assert seconds(lambda: peek_data(event, ("id", "status"))) * 20 < seconds(lambda: event_data(event))


@pytest.mark.parametrize("lines", [1, 50, 98, 99, 100, 101, 5000])
def test_data_on_several_lines(lines: int) -> None:
    """JSON that is printed on any number of lines is read like JSON on one line, whatever is between the lines."""
    value = {"id": "e-1", "output": ["x: \u00e9 \U0001f407"] * lines}
    text = json.dumps(value, indent=1, ensure_ascii=False).replace("\n", "\n: comment\nid: 1\ndata: ")
    assert event_data(f"data: {text}\ndata\n\n".encode()) == value


def test_data_on_many_lines() -> None:
    """An event takes time in proportion to the lines of its data, not to their square."""

    def seconds(lines: int) -> float:
        event = b"data: [\n" + b"data: 1,\n" * lines + b"data: 1]\n\n"
        started = time.thread_time()
        assert len(event_data(event)) == lines + 1
        return time.thread_time() - started

    assert seconds(100_000) < 50 * min(seconds(10_000) for _ in range(3))  # 10 times, not 100 times
