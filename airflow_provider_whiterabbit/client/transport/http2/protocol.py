"""What our side of an HTTP/2 connection announces, and what the server's error codes mean."""

from __future__ import annotations

from functools import partialmethod
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings
from hpack import Decoder, Encoder, HeaderTuple

from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError
from airflow_provider_whiterabbit.client.transport.http2.stream import (
    Http1RequiredError,
    NotProcessedError,
    ResetError,
)

STREAM_WINDOW = 65_535
"""Bytes that the server may send on a stream before they are read. HTTP/2's default, in which an event fits."""

CONNECTION_WINDOW = 16 * 1024 * 1024
"""Bytes that the server may send on a connection before they have arrived here; whether they were read is no matter."""

_HPACK_BYTES = 256 * 1024  # a larger list of headers ends the connection; one above `MAX_HEAD_BYTES` its stream

# A connection may live for weeks and serve thousands of requests: it remembers fewer closed streams than h2's 65,536.
# (A class statement would be an error for mypy where h2, an extra, is not installed.)
_H2: Any = type("_H2", (H2Connection,), {"MAX_CLOSED_STREAMS": 1_000})


_Encoder: Any = type("_Encoder", (Encoder,), {"encode": partialmethod(Encoder.encode, huffman=False)})
"""Writes texts as they are: Huffman's code, in Python, would take a third of the time of a request, for 60 bytes."""


_decoded: Any = Decoder.decode


def _without_length(decoder: Any, data: bytes, raw: bool = False) -> list[Any]:
    """Write the name of Content-Length so that h2 does not know it: it would end the connection for a wrong length."""
    return [
        HeaderTuple(b"Content-Length", field[1]) if field[0] == b"content-length" else field
        for field in _decoded(decoder, data, raw)
    ]


_Decoder: Any = type("_Decoder", (Decoder,), {"decode": _without_length})


def new_h2() -> H2Connection:
    """Return the state of a new connection, with the preface, our settings and our window to be sent."""
    # A malformed answer is an error of its stream, of which `Stream` takes care; h2 would end the connection.
    config = H2Configuration(client_side=True, validate_inbound_headers=False, normalize_inbound_headers=False)
    connection: H2Connection = _H2(config)
    connection.local_settings = Settings(
        client=True,
        initial_values={
            SettingCodes.ENABLE_PUSH: 0,
            SettingCodes.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
            SettingCodes.MAX_HEADER_LIST_SIZE: _HPACK_BYTES,
        },
    )
    connection.encoder = _Encoder()
    connection.decoder = _Decoder()
    connection.decoder.max_header_list_size = _HPACK_BYTES
    connection.initiate_connection()
    connection.increment_flow_control_window(CONNECTION_WINDOW - STREAM_WINDOW)
    return connection


def name_of(code: int) -> str:
    """Return the name of an error code (RFC 9113, section 7)."""
    try:
        return str(ErrorCodes(code).name)
    except ValueError:
        return f"code {code}"


def not_processed(code: int) -> UnusableAnswerError:
    """Return the error for a request that the server has not processed."""
    kind = Http1RequiredError if code == ErrorCodes.HTTP_1_1_REQUIRED else NotProcessedError
    return kind(f"the server did not process the request ({name_of(code)})")


def reset_by_server(code: int) -> UnusableAnswerError:
    """Return the error for a stream that the server ended."""
    if code in (ErrorCodes.REFUSED_STREAM, ErrorCodes.HTTP_1_1_REQUIRED):
        return not_processed(code)
    return ResetError(f"the server reset the stream ({name_of(code)})")
