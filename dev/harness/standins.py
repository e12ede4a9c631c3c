"""Stand-ins for what Airflow gives a running task, and the two kinds of things that the operators submit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.operators.base import WhiteRabbitSubmitOperator
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from tests.versions import HAS_STORE, NO_STORE

KEY = "whiterabbit_submission"
"""Where the record is; users are told this name, so it does not change."""

RETRIES = 2


class Store:
    """A task state store in memory.

    :param failing: says of each call, by its name and value, whether it fails.
    :param happened: what was done, in order.
    """

    def __init__(self, happened: list[Any]) -> None:
        self.values: dict[str, Any] = {}
        self.retentions: list[Any] = []
        self.failing: Callable[[str, Any], bool] = lambda name, value: False
        self.happened = happened

    def get(self, key: str, default: Any = None) -> Any:
        self._called("get", None)
        return self.values.get(key, default)

    def set(self, key: str, value: Any, *, retention: timedelta | None = None) -> None:
        self._called("set", value)
        self.retentions.append(retention)
        self.values[key] = json.loads(json.dumps(value))

    def delete(self, key: str) -> None:
        self._called("delete", None)
        self.values.pop(key, None)

    @property
    def record(self) -> Any:
        """What is stored of the submission."""
        assert set(self.values) <= {KEY}
        return self.values.get(KEY)

    @record.setter
    def record(self, value: Any) -> None:
        self.values[KEY] = value

    def _called(self, name: str, value: Any) -> None:
        if name == "set":
            self.happened.append("intent" if value["id"] is None else "id stored")
        if self.failing(name, value):
            raise ConnectionError("the API server is out of reach")


@dataclass
class TaskInstance:
    """As much of a task instance as an operator looks at."""

    try_number: int = 1
    max_tries: int = RETRIES
    start_date: datetime = field(default_factory=lambda: datetime.now(UTC))
    dag_id: str = "pay.daily"
    run_id: str = "manual__2026-11-24T10:00:00+00:00/é"
    task_id: str = "group.pay"
    map_index: int = 3
    xcoms: dict[str, Any] = field(default_factory=dict)
    happened: list[Any] = field(default_factory=list)

    def xcom_push(self, key: str, value: Any) -> None:
        if key.endswith("_id"):
            self.happened.append("xcom")
        self.xcoms[key] = value

    @property
    def ids(self) -> dict[str, Any]:
        """The XComs that tell what was submitted."""
        return {key: value for key, value in self.xcoms.items() if key.endswith("_id")}


@dataclass
class Airflow:
    """Runs tries of one task instance.

    :param is_kept: whether it has a store, if this version of Airflow can have one (3.3+).
    """

    is_kept: bool = True
    happened: list[Any] = field(default_factory=list)
    ti: TaskInstance = field(init=False)

    def __post_init__(self) -> None:
        self.is_kept = self.is_kept and HAS_STORE
        self._store = Store(self.happened)
        self.ti = TaskInstance(happened=self.happened)

    @property
    def store(self) -> Store:
        """The store; a test that asks for it is skipped where Airflow has none."""
        if not HAS_STORE:
            pytest.skip(NO_STORE)
        return self._store

    def run(self, task: WhiteRabbitSubmitOperator, try_number: int = 1, max_tries: int = RETRIES) -> Any:
        self.ti = TaskInstance(try_number, max_tries, happened=self.happened)
        return task.execute(self.context(task))

    def context(self, task: WhiteRabbitSubmitOperator) -> Any:
        return {"ti": self.ti, "task": task, **({"task_state_store": self._store} if self.is_kept else {})}


class Component:
    """Executions of a component."""

    submit = "submit"
    id_name = "execution_id"
    read = "record"

    def __init__(self, wr: Emulator) -> None:
        self.wr = wr
        wr.script("PAY", output={"paid": 1})

    def operator(self, **arguments: Any) -> WhiteRabbitSubmitOperator:
        arguments.setdefault("retries", RETRIES)
        return WhiteRabbitExecuteComponentOperator(task_id="pay", module="PAY", **arguments)

    def create(self, status: str) -> str:
        """Create an execution as somebody else's, and return its id."""
        ending: dict[str, Any] = {
            "ACTIVE": {"manual": True},
            "COMPLETED": {"output": {"paid": "before"}},
            "FAILED": {"error": {"message": "no funds"}},
        }[status]
        return self.wr.create_execution("PAY", **ending)

    def script(self, status: str) -> None:
        """Say how those go that are submitted."""
        ending: dict[str, Any] = {
            "ACTIVE": {"manual": True},
            "COMPLETED": {"output": {"paid": 1}},
            "FAILED": {"error": {"message": "no funds"}},
        }[status]
        self.wr.script("PAY", **ending)

    def result(self, identity: str) -> Any:
        return self.wr.execution(identity)["output"]

    @property
    def submissions(self) -> int:
        return len(self.wr.requests(kind="submit"))

    @property
    def newest(self) -> str:
        identity: str = self.wr.executions[-1]["id"]
        return identity


class Workflow:
    """Runs of a workflow."""

    submit = "trigger"
    id_name = "workflow_run_id"
    read = "run_record"

    def __init__(self, wr: Emulator) -> None:
        self.wr = wr
        self.script("COMPLETED")

    def operator(self, **arguments: Any) -> WhiteRabbitSubmitOperator:
        arguments.setdefault("retries", RETRIES)
        return WhiteRabbitTriggerWorkflowOperator(task_id="pay", workflow_id="flow", **arguments)

    def create(self, status: str) -> str:
        """Create a run as somebody else's, and return its id."""
        self.script(status)
        identity = self.wr.create_run("flow")
        self.script("COMPLETED")
        return identity

    def script(self, status: str) -> None:
        """Say how those go that are started."""
        stages: list[Any] = {
            "ACTIVE": [{"module": "PAY", "manual": True}],
            "FAILED": [{"module": "PAY", "error": {"message": "no funds"}}],
        }.get(status, [{"module": "PAY", "output": 1}])
        if status == "CANCELED":
            self.wr.script_workflow("flow", stages, ending="CANCELED", reason="second thoughts")
        else:
            self.wr.script_workflow("flow", stages)

    def result(self, identity: str) -> Any:
        return self.wr.run(identity)

    @property
    def submissions(self) -> int:
        return len(self.wr.requests(kind="trigger"))

    @property
    def newest(self) -> str:
        runs = self.wr._call(lambda: list(self.wr._world.runs))
        return runs[-1]


Remote = Component | Workflow


def record(identity: str | None, max_tries: int = RETRIES) -> dict[str, Any]:
    """Return what an earlier try stored."""
    return {"id": identity, "max_tries": max_tries, "try_number": 1, "at": "2026-11-24T09:08:07+00:00"}
