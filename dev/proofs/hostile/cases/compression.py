"""Compressed answers, although the client accepts none: right ones, wrong ones, and bombs."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from dev.proofs.hostile.case import Case, Play
from dev.proofs.hostile.cases.plays import broken, heavy, lenient, valid
from dev.proofs.hostile.peer import Peer, head
from dev.proofs.hostile.server import IDENTITY

if TYPE_CHECKING:
    from dev.proofs.hostile.server import Server

Pack = Callable[[bytes], bytes]


def _raw_deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def _optional_fields(data: bytes) -> bytes:
    """Return a gzip member with an extra field, a file name, a comment and a checksum of the header."""
    header = b"\x1f\x8b\x08\x1e\0\0\0\0\0\x03" + b"\x04\0abcd" + b"name\0" + b"comment\0"
    header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")
    return header + _raw_deflate(data) + _trailer(data)


def _trailer(data: bytes, checksum: int = 0, size: int = 0) -> bytes:
    """Return the end of a gzip member.

    :param checksum: is added to the right checksum.
    :param size: is added to the right size.
    """
    return ((zlib.crc32(data) + checksum) % 2**32).to_bytes(4, "little") + (len(data) + size).to_bytes(4, "little")


def _two_members(data: bytes) -> bytes:
    return gzip.compress(data[:20]) + gzip.compress(data[20:])


def _dictionary(data: bytes) -> bytes:
    packer = zlib.compressobj(zdict=b'{"id": "status": "EXECUTING"')
    return packer.compress(data) + packer.flush()


def _flip(pack: Pack, position: int, value: int) -> Pack:
    """Return a function that packs, and then replaces one byte."""

    def changed(data: bytes) -> bytes:
        packed = bytearray(pack(data))
        packed[position] = value
        return bytes(packed)

    return changed


def packed(coding: str, pack: Pack, status: str = "200 OK") -> Play:
    """Return the play of an answer that is compressed.

    :param coding: the value of ``Content-Encoding``.
    """

    def play(peer: Peer, server: Server) -> None:
        fields = (f"Content-Type: {peer.right.content_type}", f"Content-Encoding: {coding}")
        peer.answer(pack(peer.right.body), *fields, status=status)

    return play


def _flushed(wbits: int, coding: str) -> Play:
    """Return the play of a stream that is compressed event by event."""

    def play(peer: Peer, server: Server) -> None:
        packer = zlib.compressobj(wbits=wbits)
        peer.send(head("Content-Type: text/event-stream", f"Content-Encoding: {coding}", "Connection: close"))
        for event in peer.right.body.split(b"\n\n"):
            peer.send(packer.compress(event + b"\n\n") + packer.flush(zlib.Z_SYNC_FLUSH), pause=0.05)
        peer.hold()

    return play


_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\x03"
"""The header of a gzip member."""


def _block(data: bytes) -> bytes:
    """Return data that are compressed so that they can be repeated."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush(zlib.Z_FULL_FLUSH)


def _bomb(megabytes: int, status: str = "200 OK", before: bytes = b"") -> Play:
    """Return the play of an answer in gzip that has so many megabytes of spaces.

    :param before: what is before the spaces; its `%s` is the id.
    """
    start = _HEADER + _block(before.replace(b"%s", IDENTITY.encode()))
    return packed("gzip", lambda _: start + megabytes * _block(b" " * 1_000_000), status)


def _right() -> Iterator[Case]:
    for name, clause, coding, pack in (
        ("gzip", "RFC 9110, 8.4.1.3", "gzip", gzip.compress),
        ("x-gzip", "RFC 9110, 8.4.1.3", "x-gzip", gzip.compress),
        ("GZIP in upper case", "RFC 9110, 8.4.1", "GZIP", gzip.compress),
        ("deflate", "RFC 9110, 8.4.1.2", "deflate", zlib.compress),
        ("deflate without the zlib header", "RFC 9110, 8.4.1.2", "deflate", _raw_deflate),
        ("deflate, stored blocks", "RFC 1951, 3.2.4", "deflate", lambda data: zlib.compress(data, 0)),
        ("gzip with all optional fields", "RFC 1952, 2.3", "gzip", _optional_fields),
        ("gzip of two members", "RFC 1952, 2.2", "gzip", _two_members),
        ("identity", "RFC 9110, 8.4.1", "identity", bytes),
    ):
        yield valid(f"{name}", clause, packed(coding, pack))


def _wrong() -> Iterator[Case]:
    for name, clause, coding, pack in (
        ("gzip that is cut", "RFC 1952, 2.3", "gzip", lambda data: gzip.compress(data)[:-20]),
        (
            "gzip with a wrong checksum",
            "RFC 1952, 2.3.1",
            "gzip",
            lambda data: gzip.compress(data)[:-8] + _trailer(data, checksum=1),
        ),
        (
            "gzip with a wrong size",
            "RFC 1952, 2.3.1",
            "gzip",
            lambda data: gzip.compress(data)[:-8] + _trailer(data, size=1),
        ),
        ("gzip with a wrong magic number", "RFC 1952, 2.3.1", "gzip", _flip(gzip.compress, 1, 0x8C)),
        ("gzip with an unknown method", "RFC 1952, 2.3.1", "gzip", _flip(gzip.compress, 2, 7)),
        ("gzip with reserved flags", "RFC 1952, 2.3.1.2", "gzip", _flip(gzip.compress, 3, 0xE0)),
        ("deflate with a reserved block type", "RFC 1951, 3.2.3", "deflate", lambda _: b"\x78\x9c\x07\0"),
        ("deflate with a wrong block length", "RFC 1951, 3.2.4", "deflate", lambda _: b"\x78\x01\x01\x05\0\x05\0hello"),
        ("deflate that refers too far back", "RFC 1951, 2", "deflate", lambda _: b"\x78\x9c\x4b\x04\x82\x2f\0"),
        ("zlib with a preset dictionary", "RFC 1950, 2.2", "deflate", _dictionary),
        ("zlib with a wrong checksum", "RFC 1950, 2.2", "deflate", _flip(zlib.compress, -1, 0)),
        ("zlib with a wrong header check", "RFC 1950, 2.2", "deflate", _flip(zlib.compress, 1, 0x9D)),
        ("an answer that only claims to be gzip", "RFC 9110, 8.4", "gzip", bytes),
        ("br", "RFC 7932, 9.1", "br", lambda data: b"\x0b\x02\x80" + data[:3] + b"\x03"),
        ("zstd", "RFC 8878, 3.1.1", "zstd", lambda data: b"\x28\xb5\x2f\xfd\x04\0" + data),
        ("compress", "RFC 9110, 8.4.1.1", "compress", lambda data: b"\x1f\x9d\x90" + data),
        ("an unknown coding", "RFC 9110, 8.4.1", "rot13", bytes),
    ):
        yield broken(name, clause, packed(coding, pack))


_STATUS_LAST = b'{"id": "%s", "output": "'

CASES = (
    *_right(),
    *_wrong(),
    lenient("gzip without its trailer", "RFC 1952, 2.3.1", packed("gzip", lambda data: gzip.compress(data)[:-8])),
    lenient("an empty list of codings", "RFC 9110, 8.4", packed("", bytes)),
    lenient("gzip, twice", "RFC 9110, 8.4", packed("gzip, gzip", lambda data: gzip.compress(gzip.compress(data)))),
    lenient(
        "gzip with garbage behind it", "RFC 1952, 2.2", packed("gzip", lambda data: gzip.compress(data) + b"garbage")
    ),
    lenient(
        "10,000 empty members before gzip",
        "RFC 1952, 2.2",
        packed("gzip", lambda data: 10_000 * gzip.compress(b"") + gzip.compress(data)),
        "record submission",
    ),
    valid("a stream in gzip, event by event", "RFC 1952, 2.2", _flushed(31, "gzip"), "stream"),
    valid("a stream in deflate, event by event", "RFC 1950, 2.2", _flushed(15, "deflate"), "stream"),
    valid("a stream in raw deflate, event by event", "RFC 1951, 2", _flushed(-15, "deflate"), "stream"),
    *heavy(
        broken("a bomb of 1 GB as an error", "RFC 1952, 2.3", _bomb(1000, "500 No")),
        broken("a bomb of 1 GB as a refusal", "RFC 1952, 2.3", _bomb(1000, "404 No"), submission="refused"),
        broken("a bomb of 1 GB as a stream", "RFC 1952, 2.3", _bomb(1000), "stream"),
        broken("a bomb of 1 GB as a record", "RFC 1952, 2.3", _bomb(1000), "record", ways=("trigger",)),
        broken(
            "a bomb of 1 GB before the status",
            "RFC 1952, 2.3",
            _bomb(1000, before=_STATUS_LAST),
            "record",
            ways=("trigger",),
        ),
    ),
)
