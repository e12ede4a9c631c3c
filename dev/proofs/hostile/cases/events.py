"""The grammar of event streams: what must be understood, and what must be ignored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dev.proofs.hostile.case import Case, Play
from dev.proofs.hostile.cases.json_texts import BOTH
from dev.proofs.hostile.cases.plays import Then, broken, leave, valid
from dev.proofs.hostile.peer import Peer, head

if TYPE_CHECKING:
    from dev.proofs.hostile.server import Server

PARSING, MEANING = "WHATWG HTML, 9.2.5", "WHATWG HTML, 9.2.6"

END = b"data: %E\n\n"
"""The event that tells the end."""


def stream(text: bytes, then: Then = "hold", *fields: str, split: int = 0, pause: float = 0.0) -> Play:
    """Return the play of an event stream.

    :param text: its bytes, in which ``%E`` stands for an event with the status COMPLETED, ``%X`` for EXECUTING, and
        ``%F`` for FAILED, which is never true.
    :param fields: header fields besides the usual ones.
    :param split: number of bytes in a piece; 0 for a single piece.
    :param pause: seconds after each piece.
    """

    def play(peer: Peer, server: Server) -> None:
        whole = events(text, server)
        peer.send(head("Content-Type: text/event-stream", "Connection: close", *fields))
        pieces = [whole[start : start + split] for start in range(0, len(whole), split)] if split else [whole]
        peer.send(*pieces, pause=pause)
        leave(peer, then)

    return play


def events(text: bytes, server: Server) -> bytes:
    """Return a text with the data of events for its placeholders."""
    for mark, status in ((b"%E", "COMPLETED"), (b"%X", "EXECUTING"), (b"%F", "FAILED")):
        text = text.replace(mark, server.event(status))
    return text


def _understood(name: str, text: bytes, clause: str = PARSING, **more: Any) -> Case:
    """Return the case of a stream whose last event tells the end."""
    options = {option: more.pop(option) for option in ("split", "pause") if option in more}
    return valid(name, clause, stream(text, **options), "stream", **({"targets": BOTH} | more))


def _survived(name: str, text: bytes, clause: str = MEANING, then: Then = "hold", **more: Any) -> Case:
    """Return the case of a stream that does not tell the end, so that the record does."""
    return broken(name, clause, stream(text, then), "stream", **({"targets": BOTH} | more))


_BOM = b"\xef\xbb\xbf"

CASES = (
    # Lines.
    _understood("lines that end with LF", b":\n" + END),
    _understood("lines that end with CR", b":\rdata: %X\r\rdata: %E\r\r"),
    _understood("lines that end with CR LF", b":\r\ndata: %X\r\n\r\ndata: %E\r\n\r\n"),
    _understood("lines with all three ends", b":\rdata: %X\n\r\ndata: %E\r\n\n"),
    _understood("CR LF in two pieces", b"data: %E\r\n\r\n", split=1),
    _understood("a byte order mark", _BOM + END),
    _understood("a byte order mark in pieces", _BOM + END, split=1),
    _understood("two byte order marks", _BOM + _BOM + b"data: %F\n\n" + END),
    _understood("a byte order mark before the second event", b"data: %X\n\n" + _BOM + b"data: %F\n\n" + END),
    _understood("byte by byte, slowly", b":\n\n" + END, split=1, pause=0.002),
    _understood("many blank lines", b"\n\n\n\r\n\r\n\r\r" + END),
    # Comments.
    _understood("comments between the lines of an event", b": a\ndata: %E\n: b\n:c\n\n"),
    _understood("a comment that looks like an event", b":data: %F\n\n: data: %F\n\n" + END),
    _understood("a keep-alive as a comment", b":ping\n\n" * 100 + END),
    _understood("a keep-alive as data", b"data: :ping\n\n" * 100 + END, "White Rabbit API, Stream"),
    _understood("a comment of 100 kB", b":" + b"x" * 100_000 + b"\n\n" + END),
    _understood("bytes that are not UTF-8 in a comment", b": \xff\xfe\n\n" + END),
    # Fields.
    _understood("no space after the colon", b"data:%E\n\n", MEANING),
    _understood("several spaces after the colon", b"data:   %E\n\n", MEANING),
    _understood("data without a colon", b"data\n\n" + END, MEANING),
    _understood("data without a value", b"data:\n\n" + END, MEANING),
    _understood("data on two lines", b"data: %E\ndata:\n\n", MEANING),
    _understood(
        "JSON on two lines", b'data: {"a":\ndata: 1}\n\n'.replace(b'{"a":', b"%E").replace(b"1}", b" "), MEANING
    ),
    _understood("an id", b"id: 7\ndata: %E\n\n", MEANING),
    _understood("an id with NUL", b"id: 7\0\ndata: %E\n\n", MEANING),
    _understood("an id that is not UTF-8, in another event", b"id: \xff\n\n" + END, MEANING),
    _understood("a time to reconnect", b"retry: 86400000\ndata: %E\n\n", MEANING),
    _understood("a time to reconnect that is no number", b"retry: soon\n\n" + END, MEANING),
    _understood("a time to reconnect of 10,000 digits", b"retry: " + b"9" * 10_000 + b"\n\n" + END, MEANING),
    _understood("the type of an event", b"event: status\ndata: %E\n\n", MEANING),
    _understood("an unknown field", b"foo: bar\ndata: %E\n\n", MEANING),
    _understood("a field name in upper case", b"DATA: %F\n\n" + END, MEANING),
    _understood("a field name behind a space", b" data: %F\n\n" + END, MEANING),
    _understood("a field name before a space", b"data : %F\n\n" + END, MEANING),
    _understood("a field without a name", b": \n:\n\n" + END, MEANING),
    _understood("a type without data", b"event: end\n\n" + END, MEANING),
    _understood("an event in 1,000 pieces of a field", b"foo: bar\n" * 1000 + END, MEANING),
    # The end of the stream.
    _survived("half an event at the end", b"data: %F\n", then="close"),
    _survived("a line without end at the end", b"data: %F", then="close"),
    _survived("an event with a single CR at the end", b"data: %F\r", then="close"),
    _survived("a reset within an event", b"data: %F\n", then="reset"),
    _survived("silence within an event", b"data: %F\n"),
    # What an event must hold is not the grammar's matter.
    _survived("bytes that are not UTF-8 in data", b"data: \xff\xfe\n\n", PARSING),
    _survived("data that is no JSON", b"data: {not json\n\n"),
    _survived("data that is half a JSON", b"data: {\n\n"),
    _survived("data that is null", b"data: null\n\n"),
    _survived("data that is an array", b"data: [%F]\n\n"),
    _survived("100,000 nested arrays as data", b"data: " + b"[" * 100_000 + b"]" * 100_000 + b"\n\n"),
    _survived("NUL bytes", b"\0" * 100_000 + b"\n\n"),
)
