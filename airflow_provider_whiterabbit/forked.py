"""Tells whether this process was forked from the code of a running task, as `multiprocessing` does."""

from __future__ import annotations

import os
import sys
from typing import Any

_PLACES = ("airflow.sdk", "airflow.operators.python")
"""The modules with `get_current_context`, which every process has loaded that runs the code of a task."""

_inherited: Any = None
"""The task instance that ran in the process from which this one was forked."""


def is_inherited(ti: Any) -> bool:
    """Return whether a task instance runs in the process from which this one was forked, and not in this one."""
    return ti is _inherited  # a task's own process is forked before its task instance is made


def _remember_task() -> None:
    global _inherited
    if not any(place in sys.modules for place in _PLACES):
        return
    try:
        from airflow_provider_whiterabbit.compat import get_current_context

        _inherited = get_current_context()["ti"]
    except Exception:  # no task runs; its class depends on the version of Airflow
        _inherited = None


os.register_at_fork(after_in_child=_remember_task)
