"""Flow control of what an HTTP/2 connection receives (RFC 9113, section 5.2): how much the server may still send.

What arrives counts at once as read for the connection, but for its stream only once it was read. So a stream whose
reader is slow stops alone, and holds no more than its window in memory.
"""

from __future__ import annotations

import contextlib

from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import FlowControlError, H2Error

from airflow_provider_whiterabbit.client.transport.http2.protocol import CONNECTION_WINDOW
from airflow_provider_whiterabbit.client.transport.http2.stream import Stream


class Flow:
    """Lets the server send more, of which h2 sends a part: it knows nothing of the frames that `FrameCutter` cuts out.

    Of the window of a stream, `unread` bytes are used up; `cut_out` of them arrived in such frames.
    """

    __slots__ = ("_cut_out", "_h2", "_unread", "_updates")

    def __init__(self, h2: H2Connection) -> None:
        self._h2 = h2
        self._unread = self._cut_out = 0  # of the connection
        self._updates = b""

    def arrived(self, stream: Stream | None, count: int, *, is_cut_out: bool = False) -> None:
        """Take note of a frame DATA.

        :param stream: None if it is closed.
        :param count: its bytes, with its padding.
        :raises FlowControlError: if the server was not allowed to send so many.
        """
        cut_out = count if is_cut_out else 0
        self._unread += count
        self._cut_out += cut_out
        if stream is None:
            return
        stream.unread += count
        stream.cut_out += cut_out
        if stream.unread > stream.window:
            self._h2.close_connection(ErrorCodes.FLOW_CONTROL_ERROR)
            raise FlowControlError(f"more than {stream.window} bytes on a stream")

    def read(self, stream: Stream) -> bool:
        """Let the server send more on a stream, if half of its window was read; return whether it is to be told."""
        if 2 * stream.unread < stream.window:
            return False
        with contextlib.suppress(H2Error, KeyError):  # h2 may have seen its end already
            self._allow(stream.unread, stream.cut_out, stream.identity)
        stream.unread = stream.cut_out = 0
        return True

    def renew(self) -> bool:
        """Let the server send more on the connection, if half of its window has arrived; return whether to tell it."""
        if 2 * self._unread < CONNECTION_WINDOW:
            return False
        self._allow(self._unread, self._cut_out)
        self._unread = self._cut_out = 0
        return True

    def to_send(self) -> bytes:
        """Return the frames to send, besides those of h2."""
        updates, self._updates = self._updates, b""
        return updates

    def _allow(self, count: int, cut_out: int, stream_id: int | None = None) -> None:
        if count > cut_out:
            self._h2.increment_flow_control_window(count - cut_out, stream_id)
        if cut_out:  # a frame WINDOW_UPDATE (section 6.9)
            self._updates += b"\0\0\4\x08\0" + (stream_id or 0).to_bytes(4, "big") + cut_out.to_bytes(4, "big")
