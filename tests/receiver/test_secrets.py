"""An outage of the sources of callback secrets is never answered with 4xx, and stops no callback where it need not."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.receiver.secrets import FAILURE_LIFETIME, SECRET_LIFETIME, Secrets, read_secret
from tests.receiver.conftest import AssetDatabase, RunningReceiver, StartReceiver
from tests.receiver.deliveries import SECRET, record_of, signed
from tests.receiver.vault import Vault
from tests.versions import needs_receiver

pytestmark = needs_receiver

BACKEND = "tests.receiver.http_backend.HttpBackend"


class Clock:
    """A clock that a test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    """Return a clock that starts at 0."""
    return Clock()


@pytest.fixture
def pay_database(database: AssetDatabase) -> AssetDatabase:
    """Return a database with a DAG on the asset of the module PAY."""
    database.schedule(assets.module("PAY"))
    return database


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[Vault]:
    """Make Airflow read connections from a server first; the server knows the connection `vaulted`."""
    vault = Vault()
    vault.secrets["vaulted"] = SECRET
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND", BACKEND)
    monkeypatch.setenv("AIRFLOW__SECRETS__BACKEND_KWARGS", json.dumps({"url": vault.url}))
    reload_backends(monkeypatch)
    yield vault
    vault.go()


def reload_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make Airflow read the options of its secrets backends again, as a new process does."""
    from airflow import configuration

    monkeypatch.setattr(configuration, "secrets_backend_list", configuration.initialize_secrets_backends())


StartVaulted = Callable[..., RunningReceiver]


@pytest.fixture
def start_vaulted(start_receiver: StartReceiver, clock: Clock) -> StartVaulted:
    """Return a function that starts a receiver of the connections `vaulted` and `whiterabbit_default`."""

    def start(**injected: Any) -> RunningReceiver:
        connections = frozenset({"vaulted", "whiterabbit_default"})
        return start_receiver({"clock": clock, **injected}, connections=connections)

    return start


def post(receiver: RunningReceiver, connection: str = "vaulted", secret: str = SECRET) -> requests.Response:
    """Deliver a callback of a new execution."""
    body = json.dumps(record_of()).encode()
    return receiver.post(body, signed(body, secret), connection)


@pytest.fixture
def vaulted_database(database: AssetDatabase) -> AssetDatabase:
    """Return a database with DAGs on the assets of both connections of `start_vaulted`."""
    for connection in ("vaulted", "whiterabbit_default"):
        database.schedule(assets.module("PAY", whiterabbit_conn_id=connection))
    return database


OUTAGES: dict[str, Callable[[Vault], Any]] = {
    "it refuses connections": Vault.go,
    "it answers 500": lambda vault: setattr(vault, "status", 500),
    "it answers 403": lambda vault: setattr(vault, "status", 403),
    "it does not answer": lambda vault: vault.may_answer.clear(),
}


@pytest.mark.parametrize("outage", OUTAGES.values(), ids=OUTAGES.keys())
def test_a_backend_that_is_down(
    vault: Vault,
    start_vaulted: StartVaulted,
    vaulted_database: AssetDatabase,
    clock: Clock,
    outage: Callable[[Vault], Any],
) -> None:
    """A secret that was good stays good while its source is down; a wrong signature is answered with 503, not 401."""
    receiver = start_vaulted(answer_timeout=20.0)
    assert post(receiver).status_code == 200
    assert post(receiver, secret="guess").status_code == 401
    outage(vault)
    for _ in range(3):
        clock.seconds += SECRET_LIFETIME
        assert post(receiver).status_code == 200
        assert post(receiver, secret="guess").status_code == 503
    assert len(vaulted_database.events()) == 4


def test_a_backend_that_is_down_from_the_start(
    vault: Vault, start_vaulted: StartVaulted, vaulted_database: AssetDatabase, clock: Clock
) -> None:
    """The receiver answers 503 until it can read the secret for the first time, and 200 afterwards."""
    vault.status = 500
    receiver = start_vaulted()
    assert [post(receiver).status_code for _ in range(3)] == [503] * 3
    vault.status = 200
    clock.seconds += FAILURE_LIFETIME
    assert post(receiver).status_code == 200
    assert post(receiver, secret="guess").status_code == 401


def test_a_backend_that_has_no_such_connection(
    vault: Vault, start_vaulted: StartVaulted, vaulted_database: AssetDatabase, clock: Clock
) -> None:
    """A backend may say so because it is down, so the answer is 503; the secret is not kept, it may be withdrawn."""
    receiver = start_vaulted()
    assert post(receiver).status_code == 200
    vault.secrets.clear()
    clock.seconds += SECRET_LIFETIME
    assert [post(receiver).status_code for _ in range(2)] == [503] * 2
    vault.secrets["vaulted"] = "whsec_renewed_one"
    clock.seconds += FAILURE_LIFETIME
    assert post(receiver, secret="whsec_renewed_one").status_code == 200
    assert post(receiver).status_code == 401


def test_a_connection_in_the_database_behind_a_backend_that_is_down(
    vault: Vault, start_vaulted: StartVaulted, vaulted_database: AssetDatabase, clock: Clock
) -> None:
    """The receiver takes no connection from the next source while a source before it is down: it may be another one."""
    vault.status = 500
    receiver = start_vaulted()
    assert post(receiver, "whiterabbit_default").status_code == 503
    vault.status = 200
    clock.seconds += FAILURE_LIFETIME
    assert post(receiver, "whiterabbit_default").status_code == 200


def test_a_connection_that_is_deleted(
    start_receiver: StartReceiver, pay_database: AssetDatabase, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the environment and the database show that the connection is gone, its secret is good no more."""
    receiver = start_receiver({"clock": clock})
    assert post(receiver, "whiterabbit_default").status_code == 200
    monkeypatch.delenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT")
    clock.seconds += SECRET_LIFETIME
    assert post(receiver, "whiterabbit_default").status_code == 401


def test_a_connection_that_airflow_cannot_parse(
    start_receiver: StartReceiver, pay_database: AssetDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that Airflow can't parse is no missing connection: the answer is 503."""
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", "{not json")
    assert post(start_receiver(), "whiterabbit_default").status_code == 503


def test_a_failure_is_logged_once(
    start_receiver: StartReceiver,
    pay_database: AssetDatabase,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The traceback of an outage is logged once, and neither grows with the callbacks nor with the outage."""
    reads: list[str] = []

    def failing_read(connection_id: str) -> Secrets | None:
        reads.append(connection_id)
        raise OSError("the database is down")

    receiver = start_receiver({"read_secret": failing_read, "clock": clock})
    sizes = []
    for _ in range(3):
        caplog.clear()
        with ThreadPoolExecutor(20) as pool:
            assert set(pool.map(lambda _: receiver.post(record_of()).status_code, range(100))) == {503}
        records = [record for record in caplog.records if record.name.startswith("airflow_provider_whiterabbit")]
        sizes.append(len([record for record in records if record.levelno >= logging.WARNING]))
        assert sum(1 for record in records if record.exc_info) == (not reads[1:])
        clock.seconds += FAILURE_LIFETIME
    assert reads == ["whiterabbit_default"] * 3
    assert sizes == [1, 1, 1]


def test_a_hanging_source_does_not_stop_the_others(
    start_receiver: StartReceiver, pay_database: AssetDatabase, clock: Clock
) -> None:
    """While the reading of secrets hangs, callbacks with a secret that was read become events."""
    hangs = threading.Event()
    may_read = threading.Event()

    def hanging_read(connection_id: str) -> Secrets | None:
        if hangs.is_set():
            may_read.wait()
        return read_secret(connection_id)

    receiver = start_receiver({"read_secret": hanging_read, "clock": clock, "answer_timeout": 20.0})
    assert post(receiver, "whiterabbit_default").status_code == 200
    hangs.set()
    clock.seconds += SECRET_LIFETIME
    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(post, receiver, name) for name in ("other/one", "secretless", "empty", "twin")]
        answers = list(pool.map(lambda _: post(receiver, "whiterabbit_default").status_code, range(4)))
        assert set(answers) <= {200, 503}  # SQLite allows one write at a time
        assert 200 in answers
        assert not any(other.done() for other in others)
        may_read.set()


def test_a_secret_is_read_again_after_a_while(
    start_receiver: StartReceiver, pay_database: AssetDatabase, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver notices a changed secret `SECRET_LIFETIME` seconds after it read the old one."""
    receiver = start_receiver({"clock": clock})
    body = json.dumps(record_of()).encode()
    assert receiver.post(body, signed(body, "whsec_of_tomorrow")).status_code == 401
    connection = {"conn_type": "whiterabbit", "extra": {"callback_secret": "whsec_of_tomorrow"}}
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
    clock.seconds = SECRET_LIFETIME - 0.1
    assert receiver.post(body, signed(body, "whsec_of_tomorrow")).status_code == 401
    clock.seconds = SECRET_LIFETIME
    assert receiver.post(body, signed(body, "whsec_of_tomorrow")).json() == {"result": "emitted"}


def test_a_secret_that_changes_while_it_is_read(
    start_receiver: StartReceiver, pay_database: AssetDatabase, clock: Clock
) -> None:
    """A changed secret is known `SECRET_LIFETIME` seconds after the change, also if reading takes long."""
    secrets: Secrets = (SECRET,)

    def slow_read(_connection_id: str) -> Secrets:
        before = secrets
        clock.seconds += 20
        return before

    receiver = start_receiver({"clock": clock, "read_secret": slow_read})
    assert post(receiver, "whiterabbit_default").json() == {"result": "emitted"}
    secrets = (SECRET, "whsec_of_tomorrow")
    clock.seconds = SECRET_LIFETIME
    assert post(receiver, "whiterabbit_default", "whsec_of_tomorrow").json() == {"result": "emitted"}
