"""A trigger does not read the secrets of inputs, so it shows no text of White Rabbit that may repeat them."""

from __future__ import annotations

import logging

import pytest

from airflow_provider_whiterabbit.emulator import Emulator, effects
from tests.triggers.runs import end_of, execution_trigger, only_payload_of

KEY = "Kj7dYw2mZq91XvbT"
REFUSAL = {"errors": [{"code": "BAD_INPUT", "message": f"no {KEY}"}]}


@pytest.mark.parametrize("is_secret", [False, True])
async def test_refusal(whiterabbit_emulator: Emulator, is_secret: bool, caplog: pytest.LogCaptureFixture) -> None:
    """The event and the log show a refusal's status and code, and its text only if no input is secret."""
    caplog.set_level(logging.DEBUG)
    identity = whiterabbit_emulator.create_execution("PAY", manual=True)
    for kind in ("stream", "record"):
        whiterabbit_emulator.fault(effects.Answer(422, REFUSAL), kind=kind, times=None)
    arguments = {"inputs_are_secret": True} if is_secret else {}
    payload = await only_payload_of(execution_trigger(identity, **arguments))
    assert payload["status"] == "ERROR"
    assert "BAD_INPUT" in payload["message"]
    assert (KEY in f"{payload}{caplog.text}") is not is_secret


async def test_errors_of_executions(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """Neither the event nor the log shows the error of an execution, or what was sent instead of an event."""
    caplog.set_level(logging.DEBUG)
    identity = whiterabbit_emulator.create_execution("PAY", error={"message": KEY}, after=0.2)
    payload = await end_of(identity, inputs_are_secret=True)
    assert payload == {"execution_id": identity, "status": "FAILED", "message": None}
    assert KEY not in caplog.text


def test_serialization() -> None:
    """The argument survives, and triggers without it are stored as they were."""
    path, arguments = execution_trigger("e", inputs_are_secret=True).serialize()
    assert execution_trigger(**arguments).serialize() == (path, arguments)
    assert "inputs_are_secret" not in execution_trigger("e").serialize()[1]
