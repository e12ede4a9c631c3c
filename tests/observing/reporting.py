"""Lets Airflow report metrics to what a test chooses, as Airflow's own processes set it up."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

from airflow_provider_whiterabbit.observing import stats
from tests.versions import HAS_RUN_EACH, HAS_STORE

SERVERS = "airflow.observability"
TASKS = "airflow.sdk.observability"
"""Where Airflow 3.2 and newer have the metrics of their servers and of tasks. Older versions have them in one place."""


@contextlib.contextmanager
def reporting(place: str, factory: Callable[..., Any] | None = None) -> Iterator[None]:
    """Set up the metrics of one place in this process.

    :param factory: returns what takes the metrics; by default what Airflow's configuration names.
    """
    with contextlib.ExitStack() as stack:
        module = import_module(f"{place}.stats" if HAS_RUN_EACH else "airflow.stats")
        if factory is None:
            factory = _configured(place, () if HAS_STORE else (module.Stats,), stack)
        if HAS_STORE:
            nothing = import_module(f"{place}.metrics.stats_utils").NoStatsLogger
            stack.callback(module.initialize, factory=nothing, export_legacy_names=True)
            module.initialize(factory=factory, export_legacy_names=True)
        else:
            stats.server_stats.cache_clear()
            stack.callback(stats.server_stats.cache_clear)
            for name, value in (("factory", factory), ("instance", None)):
                stack.callback(type.__setattr__, module.Stats, name, type.__getattribute__(module.Stats, name))
                type.__setattr__(module.Stats, name, value)
        yield


def _configured(place: str, arguments: tuple[Any, ...], stack: contextlib.ExitStack) -> Callable[[], Any]:
    """Return what makes the StatsD client that Airflow's configuration names, which is closed at the end."""

    def factory() -> Any:
        if HAS_RUN_EACH:
            make = import_module(f"{place}.metrics.stats_utils").get_stats_factory(*arguments)
            client = make()
        else:
            client = import_module("airflow.metrics.statsd_logger").get_statsd_logger(*arguments)
        stack.callback(client.statsd.close)
        return client

    return factory
