"""The kinds of trouble (see `airflow_provider_whiterabbit.emulator.effects.base`; ``docs/emulator.md`` lists them all).

`answers` is about whole answers, `places` about where they stop, `pieces` about how they are sent, `events` about the
events of a stream, and `content` about what answers and events say. Over HTTP an effect has the name of its class in
lower case, and the same parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from airflow_provider_whiterabbit.emulator.effects.answers import Answer, Delay, Hold, Truncate
from airflow_provider_whiterabbit.emulator.effects.base import Call, Cut, Effect, Fault
from airflow_provider_whiterabbit.emulator.effects.content import Alter, Enlarge
from airflow_provider_whiterabbit.emulator.effects.events import Drop, Duplicate, Events, Postpone, Replace, Swap
from airflow_provider_whiterabbit.emulator.effects.pieces import Linger, Split
from airflow_provider_whiterabbit.emulator.effects.places import Close, Inject, Reset, Silence

__all__ = [
    "EFFECTS",
    "Alter",
    "Answer",
    "Call",
    "Close",
    "Cut",
    "Delay",
    "Drop",
    "Duplicate",
    "Effect",
    "Enlarge",
    "Events",
    "Fault",
    "Hold",
    "Inject",
    "Linger",
    "Postpone",
    "Replace",
    "Reset",
    "Silence",
    "Split",
    "Swap",
    "Truncate",
]

EFFECTS: Mapping[str, Callable[..., Effect]] = {
    effect.__name__.lower(): effect
    for effect in (
        Answer,
        Delay,
        Hold,
        Truncate,
        Alter,
        Enlarge,
        Reset,
        Close,
        Silence,
        Linger,
        Inject,
        Split,
        Drop,
        Duplicate,
        Swap,
        Replace,
        Postpone,
    )
}
"""By the names that the control endpoints know: all but `Events`, whose function can't be sent."""
