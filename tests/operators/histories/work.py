"""What the tasks of a history submit: executions of a component, or runs of workflows.

The *wish* of a task is a number: the amount that the task pays, or which workflow it runs.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.operators.base import WhiteRabbitSubmitOperator
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator

Status = Literal["ACTIVE", "COMPLETED", "FAILED"]
WISHES = 3


class Work(ABC):
    """What tasks submit. In `kinds` are the emulator's kinds of the requests that submit, read and stream it."""

    kinds: ClassVar[Mapping[str, Any]]
    id_name: ClassVar[str]

    def __init__(self, wr: Emulator) -> None:
        self.wr = wr

    @abstractmethod
    def operator(self, wish: int, **options: Any) -> WhiteRabbitSubmitOperator:
        """Return an operator that submits what the task wishes."""

    @abstractmethod
    def script(self, status: Status) -> None:
        """Set the status that the next submissions reach at once."""

    @abstractmethod
    def end(self, identity: str, status: Status) -> None:
        """End an execution or run."""

    @property
    @abstractmethod
    def records(self) -> dict[str, dict[str, Any]]:
        """The records of all executions or runs by their ids, oldest first."""

    @abstractmethod
    def wish_in(self, request: Any) -> int:
        """Return the wish in a request that submits."""

    @abstractmethod
    def identity_of(self, result: Any) -> str:
        """Return the id of the execution or run whose output is the result of a task."""

    def has_ended(self, identity: str) -> bool:
        """Return whether an execution or run has ended."""
        return self.records[identity]["status"] in ("COMPLETED", "FAILED")


class Components(Work):
    """Executions of the component PAY, each with an output of its own."""

    kinds: ClassVar[Mapping[str, Any]] = {"submit": "submit", "read": "record", "stream": "stream"}
    id_name = "execution_id"

    def __init__(self, wr: Emulator) -> None:
        super().__init__(wr)
        self._outputs = itertools.count()

    def operator(self, wish: int, **options: Any) -> WhiteRabbitSubmitOperator:
        """Return an operator that pays the amount."""
        return WhiteRabbitExecuteComponentOperator(task_id="pay", module="PAY", input={"amount": wish}, **options)

    def script(self, status: Status) -> None:
        """Set the status that the next executions reach at once."""

        def output(_input: Any, _config: Any) -> int:
            return next(self._outputs)

        if status == "FAILED":
            self.wr.script("PAY", error={"message": "no funds"})
        else:
            self.wr.script("PAY", output=output, manual=status == "ACTIVE")

    def end(self, identity: str, status: Status) -> None:
        """End an execution."""
        if status == "FAILED":
            self.wr.fail(identity, {"message": "no funds"})
        else:
            self.wr.complete(identity)

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """The records of all executions by their ids."""
        return {record["id"]: record for record in self.wr.executions}

    def wish_in(self, request: Any) -> int:
        """Return the amount in a request."""
        return int(request.json["input"]["amount"])

    def identity_of(self, result: Any) -> str:
        """Return the id of the execution with this output."""
        return next(identity for identity, record in self.records.items() if record["output"] == result)


class Workflows(Work):
    """Runs of the workflows ``flow-0``, ``flow-1``, …, each with one stage."""

    kinds: ClassVar[Mapping[str, Any]] = {"submit": "trigger", "read": "run_record", "stream": "run_stream"}
    id_name = "workflow_run_id"

    def operator(self, wish: int, **options: Any) -> WhiteRabbitSubmitOperator:
        """Return an operator that runs the workflow."""
        return WhiteRabbitTriggerWorkflowOperator(task_id="pay", workflow_id=f"flow-{wish}", **options)

    def script(self, status: Status) -> None:
        """Set the status that the next runs reach at once."""
        scripts: dict[Status, Any] = {"ACTIVE": {"manual": True}, "COMPLETED": {"output": 1}, "FAILED": {"error": "no"}}
        stage: Any = {"module": "PAY", **scripts[status]}
        for wish in range(WISHES):
            self.wr.script_workflow(f"flow-{wish}", [stage])

    def end(self, identity: str, status: Status) -> None:
        """End a run."""
        if status == "FAILED":
            self.wr.fail_stage(identity, 0, {"message": "no funds"})
        else:
            self.wr.complete_stage(identity, 0)

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """The records of all runs by their ids."""
        return {record["id"]: record for record in self.wr.runs}

    def wish_in(self, request: Any) -> int:
        """Return the number of the workflow in a request."""
        return int(request.path.rpartition("-")[2])

    def identity_of(self, result: Any) -> str:
        """Return the id of a run."""
        return str(result["id"])
