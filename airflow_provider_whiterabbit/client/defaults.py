"""Defaults that signatures of Airflow classes need, apart from what is expensive to import."""

from __future__ import annotations

POLL_INTERVAL = 30.0
"""Seconds between two reads of the record while there is no stream."""
