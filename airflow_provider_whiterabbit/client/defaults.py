"""Defaults for the signatures of operators, sensors and triggers, in a module that costs nothing to import."""

from __future__ import annotations

POLL_INTERVAL = 30.0
"""Seconds between two reads of the record while no stream can be had."""
