"""The names of the metrics of this provider. The page ``docs/metrics.md`` says what each of them counts."""

from __future__ import annotations

from enum import StrEnum

PREFIX = "whiterabbit"
"""The beginning of the names of all metrics of this provider. Airflow puts its own prefix before it."""


class Metric(StrEnum):
    """The names of all metrics without `PREFIX`. Those that end with ``seconds`` are timers, the others counters."""

    SUBMITTED = "submitted"
    REATTACHED = "reattached"
    ENDED_COMPLETED = "ended.completed"
    ENDED_FAILED = "ended.failed"
    ENDED_CANCELED = "ended.canceled"
    TIMEOUTS = "timeouts"
    DOUBTS = "doubts"
    CREDITS = "credits"
    WAITED_SECONDS = "waited.seconds"
    RECONNECTS = "reconnects"
    POLLS = "polls"
    REFUSALS = "refusals"

    CALLBACKS_EMITTED = "callbacks.emitted"
    CALLBACKS_REPEATED = "callbacks.repeated"
    CALLBACKS_UNWANTED = "callbacks.unwanted"
    CALLBACKS_UNHEARD = "callbacks.unheard"
    CALLBACKS_REFUSED_SIGNATURE = "callbacks.refused.signature"
    CALLBACKS_REFUSED_CONNECTION = "callbacks.refused.connection"
    CALLBACKS_REFUSED_RECORD = "callbacks.refused.record"
    CALLBACKS_REFUSED_SIZE = "callbacks.refused.size"
    CALLBACKS_REFUSED_SLOW = "callbacks.refused.slow"
    CALLBACKS_REFUSED_UNAVAILABLE = "callbacks.refused.unavailable"
    CALLBACKS_REFUSED_ERROR = "callbacks.refused.error"
    CALLBACKS_SECONDS = "callbacks.seconds"

    @property
    def is_timer(self) -> bool:
        """Whether the metric's values are durations in seconds, each of which is reported."""
        return self.endswith("seconds")
