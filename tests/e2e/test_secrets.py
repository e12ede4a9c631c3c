"""Nothing secret is left in anything that Airflow writes: logs, XComs, rendered fields, triggers, DAGs, events."""

from __future__ import annotations

import base64
import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy
from cryptography.fernet import Fernet
from sqlalchemy.engine import Connection
from sqlalchemy.pool import NullPool

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.emulator.effects import Answer
from airflow_provider_whiterabbit.emulator.effects.base import Call, Effect
from dev.harness.airflow_api import DagRun, until
from dev.harness.airflow_home import AirflowHome
from tests.e2e import ERROR, OUTPUT
from tests.e2e.leaks import forms, in_database, in_files, of_private_key

pytestmark = pytest.mark.e2e

ENDS = {
    "call": "success",
    "wait_poke": "success",
    "wait_deferred": "success",
    "wait_there": "success",
    "wait_unknown": "answered 404",
    "wait_unknown_there": "answered 404",
    "wait_refused": "401",
    "wait_refused_there": "401",
    "wait_away": "ConnectionRefusedError",
    "wait_away_there": "ConnectionRefusedError",
    "execute_worker": "success",
    "execute_deferred": "success",
    "execute_failed": ERROR["message"],
    "execute_uncertain": "It is not known whether",
    "execute_invalid": "callback_url must be",
    "execute_refused": "401",
    "execute_away": "ConnectionRefusedError",
    "run": "success",
    "wait_run": "success",
}
"""Each task's state, or the words in its log for why it failed."""

SECRET = "s3cr+t/of=the planted kind"
FORMS = {
    "as it is": SECRET,
    "for URLs": quote(SECRET, safe=""),
    "in hex": SECRET.encode().hex(),
    "in base64": base64.b64encode(SECRET.encode()).decode(),
    "in base64 behind a user": base64.b64encode(f"user:{SECRET}".encode()).decode(),
    "its beginning": SECRET[:16],
}


@dataclass
class Uncertain(Effect):
    """Leaves it open whether the submission of a module was processed."""

    module: str

    async def apply(self, call: Call) -> None:
        if json.loads(call.scope["body"])["module"] == self.module:
            await Answer(502, "<html>", process=True).apply(call)
        else:
            await call.proceed()


@pytest.fixture(scope="module")
def guarded() -> Iterator[Emulator]:
    """Yield a White Rabbit whose key nothing else uses."""
    with Emulator() as emulator:
        emulator.script("SECRETS", output=OUTPUT, after=2)
        emulator.script("SECRETS_FAILED", error=ERROR, after=2)
        emulator.script_workflow("SECRETS", [{"module": "SWAP", "output": OUTPUT, "after": 2}])
        yield emulator


@dataclass
class Told:
    """A run of everything, which has ended.

    :param needles: what must not be found.
    :param leaks: where some of it was found while tasks were deferred.
    :param mentions: where the execution's id was found then.
    """

    run: DagRun
    needles: set[bytes]
    leaks: list[str]
    mentions: list[str]


@contextmanager
def look(airflow: AirflowHome) -> Iterator[Connection]:
    """Connect to the database; nothing stays of what is changed there."""
    engine = sqlalchemy.create_engine(airflow.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], poolclass=NullPool)
    with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def search(airflow: AirflowHome, needles: set[bytes], **options: object) -> list[str]:
    with look(airflow) as connection:
        return in_database(connection, needles, fernet_key(airflow), **options)


def fernet_key(airflow: AirflowHome) -> str:
    return airflow.environ["AIRFLOW__CORE__FERNET_KEY"]


def connect(airflow: AirflowHome, wr: Emulator) -> set[bytes]:
    """Store a connection that is let in, one that is not, and one to nobody; return what is secret in them."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
    needles = of_private_key(wr.api_secret) | forms(wr.api_key)
    for name, host, api_key in (
        ("good", wr.url, wr.api_key),
        ("refused", wr.url, f"ws_{secrets.token_urlsafe(24)}"),
        ("away", nobody, f"ws_{secrets.token_urlsafe(24)}"),
    ):
        callback, header = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        extra = {"api_key": api_key, "callback_secret": callback, "callback_headers": {"x-token": header}}
        needles |= forms(api_key) | forms(callback) | forms(header)
        body = {"conn_type": "whiterabbit", "host": host, "password": wr.api_secret, "extra": json.dumps(extra)}
        airflow.api.call("POST", "/connections", {"connection_id": f"secrets_{name}", **body})
    return needles


@pytest.fixture(scope="module")
def told(airflow: AirflowHome, wr: Emulator, guarded: Emulator) -> Told:
    needles = connect(airflow, guarded) | of_private_key(wr.api_secret) | forms(wr.api_key)
    guarded.fault(Uncertain("SECRETS_UNCERTAIN"), kind="submit", times=None)
    identity = guarded.create_execution("SECRETS", manual=True)
    run = airflow.run("e2e_secrets", {"execution_id": identity, "callback_url": f"{guarded.url}/callback"})
    guarded.wait_for_stream(identity, count=2, timeout=180)
    waits = [run.wait_for(name, {"deferred"}) for name in ("wait_deferred", "wait_there")]
    until(lambda: not airflow.is_busy_with(*waits), "the workers to be free", 60)
    told = Told(run, needles, search(airflow, needles), search(airflow, forms(identity)))
    guarded.complete(identity, OUTPUT)
    try:
        run.wait(240)
    except TimeoutError as error:
        pytest.fail(f"{error}\n{airflow.explain(run)}")
    return told


@pytest.mark.parametrize("name", ENDS)
def test_everything_happened(told: Told, name: str) -> None:
    """Each task ended as it was to, so that what it writes then was written."""
    task = told.run.task(name)
    if ENDS[name] == "success":
        assert task.state == "success", told.run.messages(name)
    else:
        assert task.state == "failed"
        assert ENDS[name] in told.run.log(name)


def test_callback_secret_was_sent(told: Told, guarded: Emulator) -> None:
    """The connection's secret went along with every callback URL."""
    sent = [entry.json for entry in guarded.requests(kind="submit") if "callbackUrl" in entry.json]
    assert len(sent) >= 4
    assert all(body["callbackSecret"] and body["callbackHeaders"] for body in sent)


def test_nothing_secret_is_in_a_file(told: Told, started, airflow: AirflowHome) -> None:
    """Not in a task's log, a component's output, or the database's file."""
    for name in started.runs:
        started.ended(name)
    assert in_files(airflow.home, told.needles) == []


def test_nothing_secret_is_in_the_database(told: Told, airflow: AirflowHome) -> None:
    """Not in any row of any table, but for the connections, which are encrypted."""
    assert search(airflow, told.needles) == []
    assert search(airflow, told.needles, sealed=()) == ["connection.extra", "connection.password"]


def test_nothing_secret_is_in_a_trigger(told: Told) -> None:
    """Nor anywhere else while tasks are deferred; triggers' arguments are decrypted, and were there to be found."""
    assert told.leaks == []
    assert {"trigger.kwargs", "dag_run.conf"} <= set(told.mentions)
    assert any(place.startswith("rendered_task_instance_fields") for place in told.mentions)


@pytest.mark.parametrize("form", FORMS)
def test_secret_in_a_log_is_found(tmp_path: Path, form: str) -> None:
    """The search sees into nested folders and binary files, and knows every form."""
    planted = tmp_path / "logs" / "task" / "attempt=1.log"
    planted.parent.mkdir(parents=True)
    planted.write_bytes(b"\x00\xff before " + FORMS[form].encode() + b" after")
    (tmp_path / "harmless").write_text("s3cr+t/of")
    assert in_files(tmp_path, forms(SECRET)) == ["logs/task/attempt=1.log"]


@pytest.mark.parametrize("place", ["xcom.value", "trigger.kwargs", "serialized_dag.data", "connection.extra"])
@pytest.mark.parametrize("form", FORMS)
def test_secret_in_the_database_is_found(told: Told, airflow: AirflowHome, place: str, form: str) -> None:
    """The search sees into every table, into what is encrypted, and into a connection that is not."""
    table, _, column = place.partition(".")
    value = json.dumps({"id": FORMS[form]})
    with look(airflow) as connection:
        if table == "trigger":
            value = Fernet(fernet_key(airflow)).encrypt(value.encode()).decode()
            planting = "INSERT INTO trigger (classpath, kwargs, created_date) VALUES ('x', :value, '2026-01-01')"
        else:
            row = {"sqlite": "rowid", "postgresql": "ctid"}[connection.dialect.name]
            first = f"(SELECT {row} FROM {table} LIMIT 1)"  # noqa: S608
            planting = f"UPDATE {table} SET {column} = :value WHERE {row} = {first}"  # noqa: S608
        assert connection.execute(sqlalchemy.text(planting), {"value": value}).rowcount == 1
        assert in_database(connection, forms(SECRET), fernet_key(airflow)) == [place]


def test_private_key_is_known_by_its_bytes(tmp_path: Path) -> None:
    """The 32 bytes that are secret are found without the header that all such keys share."""
    seed = secrets.token_bytes(32)
    text = base64.b64encode(bytes.fromhex("302e020100300506032b657004220420") + seed).decode()
    for planted in (seed, base64.b64encode(seed), seed.hex().encode(), text.encode()):
        (tmp_path / "planted").write_bytes(b"before" + planted)
        assert in_files(tmp_path, of_private_key(text)) == ["planted"]
