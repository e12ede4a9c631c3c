"""What is running where."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil


def living_in(folder: Path) -> list[psutil.Process]:
    """Return the processes whose working directory is the folder or below it, as that of all of Airflow's is."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, FileNotFoundError):  # the one or the other, for a process that has just ended
            if Path(process.cwd()).is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found
