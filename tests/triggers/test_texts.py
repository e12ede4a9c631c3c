"""Texts from outside in a trigger's event and log: an event that Airflow can't encode would end the triggerer."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_whiterabbit.client.text import MAX_LENGTH
from airflow_provider_whiterabbit.client.transport.aio import AsyncClient
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.triggers.workflow import WhiteRabbitWorkflowRunTrigger
from tests.triggers.runs import UNKNOWN, execution_trigger, only_payload_of

HOSTILE = "half an emoji \ud83d, nothing \0, red \x1b[31m"
READABLE = "half an emoji \ufffd, nothing \ufffd, red \ufffd[31m"


def check(payload: dict[str, Any]) -> None:
    """Fail if Airflow can't send or store the payload of an event."""
    json.dumps(payload, ensure_ascii=False).encode()
    assert r"\u0" not in json.dumps(payload)
    assert len(payload["message"]) <= MAX_LENGTH


@pytest.mark.parametrize("kind", ["execution", "workflow run"])
async def test_refusal(whiterabbit_emulator: Emulator, kind: str) -> None:
    """The event of a refused wait holds the API's message with U+FFFD instead of what is not fit."""
    refusal = {"errors": [{"code": "NOT_FOUND", "message": HOSTILE}, {"code": "LONG", "message": "x" * 50_000}]}
    whiterabbit_emulator.fault(effects.Answer(404, refusal), times=None)
    trigger = execution_trigger(UNKNOWN) if kind == "execution" else WhiteRabbitWorkflowRunTrigger(UNKNOWN)
    payload = await only_payload_of(trigger)
    assert payload["status"] == "ERROR"
    assert f"NOT_FOUND: {READABLE}; LONG: xxx" in payload["message"]
    check(payload)


async def test_page_of_a_stranger(whiterabbit_emulator: Emulator, read_log: Callable[[], str]) -> None:
    """A content type that is not UTF-8 is readable in the event of the time-out, and in the log."""
    page = effects.Answer(200, "<html>", headers={"Content-Type": "text/\xff"})
    whiterabbit_emulator.fault(page, times=None)
    payload = await only_payload_of(execution_trigger(UNKNOWN, timeout=0.5))
    assert payload["status"] == "TIMEOUT"
    assert "(text/\ufffd)" in payload["message"]
    assert "(text/\ufffd)" in read_log()
    check(payload)


async def test_unexpected_error(read_log: Callable[[], str]) -> None:
    """An error that is none of the provider's is logged with its traceback, and sent, in readable form."""

    class BrokenHook(WhiteRabbitHook):
        async def get_async_client(self) -> AsyncClient:
            raise PermissionError(HOSTILE)

    trigger = execution_trigger(UNKNOWN)
    trigger.hook = BrokenHook()
    (event,) = [event async for event in trigger.run()]
    assert event.payload == {"execution_id": UNKNOWN, "status": "ERROR", "message": f"PermissionError: {READABLE}"}
    check(event.payload)
    logged = read_log()
    assert f"Waiting for execution {UNKNOWN} failed\nTraceback" in logged
    assert f"PermissionError: {READABLE}" in logged
    assert "in get_async_client" in logged


async def test_id_that_is_none() -> None:
    """An id that can't be one is refused before anything is sent, in readable form."""
    payload = await only_payload_of(execution_trigger("\ud83d"))
    assert payload["status"] == "ERROR"
    assert "execution_id must be an id as White Rabbit gave it" in payload["message"]
    check(payload)
