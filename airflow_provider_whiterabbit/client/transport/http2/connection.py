"""One HTTP/2 connection: passes bytes between a TLS transport and a `Multiplexer`, and watches that the server lives.

On PING (RFC 9113, 6.7): a connection on which nothing arrives is asked; without an answer it is dead, with all its
streams.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from h2.exceptions import H2Error

from airflow_provider_whiterabbit.client.hiding import Withholding
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError, root_cause_text
from airflow_provider_whiterabbit.client.transport.http2.frames import FloodError, MalformedFrameError
from airflow_provider_whiterabbit.client.transport.http2.multiplexer import Fields, Multiplexer
from airflow_provider_whiterabbit.client.transport.http2.stream import Stream
from airflow_provider_whiterabbit.client.transport.http2.watch import Watch
from airflow_provider_whiterabbit.client.transport.tls_sessions import note_end

ALPN = "h2"

_BUFFER_BYTES = 16 * 1024
"""What is read at once: the event loop has its turn after so many bytes, with whatever number of frames."""


class Connection(asyncio.BufferedProtocol):
    """A client's connection, over TLS whose ALPN chose HTTP/2.

    :param silence: seconds within which a connection that went silent is found dead.
    :param on_change: is called when the connection may have room for another stream, or less than before.
    """

    def __init__(self, silence: float, on_change: Callable[[Connection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_change = on_change
        self._transport: asyncio.Transport | None = None
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._streams = Multiplexer(self._loop.time(), self._flush, self._changed)
        self._watch = Watch(
            silence, self._streams.ping, lambda seconds: self._lose(f"the connection was silent for {seconds:.0f} s")
        )
        self._flushing: asyncio.Handle | None = None
        self._is_writable = True
        self.ready: asyncio.Future[None] = self._loop.create_future()
        """Done once the server has sent its settings; or with the error that ended the connection before."""
        self.ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())
        self.is_closed = False
        self.opened = 0
        """How many streams were opened so far."""

    # --- for the pool

    @property
    def room(self) -> int:
        """How many more streams may be opened now."""
        usable = self.ready.done() and self._is_writable and not self._streams.is_draining and not self.is_closed
        return max(0, self.limit - len(self._streams)) if usable else 0

    @property
    def limit(self) -> int:
        """How many streams the connection may have at once."""
        return self._streams.limit

    @property
    def is_idle(self) -> bool:
        """Whether the connection has no stream."""
        return not len(self._streams)

    @property
    def failure(self) -> str | None:
        """How the server broke HTTP/2, which an end before the first answer does too; None if it did not."""
        return self._streams.failure

    def open(self, headers: Fields, window: int, silence: float | None) -> Stream:
        """Send a request without a body, for which there must be room.

        :param window: bytes of the answer that may arrive before they are read.
        :param silence: as for `Stream`.
        :raises NotProcessedError: if the request must be sent on another connection.
        """
        stream = self._streams.open(headers, window, silence)
        self.opened += 1
        return stream

    def allow_no_more(self) -> None:
        """Open no more streams at once than there are now, because the server refused one."""
        self._streams.allow_no_more()

    def count_unanswered(self) -> None:
        """Count a request that had no answer in time; after some in a row, open no more streams."""
        self._streams.count_unanswered()

    def drain(self) -> None:
        """Open no more streams; close the connection when the last one has ended."""
        self._streams.drain()

    def close(self) -> None:
        """Close the connection at once, and tell the server."""
        if not self.is_closed:
            self._streams.close()
            self._end(UnusableAnswerError("the connection was closed"))

    # --- for the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the preface and the settings, if the server speaks HTTP/2."""
        self._transport = cast(asyncio.Transport, transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is None or tls.selected_alpn_protocol() != ALPN:
            self.is_closed = True
            transport.abort()  # type: ignore[attr-defined]
            return
        self._flush()
        self._watch.check()

    def connection_lost(self, error: Exception | None) -> None:
        """End all streams."""
        self._lose(root_cause_text(error, Withholding()) if error else "the server closed the connection")

    def get_buffer(self, _: int) -> memoryview:
        """Return where the next bytes are put."""
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        """Take the next bytes."""
        if self.is_closed:
            return
        try:
            self._streams.feed(bytes(self._buffer[:count]), self._watch.heard())
        except (H2Error, MalformedFrameError) as error:
            self._break_off(f"{type(error).__name__}: {error}")
        except FloodError as error:
            self._break_off(str(error))

    def eof_received(self) -> None:
        """Let the transport close itself."""

    def pause_writing(self) -> None:
        """Open no more streams until the server reads."""
        self._is_writable = False

    def resume_writing(self) -> None:
        """Open streams again."""
        self._is_writable = True
        self._on_change(self)

    # --- for the streams

    def _changed(self) -> None:
        if self.is_closed:
            return
        if self._streams.is_over:
            self.close()
            return
        if self._streams.is_greeted and not self.ready.done():
            self.ready.set_result(None)
        self._on_change(self)

    def _flush(self) -> None:
        """Send what there is at the end of this turn of the event loop: what many requests send then is one write."""
        if self._flushing is None and self._transport is not None and not self.is_closed:
            self._flushing = self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._flushing = None
        if self._transport is not None and not self.is_closed and (data := self._streams.to_send()):
            self._transport.write(data)

    # --- the end

    def _lose(self, reason: str) -> None:
        if not self.is_closed:
            note_end(self._transport)
            if not self._streams.has_answered:
                self._streams.failure = self._streams.failure or reason
        self._end(UnusableAnswerError(reason))

    def _break_off(self, failure: str) -> None:
        self._streams.failure = failure
        self._end(UnusableAnswerError(f"the server broke the rules of HTTP/2: {failure}"))

    def _end(self, error: UnusableAnswerError) -> None:
        if self.is_closed:
            return
        self._write()  # a GOAWAY with the reason
        self.is_closed = True
        self._watch.stop()
        if self._transport is not None:
            self._transport.abort()  # over TLS, `close` would wait for the server's goodbye
        if not self.ready.done():
            self.ready.set_exception(error)
        self._streams.fail(error)
        self._on_change(self)
