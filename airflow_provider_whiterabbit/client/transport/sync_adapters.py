"""The HTTP adapters of the blocking client: one keeps its connections alive, the others have a new one each time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.sync_sockets import LimitedAdapter
from airflow_provider_whiterabbit.client.transport.sync_tls import ClientTls, Contexts

_KEPT_CONNECTIONS = 10


class Adapters:
    """The adapters of a client, which threads may share. Connections and TLS belong to one process.

    After a fork, parent and child would read each other's answers from the connections that both inherit.

    :param proxy: URL of the client's proxy; None for no proxy.
    """

    def __init__(self, settings: ClientSettings, proxy: str | None) -> None:
        self._has_tls_proxy = (proxy or "").lower().startswith("https:")
        self._has_tls = self._has_tls_proxy or settings.base_url.lower().startswith("https:")
        self._kept: LimitedAdapter | None = None
        self._begin()

    def _begin(self) -> None:
        self.close()
        self._tls, self._process = ClientTls(has_tls_proxy=self._has_tls_proxy), os.getpid()
        self._kept = None
        self._unused: list[LimitedAdapter] = []
        """Adapters without connections, for the next requests that need a new one."""

    def kept(self, settings: ClientSettings) -> LimitedAdapter:
        """Return the adapter that keeps its connections alive.

        :raises WhiteRabbitConfigError: if the client certificate can't be used.
        :raises OSError: if the CA certificates can't be read.
        """
        contexts = self._contexts(settings)
        if (adapter := self._kept) is None or adapter.contexts is not contexts:
            self.close()
            adapter = self._kept = LimitedAdapter(contexts, _KEPT_CONNECTIONS)
        return adapter

    @contextlib.contextmanager
    def fresh(self, settings: ClientSettings) -> Iterator[LimitedAdapter]:
        """Yield an adapter for one request, which gets a new connection. It raises what `kept` raises."""
        contexts = self._contexts(settings)
        adapter: LimitedAdapter | None = None
        unused = self._unused
        with contextlib.suppress(IndexError):
            adapter = unused.pop()
        if adapter is None or adapter.contexts is not contexts:
            adapter = LimitedAdapter(contexts, pool_maxsize=1)
        try:
            yield adapter
        finally:
            adapter.close()  # with its connection
        unused.append(adapter)

    def close(self) -> None:
        """Close the connections that are kept alive."""
        if self._kept is not None:
            self._kept.close()

    def _contexts(self, settings: ClientSettings) -> Contexts | None:
        """Return the TLS contexts of this process. In a child, closing what it inherits leaves the parent's alone."""
        if self._process != os.getpid():
            self._begin()
        return self._tls.current(settings) if self._has_tls else None
