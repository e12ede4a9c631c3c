"""`WhiteRabbitReplayCallbacksOperator`: recovering lost callbacks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.callbacks import WhiteRabbitReplayCallbacksOperator

NOWHERE = "/nobody-listens-here"
REPLAYS = "*/replay-callback"


@pytest.fixture
def wr(whiterabbit_emulator: Emulator) -> Emulator:
    """Return an emulator that tries to deliver each callback once."""
    whiterabbit_emulator.settings.callback_attempts = 1
    return whiterabbit_emulator


def replay(execution_ids: Any, **arguments: Any) -> dict[str, list[str]]:
    """Execute the operator, and return its result."""
    operator = WhiteRabbitReplayCallbacksOperator(task_id="replay", execution_ids=execution_ids, **arguments)
    return operator.execute({})  # type: ignore[arg-type,return-value]


def submit(wr: Emulator, *, delivered: bool) -> str:
    """Submit an execution that ends at once, and return its id after its callback was delivered or lost."""
    status = 204 if delivered else 503
    fault = wr.fault(effects.Answer(status), path=NOWHERE)
    execution_id = WhiteRabbitHook().execute_component("PAY", callback_url=wr.url + NOWHERE).id
    wr.wait_for_delivery(execution_id)
    assert (wr.execution(execution_id)["callback"]["deliveredAt"] is not None) is delivered, fault
    return execution_id


def test_each_outcome(wr: Emulator) -> None:
    """The operator replays only lost callbacks of ended executions, and returns the ids by outcome."""
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
        "failed": [],
    }
    wr.wait_for_delivery(lost, count=2)
    assert [entry.path for entry in wr.requests(path=REPLAYS)] == [
        f"/v1/sdk/components/executions/{lost}/replay-callback"
    ]
    assert replay([lost])["delivered"] == [lost]


def test_callbacks_that_are_lost_again(wr: Emulator) -> None:
    """Each run of the operator replays a callback that was lost again after the run before."""
    lost = submit(wr, delivered=False)
    for count in (2, 3):
        assert replay([lost])["replayed"] == [lost]
        wr.wait_for_delivery(lost, count=count)


@pytest.mark.parametrize("no_ids", [[], (), "[]"])
def test_no_ids(wr: Emulator, no_ids: Any) -> None:
    """Without ids, the operator sends no requests."""
    assert not any(replay(no_ids).values())
    assert not wr.journal


def test_templates(wr: Emulator) -> None:
    """`execution_ids` may be a template that renders to a JSON array."""
    lost = submit(wr, delivered=False)
    operator = WhiteRabbitReplayCallbacksOperator(
        task_id="replay", execution_ids="{{ ids | tojson }}", dag=DAG("d", schedule=None)
    )
    operator.render_template_fields({"ids": [lost]})  # type: ignore[typeddict-unknown-key]
    assert operator.execute({})["replayed"] == [lost]  # type: ignore[arg-type]


@pytest.mark.parametrize("not_ids", [None, 7, "e-1", '"e-1"', '{"e-1": 1}', {"e-1": 1}, ["../x"], [7], ["e-1", ""]])
def test_no_list_of_ids(wr: Emulator, not_ids: Any) -> None:
    """If one of the ids is not valid, the operator sends no requests for any of them."""
    with pytest.raises(exc.WhiteRabbitInputError, match="execution_ids"):
        replay(not_ids)
    assert not wr.journal


def test_errors_of_white_rabbit(wr: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """If White Rabbit refuses the API key, the task fails."""
    lost = submit(wr, delivered=False)
    monkeypatch.setenv(
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps({**wr.connection, "extra": {"api_key": "ws_wrong"}})
    )
    with pytest.raises(exc.WhiteRabbitAuthenticationError):
        replay([lost])
