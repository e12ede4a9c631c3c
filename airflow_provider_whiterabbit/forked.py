"""Tells whether this process was forked from the code of a running task, as `multiprocessing` does."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any

_PLACES = ("airflow.sdk.definitions.context", "airflow.operators.python")
"""The modules of Airflow 3 and 2 with `get_current_context`. A process that runs the code of a task has loaded one."""

_inherited: Any = None
"""The task instance that ran in the process from which this one was forked."""


def is_inherited(ti: Any) -> bool:
    """Return whether a task instance runs in the process from which this one was forked, and not in this one."""
    return ti is _inherited  # a task's own process is forked before its task instance is made


def _remember_task() -> None:
    """Remember the task instance of the process that was forked, if one runs there.

    Nothing is imported: another thread of that process may have been importing at the time of the fork.
    """
    global _inherited
    _inherited = None
    for module in map(sys.modules.get, _PLACES):
        if module is not None:
            with contextlib.suppress(Exception):  # no task runs; its class depends on the version of Airflow
                _inherited = module.get_current_context()["ti"]
                return


os.register_at_fork(after_in_child=_remember_task)
