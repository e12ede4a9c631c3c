"""The emulator's clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from email.utils import formatdate

from airflow_provider_whiterabbit.emulator.world.settings import Settings


class Clock:
    """The emulator's clock: this machine's clock plus ``settings.clock_offset`` seconds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def time(self) -> float:
        """Return the emulator's time in Unix seconds."""
        return time.time() + self._settings.clock_offset

    def iso(self) -> str:
        """Return the emulator's time in the format of JavaScript's ``toISOString``: ``2026-04-20T10:00:00.000Z``."""
        now = datetime.fromtimestamp(self.time(), UTC)
        return now.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def http_date(self, ahead: float = 0) -> str:
        """Return the emulator's time in the format of an HTTP ``Date`` header (RFC 9110, section 5.6.7).

        :param ahead: seconds that are added to the time.
        """
        return formatdate(self.time() + ahead, usegmt=True)
