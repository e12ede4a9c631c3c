"""The metrics of the receiver of callbacks, which the API server reports."""

from __future__ import annotations

from airflow_provider_whiterabbit.observing.names import Metric
from airflow_provider_whiterabbit.observing.stats import Report, server_stats, tags_of, warn_once

_NAMES = frozenset(Metric)


def callback_answered(outcome: str, seconds: float, connection_id: str | None) -> None:
    """Count a callback that the receiver answered, and report how long the answer took if the callback was valid.

    :param outcome: ``emitted``, ``repeated``, ``unwanted``, ``unheard`` or ``refused.<reason>``.
    :param seconds: from the arrival of the request's headers to the answer.
    :param connection_id: the connection of the callback, if the receiver serves it: the tag ``connection``.
    """
    tags, name = tags_of(connection=connection_id), f"callbacks.{outcome}"
    if name in _NAMES:  # reporting must never raise
        Report(server_stats, Metric(name), 1, tags).send()
    else:
        warn_once(name, "there is no such metric")
    if not outcome.startswith("refused."):
        Report(server_stats, Metric.CALLBACKS_SECONDS, seconds, tags).send()
