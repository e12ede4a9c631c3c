"""Counters and timers that go where Airflow's own metrics go: StatsD, Datadog or OpenTelemetry (``[metrics]``).

Airflow contains its metrics module twice, once for its servers and once for tasks, and each process sets up only one
of the two. The other one drops everything without an error. This module chooses the one for the API server.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta
from functools import cache, lru_cache
from importlib import import_module
from typing import Any

log = logging.getLogger(__name__)

PREFIX = "whiterabbit"
"""The beginning of the names of all metrics of this provider. Airflow puts its own prefix before it."""


def callback_answered(outcome: str, seconds: float, connection_id: str | None) -> None:
    """Count a callback that the receiver answered, and report how long the answer took if the callback was valid.

    :param outcome: ``emitted``, ``repeated``, ``unwanted``, ``unheard`` or ``refused.<reason>``.
    :param seconds: from the arrival of the request's headers to the answer.
    :param connection_id: the connection of the callback, if the receiver serves it: the tag ``connection``.
    """
    tags = {} if connection_id is None else {"connection": connection_id}
    count(f"callbacks.{outcome}", tags)
    if not outcome.startswith("refused."):
        time("callbacks.seconds", seconds, tags)


def count(name: str, tags: Mapping[str, str]) -> None:
    """Add 1 to a counter of the API server; an error of the metrics system is logged once, and not raised.

    :param name: name of the counter without `PREFIX`. Its parts must come from a fixed set, never from a request.
    :param tags: tags of the counter, with values from a fixed set.
    """
    _report("incr", name, tags=dict(tags))


def time(name: str, seconds: float, tags: Mapping[str, str]) -> None:
    """Report to a timer of the API server how long something took; the other parameters are those of `count`.

    :param seconds: converted to the unit of the metrics system. StatsD and OpenTelemetry get milliseconds.
    """
    _report("timing", name, timedelta(seconds=seconds), tags=dict(tags))


def _report(kind: str, name: str, *values: Any, tags: dict[str, str]) -> None:
    try:
        getattr(_server_stats(), kind)(f"{PREFIX}.{name}", *values, tags=tags)
    except Exception as error:
        _warn_once(f"{PREFIX}.{name}", repr(error)[:200])


@lru_cache(maxsize=100)  # anyone can send requests that are counted
def _warn_once(metric: str, error: str) -> None:
    log.warning("The metric %s could not be reported: %s", metric, error)


@cache
def _server_stats() -> Any:
    """Return what has the methods `incr` and `timing` in the API server, set up."""
    try:
        stats: Any = import_module("airflow.observability.stats")
    except ImportError:  # before Airflow 3.2
        return import_module("airflow.stats").Stats
    if hasattr(stats, "incr"):  # since Airflow 3.3, whose API server sets up its metrics
        return stats
    # The API server of Airflow 3.2 sets up no metrics, and the first use by any code makes that final.
    utils: Any = import_module("airflow.observability.metrics.stats_utils")
    if type.__getattribute__(stats.Stats, "factory") in (None, utils.NoStatsLogger):
        return utils.get_stats_factory(stats.Stats)()
    return stats.Stats
