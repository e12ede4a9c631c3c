"""A task that is not edited may submit in several ways: what it has submitted before is no obstacle to its retries."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_whiterabbit.compat import (
    AirflowException,
    AirflowFailException,
    TaskDeferred,
    get_current_context,
)
from airflow_provider_whiterabbit.emulator import Emulator, Script
from airflow_provider_whiterabbit.hooks.once import Once
from airflow_provider_whiterabbit.operators.submission import addressed, answer_key
from tests.hooks.tries import Killed, Store, Task, most_often, paid
from tests.operators.ways import Code, by_code, by_many, by_one, many, one, together
from tests.versions import needs_store

UNKNOWN = "00000000-0000-0000-0000-000000000000"

pytestmark = [needs_store, pytest.mark.parametrize("operator", [by_one, by_many])]


@pytest.fixture
def wr(whiterabbit_emulator: Emulator) -> Emulator:
    """Return the emulator with a component that pays."""
    whiterabbit_emulator.script("PAY", output=lambda inputs, _: {"paid": inputs["to"]})
    return whiterabbit_emulator


def both(operator: Callable[..., Code], keys_first: bool, **options: Any) -> Code:
    """Return code that pays Alice with an operator, and Bob and Carol under keys."""
    parts = [operator("alice", **options), by_code("bob", "carol")]
    return together(*(reversed(parts) if keys_first else parts))


@pytest.mark.parametrize("keys_first", [False, True])
@pytest.mark.parametrize("calls", range(24))
def test_retry(wr: Emulator, operator: Callable[..., Code], keys_first: bool, calls: int) -> None:
    """A retry goes on wherever a try was killed."""
    code, task = both(operator, keys_first), Task()
    task.store.fail_at = calls
    with contextlib.suppress(Killed):
        task.run(code)
    task.store.fail_at = None
    in_doubt = False
    try:
        task.run(code)
    except AirflowFailException as doubt:
        in_doubt = "It is not known whether White Rabbit received the submission" in str(doubt)
    assert in_doubt or sorted(paid(wr)) == ["alice", "bob", "carol"]
    assert most_often(paid(wr)) <= 1


@pytest.mark.parametrize("keys_first", [False, True])
def test_clear(wr: Emulator, operator: Callable[..., Code], keys_first: bool) -> None:
    """After a clear, an operator submits the same input anew, and keys do not."""
    code, task = both(operator, keys_first, on_clear="resubmit"), Task()
    task.run(code)
    task.clear()
    task.run(code)
    assert sorted(paid(wr)) == ["alice", "alice", "bob", "carol"]


def test_failed_key(wr: Emulator, operator: Callable[..., Code]) -> None:
    """What has FAILED under a key is submitted anew, although there is an operator behind it."""
    wr.script("PAY", Script(error={"message": "no funds"}, times=1), Script(output=1))
    resubmit = {"on_failed_execution": "resubmit"}
    code, task = both(operator, keys_first=True), Task()
    with pytest.raises(AirflowException, match="no funds"):
        task.run(lambda once: [code(once), once.results(timeout=60)], **resubmit)
    task.run(code, **resubmit)
    assert paid(wr) == ["bob", "carol", "alice", "bob"]


def lose(store: Store, key: str) -> None:
    """Let White Rabbit not know the id of a submission any more."""
    record = record_of(store, key) | {"id": UNKNOWN, "stored": UNKNOWN}
    if key:
        store.change(key, record)
    else:
        store.values["whiterabbit_submission"] = json.dumps(record)


def record_of(store: Store, key: str) -> dict[str, Any]:
    """Return the record under a key; with an empty key, that of an operator of one input."""
    record: dict[str, Any] = store.records[key] if key else json.loads(store.values["whiterabbit_submission"])
    return record


@pytest.mark.parametrize("keys_first", [False, True])
def test_answer_of_a_person(wr: Emulator, operator: Callable[..., Code], keys_first: bool) -> None:
    """What a person has answered is submitted, although the task has submitted in another way too."""
    code, task = both(operator, keys_first), Task()
    task.run(code)
    key = "bob" if keys_first else {by_one: "", by_many: "inputs[0]"}[operator]
    lose(task.store, key)
    with pytest.raises(AirflowFailException, match="does not know"):
        task.run(code)
    answer = {"choice": "submit", "by": "ann", "at": "2026-11-28T10:00:00+00:00"}
    task.store.values[answer_key(key)] = json.dumps(addressed(record_of(task.store, key), answer))
    task.run(code)
    assert sorted(paid(wr)) == sorted(["alice", "bob", "carol", "bob" if keys_first else "alice"])


def test_key_after_a_deferral(wr: Emulator, operator: Callable[..., Code]) -> None:
    """Code behind a deferral, such as `post_execute`, submits under a key: the operator has found its submission."""
    wr.script("PAY", manual=True)
    task = Task()
    arguments: dict[str, Any] = {"deferrable": True} | ({"inline_wait": 0} if operator is by_many else {})
    deferrable = (one if operator is by_one else many)("alice", **arguments)

    def execute(_: Once) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as caught:
            deferrable.execute({**get_current_context(), "task": deferrable})  # type: ignore[typeddict-item]
        return caught.value

    deferred = task.run(execute)
    wr.complete(wr.executions[0]["id"], 1)
    (event,) = asyncio.run(payloads(deferred.trigger))
    task.ti_attributes["next_method"] = deferred.method_name

    def resume(once: Once) -> None:
        context: Any = {**get_current_context(), "task": deferrable}
        deferrable.resume_execution(deferred.method_name, {**(deferred.kwargs or {}), "event": event}, context)
        by_code("bob")(once)

    task.again(resume)
    assert paid(wr) == ["alice", "bob"]


async def payloads(trigger: Any) -> list[Any]:
    """Return the payloads of a trigger's events."""
    return [event.payload async for event in trigger.run()]
