"""What the waits of an event loop do when their process has no file descriptor left: they poll instead of streaming."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from collections.abc import Iterator
from typing import Any, Protocol

from airflow_provider_whiterabbit.client.clock import monotonic
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError, WhiteRabbitTransportError

log = logging.getLogger(__name__)

ROOM = 8
"""How many open streams are closed when the process has no file descriptor left, for whatever else needs one."""

SCARCE_TURNS = 4
"""How many requests for records may wait for a response at once while the process is short of file descriptors.

As many connections over HTTP/1.1 are kept for them; further ones are closed after their answer."""

_SCARCE_FOR = 600.0  # seconds
_SHORTAGE = (errno.EMFILE, errno.ENFILE)


class _Stream(Protocol):
    owner: Any
    """The `OpenStreams` that are told when the stream is closed; None for none."""

    @property
    def is_closed(self) -> bool: ...

    @property
    def shares_connection(self) -> bool: ...

    def close(self) -> None: ...


class OpenStreams:
    """The open event streams of a session, some of which are closed when the process has no file descriptor left."""

    __slots__ = ("_has_warned", "_short_at", "_streams")

    def __init__(self) -> None:
        self._streams: set[_Stream] = set()
        self._short_at: float | None = None
        self._has_warned = False

    @contextlib.contextmanager
    def opening(self, seconds: float) -> Iterator[None]:
        """Open no stream in a ``with`` for so many seconds after a file descriptor was missing.

        :raises WhiteRabbitStreamError: in this time, so that the wait polls the record.
        """
        self._check(seconds)
        try:
            yield
        except WhiteRabbitTransportError:  # perhaps for want of a file descriptor
            self._check(seconds)
            raise

    def add(self, stream: _Stream, seconds: float) -> None:
        """Add an open stream until it is closed; or close it if a file descriptor was missing meanwhile.

        :raises WhiteRabbitStreamError: as `opening` does.
        """
        try:
            self._check(seconds)
        except WhiteRabbitStreamError:
            stream.close()
            raise
        stream.owner = self
        self._streams.add(stream)

    def forget(self, stream: _Stream) -> None:
        """Remove a stream that is being closed."""
        self._streams.discard(stream)

    def _check(self, seconds: float) -> None:
        if self._short_at is not None and monotonic() - self._short_at < seconds:
            raise WhiteRabbitStreamError("this process had no file descriptor left for a connection")

    @property
    def are_scarce(self) -> bool:
        """Whether a file descriptor was missing in the last ten minutes."""
        return self._short_at is not None and monotonic() - self._short_at < _SCARCE_FOR

    def make_room(self, *, on_shared: bool = False) -> None:
        """Close some streams, at most once a second, because the process has no file descriptor left.

        A stream that shares its connection (HTTP/2) frees no descriptor, but leaves its place to reads of records.

        :param on_shared: whether the connection that can't be made would have been shared, so places are missing too.
        """
        now = monotonic()
        if self._short_at is not None and now - self._short_at < 1:
            return  # the requests of one moment fail together
        is_open = [stream for stream in self._streams if not stream.is_closed]
        streams = [stream for stream in is_open if not stream.shares_connection]
        if not streams:
            streams = is_open
            if streams and not on_shared:
                return  # all of them need a few descriptors: something else takes the others
        self._short_at = now
        for stream in streams[:ROOM]:
            stream.close()
        if not self._has_warned:
            self._has_warned = True
            log.warning(
                "This process has no file descriptor left: %d of %d event streams were closed, and their waits poll. "
                "Raise the limit of open files (`ulimit -n`) of the triggerer, or start more triggerers.",
                min(ROOM, len(streams)),
                len(streams),
            )


def is_shortage(error: OSError) -> bool:
    """Return whether a connection can't be made because the process, or the system, has no file descriptor left."""
    if error.errno in _SHORTAGE:
        return True
    try:  # an error about a host name does not say why the name was not resolved
        os.close(os.open(os.devnull, os.O_RDONLY))
    except OSError as attempt:
        return attempt.errno in _SHORTAGE
    return False
