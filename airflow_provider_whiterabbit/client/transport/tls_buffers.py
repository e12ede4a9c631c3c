"""Shrinks the read buffers of TLS connections: asyncio keeps 256 KiB for each, and an idle wait needs next to nothing.

asyncio has no setting for it: the buffer belongs to the private `asyncio.sslproto.SSLProtocol` of a connection. Only
this provider's own connections are changed, because other code in the process may read large bodies. Where a Python's
asyncio looks different, or another event loop is used, everything stays as it is.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

log = logging.getLogger(__name__)

STREAM_BUFFER_BYTES = 4 * 1024
"""Read buffer of an event stream: a wait keeps it as long as it waits."""

RECORD_BUFFER_BYTES = 16 * 1024
"""Read buffer of a connection for records, which may be large: OpenSSL returns at most so many bytes at once
(RFC 8446, section 5.1)."""


class ReadBuffers:
    """Sets the read buffers of TLS connections, and logs once, at the level DEBUG, if that is not possible."""

    __slots__ = ("_has_told",)

    def __init__(self) -> None:
        self._has_told = False

    def resize(self, transport: asyncio.BaseTransport | None, size: int) -> None:
        """Let a connection read, and keep, at most so many bytes of what arrives before it is decrypted.

        :param transport: an established connection, with or without TLS; None for one that is closed.
        """
        if transport is None or transport.get_extra_info("ssl_object") is None:
            return
        if (layers := _known_layers(transport)) is None:
            self._tell(transport)
            return
        for layer in layers:
            if layer.max_size != size:
                layer.max_size = size
                layer._ssl_buffer = bytearray(size)
                layer._ssl_buffer_view = memoryview(layer._ssl_buffer)

    def _tell(self, transport: asyncio.BaseTransport) -> None:
        if not self._has_told:
            self._has_told = True
            kind = f"{type(transport).__module__}.{type(transport).__qualname__}"
            log.debug("The read buffers of TLS connections stay as large as they are: %s is not known", kind)


def _known_layers(transport: Any) -> list[Any] | None:
    """Return the TLS protocols of a connection: two for TLS to a server through TLS to a proxy.

    :returns: None if one of them is not as in the versions of Python for which this was written, or if bytes could be
        in its buffer. With a selector event loop none can be: each read puts its bytes into the buffer and from there
        into OpenSSL's memory before any other code runs.
    """
    layers = []
    while (layer := getattr(transport, "_ssl_protocol", None)) is not None:
        buffer, view = getattr(layer, "_ssl_buffer", None), getattr(layer, "_ssl_buffer_view", None)
        is_known = isinstance(buffer, bytearray) and isinstance(view, memoryview) and view.obj is buffer
        if not (is_known and isinstance(getattr(layer, "max_size", None), int) and hasattr(layer, "__dict__")):
            return None
        layers.append(layer)
        transport = getattr(layer, "_transport", None)
    reads_at_once = type(transport).__module__ == "asyncio.selector_events"
    return layers if layers and (reads_at_once or transport is None) else None
