"""Whether a request was ever sent: the connection knows, an exception's class does not."""

from __future__ import annotations

from typing import Any

import urllib3
from requests.adapters import HTTPAdapter


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
