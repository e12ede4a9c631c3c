"""Emits the asset events of a finished execution, each once, in one transaction of Airflow's database.

An asset gets the execution's event when a live DAG is scheduled on the asset (see `listeners`), and not before: Airflow
never starts a run for an event that no live DAG hears. If some asset has to wait, the others get their events, and the
receiver answers 503, so that White Rabbit delivers the callback again.

The receiver has no table of its own. An asset's event of an execution is recognised by the execution's id in the
``extra`` of the events in the database. A lock on all assets of the connection makes simultaneous callbacks wait for
each other, also those in other processes, so each one sees the events of the one before. A repeat whose events are all
there needs no lock, because the receiver never removes an event.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import TYPE_CHECKING, Any

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.receiver.address import callback_name_in
from airflow_provider_whiterabbit.receiver.earlier import earlier_events
from airflow_provider_whiterabbit.receiver.listeners import Listeners, NotQueuedError
from airflow_provider_whiterabbit.receiver.traces import Traces

if TYPE_CHECKING:
    from airflow.models.asset import AssetModel
    from sqlalchemy.orm import Session

log = logging.getLogger(__name__)
_traces = Traces()

MAX_CLOCK_SKEW = timedelta(hours=1)
"""How far White Rabbit's clock may be ahead of this machine's clock when the receiver looks for an earlier asset event.

No event is older than its execution, so the receiver skips events that are older by more than this.
"""

BEFORE_WHITE_RABBIT = datetime(2015, 1, 1, tzinfo=UTC)
"""No execution is older than this."""


class CallbackResult(Enum):
    """What the callback receiver did with a valid callback."""

    EMITTED = "emitted"
    """The receiver emitted asset events of the execution, and no asset has to wait for its event."""
    REPEATED = "repeated"
    """The receiver emitted nothing, because the execution's assets already have their events."""
    UNWANTED = "unwanted"
    """The receiver emitted nothing: DAGs use only the failure asset of an execution that succeeded, or vice versa."""
    UNHEARD = "unheard"
    """No live DAG is scheduled on an asset of the execution, or on one that DAGs were scheduled on before.

    The other assets of the execution have their events. White Rabbit must deliver the callback again.
    """


def emit_events(connection_id: str, execution: Execution, output_bytes: int = 0) -> CallbackResult:
    """Emit the asset events of an execution, to each asset that has no event of the execution yet and is heard.

    :param connection_id: id of the connection that the callback belongs to.
    :param output_bytes: size of the largest output that goes into the events, in bytes; 0 for no outputs.
    """
    from airflow.utils.session import create_session

    outcome: assets.Outcome = "success" if execution.succeeded else "failure"
    other_outcome: assets.Outcome = "failure" if execution.succeeded else "success"
    extra = _event_extra(connection_id, execution, output_bytes)
    with create_session(scoped=False) as session:
        if _is_repeat(session, connection_id, execution, outcome, extra):
            return CallbackResult.REPEATED
    # A transaction of its own: where reads are repeatable, it would otherwise see no event that is newer than the read.
    with create_session(scoped=False) as session:
        connection_assets = _lock_assets(session, connection_id)
        emitted = _emitted(session, connection_assets, execution)
        if any(_contradicts(extra, other) for other in emitted.values()):
            return CallbackResult.REPEATED  # the first record of an execution counts, whatever another one says
        results = {
            _emit_event(session, asset, execution.id, extra)
            for asset in _assets_of(execution, outcome, connection_id, connection_assets)
            if asset.id not in emitted
        }
        for result in (CallbackResult.UNHEARD, CallbackResult.EMITTED):
            if result in results:
                return result
        if emitted:
            return CallbackResult.REPEATED
        others = _assets_of(execution, other_outcome, connection_id, connection_assets)
        is_unwanted = any(Listeners.of(session, asset) for asset in others)
        return CallbackResult.UNWANTED if is_unwanted else CallbackResult.UNHEARD


def _is_repeat(
    session: Session, connection_id: str, execution: Execution, outcome: assets.Outcome, extra: dict[str, Any]
) -> bool:
    """Return whether the events in the database make a callback a repeat, as `emit_events` would find with the lock."""
    from airflow.models.asset import AssetModel
    from sqlalchemy import select

    columns = select(AssetModel.id, AssetModel.name, AssetModel.uri)
    connection_assets = session.execute(columns.where(_are_of(connection_id))).all()
    emitted = _emitted(session, connection_assets, execution)
    if any(_contradicts(extra, other) for other in emitted.values()):
        return True
    wanted = _assets_of(execution, outcome, connection_id, connection_assets)
    return bool(emitted) and all(asset.id in emitted for asset in wanted)


def _emitted(session: Session, connection_assets: Sequence[Any], execution: Execution) -> dict[int, dict[str, Any]]:
    """Return the events of an execution that the assets of its connection have; see `earlier_events`."""
    since = _earliest_event(execution.created_at, datetime.now(UTC))
    return earlier_events(session, [asset.id for asset in connection_assets], execution.id, since)


def _emit_event(session: Session, asset: AssetModel, execution_id: str, extra: dict[str, Any]) -> CallbackResult | None:
    """Emit an asset's event of an execution if a live DAG hears it, without harm to the events of other assets.

    :return: None if nobody expects an event of the asset.
    """
    listeners = Listeners.of(session, asset)
    if not listeners:
        if not listeners.are_expected:
            return None
        log.warning("Execution %s: the DAGs of asset %s are paused, broken or gone", execution_id, asset.name)
        return CallbackResult.UNHEARD
    try:
        with session.begin_nested():
            listeners.register_event(session, asset, execution_id, extra)
    except NotQueuedError:
        log.warning("Execution %s: Airflow queued no run for an event of asset %s", execution_id, asset.name)
        return CallbackResult.UNHEARD
    except Exception as error:  # such as a stored DAG that Airflow cannot load, of which the other assets know nothing
        message = "Execution %s: the event of asset %s could not be emitted: %s"
        log.error(message, execution_id, asset.name, type(error).__name__, exc_info=_traces.is_due())
        return CallbackResult.UNHEARD
    return CallbackResult.EMITTED


def _lock_assets(session: Session, connection_id: str) -> Sequence[AssetModel]:
    """Return all Airflow assets of a connection, locked until the database transaction ends."""
    from airflow.models.asset import AssetModel
    from sqlalchemy import select, update

    of_connection = _are_of(connection_id)
    if session.get_bind().dialect.name == "sqlite":  # SQLite has no row locks; an update locks the whole database
        session.execute(
            update(AssetModel)
            .where(of_connection)
            .values(updated_at=AssetModel.updated_at)
            .execution_options(synchronize_session=False)
        )
    else:
        # PostgreSQL's repeatable reads would see nothing that others commit while this transaction waits for the lock.
        session.connection(execution_options={"isolation_level": "READ COMMITTED"})
    # Ordered by id, so that two transactions cannot deadlock. Airflow's own function `with_row_locks` locks nothing if
    # `[scheduler] use_row_level_locking` is off. The lock leaves out the keys, which other inserts refer to.
    query = select(AssetModel).where(of_connection).order_by(AssetModel.id)
    return session.scalars(query.with_for_update(key_share=True)).all()


def _are_of(connection_id: str) -> Any:
    """Return the condition of a query for the assets of a connection."""
    from airflow.models.asset import AssetModel

    return AssetModel.name.startswith(assets.prefix(connection_id), autoescape=True)


def _earliest_event(created_at: datetime | None, now: datetime) -> datetime:
    """Return a time before any event of an execution; an implausible time of creation bounds nothing."""
    if created_at is None or not BEFORE_WHITE_RABBIT < created_at < now + MAX_CLOCK_SKEW:
        return BEFORE_WHITE_RABBIT
    return created_at - MAX_CLOCK_SKEW


def _contradicts(extra: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two records of an execution, as the ``extra`` of events, differ in what chooses the assets."""
    return any(extra.get(name) != other.get(name) for name in ("module", "status"))


def _assets_of(
    execution: Execution, outcome: assets.Outcome, connection_id: str, connection_assets: Sequence[Any]
) -> list[Any]:
    """Return the assets that get an event when the execution ends with the given outcome.

    :param connection_assets: all assets of the connection, or rows with their ids, names and URIs.
    """
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
    return [asset for asset in connection_assets if (asset.name, asset.uri) in identities]


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
