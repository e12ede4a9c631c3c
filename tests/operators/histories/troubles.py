"""What can happen to one try of a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from airflow_provider_whiterabbit.emulator import effects


@dataclass(frozen=True)
class Death:
    """The process of a try dies.

    :param place: the kind of call at which it dies: of the state store, of the supervisor, or a kind of request.
    :param number: at which call of that kind.
    :param done: the call has its effect before the process dies.
    :param then: what Airflow does: ``retried``, if retries are left; ``reset``, which needs none; ``restarted``: a user
        has cleared the running task, and that looks like a retry; ``cleared``: a user has done so, that looks like a
        clear, and Airflow calls the method of this try again (``process_executor_events`` of Airflow 3.3's scheduler).
    """

    place: Literal["store", "question", "submit", "read", "stream"]
    number: int
    done: bool
    then: Literal["retried", "reset", "restarted", "cleared"]


@dataclass(frozen=True)
class Fault:
    """White Rabbit answers wrongly: `effect` is what the emulator does to requests of the kind `place`.

    :param lost: White Rabbit may have received the request.
    """

    place: Literal["submit", "read"]
    effect: effects.Effect
    times: int = 1
    lost: bool = False


Trouble = Death | Fault | Literal["outage", "id not stored"] | None

_REFUSALS = {
    "403": effects.Answer(403, {"message": "no", "error": "FORBIDDEN"}),
    "a proxy's 403": effects.Answer(403, "<html>no</html>"),
    "422": effects.Answer(422, {"message": "no", "error": "INVALID"}),
}
_LOST = {
    "reset before it was read": effects.Reset("request"),
    "reset before the answer": effects.Reset("answer"),
    "500": effects.Answer(500, process=True),
    "cut": effects.Truncate(5),
    "a proxy's 502": effects.Answer(502, "<html>bad gateway</html>"),
    "408": effects.Answer(408, process=True),
}
FAULTS: dict[str, Trouble] = {
    "outage": "outage",
    "id not stored": "id not stored",
    **{f"submit: {name}": Fault("submit", effect) for name, effect in _REFUSALS.items()},
    **{f"submit: {name}": Fault("submit", effect, lost=True) for name, effect in _LOST.items()},
    "read: 403": Fault("read", _REFUSALS["403"]),
    "read: a proxy's 404": Fault("read", effects.Answer(404, "<html>not here</html>")),
    "read: 500": Fault("read", effects.Answer(500), times=5),
}
"""What can fail while a try runs, by names that are short in Hypothesis's reports."""

_CALLS: list[tuple[Any, int]] = [
    *(("store", number) for number in (1, 2, 3, 4)),
    *((place, 1) for place in ("submit", "read", "question", "stream")),
    ("read", 2),
]
_THEN: list[Any] = ["retried", "reset", "restarted", "cleared"]

DEATHS: dict[str, Trouble] = {
    f"{'after' if done else 'before'} {place} {number}, {then}": Death(place, number, done, then)
    for place, number in _CALLS
    for done in (False, True)
    for then in _THEN
}
"""When the process of a try can die, by names that are short in Hypothesis's reports."""
