"""Assets of executions: their names, and the executions that a run reads from the events that triggered it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from tests.versions import HAS_RUN_EACH, HAS_SDK


def event(execution_id: str = "e-1", second: int = 0, **extra: Any) -> Any:
    """Return an asset event of the receiver, as Airflow hands it to a task.

    :param second: when the event happened, in seconds from a fixed time.
    """
    default_extra = {"whiterabbit_conn_id": "whiterabbit_default", "module": "PAY", "status": "COMPLETED", "usage": 1.5}
    when = datetime(2026, 4, 20, tzinfo=UTC) + timedelta(seconds=second)
    return SimpleNamespace(extra={"execution_id": execution_id, **default_extra, **extra}, timestamp=when)


def context(**events: list[Any]) -> dict[str, Any]:
    """Return the context of a task in a run that these events triggered, by asset."""
    return {"triggering_asset_events": events}


@pytest.mark.parametrize(
    ("asset", "name", "uri"),
    [
        (assets.module("PAY"), "default/module/PAY/success", "default/module/PAY/success"),
        (assets.module("PAY", "failure"), "default/module/PAY/failure", "default/module/PAY/failure"),
        (assets.named("é/ü?"), "default/named/%C3%A9%2F%C3%BC%3F/success", "default/named/%C3%A9%2F%C3%BC%3F/success"),
        (assets.workflow("w-1"), "default/workflow/w-1/success", "default/workflow/w-1/success"),
    ],
)
def test_names(asset: Any, name: str, uri: str) -> None:
    """The name and the URI of an asset consist of connection, kind, name and outcome; databases store both."""
    if HAS_SDK:  # in Airflow 2 an asset has only a URI
        assert asset.name == f"whiterabbit/whiterabbit_{name}"
    assert asset.uri == f"x-whiterabbit://whiterabbit_{uri}"


def test_connections_have_assets_of_their_own() -> None:
    """Assets of different connections differ, and so do those of a module and of a name."""
    uris = {assets.module("PAY", whiterabbit_conn_id=name).uri for name in ("a", "a/module", "b")}
    assert len(uris) == 3
    assert assets.module("PAY").uri != assets.named("PAY").uri


def test_both_outcomes() -> None:
    """With the outcome "both", a DAG runs for either of the two assets."""
    both = assets.module("PAY", "both")
    assert type(both).__name__ in ("AssetAny", "DatasetAny")
    assert list(both.objects) == [assets.module("PAY"), assets.module("PAY", "failure")]


@pytest.mark.parametrize("name", ["", None, 7])
def test_names_that_are_not_valid(name: Any) -> None:
    """A name that is empty or not a string is refused."""
    for make in (assets.module, assets.named, assets.workflow):
        with pytest.raises(WhiteRabbitInputError, match="name"):
            make(name)


def test_outcomes_that_are_not_valid() -> None:
    """An outcome that does not exist, such as a status of White Rabbit, is refused."""
    with pytest.raises(WhiteRabbitInputError, match="'success', 'failure' or 'both'"):
        assets.module("PAY", "COMPLETED")  # type: ignore[arg-type]


@pytest.mark.parametrize("asset", [assets.module("PAY"), assets.named("x", "both")], ids=["one", "two"])
def test_schedules(asset: Any) -> None:
    """An asset is a schedule as it is, and `each` makes it a schedule with one run for each execution."""
    start = datetime(2026, 1, 1, tzinfo=UTC)  # Airflow 2 requires a start date
    plain = DAG("plain", schedule=asset, start_date=start).timetable
    each = DAG("each", schedule=assets.each(asset), start_date=start).timetable
    assert type(plain).__name__ in ("AssetTriggeredTimetable", "DatasetTriggeredTimetable")
    assert type(each).__name__ == ("PartitionedAssetTimetable" if HAS_RUN_EACH else type(plain).__name__)


@pytest.mark.parametrize(
    "schedule",
    [
        [assets.module("PAY")],
        assets.module("PAY") & assets.named("x"),
        assets.module("SWAP") | (assets.module("PAY") & assets.named("x")),
    ],
    ids=["list", "and", "nested"],
)
def test_each_of_several(schedule: Any) -> None:
    """`each` refuses assets that must all have an event, because one execution alone seldom gives them all one."""
    with pytest.raises(WhiteRabbitInputError, match=r"joined with \|"):
        assets.each(schedule)


def test_one_execution() -> None:
    """`execution` reads id, status, module, usage, connection and output from the event."""
    ended = assets.execution(context(success=[event()]))
    assert ended == assets.EndedExecution("e-1", "COMPLETED", "PAY", 1.5, "whiterabbit_default")
    assert assets.execution(context(success=[event(output={"hash": "0x1"})])).output == {"hash": "0x1"}


def test_many_executions() -> None:
    """`executions` returns each execution once, in the order of the events, even if two assets have its event."""
    events = context(success=[event("e-1", 3), event("e-3", 1)], named=[event("e-1", 3), event("e-2", 2)])
    assert [ended.id for ended in assets.executions(events)] == ["e-3", "e-2", "e-1"]
    with pytest.raises(WhiteRabbitInputError, match="3 executions"):
        assets.execution(events)


@pytest.mark.parametrize("other", [{}, context(), context(other=[SimpleNamespace(extra={}, timestamp=0)])])
def test_no_execution(other: dict[str, Any]) -> None:
    """In a run that no execution triggered, `executions` is empty and `execution` raises."""
    assert assets.executions(other) == []
    with pytest.raises(WhiteRabbitInputError, match="0 executions"):
        assets.execution(other)


def test_events_of_others() -> None:
    """An event that a user or a task has created is no execution, whatever its extra says, even beside a true one."""
    by_user, by_task = event("e-2", whiterabbit_conn_id="other", from_rest_api=True), event("e-3")
    by_task.source_task_id = "forge"
    true = event("e-1", 5)
    true.source_task_id = None
    assert [ended.id for ended in assets.executions(context(success=[by_user, true, by_task]))] == ["e-1"]
    with pytest.raises(WhiteRabbitInputError, match="0 executions"):
        assets.execution(context(success=[by_user, by_task]))


def test_reading_the_record(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """`read` reads the output from White Rabbit, with the connection that the event names."""
    for name, value in whiterabbit_emulator.environ.items():
        monkeypatch.setenv(name.replace("DEFAULT", "OTHER"), value)
    execution_id = whiterabbit_emulator.create_execution("PAY", output={"hash": "0x1"})
    ended = assets.execution(context(success=[event(execution_id, whiterabbit_conn_id="whiterabbit_other")]))
    assert ended.read().output == {"hash": "0x1"}


def test_parse_light() -> None:
    """A DAG file that names assets imports no modules outside Airflow and this package."""
    code = """
import sys
from airflow_provider_whiterabbit.compat import Asset, BaseOperator
before = set(sys.modules)
from airflow_provider_whiterabbit import assets
assets.each(assets.module("PAY", "both"))
assert not [name for name in set(sys.modules) - before if not name.startswith(("airflow", "urllib"))], sys.modules
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
