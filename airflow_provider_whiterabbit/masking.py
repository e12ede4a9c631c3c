"""Hides the secrets that Airflow knows, in texts that leave a task by another way than its log.

Airflow masks its logs alone, but the text of an exception goes to callbacks, notifiers and listeners too. The secrets
of a submission are hidden earlier, in White Rabbit's answers: see `client.hiding`.
"""

from __future__ import annotations

from typing import Any

from airflow_provider_whiterabbit.compat import redact


def masked(text: str) -> str:
    """Return a text with ``***`` in place of each secret that Airflow knows in this process."""
    return str(redact(text))


def failure_of(record: Any) -> str:
    """Return why an execution or workflow run did not complete, without the secrets that Airflow knows.

    White Rabbit's error may repeat what it was sent. OpenLineage's listener knows the secrets of its own start alone.

    :param record: the record of an execution or workflow run that has ended.
    """
    return masked(record.failure)
