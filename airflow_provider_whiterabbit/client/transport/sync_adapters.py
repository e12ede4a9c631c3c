"""The HTTP adapters of the blocking client: one keeps connections alive, the other has a new one for each request."""

from __future__ import annotations

import os

from airflow_provider_whiterabbit.client.transport.connection_settings import ClientSettings
from airflow_provider_whiterabbit.client.transport.sync_sockets import LimitedAdapter
from airflow_provider_whiterabbit.client.transport.sync_tls import ClientTls


class Adapters:
    """The adapters of a client, which threads may share. Connections and TLS belong to one process.

    After a fork, parent and child would read each other's answers from the connections that both inherit.

    :param proxy: URL of the client's proxy; None for no proxy.
    """

    def __init__(self, settings: ClientSettings, proxy: str | None) -> None:
        self._has_tls_proxy = (proxy or "").lower().startswith("https:")
        self._has_tls = self._has_tls_proxy or settings.base_url.lower().startswith("https:")
        self._adapters: dict[bool, LimitedAdapter] = {}
        self._inherited: list[dict[bool, LimitedAdapter]] = []
        self._begin()

    def current(self, settings: ClientSettings, *, keeps: bool) -> LimitedAdapter:
        """Return the adapter for a request, with TLS as the files with certificates are now.

        :param keeps: whether the request may use a connection that was kept alive.
        :raises WhiteRabbitConfigError: if the client certificate can't be used.
        :raises OSError: if the CA certificates can't be read.
        """
        if self._process != os.getpid():
            self._begin()
        contexts = self._tls.current(settings) if self._has_tls else None
        adapter = self._adapters.get(keeps)
        if adapter is None or adapter.contexts is not contexts:
            if adapter is not None:
                adapter.close()
            adapter = self._adapters[keeps] = LimitedAdapter(contexts, keeps=keeps)
        return adapter

    def close(self) -> None:
        """Close the connections that this process keeps alive."""
        if self._process == os.getpid():
            for adapter in self._adapters.values():
                adapter.close()

    def _begin(self) -> None:
        """Begin anew in this process. A child neither closes nor frees what it inherits.

        A thread of the parent may have held one of its locks at the fork. Nobody would release it here.
        """
        self._inherited.append(self._adapters)
        self._adapters = {}
        self._tls, self._process = ClientTls(has_tls_proxy=self._has_tls_proxy), os.getpid()
