"""Fixtures for the tests of the hook."""

from __future__ import annotations

import json
from typing import Any

import pytest

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from tests.hooks.making import MakeHook


@pytest.fixture
def make_hook(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> MakeHook:
    """Return a function that makes a hook of the emulator's connection, with changed fields and extra fields."""

    def make(changes: dict[str, Any] | None = None, **extra: Any) -> WhiteRabbitHook:
        connection = whiterabbit_emulator.connection
        connection |= changes or {}
        connection["extra"] = {**connection["extra"], **extra}
        monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
        return WhiteRabbitHook()

    return make
