"""Hides the secrets that Airflow knows, in texts that leave a task by another way than its log.

Airflow masks its logs alone, but the text of an exception goes to callbacks, notifiers and listeners too. The secrets
of a submission are hidden earlier, in White Rabbit's answers: see `client.hiding`.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from airflow_provider_whiterabbit.client.hiding import Hiding
from airflow_provider_whiterabbit.client.text import TOO_DEEP
from airflow_provider_whiterabbit.compat import redact

_SURROGATE = re.compile("[\ud800-\udfff]")


def masked(text: str) -> str:
    """Return a text with ``***`` in place of each secret that Airflow knows in this process.

    A lone surrogate becomes U+FFFD: Airflow's masker searches UTF-8, so it would leave such a text as it is.
    """
    return str(redact(_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)))


def masked_error(error: Any) -> Any:
    """Return an error from White Rabbit, any JSON value, with ``***`` in place of each secret that Airflow knows."""
    try:
        return Hiding(mask=masked).data(json.loads(json.dumps(error)), is_error=True)
    except RecursionError:
        return TOO_DEEP


def failure_of(record: Any) -> str:
    """Return why an execution or workflow run did not complete, without the secrets that Airflow knows.

    White Rabbit's error may repeat what it was sent. OpenLineage's listener knows the secrets of its own start alone.
    The text is cut to a length after the secrets are gone: nothing would find half a secret.

    :param record: the record of an execution or workflow run that has ended.
    """
    if hasattr(record, "stages"):
        stages = tuple(replace(stage, error=masked_error(stage.error)) for stage in record.stages)
        record = replace(record, stages=stages, cancel_reason=masked_error(record.cancel_reason))
    else:
        record = replace(record, error=masked_error(record.error))
    return masked(record.failure)
