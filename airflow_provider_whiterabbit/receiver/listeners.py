"""Finds the DAGs that an asset event would start now, and checks that Airflow has queued their runs.

Only a *live* DAG hears an event: one that is scheduled on the asset and not paused, and whose file Airflow can import.
Airflow never starts a run of a paused DAG for the event, and drops a DAG's references to assets when its file breaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from airflow.models.asset import AssetEvent, AssetModel
    from sqlalchemy.orm import Session


MAX_SERVER_SKEW = timedelta(seconds=10)
"""How far the clocks of two API servers may differ; an event that is later than this does not delay the next ones."""


class NotQueuedError(Exception):
    """Raised if Airflow stored an asset event but queued no run for it; the caller must roll the event back."""


@dataclass(frozen=True, slots=True)
class Listeners:
    """The DAGs that are scheduled on an asset, in one transaction.

    :param partitioned: ids of the live DAGs that are scheduled on the asset's partitions (Airflow 3.2+).
    :param plain: ids of the live DAGs that are scheduled on the asset itself.
    :param are_expected: whether a DAG that is paused or broken is scheduled on the asset.
    """

    partitioned: frozenset[str]
    plain: frozenset[str]
    are_expected: bool

    @classmethod
    def of(cls, session: Session, asset: AssetModel) -> Self:
        """Query the DAGs that are scheduled on an asset."""
        # Airflow may break or mend a DAG between two statements, but one statement sees either state.
        rows = session.execute(_dags_on(asset)).all() or session.execute(_dags_on(asset, or_before=True)).all()
        # An inactive asset starts no run, and becomes active soon after a DAG that is scheduled on it is parsed.
        live = [row for row in rows if asset.active and not (row.is_paused or row.is_stale or row.has_import_errors)]
        return cls(
            partitioned=frozenset(row.dag_id for row in live if row.is_partitioned),
            plain=frozenset(row.dag_id for row in live if not row.is_partitioned),
            are_expected=len(rows) > len(live),
        )

    def __bool__(self) -> bool:
        return bool(self.partitioned or self.plain)

    def register_event(self, session: Session, asset: AssetModel, execution_id: str, extra: dict[str, Any]) -> None:
        """Store the asset events of an execution, and make Airflow queue a run of the DAGs.

        A DAG on the asset itself needs an event of its own, because Airflow hides an event with a key from it.

        :raises NotQueuedError: if Airflow queued no run, such as for DAGs that were paused a moment ago.
        """
        from airflow.assets.manager import asset_manager

        # Airflow before 3.2 ignores the key.
        event = asset_manager.register_asset_change(
            asset=asset, extra=extra, session=session, partition_key=execution_id
        )
        is_queued = bool(self.partitioned) and _has_partition(session, event)
        if self.plain:
            if _has_partitions():
                event = asset_manager.register_asset_change(asset=asset, extra=extra, session=session)
            is_queued |= event is not None and _touch_queue(session, asset, self.plain, _newest(session, event))
        if not is_queued:
            raise NotQueuedError


def _has_partitions() -> bool:
    """Return whether this Airflow has partitions of assets (3.2+); before, all DAGs see an event with a key."""
    from airflow.models.dag import DagModel

    return hasattr(DagModel, "timetable_partitioned")


def _dags_on(asset: AssetModel, *, or_before: bool = False) -> Any:
    """Return a query for the DAGs that are scheduled on an asset.

    :param or_before: query also the DAGs whose file is broken or gone, and which were scheduled on the asset when
        Airflow last parsed the file. Airflow drops the references of such a DAG to assets, but keeps its schedule until
        somebody deletes the DAG. The query reads all stale DAGs.
    """
    from airflow.models.asset import (
        DagScheduleAssetNameReference,
        DagScheduleAssetReference,
        DagScheduleAssetUriReference,
    )
    from airflow.models.dag import DagModel
    from sqlalchemy import Text, and_, cast, false, or_, select

    references = (
        select(DagScheduleAssetReference.dag_id).where(DagScheduleAssetReference.asset_id == asset.id),
        select(DagScheduleAssetNameReference.dag_id).where(DagScheduleAssetNameReference.name == asset.name),
        select(DagScheduleAssetUriReference.dag_id).where(DagScheduleAssetUriReference.uri == asset.uri),
    )
    conditions: list[Any] = [DagModel.dag_id.in_(dag_ids) for dag_ids in references]
    if or_before:
        schedule = cast(DagModel.asset_expression, Text)
        # The names and URIs of this provider's assets are ASCII, and JSON escapes none of their characters.
        named = [schedule.contains(f'"{name}"', autoescape=True) for name in (asset.name, asset.uri)]
        conditions.append(and_(DagModel.is_stale.is_(True), or_(*named)))
    is_partitioned = DagModel.timetable_partitioned if _has_partitions() else false()
    return select(
        DagModel.dag_id,
        DagModel.is_paused,
        DagModel.is_stale,
        DagModel.has_import_errors,
        is_partitioned.label("is_partitioned"),
    ).where(or_(*conditions))


def _has_partition(session: Session, event: AssetEvent | None) -> bool:
    """Return whether Airflow has queued a run for the partition of an event."""
    from airflow.models.asset import PartitionedAssetKeyLog
    from sqlalchemy import select

    session.flush()
    log_id = PartitionedAssetKeyLog.id
    query = select(log_id).where(PartitionedAssetKeyLog.asset_event_id == (event.id if event else None))
    return session.scalar(query.limit(1)) is not None


def _newest(session: Session, event: AssetEvent) -> datetime:
    """Make a new event of an asset the newest one, and return its time.

    Airflow gives a run the events of a period of time. If the clock of another API server is ahead, an event that this
    server emits later would be the older one of the two, and one of them would miss its run.
    """
    from airflow.models.asset import AssetEvent
    from sqlalchemy import func, select

    query = select(func.max(AssetEvent.timestamp)).where(
        AssetEvent.asset_id == event.asset_id,
        AssetEvent.id != event.id,
        AssetEvent.timestamp >= event.timestamp,
        AssetEvent.timestamp <= event.timestamp + MAX_SERVER_SKEW,
    )
    if (newest := session.scalar(query)) is not None:
        event.timestamp = newest + timedelta(microseconds=1)
    return event.timestamp


def _touch_queue(session: Session, asset: AssetModel, dag_ids: frozenset[str], event_time: datetime) -> bool:
    """Return whether one of the DAGs waits for a run in Airflow's queue; make the run include the newest event.

    A run takes the events up to the time of its row in the queue, and Airflow leaves a row as it is when another event
    comes. Without the update, the newest event would wait for the run of the next event, however late it comes. The
    update waits for a scheduler that is taking the row, and then finds no row. The scheduler of Airflow 3.1 takes it
    without a lock: an event between its first look and its end still waits for the next one.

    :param event_time: time of the newest event. A later time would hide the next event of a server whose clock is late.
    """
    from airflow.models.asset import AssetDagRunQueue
    from sqlalchemy import update

    session.flush()
    statement = (
        update(AssetDagRunQueue)
        .where(AssetDagRunQueue.asset_id == asset.id, AssetDagRunQueue.target_dag_id.in_(dag_ids))
        .values(created_at=event_time)
        .execution_options(synchronize_session=False)
    )
    result: Any = session.execute(statement)  # the types of SQLAlchemy do not know that an update counts its rows
    return bool(result.rowcount)
