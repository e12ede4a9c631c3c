"""One HTTP/2 connection: passes bytes between a TLS transport and h2, and events of h2 to the streams.

The rules, with the clauses of RFC 9113:

- GOAWAY (6.8): nothing is opened on the connection any more. What the server processes is finished; what it does not
  process may be sent on another connection.
- RST_STREAM (6.4) ends one stream, and no other.
- Flow control (5.2): what arrives counts at once as read for the connection, but for its stream only once it was read.
  So a stream whose reader is slow stops alone, and holds no more than its window in memory.
- PING (6.7): a connection on which nothing arrives is asked; without an answer it is dead, with all its streams.
- Bytes of no use to any stream (empty frames, unknown ones, more settings, ...) are bounded, see `Allowance`.
- An error of the protocol ends the connection (5.4.1): the state that both sides share, as that of HPACK, is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import cast

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    Event,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error

from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError, root_cause_text
from airflow_provider_whiterabbit.client.transport.http2.frames import (
    Allowance,
    FrameCutter,
    GoAway,
    MalformedFrameError,
)
from airflow_provider_whiterabbit.client.transport.http2.protocol import (
    CONNECTION_WINDOW,
    STREAM_WINDOW,
    name_of,
    new_h2,
    not_processed,
    reset_by_server,
)
from airflow_provider_whiterabbit.client.transport.http2.stream import (
    MAX_INTERIM,
    NotProcessedError,
    Stream,
    check_size,
)
from airflow_provider_whiterabbit.client.transport.http2.watch import Watch

Fields = Iterable[tuple[bytes, bytes]]

ALPN = "h2"

MAX_STREAMS = 100
"""How many streams a connection has at once at most, if the server allows more: what one lost connection costs."""

_BUFFER_BYTES = 16 * 1024
"""What is read at once: the event loop has its turn after so many bytes, with whatever number of frames."""

_HEAD_ALLOWANCE = 16 * 1024
_FRAME_BYTES = 10  # of a frame DATA besides its data and its padding


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
        self._watch = Watch(
            silence, self._ask, lambda seconds: self._lose(f"the connection was silent for {seconds:.0f} s")
        )
        self._allowance = Allowance(self._loop.time())
        self._streams: dict[int, Stream] = {}
        self._cutter = FrameCutter(self._streams)
        self._uncredited = 0
        self._flushing: asyncio.Handle | None = None
        self._is_writable = True
        self._is_draining = False
        self._limit = MAX_STREAMS
        self._has_answered = False
        self._h2 = new_h2()
        self.ready: asyncio.Future[None] = self._loop.create_future()
        """Done once the server has sent its settings; or with the error that ended the connection before."""
        self.ready.add_done_callback(lambda ready: ready.cancelled() or ready.exception())
        self.is_closed = False
        self.opened = 0
        """How many streams were opened so far."""
        self.failure: str | None = None
        """How the server broke HTTP/2, which an end before the first answer does too; None if it did not."""

    # --- for the pool

    @property
    def room(self) -> int:
        """How many more streams may be opened now."""
        usable = self.ready.done() and self._is_writable and not self._is_draining and not self.is_closed
        return max(0, self.limit - len(self._streams)) if usable else 0

    @property
    def limit(self) -> int:
        """How many streams the connection may have at once."""
        return int(min(self._limit, self._h2.remote_settings.max_concurrent_streams))

    @property
    def is_idle(self) -> bool:
        """Whether the connection has no stream."""
        return not self._streams

    def open(self, headers: Fields, window: int, silence: float | None) -> Stream:
        """Send a request without a body, for which there must be room.

        :param window: bytes of the answer that may arrive before they are read.
        :param silence: as for `Stream`.
        :raises NotProcessedError: if the request must be sent on another connection.
        """
        try:
            identity = self._h2.get_next_available_stream_id()
            self._h2.send_headers(identity, list(headers), end_stream=True)
            if window > STREAM_WINDOW:
                self._h2.increment_flow_control_window(window - STREAM_WINDOW, identity)
        except H2Error as error:  # all stream ids are used up
            self.drain()
            raise NotProcessedError(f"no further stream can be opened ({type(error).__name__})") from None
        stream = self._streams[identity] = Stream(self, identity, max(window, STREAM_WINDOW), silence)
        self.opened += 1
        self._flush()
        return stream

    def allow_no_more(self) -> None:
        """Open no more streams at once than there are now, because the server refused one."""
        self._limit = max(1, len(self._streams))

    def drain(self) -> None:
        """Open no more streams; close the connection when the last one has ended."""
        self._is_draining = True
        if not self._streams:
            self.close()
        self._on_change(self)

    def close(self) -> None:
        """Close the connection at once, and tell the server."""
        if not self.is_closed:
            self._h2.close_connection()
            self._end(UnusableAnswerError("the connection was closed"))

    # --- for the streams

    def consumed(self, stream: Stream, count: int) -> None:
        """Let the server send so many more bytes on a stream, once they are half of its window."""
        if stream.is_known and not self.is_closed and 2 * count >= stream.window:
            stream.unread = 0
            with contextlib.suppress(H2Error, KeyError):  # h2 may have seen its end already
                self._h2.increment_flow_control_window(count, stream.identity)
            self._flush()

    def reset(self, stream: Stream) -> None:
        """Tell the server that the rest of an answer is not wanted. What is on its way may be as much as the window."""
        if not self.is_closed:
            self._reset(stream, ErrorCodes.CANCEL)
            self._flush()
            self._forget(stream)

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
        self._lose(root_cause_text(error) if error else "the server closed the connection")

    def get_buffer(self, _: int) -> memoryview:
        """Return where the next bytes are put."""
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        """Take the next bytes."""
        if self.is_closed:
            return
        self._allowance.take(count, self._watch.heard())
        try:
            self._take(bytes(self._buffer[:count]))
        except (H2Error, MalformedFrameError) as error:
            self._break_off(f"{type(error).__name__}: {error}")

    def eof_received(self) -> None:
        """Let the transport close itself."""

    def pause_writing(self) -> None:
        """Open no more streams until the server reads."""
        self._is_writable = False

    def resume_writing(self) -> None:
        """Open streams again."""
        self._is_writable = True
        self._on_change(self)

    # --- events

    def _take(self, data: bytes) -> None:
        for part in self._cutter.feed(data):
            if self.is_closed:  # by a GOAWAY, after which no stream was left
                return
            if isinstance(part, GoAway):
                self._on_go_away(part)
            else:
                for event in self._h2.receive_data(part):
                    self._on_event(event)
        if self.is_closed:
            return
        self._allowance.take_late(self._cutter.late)
        self._cutter.late = 0
        if self._allowance.is_exceeded:
            self._h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            self._break_off("a flood of frames of no use")
            return
        if 2 * self._uncredited >= CONNECTION_WINDOW:
            self._h2.increment_flow_control_window(self._uncredited)
            self._uncredited = 0
        self._flush()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged):
            if not self.ready.done():
                self.ready.set_result(None)
            self._limit = MAX_STREAMS
            self._on_change(self)
            return
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, DataReceived):
            flow = event.flow_controlled_length or 0
            self._uncredited += flow
            if stream is not None:
                if event.data:
                    self._allowance.give_back(flow + _FRAME_BYTES)
                stream.received(event.data or b"", flow)
        elif stream is None:
            return
        elif isinstance(event, ResponseReceived):
            self._has_answered = True
            self._allowance.give_back(_HEAD_ALLOWANCE)
            self._tell(stream, stream.answered, event.headers or ())
        elif isinstance(event, TrailersReceived):
            self._tell(stream, check_size, event.headers or ())
        elif isinstance(event, InformationalResponseReceived):
            if not stream.interim():
                text = f"more than {MAX_INTERIM} interim responses (1xx) came instead of an answer"
                self._refuse(stream, UnusableAnswerError(text))
        elif isinstance(event, StreamEnded):
            stream.ended()
            self._forget(stream)
        elif isinstance(event, StreamReset):
            stream.fail(reset_by_server(event.error_code or 0))
            self._forget(stream)

    def _on_go_away(self, frame: GoAway) -> None:
        """Open nothing any more; streams that the server does not process may be opened on another connection."""
        if frame.code != ErrorCodes.NO_ERROR:
            self.failure = f"GOAWAY with {name_of(frame.code)}"
        for stream in [stream for stream in self._streams.values() if stream.identity > frame.last_stream_id]:
            stream.fail(not_processed(frame.code))
            self._forget(stream)
        self.drain()

    def _tell(self, stream: Stream, take: Callable[[Fields], None], fields: Fields) -> None:
        try:
            take(fields)
        except UnusableAnswerError as error:
            self._refuse(stream, error)

    def _refuse(self, stream: Stream, error: UnusableAnswerError) -> None:
        self._reset(stream, ErrorCodes.PROTOCOL_ERROR)
        stream.fail(error)
        self._forget(stream)

    def _reset(self, stream: Stream, code: ErrorCodes) -> None:
        if stream.identity in self._streams:
            with contextlib.suppress(H2Error):  # h2 may have seen its end already
                self._h2.reset_stream(stream.identity, code)
            self._allowance.expect(stream.window)
            self._allowance.take_late(self._cutter.incomplete(stream.identity))

    def _forget(self, stream: Stream) -> None:
        if self._streams.pop(stream.identity, None) is None:
            return
        if self._is_draining and not self._streams:
            self.close()
        self._on_change(self)

    # --- the end

    def _ask(self) -> None:
        self._h2.ping(b"are-you?")
        self._flush()

    def _lose(self, reason: str) -> None:
        if not self._has_answered and not self.is_closed:
            self.failure = self.failure or reason
        self._end(UnusableAnswerError(reason))

    def _break_off(self, failure: str) -> None:
        self.failure = failure
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
        streams, self._streams = list(self._streams.values()), {}
        for stream in streams:
            stream.fail(error)
        self._on_change(self)

    def _flush(self) -> None:
        """Send what there is at the end of this turn of the event loop: what many requests send then is one write."""
        if self._flushing is None and self._transport is not None and not self.is_closed:
            self._flushing = self._loop.call_soon(self._write)

    def _write(self) -> None:
        self._flushing = None
        if self._transport is not None and not self.is_closed and (data := self._h2.data_to_send()):
            self._transport.write(data)
