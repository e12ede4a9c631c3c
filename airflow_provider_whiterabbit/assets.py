"""Airflow assets for executions at White Rabbit: the end of an execution adds an asset event, which can trigger DAGs.

A DAG reads from the event which execution has ended::

    @dag(schedule=assets.each(assets.module("PAY")))
    def paid():
        @task
        def report(**context):
            execution = assets.execution(context)

The receiver in Airflow's API server emits the events (see ``docs/callbacks.md``). Each asset belongs to a connection:
an execution in one workspace of White Rabbit never triggers a DAG that is scheduled on an asset of another workspace.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote

from airflow_provider_whiterabbit.client import checks
from airflow_provider_whiterabbit.compat import Asset
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_provider_whiterabbit.client.records.execution import Execution

Kind = Literal["module", "workflow", "named"]
Outcome = Literal["success", "failure"]

DEFAULT_CONNECTION = "whiterabbit_default"


def module(
    name: str, outcome: Literal[Outcome, "both"] = "success", *, whiterabbit_conn_id: str = DEFAULT_CONNECTION
) -> Any:
    """Return the Airflow asset of a component. The asset gets one event per execution submitted with a callback.

    :param name: module name of the component, such as ``RANDOM_UUID``.
    :param outcome: ``success`` for COMPLETED executions, ``failure`` for FAILED ones, ``both`` for either asset.
    """
    return _asset(whiterabbit_conn_id, "module", name, outcome)


def named(
    name: str, outcome: Literal[Outcome, "both"] = "success", *, whiterabbit_conn_id: str = DEFAULT_CONNECTION
) -> Any:
    """Return the Airflow asset for a name of your choice, which gets one event per execution with ``callback=name``.

    :param outcome: as for `module`.
    """
    return _asset(whiterabbit_conn_id, "named", name, outcome)


def workflow(workflow_id: str, *, whiterabbit_conn_id: str = DEFAULT_CONNECTION) -> Any:
    """Return the Airflow asset of a workflow, to put into the `outlets` of the task that runs the workflow.

    White Rabbit sends callbacks for executions only, not for workflow runs. Airflow itself emits the event of this
    asset, when the task succeeds.
    """
    return _asset(whiterabbit_conn_id, "workflow", workflow_id, "success")


def each(asset: Any) -> Any:
    """Return a schedule that starts one DAG run per execution; the DAG run's partition key is the execution's id.

    Airflow before 3.2 has no such schedule. There this function returns the asset itself, executions that end at about
    the same time share a run, and `executions` returns all of them.

    :param asset: an asset, or several joined with ``|``.
    :raises WhiteRabbitInputError: for assets in a list or joined with ``&``. Airflow would keep each execution that has
        an event of one of them only, and 500 of these stop the runs of all DAGs that are scheduled on partitions.
    """
    if isinstance(asset, list | tuple) or _needs_several(asset):
        raise WhiteRabbitInputError("assets.each takes one asset, or several joined with |; not a list, and not with &")
    try:
        from airflow.sdk import PartitionedAssetTimetable
    except ImportError:
        return asset
    return PartitionedAssetTimetable(assets=asset)


@dataclass(frozen=True, slots=True)
class EndedExecution:
    """The data of an asset event: an execution that has ended, with status, credits spent and perhaps the output.

    :param status: ``COMPLETED`` or ``FAILED``.
    :param usage: credits spent; None if the record did not say.
    :param output: the output, or the error of a FAILED execution, if it is no larger than
        ``[whiterabbit] callback_output_bytes``; None otherwise. `read` always returns it.
    """

    id: str
    status: str
    module: str | None
    usage: float | None
    whiterabbit_conn_id: str
    output: Any = None

    @classmethod
    def from_extra(cls, extra: Mapping[str, Any]) -> Self:
        """Return the execution that the ``extra`` of an Airflow asset event describes."""
        return cls(
            id=extra["execution_id"],
            status=extra["status"],
            module=extra.get("module"),
            usage=extra.get("usage"),
            whiterabbit_conn_id=extra["whiterabbit_conn_id"],
            output=extra.get("output"),
        )

    def read(self) -> Execution:
        """Read the execution's whole record from White Rabbit, including the output."""
        from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

        return WhiteRabbitHook(self.whiterabbit_conn_id).get_execution(self.id)


def executions(context: Mapping[str, Any]) -> list[EndedExecution]:
    """Return the executions whose asset events triggered this DAG run, each execution once, in the order of the events.

    Only events of the receiver count, because anyone who may create asset events can put any id into one.

    :param context: the context of a task in the run.
    """
    by_id = {extra["execution_id"]: EndedExecution.from_extra(extra) for extra in _execution_extras(context)}
    return list(by_id.values())


def execution(context: Mapping[str, Any]) -> EndedExecution:
    """Return the one execution whose asset event triggered this DAG run.

    :param context: the context of a task in the run.
    :raises WhiteRabbitInputError: if no execution triggered the run (somebody started it, or created an event by
        hand), or several did.
    """
    triggering = executions(context)
    if len(triggering) != 1:
        raise WhiteRabbitInputError(
            f"this run was triggered by {len(triggering)} executions; schedule=assets.each(…) starts a run for each "
            "execution (Airflow 3.2+), and assets.executions(context) returns all of them"
        )
    return triggering[0]


def is_from_receiver(event: Any) -> bool:
    """Return whether the receiver has emitted an asset event, so that its ``extra`` comes from a signed callback.

    Airflow itself writes down where an event comes from, and nobody can change that: the task, for events of tasks; and
    a member ``from_rest_api`` of ``extra``, for events that users create. An event of the receiver has neither.

    :param event: an asset event, of Airflow's database or of a task's context.
    """
    extra = event.extra or {}
    return "execution_id" in extra and "from_rest_api" not in extra and getattr(event, "source_task_id", None) is None


def identity(connection_id: str, kind: Kind, name: str, outcome: Outcome) -> tuple[str, str]:
    """Return the name and the URI of an asset, in ASCII only, because Airflow's MySQL columns hold only ASCII."""
    start = prefix(connection_id)
    path = "/".join(quote(part, safe="") for part in (kind, name, outcome))
    # Airflow leaves a URI alone if its scheme begins with "x-"; for others it loads the metadata of every provider.
    return f"{start}{path}", f"x-{start.replace('/', '://', 1)}{path}"


def prefix(connection_id: str) -> str:
    """Return the prefix of the names of all assets that belong to an Airflow connection."""
    return f"whiterabbit/{quote(connection_id, safe='')}/"


def _needs_several(asset: Any) -> bool:
    """Return whether a schedule waits for events of several assets: whether any of them are joined with ``&``."""
    is_all = type(asset).__name__ in ("AssetAll", "DatasetAll")
    return is_all or any(_needs_several(part) for part in getattr(asset, "objects", ()))


def _asset(connection_id: str, kind: Kind, name: str, outcome: Literal[Outcome, "both"]) -> Any:
    checks.text(name, f"the name of a {kind}")
    if outcome == "both":
        return _asset(connection_id, kind, name, "success") | _asset(connection_id, kind, name, "failure")
    if outcome not in ("success", "failure"):
        raise WhiteRabbitInputError(f"outcome must be 'success', 'failure' or 'both', got {outcome!r:.100}")
    asset_name, uri = identity(connection_id, kind, name, outcome)
    try:
        return Asset(name=asset_name, uri=uri)
    except TypeError:  # in Airflow 2 an asset has no name
        return Asset(uri)


def _execution_extras(context: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the ``extra`` of each asset event of the receiver that triggered a DAG run, oldest first."""
    events_by_asset: Mapping[Any, Iterable[Any]] = context.get("triggering_asset_events") or {}
    asset_events = [event for events in events_by_asset.values() for event in events]
    for event in sorted(asset_events, key=lambda event: event.timestamp):
        if is_from_receiver(event):  # events of workflow assets come from tasks
            yield event.extra
