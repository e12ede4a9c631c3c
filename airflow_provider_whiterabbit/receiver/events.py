"""A finished record becomes an event of its assets, once, in one transaction of Airflow's database.

There is no table of our own. What tells a repeat is the execution's id in the extra of the events that there are, and
what keeps two deliveries of one record apart is a lock on the assets of their connection: whoever comes second sees
what the first has done, in whichever process, or waits until it is undone.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any, Self

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.client.records.execution import Execution, ExecutionStatus
from airflow_provider_whiterabbit.receiver.address import name_in

if TYPE_CHECKING:
    from airflow.models.asset import AssetModel
    from sqlalchemy.orm import Session

LONGEST_SKEW = timedelta(hours=1)
"""How far White Rabbit's clock may be ahead of ours: no event is older than its execution, give or take that much."""


class Result(Enum):
    """What became of a record."""

    EMITTED = "emitted"
    REPEATED = "repeated"
    UNWANTED = "unwanted"
    """DAGs listen for the other outcome."""
    UNHEARD = "unheard"
    """No DAG listens for the component, or for the name that was given with it, or those that do are paused."""


def emit(connection_id: str, execution: Execution, output_bytes: int = 0) -> Result:
    """Emit the events of a record, unless there is one of this execution already.

    :param output_bytes: size of the largest output that goes into the event; 0 for none.
    """
    from airflow.utils.session import create_session

    outcome: assets.Outcome = "success" if execution.status is ExecutionStatus.COMPLETED else "failure"
    with create_session(scoped=False) as session:
        known = _lock(session, connection_id)
        if _has_event(session, [asset.id for asset in known], execution):
            return Result.REPEATED
        live = [asset for asset in known if asset.active]
        wanted = _of(live, connection_id, execution, outcome)
        listeners = {asset: found for asset in wanted if (found := _Listeners.of(session, asset)).hear}
        if not listeners:
            other = _of(live, connection_id, execution, "failure" if outcome == "success" else "success")
            return Result.UNWANTED if other and not wanted else Result.UNHEARD
        extra = _extra(connection_id, execution, output_bytes)
        for asset, found in listeners.items():
            _register(session, asset, execution.id, extra, plainly=found.plain)
    return Result.EMITTED


def _lock(session: Session, connection_id: str) -> Sequence[AssetModel]:
    """Return all assets of a connection, in a transaction that no other one of this kind runs beside."""
    from airflow.models.asset import AssetModel
    from airflow.utils.sqlalchemy import with_row_locks
    from sqlalchemy import select, update

    ours = AssetModel.name.startswith(assets.prefix(connection_id), autoescape=True)
    if session.get_bind().dialect.name == "sqlite":  # has no locks on rows, but one for all that write
        session.execute(
            update(AssetModel)
            .where(ours)
            .values(updated_at=AssetModel.updated_at)
            .execution_options(synchronize_session=False)
        )
    # In the order of their ids, so that nobody waits for one who waits for him.
    return session.scalars(with_row_locks(select(AssetModel).where(ours).order_by(AssetModel.id), session)).all()


def _has_event(session: Session, asset_ids: Sequence[int], execution: Execution) -> bool:
    from airflow.models.asset import AssetEvent
    from sqlalchemy import JSON, select, type_coerce

    now = datetime.now(UTC)
    # The index is on asset and time. Without a bound every event that there ever was would be read.
    since = min(execution.created_at or now - timedelta(days=3650), now) - LONGEST_SKEW
    extra = type_coerce(AssetEvent.extra, JSON)  # before Airflow 3.2 it is a type that has no members
    found = select(AssetEvent.id).where(
        AssetEvent.asset_id.in_(asset_ids),
        AssetEvent.timestamp > since,
        extra["execution_id"].as_string() == execution.id,
    )
    return session.scalar(found.limit(1)) is not None


def _of(
    live: Sequence[AssetModel], connection_id: str, execution: Execution, outcome: assets.Outcome
) -> list[AssetModel]:
    """Return those of the assets that belong to a record."""
    # The URL in the record is signed. That of the request is not.
    url = execution.callback.url if execution.callback else None
    about: tuple[tuple[assets.Kind, str | None], ...] = (
        ("module", execution.module),
        ("named", name_in(url) if url else None),
    )
    identities = {
        assets.identity(connection_id, kind, name, outcome) for kind, name in about if name and _storable(name)
    }
    return [asset for asset in live if (asset.name, asset.uri) in identities]


def _extra(connection_id: str, execution: Execution, output_bytes: int) -> dict[str, Any]:
    extra = {
        "execution_id": execution.id,
        "whiterabbit_conn_id": connection_id,
        "module": execution.module,
        "status": str(execution.status),
        "usage": execution.total_usage,
    }
    output = execution.error if execution.status is ExecutionStatus.FAILED else execution.output
    text = _storable(output) if output_bytes else None
    if text is not None and len(text) <= output_bytes:
        extra["output"] = output
    return {name: value for name, value in extra.items() if _storable(value) is not None}


def _storable(value: Any) -> bytes | None:
    """Return a value's JSON; None if PostgreSQL could not read it, and with it no other event beside it."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):  # a number that is none, half a surrogate pair
        return None
    return None if rb"\u0000" in text else text


@dataclass(frozen=True, slots=True)
class _Listeners:
    """The DAGs that are scheduled on an asset.

    :param hear: whether an event reaches one that is not paused, or there are none and it is wanted for itself.
    :param plain: whether one of them is scheduled on the asset as such, and not on its partitions.
    """

    hear: bool
    plain: bool

    @classmethod
    def of(cls, session: Session, asset: AssetModel) -> Self:
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
        scheduled = select(DagModel).where(or_(*(DagModel.dag_id.in_(dag_ids) for dag_ids in references)))
        dags = session.scalars(scheduled).all()
        awake = [dag for dag in dags if not dag.is_paused]
        # Before Airflow 3.2 there are no partitions, and an event reaches all.
        return cls(bool(awake) or not dags, not all(getattr(dag, "timetable_partitioned", True) for dag in awake))


def _register(session: Session, asset: AssetModel, execution_id: str, extra: dict[str, Any], *, plainly: bool) -> None:
    from airflow.assets.manager import asset_manager

    # Before Airflow 3.2 nothing is made of the key.
    asset_manager.register_asset_change(asset=asset, extra=extra, session=session, partition_key=execution_id)
    if plainly:
        # Airflow hides an event with a key from DAGs that are scheduled on the asset as such.
        asset_manager.register_asset_change(asset=asset, extra=extra, session=session)
