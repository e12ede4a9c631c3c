"""A blocking client of HTTP/2 for tests of the emulator. It shares no code with the package's own clients."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from typing import Any, Self
from urllib.parse import urlsplit

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, ResponseReceived, StreamEnded, StreamReset
from requests.structures import CaseInsensitiveDict

from airflow_provider_whiterabbit.emulator import Emulator
from tests.emulator.api_client import ApiClient
from tests.emulator.effects.received import Received

MAX_FRAME = 16_384
"""Bytes of a frame's payload."""


class Http2Client:
    """One connection.

    :param timeout: seconds without a byte after which an answer counts as silent.
    """

    def __init__(self, wr: Emulator, timeout: float = 60) -> None:
        self._api = ApiClient(wr)
        address = urlsplit(wr.url)
        context = ssl.create_default_context(cafile=wr.ca_bundle)
        context.set_alpn_protocols(["h2", "http/1.1"])
        tcp = socket.create_connection((address.hostname, address.port), timeout)
        self._socket = context.wrap_socket(tcp, server_hostname=address.hostname)
        assert self._socket.selected_alpn_protocol() == "h2"
        self._h2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self._h2.initiate_connection()
        self.received: dict[int, Received] = {}
        """What was received on each stream. The error of an answer that is complete is empty."""
        self.is_complete: set[int] = set()
        self.go_aways: list[int] = []
        """The error code of each GOAWAY."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._api.close()

    def send(self, path: str, body: str | None = None, method: str = "GET", identity: str = "") -> int:
        """Send a signed request; return the id of its stream."""
        stream = self._h2.get_next_available_stream_id()
        headers = self._api.headers(method, path, body or "{}")
        if body is not None:
            headers["content-type"] = "application/json"
        pseudo = {":method": method, ":scheme": "https", ":authority": "127.0.0.1", ":path": path}
        fields = [*pseudo.items(), *((name.lower(), value) for name, value in headers.items())]
        self._h2.send_headers(stream, fields, end_stream=body is None)
        if body is not None:
            for start in range(0, len(body), MAX_FRAME):
                self._h2.send_data(stream, body[start : start + MAX_FRAME].encode())
            self._h2.end_stream(stream)
        self._flush()
        self.received[stream] = Received(identity, None, CaseInsensitiveDict(), b"", "")
        return stream

    def send_bytes(self, data: bytes) -> None:
        """Send bytes that need be no frames."""
        self._socket.sendall(data)

    def close_stream(self, stream: int) -> None:
        """Give an answer up."""
        self._h2.reset_stream(stream)
        self._flush()

    def read_until(self, condition: Callable[[], Any]) -> None:
        """Read until a condition is true; each answer that is incomplete then, because nothing comes, has an error."""
        while not condition():
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                self._fail("timed out")
                return
            except OSError as error:
                self._fail(f"reset by peer ({error})")
                return
            if not data:
                self._fail("ended prematurely")
                return
            for event in self._h2.receive_data(data):
                self._take(event)
            self._flush()

    def read(self, stream: int) -> Received:
        """Read an answer to its end."""
        self.read_until(lambda: stream in self.is_complete or self.received[stream].error)
        return self.received[stream]

    def _take(self, event: Any) -> None:
        if isinstance(event, ResponseReceived):
            got = self.received[event.stream_id]
            got.headers = CaseInsensitiveDict(event.headers)
            got.status = int(got.headers.pop(":status"))
        elif isinstance(event, DataReceived):
            self.received[event.stream_id].body += event.data
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            self.is_complete.add(event.stream_id)
        elif isinstance(event, StreamReset) and event.stream_id not in self.is_complete:
            self.received[event.stream_id].error = "reset by peer"
        elif isinstance(event, ConnectionTerminated):
            self.go_aways.append(event.error_code)

    def _fail(self, error: str) -> None:
        for stream, got in self.received.items():
            if stream not in self.is_complete:
                got.error = got.error or error

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())
