"""What can be changed while the emulator runs."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Literal

from airflow_provider_whiterabbit.emulator.plumbing.streams import StreamOptions

EmptyBody = Literal["object", "omitted", "either"]
"""What a request without a body signs: ``{}``, nothing (no separator either), or whichever of the two fits."""


@dataclass(slots=True)
class Settings:
    """One emulator's settings.

    :param require_signature: if False, a request with nothing but its ``X-Api-Key`` is let in.
    :param empty_body_signature: what a request without a body signs.
    :param allowed_workflows: ids of the workflows that the key may use, another one answers 403; None for all.
    :param streams: how streams behave that have no options of their own.
    :param callback_attempts: how often a callback is tried.
    :param callback_backoff: seconds before the second attempt, doubled before each further one.
    :param legacy_callback_signature: sign callbacks with ``X-WR-Signature`` over the body alone.
    :param clock_offset: seconds that the emulator's clock is ahead of this machine's.
    """

    require_signature: bool = True
    empty_body_signature: EmptyBody = "object"
    allowed_workflows: Collection[str] | None = None
    streams: StreamOptions = field(default_factory=StreamOptions)
    callback_attempts: int = 3
    callback_backoff: float = 0.2
    legacy_callback_signature: bool = False
    clock_offset: float = 0.0
