"""The streams of one HTTP/2 connection, without I/O: bytes from the server come in, and bytes to send go out.

The rules, with the clauses of RFC 9113:

- GOAWAY (6.8): nothing is opened on the connection any more. What the server processes is finished; what it does not
  process may be sent on another connection.
- RST_STREAM (6.4) ends one stream, and no other.
- Flow control (5.2), see `Flow`: a stream whose reader is slow stops alone.
- Bytes of no use to any stream (empty frames, unknown ones, more settings, ...) are bounded, see `Allowance`.
- An error of the protocol ends the connection (5.4.1): the state that both sides share, as that of HPACK, is lost.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable

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

from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError
from airflow_provider_whiterabbit.client.transport.http2.flow import Flow
from airflow_provider_whiterabbit.client.transport.http2.frames import Allowance, Data, FloodError, FrameCutter, GoAway
from airflow_provider_whiterabbit.client.transport.http2.protocol import (
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

Fields = Iterable[tuple[bytes, bytes]]

MAX_STREAMS = 100
"""How many streams a connection has at once at most, if the server allows more: what one lost connection costs."""

MAX_UNANSWERED = 3
"""After so many requests in a row that had no answer in time, a connection gets no further ones."""

_HEAD_ALLOWANCE = 16 * 1024
_FRAME_BYTES = 10  # of a frame DATA besides its data and its padding


class Multiplexer:
    """Passes what arrives on a connection to its streams, and what the streams want to the server.

    :param now: the time in seconds, by the clock of `feed`.
    :param on_output: is called when a stream has something to send.
    :param on_change: is called when there may be room for another stream, or less than before.
    """

    def __init__(self, now: float, on_output: Callable[[], None], on_change: Callable[[], None]) -> None:
        self._on_output = on_output
        self._on_change = on_change
        self._allowance = Allowance(now)
        self._streams: dict[int, Stream] = {}
        self._cutter = FrameCutter(self._streams)
        self.limit = MAX_STREAMS
        """How many streams the connection may have at once. Each request asks all connections of a pool for it."""
        self._unanswered = 0
        self._h2 = new_h2()
        self._flow = Flow(self._h2)
        self.is_greeted = False
        """Whether the server has sent its settings."""
        self.has_answered = False
        """Whether the server has answered a request."""
        self.is_draining = False
        """Whether no more streams may be opened."""
        self.failure: str | None = None
        """How the server broke HTTP/2; None if it did not."""

    # --- for the connection

    def __len__(self) -> int:
        return len(self._streams)

    @property
    def is_over(self) -> bool:
        """Whether the last stream has ended, and no more may be opened."""
        return self.is_draining and not self._streams

    def open(self, headers: Fields, window: int, silence: float | None) -> Stream:
        """Send a request without a body. For the parameters, see `Connection.open`.

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
        self._on_output()
        return stream

    def allow_no_more(self) -> None:
        """Open no more streams at once than there are now, because the server refused one."""
        self.limit = min(self.limit, max(1, len(self._streams)))

    def count_unanswered(self) -> None:
        """Count a request that had no answer in time: an edge may answer PING for a backend that is gone."""
        self._unanswered += 1
        if self._unanswered >= MAX_UNANSWERED:
            if not self.has_answered:
                self.failure = self.failure or "it answers no request"
            self.drain()

    def drain(self) -> None:
        """Open no more streams."""
        self.is_draining = True
        self._on_change()

    def ping(self) -> None:
        """Ask the server for a sign of life."""
        self._h2.ping(b"are-you?")
        self._on_output()

    def close(self) -> None:
        """Tell the server that the connection ends."""
        self._h2.close_connection()

    def fail(self, error: UnusableAnswerError) -> None:
        """End all streams, because the connection has ended."""
        streams = list(self._streams.values())
        self._streams.clear()
        for stream in streams:
            stream.fail(error)

    def to_send(self) -> bytes:
        """Return what is to be sent now."""
        return bytes(self._h2.data_to_send()) + self._flow.to_send()

    # --- for the streams

    def consumed(self, stream: Stream) -> None:
        """Let the server send more on a stream, all of whose bytes were read."""
        if stream.is_known and self._flow.read(stream):
            self._on_output()

    def reset(self, stream: Stream) -> None:
        """Tell the server that the rest of an answer is not wanted. What is on its way may be as much as the window."""
        self._reset(stream, ErrorCodes.CANCEL)
        self._on_output()
        self._forget(stream)

    # --- what arrives

    def feed(self, data: bytes, now: float) -> None:
        """Take the next bytes.

        :raises H2Error: if the server breaks the protocol, or sends more than it may.
        :raises MalformedFrameError: if a frame has a length that no such frame may have.
        :raises FloodError: if too many bytes are of no use.
        """
        self._allowance.take(len(data), now)
        for part in self._cutter.feed(data):
            if isinstance(part, Data) and (stream := self._streams[part.stream_id]).status:
                self._on_data(stream, part.payload, now)
            elif isinstance(part, GoAway):
                self._on_go_away(part)
            else:
                self._on_bytes(part.frame if isinstance(part, Data) else part)
            if self.is_over:
                return
        self._allowance.take_late(self._cutter.late)
        self._cutter.late = 0
        if self._allowance.is_exceeded:
            self._h2.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
            raise FloodError("a flood of frames of no use")
        if self._flow.renew():
            self._on_output()

    def _on_data(self, stream: Stream, data: bytes, now: float) -> None:
        """Take a frame DATA that was cut out."""
        self._flow.arrived(stream, len(data), is_cut_out=True)
        self._allowance.give_back(len(data) + _FRAME_BYTES)
        if not stream.skips(data, now):
            stream.received(data)

    def _on_bytes(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            self._on_event(event)
        self._on_output()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, RemoteSettingsChanged):
            self.is_greeted = True
            self.limit = min(MAX_STREAMS, self._h2.remote_settings.max_concurrent_streams)
            self._on_change()
            return
        stream = self._streams.get(getattr(event, "stream_id", None) or 0)
        if isinstance(event, DataReceived):
            count = event.flow_controlled_length or 0
            self._flow.arrived(stream, count)
            if stream is not None:
                if event.data:
                    self._allowance.give_back(count + _FRAME_BYTES)
                stream.received(event.data or b"")
        elif stream is None:
            return
        elif isinstance(event, ResponseReceived):
            self.has_answered, self._unanswered = True, 0
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
        self.is_draining = True
        for stream in [stream for stream in self._streams.values() if stream.identity > frame.last_stream_id]:
            stream.fail(not_processed(frame.code))
            del self._streams[stream.identity]
        self._on_change()

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
        if self._streams.pop(stream.identity, None) is not None:
            self._on_change()
