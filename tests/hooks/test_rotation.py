"""A key that is replaced while a worker waits: the connection is read again, and the wait goes on with the new key."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from airflow_provider_whiterabbit import exceptions as exc
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor
from dev.harness.polling import until

pytestmark = pytest.mark.usefixtures("emulator_connection")

UNKNOWN = "00000000-0000-0000-0000-000000000000"


def count_refusals(wr: Emulator) -> int:
    """Return how many requests were refused because of their key."""
    return sum(entry.status == 401 for entry in wr.journal)


def is_idle(wr: Emulator) -> bool:
    """Whether the last request was for the record that a wait reads once more when its stream is open."""
    return [entry.kind for entry in wr.journal[-2:]] == ["stream", "record"]


def connection_to_another_host(wr: Emulator) -> str:
    """Return an Airflow connection with the emulator's key, to a host at which nothing listens."""
    return json.dumps({**wr.connection, "host": "http://127.0.0.2", "port": 9})


@pytest.fixture
def rotate(whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function that replaces the emulator's key, first in the Airflow connection and then in the emulator."""

    def rotate() -> None:
        whiterabbit_emulator.rotate_key()
        for name, value in whiterabbit_emulator.environ.items():
            monkeypatch.setenv(name, value)

    return rotate


def test_blocking_wait(whiterabbit_emulator: Emulator, rotate: Callable[[], None]) -> None:
    """A blocking wait goes on after each of two rotations; each costs it one refused request."""
    wr = whiterabbit_emulator
    execution_id = wr.create_execution("SLOW", manual=True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(WhiteRabbitHook().wait_for_execution, execution_id, timeout=60, poll_interval=1)
        for number in (1, 2):
            until(lambda: is_idle(wr), "the wait to be idle", 60)
            rotate()
            wr.close_streams(execution_id)
            until(lambda number=number: count_refusals(wr) == number, "a request with the earlier key", 60)
        until(lambda: is_idle(wr), "the wait to be idle", 60)
        wr.complete(execution_id, 7)
        assert waiting.result().output == 7
    assert count_refusals(wr) == 2


def test_reads_and_pokes(whiterabbit_emulator: Emulator, rotate: Callable[[], None]) -> None:
    """A hook and a sensor that have made a request go on with the new key."""
    execution_id = whiterabbit_emulator.create_execution("SLOW", manual=True)
    hook, sensor = WhiteRabbitHook(), WhiteRabbitExecutionSensor(task_id="wait", execution_id=execution_id)
    for _ in range(2):
        assert hook.get_execution(execution_id).status == "CREATED"
        assert sensor.poke({"ti": None}) is False  # type: ignore[typeddict-item]
        rotate()


def test_submissions_are_refused(whiterabbit_emulator: Emulator, rotate: Callable[[], None]) -> None:
    """A submission with a replaced key is refused, and not sent again."""
    hook = WhiteRabbitHook()
    hook.get_conn()
    rotate()
    with pytest.raises(exc.WhiteRabbitAuthenticationError):
        hook.execute_component("PAY")
    assert len(whiterabbit_emulator.journal) == 1


def test_unchanged_connection(whiterabbit_emulator: Emulator) -> None:
    """If the connection still has the refused key, the refusal is raised after one request."""
    wr = whiterabbit_emulator
    hook = WhiteRabbitHook()
    wr.rotate_key()
    with pytest.raises(exc.WhiteRabbitAuthenticationError):
        hook.get_execution(UNKNOWN)
    assert len(wr.journal) == 1


def test_unreadable_connection(
    whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If the connection can't be read again, the refusal is raised, and the log says why the read failed."""
    hook = WhiteRabbitHook()
    hook.get_conn()
    whiterabbit_emulator.rotate_key()
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", '{"conn_type": "whiterabbit", "password": "x"}')
    with caplog.at_level(logging.WARNING), pytest.raises(exc.WhiteRabbitAuthenticationError):
        hook.get_execution(UNKNOWN)
    assert "can't be read again: Connection whiterabbit_default: The connection has no API key" in caplog.text


def test_connection_to_another_host(
    whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A new key is not sent to the host of the refused key if the connection names another host now."""
    hook = WhiteRabbitHook()
    hook.get_conn()
    whiterabbit_emulator.rotate_key()
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", connection_to_another_host(whiterabbit_emulator))
    with caplog.at_level(logging.WARNING), pytest.raises(exc.WhiteRabbitAuthenticationError):
        hook.get_execution(UNKNOWN)
    assert "whiterabbit_default names another host now" in caplog.text
    assert len(whiterabbit_emulator.journal) == 1


def test_threads(whiterabbit_emulator: Emulator, rotate: Callable[[], None]) -> None:
    """Threads that share a hook, and whose requests are refused at once, all go on with the new key."""
    execution_id = whiterabbit_emulator.create_execution("SLOW", manual=True)
    hook, barrier = WhiteRabbitHook(), threading.Barrier(8)
    hook.get_conn()
    rotate()

    def read(_: int) -> Any:
        barrier.wait()
        return hook.get_execution(execution_id).status

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(8))) == ["CREATED"] * 8
