"""A multiplexer without I/O and its server, for tests that see each frame and each callback."""

from __future__ import annotations

from h2.config import H2Configuration
from h2.connection import H2Connection

from airflow_provider_whiterabbit.client.transport.http2.multiplexer import Multiplexer
from airflow_provider_whiterabbit.client.transport.http2.protocol import STREAM_WINDOW
from airflow_provider_whiterabbit.client.transport.http2.stream import Stream

HEADERS = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/" + b"p" * 60)]


class Recorder:
    """A multiplexer that has been greeted by a server, how often it called back, and the server."""

    def __init__(self) -> None:
        self.outputs = self.changes = 0
        self.server = H2Connection(H2Configuration(client_side=False))
        self.server.initiate_connection()
        self.streams = Multiplexer(0.0, self.on_output, self.on_change)
        self.streams.feed(self.server.data_to_send(), 0.0)

    def answered(self, **headers: str) -> Stream:
        """Return a new stream, whose answer has begun, with more headers (`_` for `-`)."""
        stream = self.streams.open(HEADERS, STREAM_WINDOW, None)
        self.server.receive_data(self.streams.to_send())
        fields = [(name.replace("_", "-"), value) for name, value in headers.items()]
        self.server.send_headers(stream.identity, [(":status", "200"), *fields])
        self.streams.feed(self.server.data_to_send(), 0.0)
        return stream

    def on_output(self) -> None:
        self.outputs += 1

    def on_change(self) -> None:
        self.changes += 1
