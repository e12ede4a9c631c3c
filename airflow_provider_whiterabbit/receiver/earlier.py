"""Finds the asset events that the receiver has emitted for an execution, among those that anybody else has created."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit import assets

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


def earlier_events(
    session: Session, asset_ids: Sequence[int], execution_id: str, since: datetime
) -> dict[int, dict[str, Any]]:
    """Return the ``extra`` of the receiver's events of an execution, by the ids of the assets that have such an event.

    An event that a task or a user has created, whatever its ``extra`` says, is none of the receiver's: otherwise anyone
    who may create asset events could keep the events of an execution from being emitted.

    :param asset_ids: ids of the assets whose events are searched.
    :param execution_id: an id that `checks.identifier` accepts.
    :param since: the events are newer than this. Airflow has an index on asset and time; without this bound, the query
        would read every asset event.
    """
    from airflow.models.asset import AssetEvent
    from sqlalchemy import Text, and_, cast, or_, select

    # The text of the JSON is searched, because PostgreSQL fails a query that looks into JSON which contains "\u0000".
    is_of_execution = cast(AssetEvent.extra, Text).contains(execution_id, autoescape=True)
    if hasattr(AssetEvent, "partition_key"):
        # On Airflow 3.2+, `listeners` gives events the id as their key, which is found several times faster. The events
        # of before an upgrade to 3.2 have no key.
        key: Any = AssetEvent.partition_key
        is_of_execution = or_(key == execution_id, and_(key.is_(None), is_of_execution))
    query = select(AssetEvent.asset_id, AssetEvent.extra, AssetEvent.source_task_id).where(
        AssetEvent.asset_id.in_(asset_ids),
        AssetEvent.timestamp > since,
        AssetEvent.source_task_id.is_(None),
        is_of_execution,
    )
    return {
        event.asset_id: event.extra
        for event in session.execute(query)
        if assets.is_from_receiver(event) and event.extra["execution_id"] == execution_id
    }
