"""What operators submit to White Rabbit, executions of a component or runs of a workflow, with one interface."""

from __future__ import annotations

from typing import Any

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.operators.base import WhiteRabbitSubmitOperator
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from dev.harness.standins import RETRIES

REMEDY = "airflow whiterabbit doubts pay.daily 'manual__2026-11-24T10:00:00+00:00/é'"
"""Part of the error about a doubt: the command that settles it."""


def component_operator(module: Any = "PAY", **arguments: Any) -> WhiteRabbitExecuteComponentOperator:
    """Return an operator that executes a component."""
    return WhiteRabbitExecuteComponentOperator(task_id="pay", module=module, **arguments)


class Component:
    """Executions of the component PAY.

    `submit` and `read` are the emulator's kinds of the requests that submit an execution and read its record.
    """

    submit = "submit"
    id_name = "execution_id"
    read = "record"

    def __init__(self, wr: Emulator) -> None:
        self.wr = wr
        wr.script("PAY", output={"paid": 1})

    def operator(self, **arguments: Any) -> WhiteRabbitSubmitOperator:
        """Return an operator that executes the component."""
        arguments.setdefault("retries", RETRIES)
        return component_operator(**arguments)

    def create(self, status: str) -> str:
        """Create an execution without an operator, with output ``{"paid": "before"}``; return its id."""
        return self.wr.create_execution("PAY", **self._script(status, {"paid": "before"}))

    def script(self, status: str) -> None:
        """Set the status that submitted executions reach."""
        self.wr.script("PAY", **self._script(status, {"paid": 1}))

    def complete(self) -> None:
        """Complete the execution that was created last."""
        self.wr.complete(self.newest)

    def result(self, identity: str) -> Any:
        """Return what an operator returns for a completed execution."""
        return self.wr.execution(identity)["output"]

    @property
    def submissions(self) -> int:
        """How many submissions White Rabbit has received."""
        return len(self.wr.requests(kind="submit"))

    @property
    def newest(self) -> str:
        """The id of the execution that was created last."""
        return str(self.wr.executions[-1]["id"])

    @staticmethod
    def _script(status: str, output: Any) -> dict[str, Any]:
        scripts: dict[str, dict[str, Any]] = {
            "ACTIVE": {"manual": True},
            "COMPLETED": {"output": output},
            "FAILED": {"error": {"message": "no funds"}},
        }
        return scripts[status]


class Workflow:
    """Runs of the workflow ``flow``, with the interface of `Component`."""

    submit = "trigger"
    id_name = "workflow_run_id"
    read = "run_record"

    def __init__(self, wr: Emulator) -> None:
        self.wr = wr
        self.script("COMPLETED")

    def operator(self, **arguments: Any) -> WhiteRabbitSubmitOperator:
        """Return an operator that runs the workflow."""
        arguments.setdefault("retries", RETRIES)
        return WhiteRabbitTriggerWorkflowOperator(task_id="pay", workflow_id="flow", **arguments)

    def create(self, status: str) -> str:
        """Start a run without an operator; return its id."""
        self.script(status)
        identity = self.wr.create_run("flow")
        self.script("COMPLETED")
        return identity

    def script(self, status: str) -> None:
        """Set the status that submitted runs reach."""
        stages: dict[str, dict[str, Any]] = {
            "ACTIVE": {"manual": True},
            "FAILED": {"error": {"message": "no funds"}},
        }
        stage: Any = {"module": "PAY", **stages.get(status, {"output": 1})}
        ending: dict[str, Any] = {"ending": "CANCELED", "reason": "second thoughts"} if status == "CANCELED" else {}
        self.wr.script_workflow("flow", [stage], **ending)

    def complete(self) -> None:
        """Complete the stage of the run that was started last."""
        self.wr.complete_stage(self.newest, 0)

    def result(self, identity: str) -> Any:
        """Return what an operator returns for a completed run."""
        return self.wr.run(identity)

    @property
    def submissions(self) -> int:
        """How many requests to start a run White Rabbit has received."""
        return len(self.wr.requests(kind="trigger"))

    @property
    def newest(self) -> str:
        """The id of the run that was started last."""
        return str(self.wr.runs[-1]["id"])


Remote = Component | Workflow
