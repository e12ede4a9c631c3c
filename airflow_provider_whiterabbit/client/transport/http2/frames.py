"""Finds the frames GOAWAY and DATA in the bytes of an HTTP/2 connection, and bounds the bytes that are of no use."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import NamedTuple

_HEAD = 9  # bytes of a frame before its payload (RFC 9113, section 4.1)
_DATA, _GOAWAY = 0x0, 0x7
_WITH_HEADERS, _END_HEADERS = (
    (0x1, 0x5, 0x9),
    0x4,
)  # HEADERS, PUSH_PROMISE and CONTINUATION, and the flag of the last one
_GOAWAY_BYTES = 8  # of its payload at least
_ID = 0x7FFFFFFF  # the bits of a stream's id
_MAX_PAYLOAD = 16_384  # bytes, while we announce no other SETTINGS_MAX_FRAME_SIZE


@dataclass(frozen=True, slots=True)
class GoAway:
    """A frame with which a server announces that it takes no more requests on a connection (RFC 9113, section 6.8).

    :param last_stream_id: the server does not process streams with a higher id.
    :param code: the error code; 0 if the server only shuts down.
    """

    last_stream_id: int
    code: int


class Data(NamedTuple):
    """A frame DATA of an open stream that neither has padding nor ends the stream (RFC 9113, section 6.1)."""

    stream_id: int
    frame: bytes

    @property
    def payload(self) -> bytes:
        """The bytes of the answer's body."""
        return self.frame[_HEAD:]


class MalformedFrameError(Exception):
    """Raised if a frame has a length that no such frame may have."""


class FloodError(Exception):
    """Raised if more bytes arrived that are of no use than may."""


class FrameCutter:
    """Cuts the frames GOAWAY and most frames DATA out of a connection's bytes, however the bytes are split.

    h2 takes a GOAWAY for the end of the connection: it would refuse the rest of the answers, which the server still
    sends. For a frame DATA, as of a keep-alive, h2 takes as long as everything else together. Those that arrive whole
    are cut out; h2 gets those that end a stream, or have padding.

    :param known: the ids of the streams that are open.
    """

    __slots__ = ("_held", "_in_headers", "_known", "_last", "_left", "late")

    def __init__(self, known: Container[int] = ()) -> None:
        self._known = known
        self._held = b""
        self.late = 0
        """Bytes of the frames DATA that came for other streams, of which h2 tells nothing."""
        self._left = 0  # bytes of the current frame that are still to come
        self._last = (0, 0)  # stream and bytes of the last frame DATA, if no other frame came after it
        self._in_headers = False  # whether only more headers may follow, which h2 checks

    def feed(self, data: bytes) -> Iterator[bytes | Data | GoAway]:
        """Take the next bytes; yield each frame that is cut out, and the bytes before, between and after them for h2.

        :raises MalformedFrameError: if a frame is larger than we allow, or a GOAWAY too short.
        """
        data, self._held = self._held + data, b""
        begin, at = 0, self._left
        while at + _HEAD <= len(data):
            length = int.from_bytes(data[at : at + 3], "big")
            end = at + _HEAD + length
            if length > _MAX_PAYLOAD:  # h2 would keep up to 16 MiB of it
                raise MalformedFrameError(f"a frame of {length} bytes")
            kind, flags, self._last = data[at + 3], data[at + 4], (0, 0)
            if kind == _DATA and length:
                identity = int.from_bytes(data[at + 5 : at + 9], "big") & _ID
                self._last = identity, _HEAD + length
                if identity not in self._known:
                    self.late += _HEAD + length
                elif not flags and end <= len(data) and not self._in_headers:
                    if begin < at:
                        yield data[begin:at]
                    yield Data(identity, data[at:end])
                    begin = end
            elif kind in _WITH_HEADERS:
                self._in_headers = not flags & _END_HEADERS
            elif kind == _GOAWAY:
                if begin < at:
                    yield data[begin:at]
                if length < _GOAWAY_BYTES:
                    raise MalformedFrameError(f"a GOAWAY of {length} bytes")
                if end > len(data):
                    self._held, self._left = data[at:], 0
                    return
                yield _go_away(data[at + _HEAD : end])
                begin = end
            at = end
        cut = min(at, len(data))
        if begin < cut:
            yield data[begin:cut]
        self._held, self._left = data[cut:], at - cut  # a head that is incomplete, or a payload

    def incomplete(self, identity: int) -> int:
        """Return how many bytes a frame DATA of a stream has, if a part of it has arrived."""
        return self._last[1] if self._left and self._last[0] == identity else 0


def _go_away(payload: bytes) -> GoAway:
    return GoAway(int.from_bytes(payload[:4], "big") & _ID, int.from_bytes(payload[4:8], "big"))


class Allowance:
    """How many bytes a connection may receive that are of no use to any request; a flood of frames exceeds it.

    Each frame costs time, and an empty one has only 9 bytes: the least bytes that can cost the most.

    :param most: bytes that may arrive at once.
    :param per_second: bytes that may arrive in each second besides.
    """

    __slots__ = ("_at", "_expected", "_most", "_per_second", "_used")

    def __init__(self, now: float, most: int = 128 * 1024, per_second: int = 16 * 1024) -> None:
        self._most = most
        self._per_second = per_second
        self._at = now
        self._used = 0.0
        self._expected = 0

    def take(self, count: int, now: float) -> None:
        """Take note of bytes that have arrived, at a time in seconds."""
        if self._used > 0:
            self._used = max(0.0, self._used - self._per_second * (now - self._at))
        self._used += count
        self._at = now

    def give_back(self, count: int) -> None:
        """Take note that so many of the bytes that have arrived are of use."""
        self._used = max(min(self._used, 0.0), self._used - count)

    def expect(self, count: int) -> None:
        """Take note that so many bytes of a body may be on their way that were of use when they were sent."""
        self._expected += count

    def take_late(self, count: int) -> None:
        """Take note that so many bytes that have arrived, or will, are of a body that may have been on its way."""
        covered = min(count, self._expected)
        self._expected -= covered
        self._used -= covered

    @property
    def is_exceeded(self) -> bool:
        """Whether more arrived than may."""
        return self._used > self._most
