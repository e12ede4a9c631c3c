"""How a try of a task is run, what can befall it, and what its outcome is, seen from outside the operator."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.compat import AirflowFailException, TaskDeferred
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.operators.base import WhiteRabbitSubmitOperator
from dev.harness.standins import SUBMISSION_KEY, FakeAirflow, FakeTaskInstance

_REFUSAL = {"code": "NO", "message": "no"}

FAULTS: dict[str, Callable[[Emulator], object]] = {
    "answer lost": lambda wr: wr.fault(effects.Reset("answer"), kind="submit"),
    "request lost": lambda wr: wr.fault(effects.Reset("request"), kind="submit"),
    "unavailable": lambda wr: wr.fault(effects.Answer(503, _REFUSAL), kind="submit"),
    "refused": lambda wr: wr.fault(effects.Answer(422, _REFUSAL), kind="submit"),
    "outage": lambda wr: wr.pause(),
    "forgotten": lambda wr: wr.fault(effects.Answer(404, _REFUSAL), kind="record", times=None),
}
"""What White Rabbit or the network does to the requests of a try. In an outage nothing is ever sent."""

WRITES = ("intent", "id stored", "noted")
"""What a try writes into the task state store, as the stand-in names it."""


class Killed(BaseException):
    """Ends a try as SIGKILL does: no code of the operator runs after it."""


@dataclass(frozen=True)
class Trouble:
    """What befalls a try.

    :param fault: one of `FAULTS`; empty for none.
    :param store: what happens at a write: ``killed before`` it, ``killed after`` it, the store is ``out of reach``;
        empty for nothing.
    :param write: which of `WRITES`.
    """

    fault: str = ""
    store: str = ""
    write: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.fault, f"{self.store} {self.write}".strip()))) or "no trouble"


@dataclass(frozen=True)
class Outcome:
    """How a try ended.

    :param kind: ``waits``, ``returned`` or ``failed`` (with the execution `what`), ``doubt`` (fails), ``asks`` (a
        person) or ``asks later`` (with the kind of doubt `what`), ``stopped``, ``refused``, ``error`` or ``killed``.
    :param for_good: whether Airflow does not retry the task.
    :param output: what the task returned.
    """

    kind: str
    what: str = ""
    for_good: bool = False
    output: Any = field(default=None, compare=False)


class TaskInstance:
    """One task instance in Airflow.

    :param state: ``new``, ``retry``, ``waits``, ``asks``, ``failed`` or ``done``.
    :param waits_for: id of the execution for whose end the task is deferred.
    """

    def __init__(self, map_index: int, retries: int) -> None:
        self.airflow = FakeAirflow(timing=Timing(first_pause=0))
        self.map_index = map_index
        self.try_number = 0
        self.max_tries = retries
        self.state = "new"
        self.waits_for = ""

    def execute(self, operator: WhiteRabbitSubmitOperator, trouble: Trouble, clears: int) -> Outcome:
        """Run the next try."""
        self.try_number += 1
        return self._run(operator, trouble, clears, operator.execute)

    def respond(
        self, operator: WhiteRabbitSubmitOperator, trouble: Trouble, clears: int, event: dict[str, Any]
    ) -> Outcome:
        """Resume the task after a person has answered its question."""
        resume = _resumption(operator, "execute_answered", {"event": event})
        return self._run(operator, trouble, clears, resume)

    def complete(self, operator: WhiteRabbitSubmitOperator, status: str, clears: int) -> Outcome:
        """Resume the task after the execution for which it waits has ended."""
        event = {"execution_id": self.waits_for, "status": status, "message": None}
        resume = _resumption(operator, "execute_complete", {"event": event, "identity": self.waits_for})
        return self._run(operator, Trouble(), clears, resume)

    def clear(self, retries: int) -> None:
        """Clear the task, as a user does."""
        self.max_tries = self.try_number + retries
        self.state = "new"

    def die(self) -> None:
        """End the present try with an error: Airflow retries the task while retries are left."""
        self.state = "retry" if self.try_number <= self.max_tries else "failed"

    def _run(
        self, operator: WhiteRabbitSubmitOperator, trouble: Trouble, clears: int, execute: Callable[[Any], Any]
    ) -> Outcome:
        airflow = self.airflow
        airflow.ti = FakeTaskInstance(
            self.try_number, self.max_tries, map_index=self.map_index, happened=airflow.happened
        )
        airflow.clear_number = clears
        airflow.store.failing = self._failing(trouble)
        outcome = self._outcome(lambda: execute(airflow.context(operator)))
        airflow.store.failing = lambda name, value: False
        if outcome.kind in ("waits", "asks"):
            self.state, self.waits_for = outcome.kind, outcome.what
        elif outcome.kind == "returned":
            self.state = "done"
        elif outcome.for_good:
            self.state = "failed"
        else:
            self.die()
        return outcome

    def _failing(self, trouble: Trouble) -> Callable[[str, Any], bool]:
        store = self.airflow.store

        def fails(name: str, value: Any) -> bool:
            if not trouble.store or name != "set" or store.happened[-1] != trouble.write:
                return False
            if trouble.store == "killed after":
                store.record = value
            if trouble.store != "out of reach":
                raise Killed
            return True

        return fails

    def _outcome(self, execute: Callable[[], Any]) -> Outcome:
        from airflow.sdk.exceptions import TaskAwaitingInput

        try:
            output = execute()
        except Killed:
            return Outcome("killed")
        except TaskDeferred as deferral:
            return Outcome("waits", str((deferral.kwargs or {})["identity"]))
        except TaskAwaitingInput:
            return Outcome("asks", self.airflow.store.values[SUBMISSION_KEY]["doubt"])
        except Exception as error:
            return _ended(error)
        return Outcome("returned", self.airflow.ti.ids.get("execution_id", self.waits_for), True, output)


def _resumption(operator: WhiteRabbitSubmitOperator, method: str, arguments: dict[str, Any]) -> Callable[[Any], Any]:
    return lambda context: operator.resume_execution(method, arguments, context)


def _ended(error: Exception) -> Outcome:
    """Return the outcome of a try that ended with an error; raise the error again if it is none of a history."""
    for_good, message = isinstance(error, AirflowFailException), str(error)
    if doubt := re.search(r"\(Doubt: (.*?)\.\)", message):
        return Outcome("doubt" if for_good else "asks later", doubt[1], for_good)
    if "no funds" in message:
        return Outcome("failed", message.split()[1], for_good)
    if message.startswith("Stopped by the answer of"):
        return Outcome("stopped", for_good=for_good)
    if isinstance(error.__cause__ if for_good else error, exc.WhiteRabbitInvalidRequestError):
        return Outcome("refused", for_good=for_good)
    expected = (ConnectionError, exc.WhiteRabbitTransportError, exc.WhiteRabbitUncertainSubmissionError)
    if isinstance(error, expected):
        return Outcome("error")
    raise error


def event(option: str, by: str, named: str | None) -> dict[str, Any]:
    """Return the event with which Airflow resumes a task after an answer."""
    return {
        "chosen_options": [option],
        "params_input": {} if named is None else {"execution_id": named},
        "responded_at": datetime(2026, 11, 26, 10, tzinfo=UTC),
        "responded_by_user": {"id": by, "name": by},
        "timedout": False,
    }
