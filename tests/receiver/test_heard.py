"""Each asset of an execution gets its event once, when a live DAG hears it; until then the receiver answers 503."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import requests

from airflow_provider_whiterabbit import assets
from tests.receiver.conftest import AssetDatabase, RunningReceiver
from tests.receiver.deliveries import record_of
from tests.versions import HAS_RUN_EACH, needs_receiver, needs_run_each

pytestmark = needs_receiver

PAY, MINE = assets.module("PAY"), assets.named("mine")
WAYS = [True, False] if HAS_RUN_EACH else [True]


def answer_of(answer: requests.Response) -> str | int:
    """Return the result in a successful answer, or the status of another one."""
    return str(answer.json()["result"]) if answer.ok else answer.status_code


def named_record(**changes: Any) -> dict[str, Any]:
    """Return the record of an execution of PAY that was submitted with ``callback="mine"``."""
    return record_of(callback={"url": "https://x/whiterabbit/callbacks/whiterabbit_default?name=mine"}, **changes)


def names(database: AssetDatabase) -> list[tuple[str, str]]:
    """Return the ids of the executions that have events, each with the kinds of its assets that have one."""
    return sorted({(event["extra"]["execution_id"], event["asset"].split("/")[2]) for event in database.events()})


# --- one asset


def test_no_dag_is_scheduled(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """The receiver answers 503 while no DAG is scheduled on the asset, and accepts the callback once a DAG is."""
    database.schedule(assets.module("OTHER"))
    record = record_of()
    answer = receiver.post(record)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert answer.json() == {"detail": "no live DAG is scheduled on an asset of this execution of module PAY"}
    dag_id = database.schedule(PAY)
    assert answer_of(receiver.post(record)) == "emitted"
    assert database.queued() == {dag_id}


def test_answer_about_a_hostile_module(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """The answer names the module in readable form; a lone surrogate could not be sent."""
    database.schedule(assets.module("OTHER"))
    answer = receiver.post(record_of("half \ud83d"))
    assert answer.status_code == 503
    assert answer.json()["detail"].endswith("of module half \ufffd")


def test_an_asset_that_dags_only_mention(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """An asset that is only an inlet or outlet of DAGs gets no event: nobody would see the end of the execution."""
    database.add_assets(PAY)
    assert answer_of(receiver.post(record_of())) == 503
    assert database.events() == []


@pytest.mark.parametrize("plain", WAYS)
def test_a_dag_that_is_paused(receiver: RunningReceiver, database: AssetDatabase, plain: bool) -> None:
    """The receiver answers 503 while the DAG is paused, because Airflow would never start a run for the event."""
    dag_id = database.schedule(PAY, paused=True, plain=plain)
    record = record_of()
    assert answer_of(receiver.post(record)) == 503
    assert database.events() == []
    database.pause(dag_id, False)
    assert answer_of(receiver.post(record)) == "emitted"
    assert database.queued() == {dag_id}


@pytest.mark.parametrize("swept", [False, True])
@pytest.mark.parametrize("plain", WAYS)
def test_a_dag_that_breaks_and_heals(
    receiver: RunningReceiver, database: AssetDatabase, plain: bool, swept: bool
) -> None:
    """The receiver answers 503 while the DAG's file is broken, and accepts the callback when the file is mended."""
    dag_id = database.schedule(PAY, plain=plain)
    known, record = record_of(), record_of()
    assert answer_of(receiver.post(known)) == "emitted"
    before = database.events()
    database.break_file(dag_id, swept=swept)
    assert answer_of(receiver.post(record)) == 503
    assert answer_of(receiver.post(known)) == "repeated"
    assert database.events() == before
    database.schedule(PAY, plain=plain, dag_id=dag_id)
    assert answer_of(receiver.post(record)) == "emitted"


def test_a_dag_that_is_stale_before_its_references_go(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """A DAG that Airflow has just marked as stale hears nothing, though its references are still there."""
    dag_id = database.schedule(PAY)
    database.change_dag(dag_id, is_stale=True)
    assert answer_of(receiver.post(record_of())) == 503
    database.change_dag(dag_id, is_stale=False, has_import_errors=True)
    assert answer_of(receiver.post(record_of())) == 503


def test_a_dag_that_is_mended_meanwhile(database: AssetDatabase) -> None:
    """A DAG that is broken when the receiver looks first, and mended when it looks again, is not overlooked."""
    from airflow.models.asset import AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import event, select

    from airflow_provider_whiterabbit.receiver.listeners import Listeners

    dag_id = database.schedule(PAY)
    database.break_file(dag_id)
    statements: list[str] = []

    def mend_before_second(_connection: Any, _cursor: Any, statement: str, *_others: Any) -> None:
        statements.append(statement)
        if len(statements) == 2:
            database.schedule(PAY, dag_id=dag_id)

    with create_session(scoped=False) as session:
        asset = session.scalars(select(AssetModel).where(AssetModel.name == PAY.name)).one()
        assert asset.active
        event.listen(session.get_bind(), "before_cursor_execute", mend_before_second)
        try:
            listeners = Listeners.of(session, asset)
        finally:
            event.remove(session.get_bind(), "before_cursor_execute", mend_before_second)
    assert len(statements) > 2
    assert listeners or listeners.are_expected


def test_an_asset_that_is_not_active(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """An asset that Airflow has not activated gets no event: Airflow would start no run for it."""
    from airflow.models.asset import AssetActive
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    database.schedule(PAY)
    with create_session() as session:
        session.execute(delete(AssetActive))
    assert answer_of(receiver.post(record_of())) == 503
    assert database.events() == []


def test_two_dags_on_one_asset(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """An asset gets its event when one of its DAGs is live; Airflow skips the DAG that is paused, as the page says."""
    live = database.schedule(PAY)
    paused = database.schedule(PAY, paused=True)
    record = record_of()
    assert answer_of(receiver.post(record)) == "emitted"
    assert database.queued() == {live}
    database.pause(paused, False)
    assert answer_of(receiver.post(record)) == "repeated"
    assert database.queued() == {live}


# --- the asset of the other outcome


def test_only_the_other_outcome_has_an_asset(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """If DAGs are scheduled on the asset of the other outcome only, the receiver answers 200 and emits no event."""
    database.schedule(assets.module("PAY", "failure"))
    record = record_of()
    assert answer_of(receiver.post(record)) == "unwanted"
    assert database.events() == []
    database.schedule(PAY)
    assert answer_of(receiver.post(record)) == "emitted"


@pytest.mark.parametrize("state", ["paused", "broken"])
def test_unwanted_is_said_by_live_dags_only(receiver: RunningReceiver, database: AssetDatabase, state: str) -> None:
    """While the DAG of the other outcome is paused or broken, nobody knows what it wants."""
    dag_id = database.schedule(assets.module("PAY", "failure"), paused=state == "paused")
    if state == "broken":
        database.break_file(dag_id)
    assert answer_of(receiver.post(record_of())) == 503


# --- two assets


@pytest.mark.parametrize("state", ["paused", "broken", "broken and swept"])
def test_one_of_two_assets_waits(receiver: RunningReceiver, database: AssetDatabase, state: str) -> None:
    """The asset that is heard gets its event at once, the other one gets its own later, and both get one."""
    database.schedule(PAY)
    other = database.schedule(MINE, paused=state == "paused")
    if state != "paused":
        database.break_file(other)
        if state == "broken and swept":
            database.change_active(MINE, False)
    record = named_record()
    assert [answer_of(receiver.post(record)) for _ in range(3)] == [503] * 3
    assert names(database) == [(record["id"], "module")]
    database.pause(other, False)
    database.schedule(MINE, dag_id=other)
    assert answer_of(receiver.post(record)) == "emitted"
    assert answer_of(receiver.post(record)) == "repeated"
    assert names(database) == [(record["id"], "module"), (record["id"], "named")]
    assert len(database.events()) == 2


def test_a_dag_that_is_deleted_expects_nothing(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """A DAG whose file is gone is expected to come back, until somebody deletes the DAG in Airflow."""
    database.schedule(PAY)
    other = database.schedule(MINE)
    database.break_file(other)
    assert answer_of(receiver.post(named_record())) == 503
    database.delete(other)
    assert answer_of(receiver.post(named_record())) == "emitted"


def test_a_dag_that_moves_to_another_asset(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """A DAG that is no longer scheduled on an asset does not keep the callbacks of another asset waiting."""
    dag_id = database.schedule(PAY)
    database.schedule(MINE, dag_id=dag_id)
    record = named_record()
    assert answer_of(receiver.post(record)) == "emitted"
    assert names(database) == [(record["id"], "named")]


def test_another_asset_that_dags_only_mention(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """An asset that is only an inlet or outlet does not keep the callback waiting."""
    database.add_assets(MINE)
    database.schedule(PAY)
    record = named_record()
    assert answer_of(receiver.post(record)) == "emitted"
    assert names(database) == [(record["id"], "module")]


@pytest.mark.parametrize("name", ["min", "mine2", "min_", "%"])
def test_a_broken_dag_of_an_asset_with_a_similar_name(
    receiver: RunningReceiver, database: AssetDatabase, name: str
) -> None:
    """A broken DAG keeps only the callbacks of its own asset waiting."""
    database.schedule(PAY)
    database.add_assets(MINE)
    database.break_file(database.schedule(assets.named(name)))
    assert answer_of(receiver.post(named_record())) == "emitted"


# --- what Airflow queues


@needs_run_each  # before Airflow 3.2, events have no keys, and one event reaches all DAGs
def test_plain_schedules(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """A DAG on the asset itself gets a second event without a key, because Airflow hides events with a key from it."""
    dag_id = database.schedule(PAY, plain=True)
    record = record_of()
    assert answer_of(receiver.post(record)) == "emitted"
    assert answer_of(receiver.post(record)) == "repeated"
    first, second = database.events()
    assert [first["key"], second["key"]] == [record["id"], None]
    assert first["extra"] == second["extra"]
    assert database.queued() == {dag_id}


def test_plain_runs_take_the_newest_event(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """A run that waits in Airflow's queue takes all events up to the newest one."""
    from airflow.models.asset import AssetDagRunQueue, AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import func, select

    database.schedule(PAY, plain=True)
    for _ in range(3):
        assert answer_of(receiver.post(record_of())) == "emitted"
        with create_session() as session:
            queued_at = session.scalar(select(AssetDagRunQueue.created_at))
            assert queued_at >= session.scalar(select(func.max(AssetEvent.timestamp)))


def test_plain_runs_if_clocks_differ(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """If the clock of the server that emitted the last event is ahead, a run takes that event and the next one."""
    from airflow.models.asset import AssetDagRunQueue, AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import select, update

    database.schedule(PAY, plain=True)
    assert answer_of(receiver.post(record_of())) == "emitted"
    with create_session() as session:
        queued_at = session.scalar(select(AssetDagRunQueue.created_at))
        assert queued_at
        events = session.scalars(select(AssetEvent)).all()
        for event in events:
            event.timestamp += timedelta(seconds=5)
        session.execute(update(AssetDagRunQueue).values(created_at=queued_at + timedelta(seconds=5)))
        ahead = max(event.timestamp for event in events)
    assert answer_of(receiver.post(record_of())) == "emitted"
    with create_session() as session:
        newest = session.scalar(select(AssetEvent.timestamp).order_by(AssetEvent.id.desc()).limit(1))
        assert newest
        assert ahead < newest <= session.scalars(select(AssetDagRunQueue.created_at)).one()


@needs_run_each
def test_an_event_that_airflow_queues_no_run_for(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """If Airflow can't map the key of the event to a run, the asset has no event, and the other asset has its own."""
    from airflow.sdk import PartitionedAssetTimetable, StartOfDayMapper

    daily = PartitionedAssetTimetable(assets=PAY, default_partition_mapper=StartOfDayMapper())
    daily_id = database.add_dag(daily)
    database.schedule(MINE)
    record = named_record()
    assert [answer_of(receiver.post(record)) for _ in range(2)] == [503] * 2
    assert names(database) == [(record["id"], "named")]
    database.delete(daily_id)
    database.schedule(PAY)
    assert answer_of(receiver.post(record)) == "emitted"
    assert names(database) == [(record["id"], "module"), (record["id"], "named")]


@needs_run_each
def test_a_dag_that_airflow_cannot_load(
    receiver: RunningReceiver, database: AssetDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """An asset whose DAG Airflow can't load does not keep the event of the other asset back, and fills no log."""
    from airflow.models.serialized_dag import SerializedDagModel
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    dag_id = database.schedule(PAY)
    database.schedule(MINE)
    with create_session() as session:
        session.execute(delete(SerializedDagModel).where(SerializedDagModel.dag_id == dag_id))
    record = named_record()
    assert {answer_of(receiver.post(record)) for _ in range(3)} == {503}
    assert names(database) == [(record["id"], "named")]
    errors = [entry for entry in caplog.records if "could not be emitted" in entry.getMessage()]
    assert len(errors) == 3
    assert sum(1 for entry in errors if entry.exc_info) < len(errors)


# --- repeats


@pytest.mark.parametrize(
    "created_at",
    ["0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00", "1969-12-31T23:59:59Z", None],
)
def test_times_that_cannot_be(receiver: RunningReceiver, database: AssetDatabase, created_at: str | None) -> None:
    """A record with an implausible time of creation is accepted once."""
    database.schedule(PAY)
    record = record_of(createdAt=created_at)
    assert [answer_of(receiver.post(record)) for _ in range(2)] == ["emitted", "repeated"]


def test_a_record_that_says_something_else(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """The first record of an execution counts; another one emits nothing, though its assets have no events yet."""
    database.schedule(assets.module("PAY", "both"))
    database.schedule(assets.module("SWAP", "both"))
    record = record_of()
    assert answer_of(receiver.post(record)) == "emitted"
    for changes in ({"module": "SWAP"}, {"status": "FAILED", "error": "late", "output": None}, {"module": None}):
        assert answer_of(receiver.post(json.dumps(record | changes).encode())) == "repeated"
    assert len(database.events()) == 1


def test_a_repeat_needs_no_lock(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """The receiver recognises a repeat while another transaction has locked the assets, as that of a new execution."""
    from airflow.models.asset import AssetModel
    from airflow.utils.session import create_session
    from sqlalchemy import update

    database.schedule(PAY)
    database.schedule(MINE)
    record = named_record()
    assert answer_of(receiver.post(record)) == "emitted"
    with create_session(scoped=False) as session:
        session.execute(update(AssetModel).values(updated_at=AssetModel.updated_at))
        assert answer_of(receiver.post(record)) == "repeated"
        assert answer_of(receiver.post(record | {"module": "SWAP"})) == "repeated"
    assert len(database.events()) == 2


@needs_run_each
def test_events_of_before_an_upgrade(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """The receiver recognises an execution whose event has no key, because an Airflow before 3.2 has stored it."""
    from airflow.models.asset import AssetEvent
    from airflow.utils.session import create_session
    from sqlalchemy import update

    database.schedule(PAY)
    record = record_of()
    assert answer_of(receiver.post(record)) == "emitted"
    with create_session() as session:
        session.execute(update(AssetEvent).values(partition_key=None))
    assert answer_of(receiver.post(record)) == "repeated"
    assert len(database.events()) == 1
