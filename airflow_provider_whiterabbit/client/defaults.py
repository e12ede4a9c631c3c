"""Default values for arguments of operators, sensors and triggers, in a module that costs nothing to import."""

from __future__ import annotations

POLL_INTERVAL = 30.0
"""Seconds between two reads of an execution's or workflow run's record while no event stream is available."""

POKE_INTERVAL = 60.0
"""Seconds between two reads of a record by a sensor in the modes `poke` and `reschedule`, as of Airflow's sensors."""
