"""The `requests` sessions of the blocking client: one keeps its connections alive, others have a new one each time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from http.cookiejar import DefaultCookiePolicy

import requests

from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.sync_sockets import LimitedAdapter
from airflow_provider_whiterabbit.client.transport.sync_tls import ClientTls, Contexts


class IsolatedSession(requests.Session):
    """A `requests` session that follows no redirect, and uses no cookies, no .netrc and no environment variables.

    The settings read proxies and certificates from the environment, for both clients alike. The session is used within
    `limited`.

    :param contexts: the TLS of its connections; None for plain HTTP.
    :param pool_maxsize: how many connections it keeps.
    """

    def __init__(self, contexts: Contexts | None = None, pool_maxsize: int = 10) -> None:
        super().__init__()
        self.contexts = contexts
        adapter = LimitedAdapter(contexts, pool_maxsize)
        for scheme in ("http://", "https://"):
            self.mount(scheme, adapter)
        self.trust_env = False
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None for a redirect, or `requests` would read the redirect's whole body and parse its target."""
        return


class Sessions:
    """The sessions of a client. Connections and TLS belong to one process.

    After a fork, parent and child would read each other's answers from the connections that both inherit.

    :param proxy: URL of the client's proxy; None for no proxy.
    """

    def __init__(self, settings: ClientSettings, proxy: str | None) -> None:
        self._has_tls_proxy = (proxy or "").lower().startswith("https:")
        self._has_tls = self._has_tls_proxy or settings.base_url.lower().startswith("https:")
        self._kept: IsolatedSession | None = None
        self._begin()

    def _begin(self) -> None:
        self.close()
        self._tls, self._process = ClientTls(has_tls_proxy=self._has_tls_proxy), os.getpid()
        self._kept = None
        self._fresh: list[IsolatedSession] = []
        """Sessions without connections, to be used again: making one takes longer than using it."""

    def kept(self, settings: ClientSettings) -> IsolatedSession:
        """Return the session that keeps its connections alive.

        :raises WhiteRabbitConfigError: if the client certificate can't be used.
        :raises OSError: if the CA certificates can't be read.
        """
        contexts = self._contexts(settings)
        if (session := self._kept) is None or session.contexts is not contexts:
            self.close()
            session = self._kept = IsolatedSession(contexts)
        return session

    @contextlib.contextmanager
    def fresh(self, settings: ClientSettings) -> Iterator[IsolatedSession]:
        """Yield a session for one request, which gets a new connection. It raises what `kept` raises."""
        contexts = self._contexts(settings)
        session: IsolatedSession | None = None
        with contextlib.suppress(IndexError):  # of another thread
            session = self._fresh.pop()
        if session is None or session.contexts is not contexts:
            session = IsolatedSession(contexts, pool_maxsize=1)
        fresh = self._fresh
        try:
            yield session
        finally:
            session.close()  # with its connection
        fresh.append(session)

    def close(self) -> None:
        """Close the connections that are kept alive."""
        if self._kept is not None:
            self._kept.close()

    def _contexts(self, settings: ClientSettings) -> Contexts | None:
        """Return the TLS contexts of this process. In a child, closing what it inherits leaves the parent's alone."""
        if self._process != os.getpid():
            self._begin()
        return self._tls.current(settings) if self._has_tls else None
