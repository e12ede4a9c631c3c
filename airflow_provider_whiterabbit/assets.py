"""Assets that get an event when an execution ends, and what a DAG that is scheduled on them reads from it.

    @dag(schedule=assets.each(assets.module("PAY")))
    def paid():
        @task
        def report(**context):
            execution = assets.execution(context)

The receiver in Airflow's API server emits the events (see ``docs/callbacks.md``). The assets belong to a connection, so
that what one workspace of White Rabbit sends never triggers what listens to another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self
from urllib.parse import quote

from airflow.providers.common.compat.sdk import Asset

from airflow_provider_whiterabbit.client import checks
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
    """Return the asset of a component: one event for each of its executions that was submitted with a callback.

    :param name: module name, as ``RANDOM_UUID``.
    :param outcome: ``success`` for COMPLETED, ``failure`` for FAILED, ``both`` for either of the two assets.
    """
    return _asset(whiterabbit_conn_id, "module", name, outcome)


def named(
    name: str, outcome: Literal[Outcome, "both"] = "success", *, whiterabbit_conn_id: str = DEFAULT_CONNECTION
) -> Any:
    """Return the asset of a name of your own: one event for each execution that was submitted with ``callback=name``.

    :param outcome: as for `module`.
    """
    return _asset(whiterabbit_conn_id, "named", name, outcome)


def workflow(workflow_id: str, *, whiterabbit_conn_id: str = DEFAULT_CONNECTION) -> Any:
    """Return the asset of a workflow, for the `outlets` of the task that runs it.

    White Rabbit calls back for executions only, so it is Airflow that emits this event, when that task succeeds.
    """
    return _asset(whiterabbit_conn_id, "workflow", workflow_id, "success")


def each(asset: Any) -> Any:
    """Return a schedule that gives every execution a run of its own, with the execution's id as partition key.

    Before Airflow 3.2 there is no such schedule: there it is the asset itself, and executions that end within moments
    share a run, which finds them all by `executions`.
    """
    try:
        from airflow.sdk import PartitionedAssetTimetable
    except ImportError:
        return asset
    return PartitionedAssetTimetable(assets=asset)


@dataclass(frozen=True, slots=True)
class EndedExecution:
    """What an event says about an execution.

    :param usage: credits spent, if the record said so.
    :param output: the output, or the error of a FAILED one, where ``[whiterabbit] callback_output_bytes`` lets it into
        events; None otherwise. `read` has it always.
    """

    id: str
    status: str
    module: str | None
    usage: float | None
    whiterabbit_conn_id: str
    output: Any = None

    @classmethod
    def from_extra(cls, extra: Mapping[str, Any]) -> Self:
        """Read the extra of an event."""
        return cls(
            id=extra["execution_id"],
            status=extra["status"],
            module=extra.get("module"),
            usage=extra.get("usage"),
            whiterabbit_conn_id=extra["whiterabbit_conn_id"],
            output=extra.get("output"),
        )

    def read(self) -> Execution:
        """Read the whole record from White Rabbit, output included."""
        from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook

        return WhiteRabbitHook(self.whiterabbit_conn_id).get_execution(self.id)


def executions(context: Mapping[str, Any]) -> list[EndedExecution]:
    """Return the executions whose events triggered this run, each once, in the order of their events."""
    found = {extra["execution_id"]: EndedExecution.from_extra(extra) for extra in _extras(context)}
    return list(found.values())


def execution(context: Mapping[str, Any]) -> EndedExecution:
    """Return the one execution that triggered this run.

    :raises WhiteRabbitInputError: if there is none, as in a run started by hand, or if there are several.
    """
    found = executions(context)
    if len(found) != 1:
        raise WhiteRabbitInputError(
            f"this run was triggered by {len(found)} executions; schedule=assets.each(…) gives each a run of its own "
            "(Airflow 3.2+), and assets.executions(context) returns them all"
        )
    return found[0]


def identity(connection_id: str, kind: Kind, name: str, outcome: Outcome) -> tuple[str, str]:
    """Return name and URI of an asset: plain ASCII, which is what MySQL can hold."""
    path = "/".join(quote(part, safe="") for part in (kind, name, outcome))
    # Airflow leaves URIs with a scheme of this form alone; for others it loads the metadata of every provider.
    return f"{prefix(connection_id)}{path}", f"x-{prefix(connection_id).replace('/', '://', 1)}{path}"


def prefix(connection_id: str) -> str:
    """Return how the names of all assets of a connection begin."""
    return f"whiterabbit/{quote(connection_id, safe='')}/"


def _asset(connection_id: str, kind: Kind, name: str, outcome: Literal[Outcome, "both"]) -> Any:
    checks.text(name, f"the name of a {kind}")
    if outcome == "both":
        return _asset(connection_id, kind, name, "success") | _asset(connection_id, kind, name, "failure")
    if outcome not in ("success", "failure"):
        raise WhiteRabbitInputError(f"outcome must be 'success', 'failure' or 'both', got {outcome!r:.100}")
    asset_name, uri = identity(connection_id, kind, name, outcome)
    try:
        return Asset(name=asset_name, uri=uri)
    except TypeError:  # Airflow 2, where an asset has no name
        return Asset(uri)


def _extras(context: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    by_asset: Mapping[Any, Iterable[Any]] = context.get("triggering_asset_events") or {}
    events = [event for events in by_asset.values() for event in events]
    for event in sorted(events, key=lambda event: event.timestamp):
        if "execution_id" in (event.extra or {}):  # not that of a workflow's task, or of a hand
            yield event.extra
