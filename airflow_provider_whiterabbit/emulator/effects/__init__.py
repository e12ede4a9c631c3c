"""Simulated faults of requests to the emulator; ``docs/emulator.md`` lists all faults.

A `Fault` is an `Effect` and the requests that it applies to. `wrong_answers`, `interruptions`, `delays` and `events`
define the effects. Over HTTP an effect has the name of its class in lower case, and the same parameters.
"""

from __future__ import annotations

from collections.abc import Mapping

from airflow_provider_whiterabbit.emulator.effects.delays import Delay, Hold, Linger, Split
from airflow_provider_whiterabbit.emulator.effects.events import Drop, Duplicate, Events, Postpone, Replace, Swap
from airflow_provider_whiterabbit.emulator.effects.fault import Call, Cut, Effect, Fault
from airflow_provider_whiterabbit.emulator.effects.interruptions import Close, Inject, Reset, Silence
from airflow_provider_whiterabbit.emulator.effects.wrong_answers import Alter, Answer, Enlarge, Truncate

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

_ON_ANSWERS = (Answer, Alter, Enlarge, Truncate, Delay, Hold, Split, Reset, Close, Silence)
_ON_EVENTS = (Drop, Duplicate, Swap, Replace, Postpone, Inject, Linger)

EFFECTS: Mapping[str, type[Effect]] = {effect.__name__.lower(): effect for effect in (*_ON_ANSWERS, *_ON_EVENTS)}
"""The effects of simulated faults by their names over HTTP: all but `Events`, which needs a Python function."""
