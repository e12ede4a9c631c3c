"""The tries of a task whose code submits with `once`, in this process, with a task state store in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, TypeVar

from airflow_provider_whiterabbit.client.wait.timing import Timing
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.hooks.once import Once
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from dev.harness.standins import RETRIES, FakeTaskInstance
from tests.versions import HAS_SDK, HAS_STORE

if HAS_SDK:
    from airflow.sdk.execution_time.context import set_current_context
else:
    from airflow.models.taskinstance import set_current_context

T = TypeVar("T")


class Killed(BaseException):
    """Ends a try as SIGKILL does: no code of the provider runs after it."""


class Store:
    """A task state store in memory, which can fail at one of its calls, or kill the try there.

    `calls` holds the names of all calls of the present try; `fail_at` the number of the call that fails, from 0.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.calls: list[str] = []
        self.fail_at: int | None = None
        self.fails_after = False
        self.error: BaseException = Killed()

    def get(self, key: str, default: Any = None) -> Any:
        """Return a stored value."""
        return self._call(f"get {key}", lambda: json.loads(self.values[key]) if key in self.values else default)

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        """Store a JSON value that never expires."""
        from airflow.sdk.execution_time.context import NEVER_EXPIRE

        assert retention is NEVER_EXPIRE
        self._call(f"set {key}", lambda: self.values.update({key: json.dumps(value)}))

    def delete(self, key: str) -> None:
        """Delete a stored value, if there is one."""
        self._call(f"delete {key}", lambda: self.values.pop(key, None))

    @property
    def records(self) -> dict[str, Any]:
        """All records by key."""
        pages = [json.loads(text) for name, text in self.values.items() if name.startswith("whiterabbit_once_")]
        return {key: record for page in pages for key, record in page.items()}

    def change(self, key: str, record: Any) -> None:
        """Let a person change a record in the page where it is; None deletes it."""
        for name, text in self.values.items():
            page = json.loads(text)
            if name.startswith("whiterabbit_once_") and key in page:
                page[key] = record
                self.values[name] = json.dumps({name: value for name, value in page.items() if value is not None})

    def _call(self, name: str, action: Callable[[], T]) -> T:
        fails = len(self.calls) == self.fail_at
        self.calls.append(name)
        if fails and not self.fails_after:
            raise self.error
        result = action()
        if fails:
            raise self.error
        return result


@dataclass
class Task:
    """A task instance whose code submits with `once`.

    :param map_index: its map index.
    :param run_id: id of its DAG run.
    :param attributes: further attributes of its operator.
    :param ti_attributes: further attributes of the task instance.
    """

    map_index: int = -1
    run_id: str = "scheduled__2026-11-27"
    store: Store = field(default_factory=Store)
    try_number: int = 0
    max_tries: int = RETRIES
    attributes: dict[str, Any] = field(default_factory=dict)
    ti_attributes: dict[str, Any] = field(default_factory=dict)

    def run(self, code: Callable[[Once], T], hook: WhiteRabbitHook | None = None, **options: Any) -> T:
        """Run the task's code in the next try, which a new process would do."""
        self.try_number += 1
        return self.again(code, hook, **options)

    def again(self, code: Callable[[Once], T], hook: WhiteRabbitHook | None = None, **options: Any) -> T:
        """Run the code in another process of the same try."""
        self.store.calls.clear()
        with set_current_context(self.context(self.store if HAS_STORE else None)), hook or quick_hook() as hook:
            return code(hook.once(**options))

    def context(self, store: Store | None) -> Any:
        """Return the context of a new process that runs the present try."""
        ti = FakeTaskInstance(self.try_number, self.max_tries, map_index=self.map_index, run_id=self.run_id)
        vars(ti).update(self.ti_attributes)
        context = {
            "ti": ti,
            "task": SimpleNamespace(retries=RETRIES, **self.attributes),
            "dag_run": SimpleNamespace(clear_number=0),
        }
        return context if store is None else context | {"task_state_store": store}

    def clear(self) -> None:
        """Clear the task, as a user does."""
        self.max_tries = self.try_number + RETRIES


def quick_hook() -> WhiteRabbitHook:
    """Return a hook that retries requests without pauses."""
    hook = WhiteRabbitHook()
    hook.timing = Timing(first_pause=0)
    return hook


def pay(*payees: str) -> Callable[[Once], dict[str, Any]]:
    """Return code that pays each payee under a key of its name, and returns the results."""

    def code(once: Once) -> dict[str, Any]:
        for payee in payees:
            once.execute_component(payee, "PAY", {"to": payee})
        return once.results(timeout=60)

    return code


def paid(wr: Emulator) -> list[str]:
    """Return the payees of all submissions that White Rabbit has received."""
    return [entry.json["input"]["to"] for entry in wr.requests(kind="submit")]


def receipts(*payees: str) -> dict[str, Any]:
    """Return the results of paying each payee."""
    return {payee: {"paid": payee} for payee in payees}


def most_often(payees: Iterable[str]) -> int:
    """Return how often the one was paid that was paid most often."""
    payees = list(payees)
    return max(map(payees.count, payees), default=0)
