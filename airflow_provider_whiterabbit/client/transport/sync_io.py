"""I/O with `requests` for the blocking client: sessions, streams, HTTP responses, and a time limit for each read."""

from __future__ import annotations

import contextlib
import time
import zlib
from collections.abc import Iterator, Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any, cast

import requests
import urllib3
from requests.adapters import HTTPAdapter

from airflow_provider_whiterabbit.client.transport.exchange import ClientBase, Limits, lower_case
from airflow_provider_whiterabbit.client.transport.failures import UnusableAnswerError, root_cause_text, too_large
from airflow_provider_whiterabbit.client.wire.messages import Request, Response
from airflow_provider_whiterabbit.client.wire.sse import EventDecoder
from airflow_provider_whiterabbit.exceptions import WhiteRabbitStreamError, WhiteRabbitTransportError

_CHUNK = 64 * 1024

_TRANSPORT_ERRORS = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
"""The errors of a failed HTTP request; `requests` does not wrap all errors of urllib3, and none during raw reads."""


class IsolatedSession(requests.Session):
    """A `requests` session that follows no redirect, and uses no cookies, no .netrc and no environment variables.

    The settings read proxies and certificates from the environment, for both clients alike.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None for a redirect, or `requests` would read the redirect's whole body and parse its target."""
        return


class FreshConnectionAdapter(HTTPAdapter):
    """An HTTP adapter that records if a connection was established (TLS included), before which nothing is sent."""

    connected = False

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Watch the connections that are made directly to the server, without a proxy."""
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


@contextlib.contextmanager
def transport_errors(client: ClientBase, request: Request) -> Iterator[None]:
    """Turn unusable HTTP responses and the errors of requests and urllib3 into `WhiteRabbitTransportError`."""
    try:
        yield
    except (UnusableAnswerError, *_TRANSPORT_ERRORS) as error:
        raise client.transport_error(request, error) from None


class EventStream:
    """An open event stream (Server-Sent Events) of an execution or workflow run.

    :param max_event_bytes: largest event that is parsed, in bytes.
    """

    def __init__(self, answer: requests.Response, max_event_bytes: int) -> None:
        self._body = _Body(answer)
        self._decoder = EventDecoder(max_event_bytes)

    def read(self, silence: float, within: float, quiet: float) -> list[Any] | None:
        """Return the JSON data of the stream's next events; None at the stream's end. For parameters, see `Read`.

        :raises WhiteRabbitStreamError: if the stream is silent, or sends something that is not an event.
        :raises WhiteRabbitTransportError: if it breaks.
        """
        begun = time.monotonic()
        while (left := begun + within - time.monotonic()) > 0:
            try:
                chunk = self._body.read(min(silence, left))
            except TimeoutError:
                if left > silence:
                    raise WhiteRabbitStreamError(f"the stream was silent for {silence:g} s") from None
                break
            except _TRANSPORT_ERRORS as error:
                raise WhiteRabbitTransportError(f"the stream broke: {root_cause_text(error)}") from None
            if not chunk:
                return None
            if (events := self._decoder.feed(chunk)) or time.monotonic() >= begun + quiet:
                return events
        return []

    def close(self) -> None:
        """Close the connection."""
        self._body.close()


def read_whole(answer: requests.Response, limits: Limits, max_bytes: int) -> Response:
    """Read the body of an HTTP response within limits of time and size, and return the whole response.

    :param max_bytes: largest body that is read.
    :raises UnusableAnswerError: if the body is too slow or too large, or was compressed wrongly.
    """
    reader, body = _Body(answer), bytearray()
    try:
        while chunk := reader.read(min(limits.read, limits.left)):
            body += chunk
            if len(body) > max_bytes:
                raise too_large(max_bytes)
            if limits.left < 0:
                raise TimeoutError
    except BaseException as error:
        body.clear()  # `contextlib` can tie an exception's frames into a cycle, and would keep a large body for long
        if not isinstance(error, TimeoutError):
            raise
        raise UnusableAnswerError(
            f"the answer was not complete after {limits.total:g} s" if limits.left < 0 else str(error)
        ) from None
    headers = lower_case(answer.headers)
    return Response(answer.status_code, headers, _decompressed(body, headers, max_bytes), time.time())


class _Body:
    """Reads the body of an HTTP response piece by piece, with a time limit for each piece."""

    def __init__(self, answer: requests.Response) -> None:
        self._answer = answer
        self._socket = _socket_of(answer)

    def read(self, seconds: float) -> bytes:
        """Return the next bytes of the response's body; an empty bytes object at the body's end.

        :raises TimeoutError: if no byte arrives within so many seconds.
        """
        # The socket may be closed after an answer's last byte.
        if self._socket is not None and self._socket.fileno() >= 0:
            self._socket.settimeout(max(seconds, 0.001))  # 0 would mean not to wait at all
        try:
            return cast(bytes, self._answer.raw.read1(_CHUNK))
        except urllib3.exceptions.ReadTimeoutError:
            raise TimeoutError(f"nothing arrived for {seconds:g} s") from None

    def close(self) -> None:
        """Close the connection."""
        self._answer.close()


def _socket_of(answer: requests.Response) -> Any:
    """Return the socket of an HTTP response, to set the timeout of each read; no public interface gives the socket.

    Where the server is going to close the connection, the answer has taken over the socket. Through a proxy that is
    itself reached over TLS it is no `socket.socket`, but has the same methods.
    """
    of_connection = getattr(answer.raw.connection, "sock", None)
    reader = getattr(getattr(answer.raw, "_fp", None), "fp", None)
    of_answer = getattr(getattr(reader, "raw", None), "_sock", None)
    return of_connection or of_answer


def _decompressed(body: bytearray, headers: Mapping[str, str], max_bytes: int) -> bytes:
    """Decompress the body of an HTTP response, because some proxies compress responses without being asked."""
    if headers.get("content-encoding") not in ("gzip", "deflate"):
        return bytes(body)
    try:
        plain = zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise UnusableAnswerError(f"the answer can't be decompressed: {error}") from None
    if len(plain) > max_bytes:
        raise too_large(max_bytes)
    return plain
