"""Hides the secrets that Airflow knows, in texts that leave a task by another way than its log.

Airflow masks its logs alone, but the text of an exception goes to callbacks, notifiers and listeners too. The secrets
of a submission are hidden earlier, in White Rabbit's answers: see `client.hiding`.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

from airflow_provider_whiterabbit.client import known_secrets
from airflow_provider_whiterabbit.client.hiding import Hiding
from airflow_provider_whiterabbit.client.text import TOO_DEEP
from airflow_provider_whiterabbit.compat import redact

_SURROGATE = re.compile("[\ud800-\udfff]")
_ESCAPES = re.compile(r'(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))+')


def masked(text: str) -> str:
    """Return a text with ``***`` in place of each secret that Airflow knows in this process.

    A secret is found as it is, and as JSON in a text writes it; a text with the latter comes back without JSON's
    escapes. A lone surrogate becomes U+FFFD: Airflow's masker searches UTF-8, so it would leave such a text as it is.
    """
    text = _masked(text)
    if "\\" in text:
        plain = _ESCAPES.sub(lambda escapes: str(json.loads(f'"{escapes[0]}"')), text)
        if (found := _masked(plain)) != _SURROGATE.sub("\N{REPLACEMENT CHARACTER}", plain):
            return found
    return text


def _masked(text: str) -> str:
    return str(redact(_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", text)))


known_secrets.hide = masked


def masked_error(error: Any) -> Any:
    """Return an error from White Rabbit, any JSON value, with ``***`` in place of each secret that Airflow knows."""
    try:
        return Hiding().data(json.loads(json.dumps(error)), is_error=True)
    except RecursionError:
        return TOO_DEEP


def failure_of(record: Any) -> str:
    """Return why an execution or workflow run did not complete, without the secrets that Airflow knows.

    White Rabbit's error may repeat what it was sent. OpenLineage's listener knows the secrets of its own start alone.
    The text is cut to a length after the secrets are gone: nothing would find half a secret.

    :param record: the record of an execution or workflow run that has ended.
    """
    if hasattr(record, "stages"):
        stages = tuple(map(_masked_part, record.stages))
        record = replace(record, stages=stages, cancel_reason=masked_error(record.cancel_reason))
    else:
        record = _masked_part(record)
    return masked(record.failure)


def _masked_part(part: Any) -> Any:
    """Return the record of an execution, or a stage, whose error and module have no secrets."""
    return replace(part, error=masked_error(part.error), module=masked_error(part.module))
