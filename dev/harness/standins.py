"""In-memory stand-ins for what Airflow gives a task or trigger: task instance, state store, context, supervisor.

This module imports neither the operators nor the emulator, so that benchmarks can use it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.compat import AIRFLOW_V_3_3_PLUS

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.waiting import WaitingMixin

SUBMISSION_KEY = "whiterabbit_submission"
ANSWER_KEY = "whiterabbit_answer"
"""The key under which an operator stores its submission record. Users read this key in messages, so it must not change;
this module therefore repeats the literal instead of importing it."""

RETRIES = 2
"""The default `retries` of a stand-in's task."""


class FakeStateStore:
    """A task state store in memory, with the methods of Airflow 3.3's `task_state_store`.

    :param happened: list to which the store appends ``"intent"``, ``"id stored"`` or ``"noted"`` for each write.

    `failing` is called with each call's name and value; the call raises ConnectionError if `failing` returns True.
    """

    def __init__(self, happened: list[Any] | None = None) -> None:
        self.values: dict[str, Any] = {}
        self.retentions: list[timedelta | None] = []
        self.failing: Callable[[str, Any], bool] = lambda name, value: False
        self.happened: list[Any] = [] if happened is None else happened

    def get(self, key: str, default: Any = None) -> Any:
        """Return a stored value."""
        self._fail_if_told("get", None)
        return self.values.get(key, default)

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        """Store a JSON value."""
        self.happened.append(_step(value))
        self._fail_if_told("set", value)
        self.retentions.append(retention)
        self.values[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        """Delete a stored value, if there is one."""
        self._fail_if_told("delete", None)
        self.values.pop(key, None)

    @property
    def record(self) -> Any:
        """The stored submission record; None if there is none.

        :raises KeyError: if something is stored under another key.
        """
        if other_keys := self.values.keys() - {SUBMISSION_KEY, ANSWER_KEY}:
            raise KeyError(f"the store has unexpected keys: {other_keys}")
        return self.values.get(SUBMISSION_KEY)

    @record.setter
    def record(self, value: Any) -> None:
        self.values[SUBMISSION_KEY] = value

    def _fail_if_told(self, name: str, value: Any) -> None:
        if self.failing(name, value):
            raise ConnectionError("the API server is out of reach")


def _step(value: Any) -> str:
    """Return what an operator does when it stores this value: notes are a doubt or an answer in a record."""
    if not isinstance(value, dict):
        return "id stored"
    if value.keys() & {"doubt", "answer"}:
        return "noted"
    return "intent" if value.get("id") is None else "id stored"


def submission_record(identity: str | None, max_tries: int = RETRIES) -> dict[str, Any]:
    """Return a submission record as an earlier try of the task stored it.

    :param identity: id of what that try submitted; None if that try stored its intent only.
    """
    return {"id": identity, "max_tries": max_tries, "try_number": 1, "at": "2026-11-24T09:08:07+00:00"}


@dataclass
class FakeTaskInstance:
    """A task instance with the attributes that this provider reads; it keeps its XComs in memory.

    :param happened: list to which the task instance appends ``"xcom"`` when the id of a submission is pushed.
    :param refused_xcoms: keys of XComs that cannot be stored; a push of one raises ConnectionError.
    :param task: the serialized operator, which a task instance has in the triggerer if its task started there.
    """

    try_number: int = 1
    max_tries: int = RETRIES
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    dag_id: str = "pay.daily"
    run_id: str = "manual__2026-11-24T10:00:00+00:00/é"
    task_id: str = "group.pay"
    map_index: int | None = 3
    happened: list[Any] = field(default_factory=list)
    refused_xcoms: Collection[str] = ()
    task: Any = None
    pushes: list[tuple[str, Any]] = field(default_factory=list)
    id: UUID = field(default_factory=uuid4)

    def xcom_push(self, key: str, value: Any) -> None:
        """Keep an XCom."""
        if key in self.refused_xcoms:
            raise ConnectionError(f"the XCom {key} cannot be stored")
        if key.endswith("_id"):
            self.happened.append("xcom")
        self.pushes.append((key, value))

    def xcom_pull(self, *, key: str, **_: Any) -> Any:
        """Return an XCom that the task itself has stored, or None."""
        return self.xcoms.get(key)

    def get_first_reschedule_date(self, context: Any) -> None:
        """Return None: a sensor in reschedule mode runs for the first time."""

    @property
    def xcoms(self) -> dict[str, Any]:
        """All XComs by their keys."""
        return dict(self.pushes)

    @property
    def ids(self) -> dict[str, Any]:
        """The XComs that hold the id of a submission."""
        return {key: value for key, value in self.xcoms.items() if key.endswith("_id")}


@dataclass
class FakeAirflow:
    """Executes the tries of one task instance in this process.

    :param has_store: False for an Airflow without a task state store. Versions before 3.3 never have one.
    :param timing: times of the waits and retries of each task that gets a context.
    :param refused_xcoms: keys of XComs that cannot be stored.
    :param clear_number: how often tasks of the DAG run were cleared.
    """

    has_store: bool = True
    timing: Timing = field(default_factory=Timing)
    refused_xcoms: Collection[str] = ()
    happened: list[Any] = field(default_factory=list)
    clear_number: int = 0
    ti: FakeTaskInstance = field(init=False)

    def __post_init__(self) -> None:
        self.has_store = self.has_store and AIRFLOW_V_3_3_PLUS
        self._store = FakeStateStore(self.happened)
        self.ti = FakeTaskInstance(happened=self.happened)

    @property
    def store(self) -> FakeStateStore:
        """The task state store."""
        return self._store

    def run(self, task: WaitingMixin, try_number: int = 1, max_tries: int = RETRIES) -> Any:
        """Execute one try of the task with a new task instance and return its result."""
        self.ti = FakeTaskInstance(try_number, max_tries, happened=self.happened, refused_xcoms=self.refused_xcoms)
        return task.execute(self.context(task))

    def context(self, task: WaitingMixin) -> Any:
        """Return the context that the task is executed with, and give the task's hook the times of this Airflow."""
        task.whiterabbit_hook.timing = self.timing
        run = SimpleNamespace(clear_number=self.clear_number)
        return {
            "ti": self.ti,
            "task": task,
            "dag_run": run,
            **({"task_state_store": self._store} if self.has_store else {}),
        }


class FakeSupervisor:
    """The supervisor process of a triggerer, which stores XComs, or of a worker, which stores questions for people.

    Airflow sends a triggerer's supervisor messages with `asend`, and a worker's supervisor with `send`.

    :param together: the supervisor answers no trigger until so many XComs were sent.
    :param refused: key of an XCom that the supervisor cannot store; None if it stores all.
    """

    def __init__(self, together: int = 1, refused: str | None = None) -> None:
        self.together = together
        self.refused = refused
        self.xcoms: dict[str, Any] = {}
        self.questions: list[Any] = []
        self._sent_xcoms = 0
        self._all_sent = asyncio.Event()

    def send(self, msg: Any) -> None:
        """Store a question for a person; ignore messages of other types."""
        if type(msg).__name__ == "CreateHITLDetailPayload":
            self.questions.append(msg)

    async def asend(self, message: Any) -> None:
        """Store an XCom; ignore messages of other types, such as a secret to mask."""
        if type(message).__name__ != "SetXCom":
            return
        self._sent_xcoms += 1
        if self._sent_xcoms >= self.together:
            self._all_sent.set()
        await self._all_sent.wait()
        if message.key == self.refused:
            raise RuntimeError(f"the XCom {message.key} cannot be stored")
        self.xcoms[message.key] = message.value
