"""The connections of the blocking client: each byte that a socket sends or receives has a limit of time.

The timeouts of `requests` hold for each read from a socket. A server that sends a byte every now and then (in a head,
in interim responses, in the extension of a chunk, in trailers) would never reach them.
"""

from __future__ import annotations

import http.client
import io
import ssl
from collections.abc import Callable
from typing import Any, TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import select_proxy

from airflow_provider_whiterabbit.client.transport.connecting import connected
from airflow_provider_whiterabbit.client.transport.failures import TooSlowError, UnusableAnswerError
from airflow_provider_whiterabbit.client.transport.sync_limits import allowance
from airflow_provider_whiterabbit.client.transport.sync_tls import Contexts
from airflow_provider_whiterabbit.client.transport.tls_sessions import Sessions

T = TypeVar("T")

_MOST_KEPT = 100
"""How many connections to a host are kept alive: as many as a task's threads use at once at most."""

MAX_INTERIM = 100
"""How many interim responses (1xx) are skipped before a response."""


class LimitedSocket:
    """A socket, or what urllib3 uses as one, that keeps the limits of `limited`; all the rest is the socket's own."""

    __slots__ = ("_socket",)

    def __init__(self, socket: Any) -> None:
        self._socket = socket

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    @property
    def _io_refs(self) -> int:
        """Count the files of the socket, which stays open for them. TLS through a proxy with TLS sets it."""
        return int(self._socket._io_refs)

    @_io_refs.setter
    def _io_refs(self, count: int) -> None:
        self._socket._io_refs = count

    def gettimeout(self) -> float:
        """Return how long a handshake of TLS on this socket may take, whose own socket asks for it."""
        return min(allowance().limits.connect, allowance().seconds())

    def makefile(self, mode: str, *_: Any, **__: Any) -> io.BufferedReader:
        """Return a file to read the socket's bytes, the only kind that `http.client` asks for."""
        return io.BufferedReader(_LimitedFile(self._socket.makefile(mode, buffering=0), self._in_time))

    def recv(self, size: int, *flags: int) -> bytes:
        """Receive up to so many bytes."""
        return bytes(self._in_time(lambda: self._socket.recv(size, *flags)))

    def sendall(self, data: Any, *flags: int) -> None:
        """Send all bytes.

        :raises BrokenPipeError: if the server reads no more, also over TLS.
        """
        with memoryview(data) as view, view.cast("B") as rest:
            sent = 0
            try:
                while sent < len(rest):
                    sent += self._in_time(lambda: self._socket.send(rest[sent:], *flags))  # noqa: B023 (called at once)
            except ssl.SSLError as error:
                if error.errno in (ssl.SSL_ERROR_SYSCALL, ssl.SSL_ERROR_EOF):
                    # urllib3 then reads the answer of a server that has refused the request early.
                    raise BrokenPipeError(str(error)) from error
                raise

    def _in_time(self, action: Callable[[], T]) -> T:
        """Send or receive once, for as long as the limits allow."""
        seconds = allowance().seconds()
        self._socket.settimeout(seconds)
        try:
            return action()
        except TimeoutError:
            allowance().seconds()  # if the time is over in all, this says so
            raise TooSlowError(f"nothing arrived for {seconds:g} s") from None


class _LimitedFile(io.RawIOBase):
    """A socket's file that keeps the limits of `limited`."""

    def __init__(self, file: io.RawIOBase, in_time: Callable[[Callable[[], Any]], Any]) -> None:
        self._file = file
        self._in_time = in_time

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = int(self._in_time(lambda: self._file.readinto(buffer)))
        allowance().receive(count)
        return count

    def close(self) -> None:
        if not self.closed:
            self._file.close()
        super().close()


class _FinalResponse(http.client.HTTPResponse):
    """A response of `http.client`, which itself skips 100 only, and as many as the server sends."""

    def begin(self) -> None:
        """Read the head. Each defect of a head, urllib3 would log with a traceback and the server's text."""
        super().begin()
        self.msg.defects.clear()
        self.msg.set_payload("")

    def _read_status(self) -> Any:
        for _ in range(MAX_INTERIM + 1):
            status_line = super()._read_status()  # type: ignore[misc]
            if not 100 <= status_line[1] < 200 or status_line[1] == http.client.SWITCHING_PROTOCOLS:
                return status_line
            http.client.parse_headers(self.fp)
        raise UnusableAnswerError(f"more than {MAX_INTERIM} interim responses (1xx) came instead of an answer")


def _limited(pool: Any) -> Any:
    """Return a class of urllib3's connection pools, whose connections keep the limits of `limited`."""

    class Connection(pool.ConnectionCls):  # type: ignore[misc]
        sock: Any
        response_class = _FinalResponse

        def _new_conn(self) -> Any:
            seconds = allowance().limits.connect
            host = self._dns_host.strip("[]")
            try:
                return LimitedSocket(connected(host, self.port, seconds, self.socket_options or ()))
            except (ConnectionResetError, BrokenPipeError) as error:
                # urllib3 takes these for a server that answers early, and would read from a socket that is None.
                raise ConnectionAbortedError(str(error)) from error

        def _connect_tls_proxy(self, *args: Any) -> Any:
            return LimitedSocket(super()._connect_tls_proxy(*args))

        def connect(self) -> None:
            with Sessions.connecting():
                super().connect()
            if not isinstance(self.sock, LimitedSocket):
                self.sock = LimitedSocket(self.sock)
            allowance().connected = True

    return type(pool.__name__, (pool,), {"ConnectionCls": Connection})


def _forgetful(pool: Any) -> Any:
    """Return a class of connection pools that keeps no connection: each request gets a new one."""

    class Pool(pool):  # type: ignore[misc]
        def _get_conn(self, timeout: float | None = None) -> Any:
            return self._new_conn()

        def _put_conn(self, conn: Any) -> None:
            if conn is not None:
                conn.close()

    return Pool


_KEEPING = {scheme: _limited(pool) for scheme, pool in urllib3.poolmanager.pool_classes_by_scheme.items()}
_FORGETFUL = {scheme: _forgetful(pool) for scheme, pool in _KEEPING.items()}


class LimitedAdapter(HTTPAdapter):
    """An HTTP adapter whose connections keep the limits of `limited`, within which alone they can be used.

    :param contexts: the TLS of its connections; None if it has none with TLS.
    :param keeps: whether it keeps connections alive for further requests.
    """

    def __init__(self, contexts: Contexts | None, *, keeps: bool) -> None:
        self.contexts = contexts
        self._pools = _KEEPING if keeps else _FORGETFUL
        super().__init__(pool_maxsize=_MOST_KEPT)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Limit the connections that are made directly to the server, without a proxy."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Limit the connections that are made through a proxy."""
        if self.contexts is not None:
            kwargs["proxy_ssl_context"] = self.contexts.proxy
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = self._pools
        return manager

    def get_connection_with_tls_context(
        self, request: requests.PreparedRequest, verify: Any, proxies: Any = None, cert: Any = None
    ) -> Any:
        """Return a pool with the TLS context; `requests` would have urllib3 load certificates for each connection."""
        if self.contexts is None:
            return super().get_connection_with_tls_context(request, verify, proxies, cert)
        address = str(request.url)
        url, proxy = urlsplit(address), select_proxy(address, proxies)
        manager = self.proxy_manager_for(proxy) if proxy else self.poolmanager
        tls = {"cert_reqs": "CERT_REQUIRED", "ssl_context": self.contexts.server}
        return manager.connection_from_host(url.hostname, url.port, url.scheme, pool_kwargs=tls)

    def cert_verify(self, *args: Any) -> None:
        """Leave the certificates to the TLS context, if there is one."""
        if self.contexts is None:
            super().cert_verify(*args)  # type: ignore[no-untyped-call]
