"""Assets of executions: what they are called, and what a run finds in the events that triggered it."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.exceptions import WhiteRabbitInputError
from tests.versions import HAS_RUN_EACH, HAS_SDK


def event(execution_id: str = "e-1", second: int = 0, **extra: Any) -> Any:
    """Return what Airflow gives a task for an event of the receiver."""
    known = {"whiterabbit_conn_id": "whiterabbit_default", "module": "PAY", "status": "COMPLETED", "usage": 1.5}
    when = datetime(2026, 4, 20, tzinfo=UTC) + timedelta(seconds=second)
    return SimpleNamespace(extra={"execution_id": execution_id, **known, **extra}, timestamp=when)


def context(**events: list[Any]) -> dict[str, Any]:
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
    """They hold connection, kind, name and outcome; Airflow takes them as they are, since databases keep them."""
    if HAS_SDK:  # in Airflow 2 the URI is all
        assert asset.name == f"whiterabbit/whiterabbit_{name}"
    assert asset.uri == f"x-whiterabbit://whiterabbit_{uri}"


def test_connections_have_assets_of_their_own() -> None:
    """So that one workspace never triggers what listens to another."""
    uris = {assets.module("PAY", whiterabbit_conn_id=name).uri for name in ("a", "a/module", "b")}
    assert len(uris) == 3
    assert assets.module("PAY").uri != assets.named("PAY").uri


def test_both_outcomes() -> None:
    """Either of the two assets is enough."""
    both = assets.module("PAY", "both")
    assert type(both).__name__ in ("AssetAny", "DatasetAny")
    assert list(both.objects) == [assets.module("PAY"), assets.module("PAY", "failure")]


@pytest.mark.parametrize("name", ["", None, 7])
def test_names_that_are_none(name: Any) -> None:
    """A name that was forgotten is said, and not made part of an asset that nobody hears of."""
    for make in (assets.module, assets.named, assets.workflow):
        with pytest.raises(WhiteRabbitInputError, match="name"):
            make(name)


def test_outcomes_that_are_none() -> None:
    """So is White Rabbit's word for it."""
    with pytest.raises(WhiteRabbitInputError, match="'success', 'failure' or 'both'"):
        assets.module("PAY", "COMPLETED")  # type: ignore[arg-type]


@pytest.mark.parametrize("asset", [assets.module("PAY"), assets.named("x", "both")], ids=["one", "two"])
def test_schedules(asset: Any) -> None:
    """An asset is a schedule as it is, and for a run per execution."""
    start = datetime(2026, 1, 1, tzinfo=UTC)  # which Airflow 2 insists on
    plain = DAG("plain", schedule=asset, start_date=start).timetable
    each = DAG("each", schedule=assets.each(asset), start_date=start).timetable
    assert type(plain).__name__ in ("AssetTriggeredTimetable", "DatasetTriggeredTimetable")
    assert type(each).__name__ == ("PartitionedAssetTimetable" if HAS_RUN_EACH else type(plain).__name__)


def test_one_execution() -> None:
    """Id, status and the rest come from the event."""
    found = assets.execution(context(success=[event()]))
    assert found == assets.EndedExecution("e-1", "COMPLETED", "PAY", 1.5, "whiterabbit_default")
    assert assets.execution(context(success=[event(output={"hash": "0x1"})])).output == {"hash": "0x1"}


def test_many_executions() -> None:
    """Each once, though two assets had an event for it, in the order in which they ended."""
    events = context(success=[event("e-1", 3), event("e-3", 1)], named=[event("e-1", 3), event("e-2", 2)])
    assert [found.id for found in assets.executions(events)] == ["e-3", "e-2", "e-1"]
    with pytest.raises(WhiteRabbitInputError, match="3 executions"):
        assets.execution(events)


@pytest.mark.parametrize("given", [{}, context(), context(other=[SimpleNamespace(extra={}, timestamp=0)])])
def test_no_execution(given: dict[str, Any]) -> None:
    """In a run that was started by hand, or by an event of something else."""
    assert assets.executions(given) == []
    with pytest.raises(WhiteRabbitInputError, match="0 executions"):
        assets.execution(given)


def test_reading_the_record(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole output is White Rabbit's to give, by the connection that the event names."""
    for name, value in whiterabbit_emulator.environ.items():
        monkeypatch.setenv(name.replace("DEFAULT", "OTHER"), value)
    execution_id = whiterabbit_emulator.create_execution("PAY", output={"hash": "0x1"})
    found = assets.execution(context(success=[event(execution_id, whiterabbit_conn_id="whiterabbit_other")]))
    assert found.read().output == {"hash": "0x1"}


def test_parse_light() -> None:
    """DAG files name assets: that costs nothing beyond Airflow's own."""
    code = """
import sys
from airflow.providers.common.compat.sdk import Asset, BaseOperator
before = set(sys.modules)
from airflow_provider_whiterabbit import assets
assets.each(assets.module("PAY", "both"))
assert not [name for name in set(sys.modules) - before if not name.startswith(("airflow", "urllib"))], sys.modules
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)
