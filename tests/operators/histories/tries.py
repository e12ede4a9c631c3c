"""A stand-in Airflow that runs the tries of task instances in this process, and kills them at any moment."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Literal, NoReturn

from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import effects
from dev.harness.standins import FakeStateStore, FakeSupervisor, FakeTaskInstance
from tests.operators.histories.troubles import Death, Fault, Trouble
from tests.operators.histories.work import Work

_QUESTIONS = {
    "arrive?": "uncertain",
    "another request": "other request",
    "is unknown": "gone",
    "was this task cleared": "perhaps cleared",
}
"""Words in the subjects of the questions, with the kinds of doubt."""


class Killed(BaseException):
    """Ends a try as SIGKILL ends its process: the next calls of Airflow raise the exception again."""


class Life:
    """The process of one try of a task."""

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble
        self._is_dead = False
        self._calls = 0

    def die(self, *_: object) -> NoReturn:
        """End the try."""
        self._is_dead = True
        raise Killed

    @contextlib.contextmanager
    def call(self, place: str) -> Iterator[None]:
        """Die before or after a call of Airflow, if that is the trouble."""
        if self._is_dead:
            raise Killed
        death = self.trouble
        if not isinstance(death, Death) or death.place != place:
            yield
            return
        self._calls += 1
        if self._calls == death.number and not death.done:
            self.die()
        yield
        if self._calls == death.number:
            self.die()


@dataclass(frozen=True)
class Kill(effects.Effect):
    """The emulator kills the client while a request has no answer; with `done`, it processes the request first."""

    done: bool

    async def apply(self, call: effects.Call) -> None:
        """Process the request if `done` is set, kill the try in the main thread, and send nothing."""

        async def discard(_message: Any) -> None:
            pass

        if self.done and not call.streams:
            await call.proceed(discard)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        await call.gone()


class MortalStore(FakeStateStore):
    """A task state store at whose calls a try can die."""

    life = Life(None)

    def get(self, key: str, default: Any = None) -> Any:
        """Return a stored value."""
        with self.life.call("store"):
            return super().get(key, default)

    def set(self, key: str, value: Any, **options: Any) -> None:
        """Store a JSON value."""
        with self.life.call("store"):
            super().set(key, value, **options)

    def delete(self, key: str) -> None:
        """Delete a stored value, if there is one."""
        with self.life.call("store"):
            super().delete(key)


class MortalSupervisor(FakeSupervisor):
    """The supervisor of a worker, at whose calls a try can die."""

    life = Life(None)

    def send(self, msg: Any) -> None:
        """Store a question for a person."""
        with self.life.call("question"):
            super().send(msg)


@dataclass
class Instance:
    """One mapped task instance, in Airflow's states as far as they matter here.

    :param index: its map index.
    :param max_tries: as Airflow keeps it: a clear changes it, a retry does not.
    :param parked: what has suspended the task: `TaskDeferred` or `TaskAwaitingInput`.
    :param question: the question that the task has asked.
    :param again: with what the method of the last try is called again; None if the next try is a plain one.
    """

    index: int
    max_tries: int
    state: Literal["ready", "deferred", "awaiting", "success", "failed"] = "ready"
    try_number: int = 0
    parked: Any = None
    question: Any = None
    again: Any = None
    store: MortalStore = field(default_factory=MortalStore)


def record_in(store: FakeStateStore) -> dict[str, Any]:
    """Return the record in a state store as an object; an empty one if there is none."""
    record = store.record
    return record if isinstance(record, dict) else {} if record is None else {"id": record}


@dataclass
class Outcome:
    """What a try did, as seen from outside.

    :param error: the exception that ended or suspended the try; None if the task succeeded.
    :param requests: the requests of the try that submit, as White Rabbit received them.
    :param created: ids of the executions or runs that White Rabbit created for the try.
    :param question: the question that the try has asked, if it waits for an answer.
    """

    result: Any = None
    error: BaseException | None = None
    requests: list[Any] = field(default_factory=list)
    created: list[str] = field(default_factory=list)
    question: Any = None

    @property
    def died(self) -> bool:
        """Whether the process was killed."""
        return isinstance(self.error, Killed)

    @property
    def sent(self) -> bool:
        """Whether White Rabbit received a submission, and did not refuse it."""
        statuses = [request.status for request in self.requests]
        return any(status is None or status == 408 or not 400 <= status < 500 for status in statuses)

    @property
    def doubt(self) -> str | None:
        """The kind of the doubt with which the try ended."""
        if self.question is not None:
            return next(kind for words, kind in _QUESTIONS.items() if words in self.question.subject)
        found = re.search(r"\(Doubt: ([a-z ]+)\.\)", str(self.error))
        return found[1] if found else None


def _writes_id(name: str, value: Any) -> bool:
    return name == "set" and isinstance(value, dict) and bool(value["id"])


class Worker:
    """Runs tries.

    :param forgotten: ids that White Rabbit has forgotten.
    """

    def __init__(self, work: Work, supervisor: MortalSupervisor) -> None:
        self.forgotten: set[str] = set()
        self._work = work
        self._supervisor = supervisor

    def run(
        self, instance: Instance, clear_number: int, task: Any, trouble: Trouble, call: Callable[[Any, Any], Any]
    ) -> Outcome:
        """Let a new process call the task with a new context; return what the process did."""
        life = instance.store.life = self._supervisor.life = Life(trouble)
        task.whiterabbit_hook.timing = Timing(first_pause=0)
        context = {
            "ti": FakeTaskInstance(instance.try_number, instance.max_tries, map_index=instance.index),
            "task": task,
            "dag_run": SimpleNamespace(clear_number=clear_number),
            "task_state_store": instance.store,
        }
        outcome = Outcome()
        received, created = len(self._requests), len(self._work.records)
        with self._trouble(instance, life):
            try:
                outcome.result = call(task, context)
            except (Exception, Killed, TaskDeferred) as error:
                outcome.error = error
            except BaseException as error:
                if type(error).__name__ != "TaskAwaitingInput":  # older versions of Airflow lack this class
                    raise
                outcome.error, outcome.question = error, self._supervisor.questions[-1]
        instance.store.life = Life(None)
        outcome.requests = self._requests[received:]
        outcome.created = list(self._work.records)[created:]
        return outcome

    @property
    def _requests(self) -> list[Any]:
        return self._work.wr.requests(kind=self._work.kinds["submit"])

    @contextlib.contextmanager
    def _trouble(self, instance: Instance, life: Life) -> Iterator[None]:
        wr, kinds, trouble = self._work.wr, self._work.kinds, life.trouble
        for identity in self.forgotten:
            unknown = effects.Answer(404, {"message": "unknown", "error": "NOT_FOUND"})
            wr.fault(unknown, method="GET", path=f"*{identity}*", times=None)
        if isinstance(trouble, Fault):
            wr.fault(trouble.effect, kind=kinds[trouble.place], times=trouble.times)
        elif isinstance(trouble, Death) and trouble.place in kinds:
            wr.fault(Kill(trouble.done), kind=kinds[trouble.place], skip=trouble.number - 1)
        elif trouble == "outage":
            wr.pause()
        elif trouble == "id not stored":
            instance.store.failing = _writes_id
        before = signal.signal(signal.SIGUSR1, life.die)
        try:
            yield
        finally:
            signal.signal(signal.SIGUSR1, before)
            instance.store.failing = lambda name, value: False
            wr.clear_faults()
            if trouble == "outage":
                wr.resume()
