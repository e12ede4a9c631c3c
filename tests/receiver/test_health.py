"""The health page: which connections the receiver serves, and which of them can't be read since when."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import requests

from airflow_provider_whiterabbit.receiver.health import READ_TIMEOUT, Health
from airflow_provider_whiterabbit.receiver.secrets import Secrets, read_secret
from dev.harness.polling import until
from tests.receiver.conftest import AssetDatabase, RunningReceiver, StartReceiver
from tests.receiver.deliveries import OTHER_SECRET, SECRET, record_of
from tests.versions import needs_receiver

pytestmark = needs_receiver

ALL = {"empty", "foreign", "missing", "number", "other/one", "secretless", "twin", "whiterabbit_default"}


def health(receiver: RunningReceiver) -> dict[str, Any]:
    """Return the JSON of the health page."""
    answer = requests.get(f"{receiver.url}/health", timeout=60)
    assert answer.status_code == 200
    for secret in (SECRET, OTHER_SECRET, "ws_1"):
        assert secret not in answer.text
    page: dict[str, Any] = answer.json()
    return page


def states(page: dict[str, Any]) -> dict[str, str]:
    """Return the states of the connections on the page."""
    return {name: connection["state"] for name, connection in page["connections"].items()}


def since(page: dict[str, Any]) -> datetime:
    """Return the time since which the default connection has its state."""
    return datetime.fromisoformat(page["connections"]["whiterabbit_default"]["since"])


def test_each_connection(database: AssetDatabase, receiver: RunningReceiver) -> None:
    """The page names each connection and its state, without a callback having arrived, and contains no secret."""
    before = datetime.now(UTC)
    page = until(lambda: "unread" not in states(page := health(receiver)).values() and page, "all to be read", 60)
    expected = dict.fromkeys(ALL, "no_secret") | dict.fromkeys(("whiterabbit_default", "other/one", "twin"), "readable")
    assert states(page) == expected | {"number": "unreadable"}  # a secret that is not valid
    assert page["status"] == "degraded"
    for connection in page["connections"].values():
        assert before - timedelta(milliseconds=1) <= datetime.fromisoformat(connection["since"]) <= datetime.now(UTC)


def test_healthy(start_receiver: StartReceiver) -> None:
    """The page says healthy if every connection is readable."""
    receiver = start_receiver(connections=frozenset({"whiterabbit_default"}))
    page = until(lambda: (page := health(receiver))["status"] == "healthy" and page, "the page to be healthy", 60)
    assert states(page) == {"whiterabbit_default": "readable"}


def test_since_when(start_receiver: StartReceiver) -> None:
    """A connection is unreadable since the first reading that failed, however often it failed since then."""
    seconds, down = 0.0, False

    def read(connection_id: str) -> Secrets:
        if down:
            raise OSError(f"the database is down, and the secret was {SECRET}")
        return (SECRET,)

    receiver = start_receiver(
        {"read_secret": read, "clock": lambda: seconds}, connections=frozenset({"whiterabbit_default"})
    )
    first = health(receiver)
    assert states(first) == {"whiterabbit_default": "readable"}
    seconds, down = 100.0, True
    failed = health(receiver)
    assert states(failed) == {"whiterabbit_default": "unreadable"}
    assert failed["status"] == "degraded"
    seconds = 200.0
    assert health(receiver) == failed
    seconds, down = 300.0, False
    recovered = health(receiver)
    assert states(recovered) == {"whiterabbit_default": "readable"}
    assert since(recovered) > since(failed) > since(first)


def test_a_source_that_hangs(start_receiver: StartReceiver, database: AssetDatabase) -> None:
    """A secret whose reading hangs delays the page little, and occupies one thread however often the page is read."""
    may_read = threading.Event()
    reads: list[str] = []

    def read(connection_id: str) -> Any:
        reads.append(connection_id)
        if connection_id != "whiterabbit_default":
            may_read.wait()
        return read_secret(connection_id)

    names = {"whiterabbit_default", *(f"hung_{number}" for number in range(9))}
    receiver = start_receiver({"read_secret": read}, connections=frozenset(names))
    try:
        started = time.monotonic()
        for _ in range(5):
            assert set(states(health(receiver)).values()) == {"unread"}
        assert time.monotonic() - started < 30
        assert reads == ["hung_0"]
        assert " DAG " in receiver.post(record_of()).json()["detail"]  # the secret was read, and no DAG listens
    finally:
        may_read.set()


async def test_reading_that_hangs_is_unreadable() -> None:
    """A connection whose reading takes long is unreadable since the reading began, and readable since it ended."""
    now = datetime(2026, 11, 26, tzinfo=UTC)
    page = Health(["a"], lambda: now)
    may_read = threading.Event()

    def read(connection_id: str) -> str:
        may_read.wait()
        return SECRET

    async def get_secret(connection_id: str) -> str:
        return SECRET

    thread = threading.Thread(target=page.watching(read), args=("a",))
    thread.start()
    until(lambda: page._reading_since, "the reading to begin", 60)
    assert (await page.report(get_secret))["connections"] == {"a": {"state": "unread", "since": None}}
    now += READ_TIMEOUT * 2
    unreadable = {"state": "unreadable", "since": "2026-11-26T00:00:00.000+00:00"}
    assert (await page.report(get_secret))["connections"] == {"a": unreadable}
    may_read.set()
    thread.join()
    readable = {"state": "readable", "since": "2026-11-26T00:00:10.000+00:00"}
    assert (await page.report(get_secret))["connections"] == {"a": readable}


@pytest.mark.parametrize("name", ["\u2028<script>", "a\r\nX: y", "é"])
def test_names_of_all_kinds(start_receiver: StartReceiver, name: str) -> None:
    """An unusual id of a connection is JSON on the page."""
    receiver = start_receiver({"read_secret": lambda _: SECRET}, connections=frozenset({name}))
    assert states(health(receiver)) == {name: "readable"}
