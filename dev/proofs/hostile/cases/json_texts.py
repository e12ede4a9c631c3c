"""Answers with odd JSON, with JSON that is none, and with characters that Airflow can't store or send."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dev.proofs.hostile.case import Case, Play
from dev.proofs.hostile.cases.plays import body, broken, lenient, valid
from dev.proofs.hostile.cases.statuses import error, refusal
from dev.proofs.hostile.peer import Peer
from dev.proofs.hostile.server import IDENTITY

if TYPE_CHECKING:
    from dev.proofs.hostile.server import Server, Target

BOTH: tuple[Target, ...] = ("execution", "run")

HOSTILE: dict[str, str] = {
    "half an emoji": "\ud83d",
    "NUL": "\0",
    "escape sequences of a terminal": "\x1b[2J\x1b]0;title\x07",
    "C1 controls": "\x85\x9b31m",
    "line breaks of Unicode": "\u2028\u2029",
    "right-to-left overrides": "\u202egnp.exe",
    "DEL and backspaces": "\x7f\x08\x08",
    "a million characters": "x" * 1_000_000,
}
"""Texts that must not get into a message, an event or a log as they are."""

_CLAUSES = {"half an emoji": "RFC 8259, 8.2", "a million characters": "RFC 8259, 9"}


def changed(change: Callable[[bytes], bytes]) -> Play:
    """Return the play of a well-formed answer whose right body is changed."""

    def play(peer: Peer, server: Server) -> None:
        peer.answer(change(peer.right.body))

    return play


def text_alone(text: bytes) -> Play:
    """Return the play of a well-formed answer with another body than the right one."""
    return changed(lambda _: text)


def record(status: str = "COMPLETED", /, **members: Any) -> Play:
    """Return the play of a record with other members."""
    return body(lambda server: server.json(status, **members))


def _first(member: bytes) -> Play:
    """Return the play of an answer with one more member at its beginning."""
    return changed(lambda right: b"{" + member + b", " + right[1:])


def _texts() -> Iterator[Case]:
    for name, text in HOSTILE.items():
        clause = _CLAUSES.get(name, "RFC 8259, 7")
        payload = {"errors": [{"code": f"NO{text[:9]}", "message": f"no funds {text}"}]}
        if len(text) < 65536:
            yield refusal(f"404 with {name}", clause, error(payload, "404 No"))
        else:  # an error is read up to 64 KiB, so this one is not known to be the API's
            yield broken(f"404 with {name}", clause, error(payload, "404 No"), submission="refused")
        failed = {"error": {"message": f"no funds {text}", text[:99]: text}, "cancelReason": text}
        yield Case(
            f"FAILED with {name}",
            clause,
            _failed(failed),
            record="failed",
            times=None,
            ends="before",
            status="FAILED",
            targets=BOTH,
        )
        yield broken(
            f"a page with {name}", clause, error(text.encode("utf-8", "surrogatepass"), "403 No"), submission="refused"
        )


def _failed(members: dict[str, Any]) -> Play:
    """Return the play of a FAILED record, also of a run whose stages failed."""

    def play(peer: Peer, server: Server) -> None:
        more = dict(members)
        if server.target == "run":
            stage = {"id": "s", "status": "FAILED", "output": None, "error": more.pop("error")}
            more["runStages"] = [{**stage, "module": more["cancelReason"]}]
        peer.answer(server.json("FAILED", **more))

    return play


def _unstorable() -> Iterator[Case]:
    for name in ("half an emoji", "NUL"):
        text = HOSTILE[name]
        for where, output in (("a value", {"a": [1, {"b": f"c{text}"}]}), ("a key", {f"a{text}": 1})):
            yield valid(
                f"an output with {name} in {where}",
                _CLAUSES.get(name, "RFC 8259, 7"),
                record(output=output),
                "record",
                poke="unstorable",
            )


def _no_json() -> Iterator[Case]:
    for name, clause, text in (
        ("an empty object that is not closed", "RFC 8259, 4", b"{"),
        ("white space alone", "RFC 8259, 2", b" \r\n\t "),
        ("a trailing comma", "RFC 8259, 4", b'{"id": "a",}'),
        ("a comment", "RFC 8259, 2", b'{"id": "a" /* no */}'),
        ("single quotes", "RFC 8259, 7", b"{'id': 'a'}"),
        ("names without quotes", "RFC 8259, 4", b'{id: "a"}'),
        ("two values", "RFC 8259, 2", b'{"id": "a"} {"id": "b"}'),
        ("JSON with a prefix against scripts", "RFC 8259, 2", b")]}',\n{}"),
        ("a callback, as in JSONP", "RFC 8259, 2", b'call({"id": "a"})'),
        ("an unknown literal", "RFC 8259, 3", b'{"id": undefined}'),
        ("an unknown escape", "RFC 8259, 7", b'{"id": "\\x41"}'),
        ("half an escape", "RFC 8259, 7", b'{"id": "\\u12"}'),
        ("a control character in a string", "RFC 8259, 7", b'{"id": "a\x01b"}'),
        ("a number with a zero before it", "RFC 8259, 6", b'{"id": 007}'),
        ("a number without digits", "RFC 8259, 6", b'{"id": -}'),
        ("a byte that is not UTF-8", "RFC 8259, 8.1", b'{"id": "a\xff"}'),
        ("overlong UTF-8", "RFC 3629, 3", b'{"id": "a\xc0\xaf"}'),
        ("100,000 open arrays", "RFC 8259, 9", b"[" * 100_000),
        ("100,000 nested arrays", "RFC 8259, 9", b"[" * 100_000 + b"]" * 100_000),
    ):
        yield broken(name, clause, text_alone(text), "record submission")
    deep = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
    # It is JSON, but not a record. A client may refuse so deep a nesting before it knows.
    yield broken("100,000 nested objects", "RFC 8259, 9", text_alone(deep), record="ended or error")


def _no_object() -> Iterator[Case]:
    for name, text in (
        ("null", b"null"),
        ("a number", b"7"),
        ("a string", b'"COMPLETED"'),
        ("an array", b"[]"),
        ("an empty object", b"{}"),
        ("a gateway's error", b'{"message": "Blocked", "error": "Forbidden", "statusCode": 403}'),
    ):
        yield Case(
            f"{name} instead of a record",
            "RFC 8259, 3",
            text_alone(text),
            record="ended",
            submission="uncertain",
            targets=BOTH,
        )


def _odd() -> Iterator[Case]:
    number = b'"totalUsage": '
    for name, clause, play in (
        (
            "white space everywhere",
            "RFC 8259, 2",
            changed(lambda right: b" \r\n\t" + right.replace(b": ", b" \n:\t ") + b"\n "),
        ),
        (
            "escaped names and values",
            "RFC 8259, 7",
            changed(
                lambda right: (
                    right.replace(b'"id"', b'"\\u0069d"')
                    .replace(b'"runId"', b'"run\\u0049d"')
                    .replace(b"COMPLETED", b"\\u0043OMPLETE\\u0044")
                )
            ),
        ),
        ("a member twice", "RFC 8259, 4", changed(lambda right: right[:-1] + b", " + right[1:])),
        ("unknown members", "RFC 8259, 4", _first(b'"": [{}], "__proto__": {"status": "FAILED"}, "\\u0001": null')),
        ("a number beyond 64-bit floats", "RFC 8259, 6", _first(number + b"1e400")),
        ("a number of 10,000 digits", "RFC 8259, 6", _first(number + b"9" * 10_000)),
        ("an exponent of 10 digits", "RFC 8259, 6", _first(number + b"1e-9999999999")),
        ("minus zero", "RFC 8259, 6", _first(number + b"-0.0E+0")),
        (
            "usage that is a word",
            "RFC 8259, 3",
            changed(lambda right: right.replace(b'"totalUsage": 1', b'"totalUsage": "x"')),
        ),
        ("a member of 5 MB", "RFC 8259, 9", _first(b'"a": "' + b"x" * 5_000_000 + b'"')),
        ("150 nested arrays", "RFC 8259, 9", _first(b'"a": ' + b"[" * 150 + b"]" * 150)),
    ):
        yield valid(name, clause, play, "record submission", targets=BOTH)
    deep = _first(b'"a": ' + b"[" * 500 + b"]" * 500)
    yield valid("500 nested arrays", "RFC 8259, 9", deep, "record submission")
    # The result of a run is its whole record.
    yield valid("500 nested arrays in a run", "RFC 8259, 9", deep, "record", poke="unstorable", targets=("run",))
    many = _first(b",".join(b'"a%d":%d' % (i, i) for i in range(100_000)))
    yield valid("100,000 members", "RFC 8259, 9", many, "submission", targets=BOTH)
    yield lenient("a record with 100,000 members", "RFC 8259, 9", many, "record", targets=BOTH)


def large(rest: Callable[[], bytes], status_first: bool) -> Play:
    """Return the play of a large record.

    :param rest: returns all members but id and status, as JSON without braces.
    """

    def play(peer: Peer, server: Server) -> None:
        status = json.loads(peer.right.body)["status"]
        known = json.dumps({"id": IDENTITY, "status": status, "completed": status == "COMPLETED"}).encode()[1:-1]
        members = (known, rest()) if status_first else (rest(), known)
        peer.answer(b"{" + b", ".join(members) + b"}", "Content-Type: application/json")

    return play


_LARGE: dict[str, Callable[[], bytes]] = {
    "one string": lambda: b'"output": "' + b"x" * 60_000_000 + b'"',
    "escapes": lambda: b'"output": "' + b"\\u00e9" * 10_000_000 + b'"',
    "numbers": lambda: b'"output": [' + b"1," * 30_000_000 + b"1]",
    "objects": lambda: b'"output": [' + b'{"a":[]},' * 6_000_000 + b"{}]",
    "white space": lambda: b" " * 60_000_000 + b'"output": null',
}


_LIMITED: dict[str, Callable[[], bytes]] = {
    "40 MB of nested arrays": lambda: b'"output": ' + b"[" * 20_000_000 + b"]" * 20_000_000,
    "4,000,000 members": lambda: b'"member":null,' * 4_000_000 + b'"last":null',
    "a number of 60 MB": lambda: b'"output": ' + b"1" * 60_000_000,
}
"""What a parser may refuse (RFC 8259, 9)."""


def _large() -> Iterator[Case]:
    more: dict[str, Any] = {"ways": ("trigger",), "timeout": 40.0, "request_timeout": 5.0, "is_heavy": True}
    for order in ("first", "last"):
        for name, rest in _LARGE.items():
            play = large(rest, order == "first")
            yield valid(f"60 MB of {name}, the status {order}", "RFC 8259, 9", play, "record", **more)
        for name, rest in _LIMITED.items():
            play = large(rest, order == "first")
            yield lenient(f"{name}, the status {order}", "RFC 8259, 9", play, "record", **more)


CASES = (
    *_odd(),
    *_no_json(),
    *_no_object(),
    *_unstorable(),
    *_texts(),
    *_large(),
    lenient("a byte order mark", "RFC 8259, 8.1", changed(lambda right: b"\xef\xbb\xbf" + right), "record submission"),
    lenient("UTF-16", "RFC 8259, 8.1", changed(lambda right: right.decode().encode("utf-16")), "record submission"),
    lenient("UTF-32", "RFC 8259, 8.1", changed(lambda right: right.decode().encode("utf-32")), "record submission"),
    lenient("NaN and infinity", "RFC 8259, 6", _first(b'"totalUsage": NaN, "a": -Infinity'), "record submission"),
    lenient("half an emoji in UTF-8", "RFC 3629, 3", _first(b'"a": "\xed\xa0\xbd"'), "record submission"),
)
