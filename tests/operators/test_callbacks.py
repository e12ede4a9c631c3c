"""Recovering callbacks that were lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.callbacks import WhiteRabbitReplayCallbacksOperator

NOWHERE = "/nobody-listens-here"
REPLAYS = "*/replay-callback"


@pytest.fixture
def wr(whiterabbit_emulator: Emulator) -> Emulator:
    whiterabbit_emulator.settings.callback_attempts = 1
    return whiterabbit_emulator


def replay(execution_ids: Any, **arguments: Any) -> dict[str, list[str]]:
    operator = WhiteRabbitReplayCallbacksOperator(task_id="replay", execution_ids=execution_ids, **arguments)
    return operator.execute({})  # type: ignore[arg-type,return-value]


def submit(wr: Emulator, *, delivered: bool) -> str:
    """Submit something that ends at once, and see its callback arrive or be given up."""
    status = 204 if delivered else 503
    fault = wr.fault(effects.Answer(status), path=NOWHERE)
    execution_id = WhiteRabbitHook().execute_component("PAY", callback_url=wr.url + NOWHERE).id
    wr.wait_for_delivery(execution_id)
    assert (wr.execution(execution_id)["callback"]["deliveredAt"] is not None) is delivered, fault
    return execution_id


def test_each_is_done_what_it_needs(wr: Emulator) -> None:
    """Only what has ended and was not delivered is delivered again; the result tells of each."""
    lost, arrived = submit(wr, delivered=False), submit(wr, delivered=True)
    wr.script("SLOW", manual=True)
    running = WhiteRabbitHook().execute_component("SLOW", callback_url=wr.url + NOWHERE).id
    without = WhiteRabbitHook().execute_component("PAY").id
    wr.fault(effects.Answer(204), path=NOWHERE)
    assert replay([lost, arrived, running, without, "unknown", lost]) == {
        "replayed": [lost],
        "delivered": [arrived],
        "running": [running],
        "without_callback": [without],
        "unknown": ["unknown"],
    }
    wr.wait_for_delivery(lost, count=2)
    assert [entry.path for entry in wr.requests(path=REPLAYS)] == [
        f"/v1/sdk/components/executions/{lost}/replay-callback"
    ]
    assert replay([lost])["delivered"] == [lost]


def test_again_until_it_arrives(wr: Emulator) -> None:
    """What is lost once more is delivered once more by the next run."""
    lost = submit(wr, delivered=False)
    for count in (2, 3):
        assert replay([lost])["replayed"] == [lost]
        wr.wait_for_delivery(lost, count=count)


@pytest.mark.parametrize("given", [[], (), "[]"])
def test_nothing_to_do(wr: Emulator, given: Any) -> None:
    """No ids, no calls."""
    assert not any(replay(given).values())
    assert not wr.journal


def test_templates(wr: Emulator) -> None:
    """Ids may come as JSON, which is what a template can give."""
    lost = submit(wr, delivered=False)
    operator = WhiteRabbitReplayCallbacksOperator(
        task_id="replay", execution_ids="{{ ids | tojson }}", dag=DAG("d", schedule=None)
    )
    operator.render_template_fields({"ids": [lost]})  # type: ignore[typeddict-unknown-key]
    assert operator.execute({})["replayed"] == [lost]  # type: ignore[arg-type]


@pytest.mark.parametrize("given", [None, 7, "e-1", '"e-1"', '{"e-1": 1}', {"e-1": 1}, ["../x"], [7], ["e-1", ""]])
def test_what_is_no_list_of_ids(wr: Emulator, given: Any) -> None:
    """Nothing is sent, not even for those that are ids."""
    with pytest.raises(exc.WhiteRabbitInputError, match="execution_ids"):
        replay(given)
    assert not wr.journal


def test_trouble_is_not_hidden(wr: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is refused fails the task; a retry of it does no harm."""
    lost = submit(wr, delivered=False)
    monkeypatch.setenv(
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps({**wr.connection, "extra": {"api_key": "ws_wrong"}})
    )
    with pytest.raises(exc.WhiteRabbitAuthenticationError):
        replay([lost])
