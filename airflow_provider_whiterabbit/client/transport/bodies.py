"""The bodies of HTTP responses, decompressed and bounded, the same way for both clients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from airflow_provider_whiterabbit.client.transport.compression import Decompressor
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError, too_large

ERROR_BYTES = 64 * 1024
"""How many bytes of the body of an error are read. The API's errors are far smaller, and others tell little."""


class BodyDecoder:
    """Turns the bytes of a response's body into plain pieces, up to a limit.

    The body of an error (a status that is not 2xx) is cut at `ERROR_BYTES`, or where it can't be decompressed: its
    status counts nevertheless.

    :param headers: names in lower case.
    :param max_bytes: largest body of a success, in bytes.
    :raises UnusableAnswerError: if a success has an unknown content encoding.
    """

    __slots__ = ("_decompressor", "_is_error", "_max_bytes", "_size", "is_cut")

    def __init__(self, status: int, headers: Mapping[str, str], max_bytes: int) -> None:
        self._is_error = not 200 <= status < 300
        self._max_bytes = ERROR_BYTES if self._is_error else max_bytes
        self._size = 0
        self.is_cut = False
        """Whether the rest of the body is not needed."""
        try:
            self._decompressor = Decompressor(headers.get("content-encoding", ""))
        except UnusableAnswerError:
            if not self._is_error:
                raise
            self.is_cut = True

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take the next bytes of the body, and yield plain pieces of at most 64 KiB.

        :raises UnusableAnswerError: if the body of a success is too large or was compressed wrongly.
        """
        try:
            for piece in self._decompressor.feed(data):
                yield piece[: self._max_bytes - self._size]
                self._size += len(piece)
                if self._size > self._max_bytes:
                    raise too_large(self._max_bytes)
        except UnusableAnswerError:
            if not self._is_error:
                raise
            self.is_cut = True

    def finish(self) -> None:
        """Check, at the end of the body, that nothing is missing.

        :raises UnusableAnswerError: if the compressed body of a success is cut off.
        """
        if not self._is_error:
            self._decompressor.finish()
