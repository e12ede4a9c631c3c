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
def reporting(place: str, factory: Callable[[], Any] | None = None) -> Iterator[None]:
    """Set up the metrics of one place in this process.

    :param factory: returns what takes the metrics; by default what Airflow's configuration names.
    """
    if HAS_STORE:
        module = import_module(f"{place}.stats")
        module.initialize(factory=factory or _configured(place), export_legacy_names=True)
        try:
            yield
        finally:
            module.initialize(factory=_nothing(place), export_legacy_names=True)
        return
    stats_class: Any = import_module(f"{place}.stats" if HAS_RUN_EACH else "airflow.stats").Stats
    before = {name: type.__getattribute__(stats_class, name) for name in ("factory", "instance")}
    stats.server_stats.cache_clear()
    for name, value in (("factory", factory or _configured(place, stats_class)), ("instance", None)):
        type.__setattr__(stats_class, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            type.__setattr__(stats_class, name, value)
        stats.server_stats.cache_clear()


def _configured(place: str, *arguments: Any) -> Any:
    if HAS_RUN_EACH:
        return import_module(f"{place}.metrics.stats_utils").get_stats_factory(*arguments)
    return import_module("airflow.metrics.statsd_logger").get_statsd_logger


def _nothing(place: str) -> Any:
    return import_module(f"{place}.metrics.stats_utils").NoStatsLogger
