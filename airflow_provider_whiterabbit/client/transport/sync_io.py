"""Connections of `requests`: whether one was ever made, and reading from one with a time limit for each piece."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter

from airflow_provider_whiterabbit.client.transport import exchange as base
from airflow_provider_whiterabbit.client.wire.messages import Response
from airflow_provider_whiterabbit.client.wire.sse import EventDecoder
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError, WhiteRabbitTransportError

_CHUNK = 64 * 1024


class Session(requests.Session):
    """A session that goes nowhere but where it is sent, and takes nothing along.

    What the environment says of proxies and certificates is read by the settings, for both transports alike; requests
    would also take a password from ~/.netrc.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Know of none: requests reads the whole body of a redirect and parses its target, followed or not."""
        return


TRANSPORT_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""requests wraps most of what urllib3 raises, but not all of it, and nothing of it while a raw body is being read."""


class ReachedAdapter(HTTPAdapter):
    """Tells whether a connection, TLS included, was ever established. Before that, no byte of a request is written."""

    connected = False

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Watch the connections that are made directly."""
        super().init_poolmanager(*args, **kwargs)
        self._watch(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Watch the connections that are made through a proxy."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        self._watch(manager)
        return manager

    def _watch(self, manager: urllib3.PoolManager) -> None:
        manager.pool_classes_by_scheme = {
            scheme: self._watched(pool) for scheme, pool in urllib3.poolmanager.pool_classes_by_scheme.items()
        }

    def _watched(self, pool: Any) -> Any:
        adapter = self

        class Connection(pool.ConnectionCls):  # type: ignore[misc]
            def connect(self) -> None:
                super().connect()
                adapter.connected = True

        return type(pool.__name__, (pool,), {"ConnectionCls": Connection})


class Body:
    """The body of an answer, read piece by piece."""

    def __init__(self, answer: requests.Response) -> None:
        self._answer = answer
        self._socket = _socket_of(answer)

    def read(self, seconds: float) -> bytes:
        """Return the next bytes, none at the end.

        :raises TimeoutError: after so many seconds without any.
        """
        try:
            # The last byte of some answers has closed it.
            if self._socket is not None and self._socket.fileno() >= 0:
                self._socket.settimeout(max(seconds, 0.001))  # nought would mean not to wait at all
            return cast(bytes, self._answer.raw.read1(_CHUNK))
        except urllib3.exceptions.ReadTimeoutError:
            raise TimeoutError(f"nothing came for {seconds:g} s") from None
        except TRANSPORT_ERRORS as error:
            raise WhiteRabbitTransportError(f"the connection broke: {base.root_cause(error)}") from None

    def close(self) -> None:
        """Close the connection."""
        self._answer.close()


class EventStream:
    """The events of an answer.

    :param largest: bytes that an event may have.
    """

    def __init__(self, answer: requests.Response, largest: int) -> None:
        self._body = Body(answer)
        self._decoder = EventDecoder(largest)

    def read(self, silence: float, within: float, quiet: float) -> list[Any] | None:
        """Do what `commands.Read` says.

        :raises WhiteRabbitStreamError: if the stream is silent, or holds something that is not an event.
        :raises WhiteRabbitTransportError: if it breaks.
        """
        begun = time.monotonic()
        while (left := begun + within - time.monotonic()) > 0:
            try:
                chunk = self._body.read(min(silence, left))
            except TimeoutError:
                if left > silence:
                    raise WhiteRabbitStreamError(f"silent for {silence:g} s") from None
                break
            if not chunk:
                return None
            if (events := self._decoder.feed(chunk)) or time.monotonic() >= begun + quiet:
                return events
        return []

    def close(self) -> None:
        """Close the connection."""
        self._body.close()


def _socket_of(answer: requests.Response) -> Any:
    """Find the socket, whose time-out changes from read to read; no library's interface gives it.

    A connection that the server is going to close has handed it over to the answer. Through a proxy that is itself
    reached over TLS, it is no `socket.socket`, but has what is needed of one.
    """
    of_connection = getattr(answer.raw.connection, "sock", None)
    reader = getattr(getattr(answer.raw, "_fp", None), "fp", None)
    of_answer = getattr(getattr(reader, "raw", None), "_sock", None)
    return of_connection or of_answer


def whole(answer: requests.Response, limits: base.Limits) -> Response:
    """Read the rest of an answer, within its limits of time and size."""
    what = f"{answer.request.method} {answer.request.path_url}"
    reader, body = Body(answer), bytearray()
    try:
        while chunk := reader.read(min(limits.read, limits.left)):
            body += chunk
            if len(body) > base.MAX_RESPONSE_BYTES:
                raise WhiteRabbitTransportError(f"{what}: more than {base.MAX_RESPONSE_BYTES} bytes")
            if limits.left < 0:
                raise WhiteRabbitTransportError(f"{what}: not whole after {limits.total:g} s")
    except TimeoutError as error:
        why = f"not whole after {limits.total:g} s" if limits.left < 0 else error
        raise WhiteRabbitTransportError(f"{what}: {why}") from None
    headers = base.lower_case(answer.headers)
    return Response(answer.status_code, headers, _decoded(body, headers, what), time.time())


def _decoded(body: bytearray, headers: Mapping[str, str], what: str) -> bytes:
    """Undo a compression that was not asked for, as some proxies apply it."""
    if headers.get("content-encoding") not in ("gzip", "deflate"):
        return bytes(body)
    try:
        plain = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, base.MAX_RESPONSE_BYTES + 1)
    except zlib.error as error:
        raise WhiteRabbitTransportError(f"{what}: {error}") from None
    if len(plain) > base.MAX_RESPONSE_BYTES:
        raise WhiteRabbitTransportError(f"{what}: more than {base.MAX_RESPONSE_BYTES} bytes")
    return plain
