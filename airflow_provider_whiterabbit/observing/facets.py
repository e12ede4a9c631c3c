"""The facets of OpenLineage's events that say which execution or workflow run a task has submitted or waited for.

This module needs OpenLineage. It is imported only when OpenLineage's listener asks a task for facets.
"""

from __future__ import annotations

from typing import Any

from airflow.providers.common.compat.openlineage.facet import ErrorMessageRunFacet, ExternalQueryRunFacet, RunFacet
from airflow.providers.openlineage.extractors import OperatorLineage
from attrs import define, field

from airflow_provider_whiterabbit import __version__

PRODUCER = f"pkg:pypi/airflow-provider-whiterabbit@{__version__}"
"""Who made the facets: OpenLineage demands a URI. A package URL (ECMA-427) names the package and its version.

The ``_schemaURL`` is the one of all run facets, as for the facets of Airflow itself, which allows additional fields. A
schema of our own would need a public address that never changes.
"""

SCHEME = "whiterabbit"
"""Scheme of the source of an execution, as in ``whiterabbit://api.whiterabbit.app``.

OpenLineage's namespaces consist of the name of a system and its host, as in ``databricks://…``. The id of a connection
would not do: each Airflow has its own.
"""


@define
class WhiteRabbitExecutionRunFacet(RunFacet):  # type: ignore[misc]
    """The run facet of a task that has submitted an execution or waited for one."""

    connectionId: str
    executionId: str | None = None
    host: str | None = None
    module: str | None = None
    status: str | None = None
    credits: float | None = None
    _producer: str = field(default=PRODUCER, kw_only=True)


@define
class WhiteRabbitExecutionsRunFacet(RunFacet):  # type: ignore[misc]
    """The run facet of a task that has waited for many executions; `executionIds` is their number and a digest."""

    connectionId: str
    executionIds: str | None = None
    host: str | None = None
    status: str | None = None
    credits: float | None = None
    _producer: str = field(default=PRODUCER, kw_only=True)


@define
class WhiteRabbitWorkflowRunFacet(RunFacet):  # type: ignore[misc]
    """The run facet of a task that has started a workflow run or waited for one."""

    connectionId: str
    workflowRunId: str | None = None
    host: str | None = None
    workflowId: str | None = None
    status: str | None = None
    credits: float | None = None
    _producer: str = field(default=PRODUCER, kw_only=True)


def operator_lineage(
    *,
    id_name: str,
    connection_id: str,
    identity: str | None,
    host: str | None,
    subject: str | None,
    status: str | None,
    credits_spent: float | None,
    failure: str | None,
) -> OperatorLineage:
    """Return what OpenLineage adds to an event of a task. The facets leave out what is None.

    There are no input and output datasets: the inputs and the output of an execution are values, and what it changes,
    such as balances on a chain, is no dataset. So OpenLineage reports the task's own `inlets` and `outlets`.

    :param id_name: ``execution_id``, ``execution_ids`` or ``workflow_run_id``.
    :param connection_id: id of the task's connection.
    :param identity: id of the execution or workflow run.
    :param host: host of White Rabbit's API, with the port if its base URL has one.
    :param subject: name of the component, or id of the workflow.
    :param status: the status that the task has seen last.
    :param credits_spent: the number of credits.
    :param failure: says why the execution or workflow run did not complete.
    """
    common: dict[str, Any] = {"connectionId": connection_id, "host": host, "status": status, "credits": credits_spent}
    facets: dict[str, Any] = {}
    # Names as OpenLineage's documentation demands of custom facets: a prefix, an underscore, and a name in camel case.
    if id_name == "execution_id":
        facets["whiteRabbit_execution"] = WhiteRabbitExecutionRunFacet(**common, executionId=identity, module=subject)
    elif id_name == "execution_ids":
        facets["whiteRabbit_executions"] = WhiteRabbitExecutionsRunFacet(**common, executionIds=identity)
    else:
        facets["whiteRabbit_workflow"] = WhiteRabbitWorkflowRunFacet(
            **common, workflowRunId=identity, workflowId=subject
        )
    if identity is not None and host is not None and id_name != "execution_ids":
        facets["externalQuery"] = ExternalQueryRunFacet(
            externalQueryId=identity, source=f"{SCHEME}://{host}", producer=PRODUCER
        )
    if failure is not None:
        # OpenLineage replaces it if it knows the error with which the task failed, and not if the task was skipped. The
        # language is the one that OpenLineage gives for the errors of all tasks.
        facets["errorMessage"] = ErrorMessageRunFacet(message=failure, programmingLanguage="python", producer=PRODUCER)
    return OperatorLineage(run_facets=facets)
