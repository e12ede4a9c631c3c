"""Emits the asset events of a finished execution once, with all the events in one transaction of Airflow's database.

The receiver has no table of its own. A repeated callback is recognised by the execution's id in the ``extra`` of the
asset events in the database. A lock on all assets of the connection makes simultaneous callbacks wait for each other,
also those in other processes, so each one sees the events of the one before.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.receiver.address import callback_name_in
from airflow_provider_whiterabbit.receiver.earlier import earlier_events

if TYPE_CHECKING:
    from airflow.models.asset import AssetModel
    from sqlalchemy.orm import Session

MAX_CLOCK_SKEW = timedelta(hours=1)
"""How far White Rabbit's clock may be ahead of this machine's clock when the receiver looks for an earlier asset event.

No event is older than its execution, so the receiver skips events that are older by more than this.
"""


class CallbackResult(Enum):
    """What the callback receiver did with a valid callback."""

    EMITTED = "emitted"
    """The receiver emitted the asset events of the execution."""
    REPEATED = "repeated"
    """The receiver emitted nothing, because the execution already has an asset event."""
    UNWANTED = "unwanted"
    """The receiver emitted nothing: DAGs use only the failure asset of an execution that succeeded, or vice versa."""
    NO_LISTENER = "no_listener"
    """No DAG uses an asset of the execution, or every DAG that is scheduled on such an asset is paused."""


def emit_events(connection_id: str, execution: Execution, output_bytes: int = 0) -> CallbackResult:
    """Emit the asset events of an execution, unless the execution already has an asset event.

    :param connection_id: id of the connection that the callback belongs to.
    :param output_bytes: size of the largest output that goes into the events, in bytes; 0 for no outputs.
    """
    from airflow.utils.session import create_session

    outcome: assets.Outcome = "success" if execution.succeeded else "failure"
    with create_session(scoped=False) as session:
        connection_assets = _lock_assets(session, connection_id)
        if _has_event(session, [asset.id for asset in connection_assets], execution):
            return CallbackResult.REPEATED
        active_assets = [asset for asset in connection_assets if asset.active]
        execution_assets = _assets_of(execution, outcome, connection_id, active_assets)
        listeners = {asset: _Listeners.of(session, asset) for asset in execution_assets}
        if not any(listening.want_event for listening in listeners.values()):
            other_outcome: assets.Outcome = "failure" if outcome == "success" else "success"
            others = _assets_of(execution, other_outcome, connection_id, active_assets)
            return CallbackResult.UNWANTED if others and not execution_assets else CallbackResult.NO_LISTENER
        extra = _event_extra(connection_id, execution, output_bytes)
        for asset, listening in listeners.items():
            if listening.want_event:
                _register_event(session, asset, execution.id, extra, also_without_key=listening.need_event_without_key)
    return CallbackResult.EMITTED


def _lock_assets(session: Session, connection_id: str) -> Sequence[AssetModel]:
    """Return all Airflow assets of a connection, locked until the database transaction ends."""
    from airflow.models.asset import AssetModel
    from airflow.utils.sqlalchemy import with_row_locks
    from sqlalchemy import select, update

    of_connection = AssetModel.name.startswith(assets.prefix(connection_id), autoescape=True)
    if session.get_bind().dialect.name == "sqlite":  # SQLite has no row locks; an update locks the whole database
        session.execute(
            update(AssetModel)
            .where(of_connection)
            .values(updated_at=AssetModel.updated_at)
            .execution_options(synchronize_session=False)
        )
    # Ordered by id, so that two transactions cannot deadlock.
    query = select(AssetModel).where(of_connection).order_by(AssetModel.id)
    return session.scalars(with_row_locks(query, session)).all()


def _has_event(session: Session, asset_ids: Sequence[int], execution: Execution) -> bool:
    """Return whether the receiver has emitted an event of the execution to one of the given assets."""
    now = datetime.now(UTC)
    since = min(execution.created_at or now - timedelta(days=3650), now) - MAX_CLOCK_SKEW
    return bool(earlier_events(session, asset_ids, execution.id, since))


def _assets_of(
    execution: Execution, outcome: assets.Outcome, connection_id: str, active_assets: Sequence[AssetModel]
) -> list[AssetModel]:
    """Return the active assets that get an event when the execution ends with the given outcome."""
    # The name comes from the URL in the record, which is signed. The URL of the request is not signed.
    url = execution.callback.url if execution.callback else None
    kinds_and_names: tuple[tuple[assets.Kind, str | None], ...] = (
        ("module", execution.module),
        ("named", callback_name_in(url) if url else None),
    )
    identities = {
        assets.identity(connection_id, kind, name, outcome)
        for kind, name in kinds_and_names
        if name and _storable_json(name)
    }
    return [asset for asset in active_assets if (asset.name, asset.uri) in identities]


def _event_extra(connection_id: str, execution: Execution, output_bytes: int) -> dict[str, Any]:
    """Return the ``extra`` of an execution's asset events, in the form that `assets.EndedExecution` reads."""
    extra = {
        "execution_id": execution.id,
        "whiterabbit_conn_id": connection_id,
        "module": execution.module,
        "status": str(execution.status),
        "usage": execution.total_usage,
    }
    output = execution.error if execution.failed else execution.output
    output_json = _storable_json(output) if output_bytes else None
    if output_json is not None and len(output_json) <= output_bytes:
        extra["output"] = output
    return {name: value for name, value in extra.items() if _storable_json(value) is not None}


def _storable_json(value: Any) -> bytes | None:
    """Return a value's JSON as bytes; None if PostgreSQL could not read the JSON.

    PostgreSQL fails a query that reads such a value, even if the query looks for another event.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):  # NaN, an infinity, or a lone surrogate
        return None
    return None if rb"\u0000" in text else text


@dataclass(frozen=True, slots=True)
class _Listeners:
    """The DAGs that are scheduled on an asset, and the kind of asset event that the DAGs need.

    :param want_event: whether one of the DAGs is not paused, or no DAG is scheduled on the asset (some DAG mentions
        the asset nevertheless, or the asset would not be active).
    :param need_event_without_key: whether an unpaused DAG is scheduled on the asset itself and not on its partitions.
    """

    want_event: bool
    need_event_without_key: bool

    @classmethod
    def of(cls, session: Session, asset: AssetModel) -> Self:
        """Query the DAGs that are scheduled on an asset, and return which asset events the DAGs need."""
        from airflow.models.asset import (
            DagScheduleAssetNameReference,
            DagScheduleAssetReference,
            DagScheduleAssetUriReference,
        )
        from airflow.models.dag import DagModel
        from sqlalchemy import or_, select

        references = (
            select(DagScheduleAssetReference.dag_id).where(DagScheduleAssetReference.asset_id == asset.id),
            select(DagScheduleAssetNameReference.dag_id).where(DagScheduleAssetNameReference.name == asset.name),
            select(DagScheduleAssetUriReference.dag_id).where(DagScheduleAssetUriReference.uri == asset.uri),
        )
        query = select(DagModel).where(or_(*(DagModel.dag_id.in_(dag_ids) for dag_ids in references)))
        dags = session.scalars(query).all()
        unpaused = [dag for dag in dags if not dag.is_paused]
        # Before Airflow 3.2 there are no partitions, and an event with a key reaches all DAGs.
        all_partitioned = all(getattr(dag, "timetable_partitioned", True) for dag in unpaused)
        return cls(want_event=bool(unpaused) or not dags, need_event_without_key=not all_partitioned)


def _register_event(
    session: Session, asset: AssetModel, execution_id: str, extra: dict[str, Any], *, also_without_key: bool
) -> None:
    from airflow.assets.manager import asset_manager

    # Airflow before 3.2 ignores the key.
    asset_manager.register_asset_change(asset=asset, extra=extra, session=session, partition_key=execution_id)
    if also_without_key:
        # Airflow hides an event with a key from DAGs that are scheduled on the asset itself.
        asset_manager.register_asset_change(asset=asset, extra=extra, session=session)
