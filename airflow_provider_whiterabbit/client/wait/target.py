"""What a task can wait for (an execution, many executions, a workflow run), and the differences between these."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.client.records.execution import Execution
    from airflow_provider_whiterabbit.client.records.workflow_run import WorkflowRun
    from airflow_provider_whiterabbit.client.wait.followed import Followed, Snapshot

R = TypeVar("R", bound="Snapshot")
"""Type of a record from White Rabbit: `Execution` or `WorkflowRun`."""


@dataclass(frozen=True)
class Target(Generic[R]):
    """The kind of thing that a task waits for: `EXECUTION`, `EXECUTIONS` or `WORKFLOW_RUN`.

    :param noun: what messages call it, in lower case.
    :param id_name: the name of its id in arguments, XComs, trigger events and link templates.
    :param answer_id: the field with the id in the HTTP response to a submission.
    :param link_setting: the connection's extra field with the link to it in White Rabbit's dashboard.
    :param followed: takes an id and returns how it is followed. Raises `WhiteRabbitInputError` for an id that can't be
        part of a path.
    """

    noun: str
    id_name: str
    answer_id: str
    link_setting: str
    followed: Callable[[str], Followed[R]]

    @property
    def kind(self) -> str:
        """What metrics call it, and each of many: ``execution`` or ``workflow_run``."""
        return self.noun.replace(" ", "_").removesuffix("s")


# DAG files import targets, and are parsed over and over. Only a wait needs the rest, so a wait imports it.


def _followed_execution(execution_id: str) -> Followed[Execution]:
    from airflow_provider_whiterabbit.client.wait.followed import followed_execution

    return followed_execution(execution_id)


def _followed_workflow_run(workflow_run_id: str) -> Followed[WorkflowRun]:
    from airflow_provider_whiterabbit.client.wait.followed import followed_workflow_run

    return followed_workflow_run(workflow_run_id)


EXECUTION: Target[Execution] = Target(
    noun="execution",
    id_name="execution_id",
    answer_id="id",
    link_setting="execution_url",
    followed=_followed_execution,
)
"""An execution of a component."""

EXECUTIONS: Target[Execution] = Target(
    noun="executions",
    id_name="execution_ids",
    answer_id="id",
    link_setting="execution_url",
    followed=_followed_execution,
)
"""Many executions, which one task waits for; `followed` follows one of them."""

WORKFLOW_RUN: Target[WorkflowRun] = Target(
    noun="workflow run",
    id_name="workflow_run_id",
    answer_id="runId",
    link_setting="workflow_run_url",
    followed=_followed_workflow_run,
)
"""A run of a White Rabbit workflow."""
