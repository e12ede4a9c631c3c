"""Finds the processes that run in a folder."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import psutil


def living_in(folder: Path) -> list[psutil.Process]:
    """Return the living processes whose working directory is the folder or below it, as with all Airflow processes."""
    processes = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, FileNotFoundError):  # a process that has just ended raises one of them
            if Path(process.cwd()).is_relative_to(folder) and process.status() != psutil.STATUS_ZOMBIE:
                processes.append(process)
    return processes
