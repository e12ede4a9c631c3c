"""Decompresses the bodies of HTTP responses piece by piece, the same way for both clients.

The clients ask for no compression, but some proxies compress responses without being asked. Both HTTP libraries could
decompress too, each in its own way, and without a limit to what a few bytes may become.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError

PIECE_BYTES = 64 * 1024
"""Size, in bytes, of the largest piece that `Decompressor.feed` yields by default."""

STREAM_PIECE_BYTES = 16 * 1024
"""The same for event streams, whose pieces may hold thousands of events: other waits get their turn in between."""


class Decompressor:
    """Undoes the ``Content-Encoding`` of a body: none, gzip (RFC 1952) or deflate (RFC 1950, and RFC 1951 alone).

    :param encoding: value of the header; empty without the header.
    :param piece_bytes: largest piece that `feed` yields, in bytes.
    :raises UnusableAnswerError: for every other encoding, and for several at once.
    """

    __slots__ = ("_decompress", "_head", "_new", "_piece_bytes")

    def __init__(self, encoding: str, piece_bytes: int = PIECE_BYTES) -> None:
        self._piece_bytes = piece_bytes
        self._head = b""
        self._decompress: zlib._Decompress | None = None
        self._new = _decompressor_of(encoding)

    @property
    def is_plain(self) -> bool:
        """Whether the body is not compressed, so that its bytes need not be fed."""
        return self._new is None

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes of the body, and yield what they become, piece by piece as the caller asks for it.

        :raises UnusableAnswerError: if the bytes are not compressed as the header says.
        """
        if self._new is None:
            for begin in range(0, len(data), self._piece_bytes):
                yield data[begin : begin + self._piece_bytes]
            return
        while data:
            if self._decompress is None:
                data, self._head = self._head + data, b""
                if len(data) < 2:  # the first two bytes tell the two forms of deflate apart
                    self._head = data
                    return
                self._decompress = self._new(data)
            try:
                piece = self._decompress.decompress(data, self._piece_bytes)
            except zlib.error as error:
                raise UnusableAnswerError(f"the answer can't be decompressed: {error}") from None
            data = self._decompress.unconsumed_tail
            if self._decompress.eof:  # another member may follow (RFC 1952, section 2.2)
                data, self._decompress = self._decompress.unused_data, None
            if piece:
                yield piece

    def finish(self) -> None:
        """Check, at the end of the body, that the compressed data is complete.

        :raises UnusableAnswerError: if it is not.
        """
        if self._head or self._decompress is not None:
            raise UnusableAnswerError("the answer can't be decompressed: it is cut off")


def _decompressor_of(encoding: str) -> Callable[[bytes], zlib._Decompress] | None:
    match encoding.strip().lower():  # RFC 9110, section 8.4.1: the names are case-insensitive
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return lambda _: zlib.decompressobj(zlib.MAX_WBITS | 16)
        case "deflate":
            return _deflate
    raise UnusableAnswerError(f"the answer has the content encoding {encoding!a:.60}, which nobody asked for")


def _deflate(head: bytes) -> zlib._Decompress:
    """Return a decompressor for deflate with a zlib header or, as some servers send it, without."""
    has_zlib_header = head[0] & 0x0F == zlib.DEFLATED and int.from_bytes(head[:2], "big") % 31 == 0
    return zlib.decompressobj(zlib.MAX_WBITS if has_zlib_header else -zlib.MAX_WBITS)
