"""The guard against double submission: a task submits at most once, and once more after each clear by a user.

Airflow 3.3+ has a task state store that survives retries, kills and clears. Directly before the POST, the operator
stores an *intent* there; directly after it, the id of the execution or run. Both records hold a digest of what was
asked. A later try reads the record (`Submission`), and the module `doubt` decides what the record means.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_provider_whiterabbit.operators.fence.base import Fence
from airflow_provider_whiterabbit.operators.fence.keyed import KeyedRecords
from airflow_provider_whiterabbit.operators.fence.stored import StoredFence
from airflow_provider_whiterabbit.operators.fence.storeless import KeyedStorelessFence, StorelessFence

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.compat import Context

__all__ = ["Fence", "fence_of", "has_store", "keyed_fence_of"]


def has_store(context: Context) -> bool:
    """Return whether this Airflow has a task state store (Airflow 3.3+)."""
    return context.get("task_state_store") is not None


def fence_of(context: Context, subject: str) -> Fence:
    """Return the guard against a second submission for a running task.

    :param subject: names what is submitted, as ``component PAY``.
    """
    return (StoredFence if has_store(context) else StorelessFence)(context, subject)


def keyed_fence_of(
    context: Context, subject: str, records: KeyedRecords, key: str, *, resubmits_cleared: bool = False
) -> Fence:
    """Return the guard against a second submission under a key, for a running task that submits under many.

    :param subject: names what is submitted, as ``component PAY``.
    :param resubmits_cleared: whether a clear means that all is submitted anew.
    """
    if records.survives_retries:
        return StoredFence(context, subject, records.place(key))
    if resubmits_cleared:
        return StorelessFence(context, subject)
    return KeyedStorelessFence(context, subject, records.unsure, key)
