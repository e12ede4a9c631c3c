"""The hook's methods take inputs that name secrets."""

from __future__ import annotations

import logging
import traceback
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.secrets import secret

KEY = "Kj7dYw2mZq91XvbT"
NAME = secret(connection="evm")
URL = f"https://evm.example.org/{NAME}"


@pytest.fixture(autouse=True)
def _stored(emulator_connection: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_EVM", f"http://user:{KEY}@evm.example.org")


def test_execution(whiterabbit_emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """The request holds the secret; the record and the events that the same hook reads do not."""
    caplog.set_level(logging.DEBUG)
    whiterabbit_emulator.script("PAY", error={"message": f"no {KEY}"}, after=0.1)
    hook = WhiteRabbitHook()
    execution = hook.execute_component("PAY", {"url": URL}, {"key": NAME}, allowed_secrets=[NAME])
    (submission,) = whiterabbit_emulator.requests(kind="submit")
    assert submission.json["input"] == {"url": f"https://evm.example.org/{KEY}"}
    assert submission.json["config"] == {"key": KEY}
    event = list(hook.stream_execution(execution.id))[-1]
    record = hook.wait_for_execution(execution.id)
    assert event.error == record.error == {"message": "no ***"}
    assert KEY not in f"{record.raw}{vars(hook)}{caplog.text}"


def test_update(whiterabbit_emulator: Emulator) -> None:
    """The config of a component in a workflow may name secrets."""
    whiterabbit_emulator.fault(effects.Answer(200, {"config": {"key": KEY}}), kind="update")
    hook = WhiteRabbitHook()
    assert hook.update_component("w", "c", config={"key": NAME}, allowed_secrets=[NAME]) == {"config": {"key": "***"}}
    (update,) = whiterabbit_emulator.requests(kind="update")
    assert update.json == {"config": {"key": KEY}}


CALLS = {
    "execute": lambda hook, **more: hook.execute_component("PAY", {"a": [URL]}, **more),
    "update": lambda hook, **more: hook.update_component("w", "c", config={"a": [URL]}, **more),
}


@pytest.mark.parametrize("call", CALLS)
def test_consent(whiterabbit_emulator: Emulator, call: str) -> None:
    """Only names that the caller allows are read, since inputs hold data too."""
    place = "input" if call == "execute" else "config"
    allowed: list[Any]
    for allowed in ([], [secret(variable="other")]):
        with pytest.raises(exc.WhiteRabbitInputError, match=rf"^{place}\.a\[0\] names the field 'password'"):
            CALLS[call](WhiteRabbitHook(), allowed_secrets=allowed)
    assert not whiterabbit_emulator.journal


def test_backend_that_fails(whiterabbit_emulator: Emulator) -> None:
    """An error of a secrets backend says which secret could not be read, and does not quote the backend."""

    class Hook(WhiteRabbitHook):
        @classmethod
        def get_connection(cls, conn_id: str) -> Any:
            if conn_id == "evm":
                raise RuntimeError(KEY)
            return super().get_connection(conn_id)

    with pytest.raises(exc.WhiteRabbitSecretError, match=r"^input\.a\[0\] names .* \(RuntimeError\)$") as caught:
        CALLS["execute"](Hook(), allowed_secrets=[NAME])
    assert KEY not in "".join(traceback.format_exception(caught.value))
    assert not whiterabbit_emulator.journal
