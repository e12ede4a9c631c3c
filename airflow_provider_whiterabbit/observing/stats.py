"""Reports to Airflow's own metrics system, which can be StatsD, Datadog or OpenTelemetry (``[metrics]``).

Since version 3.2, Airflow contains its metrics module twice: for its servers, which include the triggerer, and for
tasks. Each process sets up its own one, sometimes both. A module that is not set up drops everything without an error.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import timedelta
from functools import cache, lru_cache
from importlib import import_module
from typing import Any, NamedTuple

from airflow_provider_whiterabbit.observing.names import PREFIX, Metric

log = logging.getLogger(__name__)

_MAX_TAG = 60
"""Longest value of a tag, in characters. With StatsD, Airflow drops a metric if its name has more than 250 of them, and
the tags are a part of the name."""

_UNSAFE_IN_TAGS = re.compile(r"[^A-Za-z0-9_.-]")
"""What a value of a tag must not contain: with StatsD, Airflow drops a metric or a tag that has other characters."""

_MAX_INTEGER = 2**53
"""From here on, a float may have lost its last digits."""

Tags = tuple[tuple[str, str], ...]


class Report(NamedTuple):
    """A value for a metric. It is a tuple because a frozen dataclass takes longer to create, on the event loop.

    :param stats: returns what has the methods `incr` and `timing`: `server_stats` or `task_stats`.
    :param value: what is added to a counter; the seconds of a timer.
    """

    stats: Callable[[], Any]
    metric: Metric
    value: float
    tags: Tags

    def send(self) -> None:
        """Report the value to Airflow; an error of the metrics system is logged once, and not raised."""
        name, tags = f"{PREFIX}.{self.metric}", dict(self.tags)
        try:
            if self.metric.is_timer:
                # Converted to the unit of the metrics system: StatsD and OpenTelemetry get milliseconds.
                self.stats().timing(name, timedelta(seconds=self.value), tags=tags)
            else:
                self.stats().incr(name, _as_integer(self.value), tags=tags)
        except Exception as error:
            warn_once(name, repr(error)[:200])


def _as_integer(number: float) -> float:
    """Return a whole number as `int`, because some programs that receive StatsD take nothing else."""
    return int(number) if abs(number) < _MAX_INTEGER and number == int(number) else number


@lru_cache(maxsize=1000)  # many waits have the same
def tags_of(**values: str | None) -> Tags:
    """Return tags without those that have no value, with characters and lengths that every metrics system takes."""
    return tuple((name, _UNSAFE_IN_TAGS.sub("_", value)[:_MAX_TAG]) for name, value in values.items() if value)


@lru_cache(maxsize=100)
def warn_once(metric: str, error: str) -> None:
    """Log that a metric could not be reported; log each combination of metric and error once."""
    log.warning("The metric %s could not be reported: %s", metric, error)


@cache
def task_stats() -> Any:
    """Return what has the methods `incr` and `timing` in the process of a task, set up by Airflow."""
    try:
        stats: Any = import_module("airflow.sdk.observability.stats")
    except ImportError:  # before Airflow 3.2
        stats = import_module("airflow.stats")
    return stats if hasattr(stats, "incr") else stats.Stats  # functions of the module since Airflow 3.3


@cache
def server_stats() -> Any:
    """Return what has the methods `incr` and `timing` in the API server and in the triggerer, set up."""
    try:
        stats: Any = import_module("airflow.observability.stats")
    except ImportError:  # before Airflow 3.2
        return import_module("airflow.stats").Stats
    if hasattr(stats, "incr"):  # since Airflow 3.3, whose servers all set up their metrics
        return stats
    # The API server of Airflow 3.2 sets up no metrics, and the first use by any code makes that final.
    utils: Any = import_module("airflow.observability.metrics.stats_utils")
    if type.__getattribute__(stats.Stats, "factory") in (None, utils.NoStatsLogger):
        return utils.get_stats_factory(stats.Stats)()
    return stats.Stats
