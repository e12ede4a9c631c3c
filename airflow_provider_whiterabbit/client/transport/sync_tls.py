"""TLS of the blocking client: contexts that all its connections share, until a file with certificates changes."""

from __future__ import annotations

import logging
import ssl
import threading
from typing import Any, NamedTuple

from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.tls import stamp, tls_context
from airflow_provider_whiterabbit.client.transport.tls_sessions import Sessions
from airflow_provider_whiterabbit.exceptions import WhiteRabbitConfigError

log = logging.getLogger(__name__)


class Contexts(NamedTuple):
    """The TLS contexts of a client.

    :param server: for connections to the server.
    :param proxy: for connections to a proxy with TLS, which does not get the client's certificate.
    """

    server: ssl.SSLContext
    proxy: ssl.SSLContext


class ClientTls:
    """The TLS of a client in one process. A child gets its own: a thread of the parent may have held OpenSSL's locks.

    :param has_tls_proxy: whether there is a proxy with TLS.
    """

    def __init__(self, *, has_tls_proxy: bool) -> None:
        self._has_tls_proxy = has_tls_proxy
        self._lock = threading.Lock()
        self._files: tuple[str | None, ...] = ()
        self._stamp: tuple[int, ...] = ()
        self._contexts: Contexts | None = None

    def current(self, settings: ClientSettings) -> Contexts:
        """Return the contexts with the certificates that the files hold now.

        Files that were changed and can't be used, perhaps because they are just being written, change nothing.

        :raises WhiteRabbitConfigError: if the client certificate can't be used.
        :raises OSError: if the CA certificates can't be read.
        """
        files = (settings.trust_store, settings.client_cert, settings.client_key)
        stamped = stamp(*files)
        with self._lock:
            if self._contexts is None or files != self._files:
                self._contexts = self._loaded(*files)
            elif stamped != self._stamp:
                try:
                    self._contexts = self._loaded(*files)
                except (OSError, WhiteRabbitConfigError) as error:
                    log.warning("%sThe earlier certificates stay in use: %s", settings.prefix, error)
            self._files, self._stamp = files, stamped
            return self._contexts

    def _loaded(self, trust_store: str, client_cert: str | None, client_key: str | None) -> Contexts:
        server = _shared(tls_context(trust_store, client_cert, client_key))
        # The sessions of a proxy are not for a server with the same name.
        return Contexts(server, _shared(tls_context(trust_store, None, None)) if self._has_tls_proxy else server)


def _shared(context: ssl.SSLContext) -> ssl.SSLContext:
    """Prepare a context for urllib3 and for many threads, and let its connections resume TLS sessions."""
    context.set_alpn_protocols(["http/1.1"])
    # urllib3 sets them for each connection. Another thread, without the GIL, may be copying them in OpenSSL meanwhile.
    context.set_alpn_protocols = _ignore  # type: ignore[method-assign, assignment]
    context.post_handshake_auth = True  # as urllib3 does: a server may ask for a certificate later
    Sessions(context)
    return context


def _ignore(_: Any) -> None:
    pass
