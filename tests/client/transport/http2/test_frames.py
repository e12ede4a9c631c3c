"""Cutting GOAWAY and DATA out of the bytes of a connection, and the bound of bytes that are of no use."""

from __future__ import annotations

import pytest

from airflow_provider_whiterabbit.client.transport.http2.frames import (
    Allowance,
    Data,
    FrameCutter,
    GoAway,
    MalformedFrameError,
)


def frame(kind: int, payload: bytes = b"", stream_id: int = 0, flags: int = 0) -> bytes:
    """Return a frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream_id.to_bytes(4, "big") + payload


def go_away(last: int, code: int, debug: bytes = b"") -> bytes:
    """Return a GOAWAY, with the reserved bit set, which is ignored."""
    return frame(7, (last | 1 << 31).to_bytes(4, "big") + code.to_bytes(4, "big") + debug)


# The payload of the second frame looks like a GOAWAY.
DATA, DISGUISED = frame(0, b"x" * 300, 1), frame(0, go_away(1, 1), 3)
BYTES = frame(4) + go_away(2**31 - 1, 0) + DATA + DISGUISED + go_away(5, 11, b"too many") + frame(6, b"12345678")


@pytest.mark.parametrize("size", [1, 2, 8, 9, 10, 17, 100, 10_000])
def test_go_away_in_pieces(size: int) -> None:
    """However the bytes are split, each GOAWAY is found, and all other bytes are passed on in order."""
    cutter = FrameCutter()
    parts = [part for at in range(0, len(BYTES), size) for part in cutter.feed(BYTES[at : at + size])]
    assert [part for part in parts if isinstance(part, GoAway)] == [GoAway(2**31 - 1, 0), GoAway(5, 11)]
    assert b"".join(part for part in parts if isinstance(part, bytes)) == (
        frame(4) + DATA + DISGUISED + frame(6, b"12345678")
    )


def test_order() -> None:
    """The bytes before a GOAWAY come before it."""
    parts = list(FrameCutter().feed(frame(4) + go_away(1, 0) + frame(6)))
    assert parts == [frame(4), GoAway(1, 0), frame(6)]


HEADERS, END = frame(1, b"h", 1, flags=4), frame(0, b"end", 1, flags=1)
PASSED_ON = {
    "another stream": frame(0, b"x", 3),
    "nothing": frame(0, b"", 1),
    "padding": frame(0, b"\1x ", 1, flags=8),
    "the end": END,
    "within headers": frame(1, b"h", 1) + frame(0, b"x", 1),
}


@pytest.mark.parametrize("size", [1, 8, 9, 20, 400, 10_000])
def test_data_in_pieces(size: int) -> None:
    """However the bytes are split, all are passed on in order; what is cut out is a whole frame of an open stream."""
    data = HEADERS + DATA + frame(0, b"y", 1) + frame(4) + frame(0, b"z", 1) + END
    cutter = FrameCutter({1})
    parts = [part for at in range(0, len(data), size) for part in cutter.feed(data[at : at + size])]
    assert (
        b"".join(part.frame if isinstance(part, Data) else part for part in parts if not isinstance(part, GoAway))
        == data
    )
    found = [(part.stream_id, part.payload) for part in parts if isinstance(part, Data)]
    whole = [(1, b"x" * 300), (1, b"y"), (1, b"z")]
    assert (found == whole) if size == 10_000 else set(found) <= set(whole)


@pytest.mark.parametrize("kind", PASSED_ON)
def test_data_that_is_passed_on(kind: str) -> None:
    """What ends a stream, has padding or breaks the order of frames is for h2, and so is what is for no open stream."""
    assert list(FrameCutter({1}).feed(PASSED_ON[kind])) == [PASSED_ON[kind]]
    assert list(FrameCutter({1}).feed(HEADERS + DATA + PASSED_ON[kind])) == [HEADERS, Data(1, DATA), PASSED_ON[kind]]


@pytest.mark.parametrize(("kind", "length"), [(7, 0), (7, 7), (7, 16_385), (0, 16_385), (99, 2**24 - 1)])
def test_impossible_lengths(kind: int, length: int) -> None:
    """A GOAWAY that is too short is an error, and so is a frame whose bytes would have to be kept without a bound."""
    with pytest.raises(MalformedFrameError):
        list(FrameCutter().feed(length.to_bytes(3, "big") + frame(kind)[3:]))


def test_allowance() -> None:
    """So many bytes may come at once, and so many in each second; bytes of use count for nothing."""
    allowance = Allowance(0.0, most=100, per_second=10)
    allowance.take(100, 0.0)
    assert not allowance.is_exceeded
    allowance.take(11, 1.0)
    assert allowance.is_exceeded
    allowance.give_back(1)
    assert not allowance.is_exceeded
    allowance.take(100, 1_000.0)
    assert not allowance.is_exceeded
    allowance.give_back(1_000)
    allowance.expect(50)
    allowance.take_late(60)
    allowance.take(150, 1_000.0)
    assert not allowance.is_exceeded
    allowance.take(1, 1_000.0)
    assert allowance.is_exceeded
    allowance.expect(1_000)  # it admits no frames but those of late bodies
    assert allowance.is_exceeded
    allowance.take_late(1)
    assert not allowance.is_exceeded


@pytest.mark.parametrize("size", [1, 9, 10, 10_000])
def test_late_bodies(size: int) -> None:
    """The bytes of bodies for streams that are not open any more are counted; those of other frames are not."""
    cutter = FrameCutter({1})
    data = DATA + frame(4, bytes(6)) + frame(0, b"late", 3) + frame(0, b"", 3) + frame(0, b"late", 2**31 + 5)
    for at in range(0, len(data), size):
        list(cutter.feed(data[at : at + size]))
    assert cutter.late == 2 * len(frame(0, b"late"))


def test_an_incomplete_frame() -> None:
    """A body's frame of which a part has arrived is known, until its end, with all its bytes."""
    cutter = FrameCutter({1})
    list(cutter.feed(DATA[:9]))
    assert (cutter.incomplete(1), cutter.incomplete(3)) == (len(DATA), 0)
    list(cutter.feed(DATA[9:]))
    assert cutter.incomplete(1) == 0
    list(cutter.feed(frame(4, bytes(6))[:-1]))
    assert cutter.incomplete(1) == 0
