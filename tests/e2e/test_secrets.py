"""End-to-end tests that Airflow writes no secret: not in logs, XComs, rendered fields, triggers, DAGs or events."""

from __future__ import annotations

import base64
import json
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy
from cryptography.fernet import Fernet
from sqlalchemy.engine import Connection
from sqlalchemy.pool import NullPool

from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.emulator.effects import Answer, Call, Effect
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.modules import MODULES
from tests.e2e import ERROR, OUTPUT
from tests.e2e.leaks import forms, in_database, in_files, of_private_key
from tests.e2e.runs import SensorRuns, wait_for_log, wait_until_deferred

pytestmark = [pytest.mark.e2e]

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
    "inputs_mapped": "success",
    "inputs_there": "success",
    "inputs_failed": "cannot reach ***",
    "inputs_uncertain": "It is not known whether",
    "inputs_missing": "input.url names the variable 'secrets_nowhere', but there is no such variable",
    "inputs_data": "input.url names the variable 'secrets_token', which the text of the DAG does not name",
    "inputs_file": "success",
    "wait_inputs": "success",
}
"""For each task `"success"`, or a part of the log that says why the task failed."""

DEFERRED = (
    *("wait_deferred", "wait_there", "execute_deferred", "execute_failed", "run", "inputs_there", "inputs_failed"),
    "wait_inputs",
)
"""The tasks that the triggerer waits for, until the fixture ends what they wait for."""

MANUAL = ("SECRETS_DEFERRED", "SECRETS_FAILED", "SECRET_INPUTS_DEFERRED", "SECRET_INPUTS_FAILED")
"""The modules of their executions."""

SECRET = "s3cr+t/of=the planted kind"
TOKEN = "${secret:variable:secrets_token}"
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
    """An effect that processes submissions of one module but answers them with 502, so that they are uncertain."""

    module: str

    async def apply(self, call: Call) -> None:
        """Answer a submission of the module with 502, and every other request as usual."""
        if json.loads(call.scope["body"])["module"] == self.module:
            await Answer(502, "<html>", process=True).apply(call)
        else:
            await call.proceed()


def echo(input: Any, config: Any) -> Any:  # noqa: A002 (White Rabbit's word)
    """Repeat the inputs in the output."""
    return {"echo": input, "text": f"{input}"}


def fail(input: Any, config: Any) -> Any:  # noqa: A002 (White Rabbit's word)
    """Repeat the inputs in the error."""
    address = input["jsonRpcUrl"]
    raise ValueError(f"cannot reach {address} ({address[8:]}, {quote(address, safe='')}, {json.dumps(input)})")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Emulator]:
    """Run an emulator whose key and secret no other test uses."""
    with Emulator(components=MODULES) as emulator:
        emulator.script("SECRETS", output=OUTPUT, after=2)
        emulator.script("SECRETS_DEFERRED", output=OUTPUT, manual=True)
        emulator.script("SECRETS_FAILED", manual=True)
        emulator.script("SECRET_INPUTS", output=echo, after=2)
        emulator.script("SECRET_INPUTS_DEFERRED", output=echo, manual=True)
        emulator.script("SECRET_INPUTS_FAILED", output=fail, manual=True)
        emulator.script_workflow("SECRETS", [{"module": "SWAP", "output": OUTPUT, "manual": True}])
        yield emulator


@dataclass
class SecretsRun:
    """A run of the DAG `e2e_secrets`, which has ended.

    :param needles: beginnings of the secrets, in all forms.
    :param leaks: places in the database that contained a secret while tasks were deferred.
    :param mentions: places in the database that contained the execution's id at that time.
    """

    run: DagRun
    needles: set[bytes]
    leaks: list[str]
    mentions: list[str]


@contextmanager
def database(airflow: AirflowHome) -> Iterator[Connection]:
    """Connect to Airflow's database, and roll back all changes at the end of the block."""
    engine = sqlalchemy.create_engine(airflow.environ["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"], poolclass=NullPool)
    with engine.connect() as connection, connection.begin() as transaction:
        yield connection
        transaction.rollback()


def search(airflow: AirflowHome, needles: set[bytes], **options: Any) -> list[str]:
    """Return the places in Airflow's database that contain a needle; the options are those of `in_database`."""
    with database(airflow) as connection:
        return in_database(connection, needles, fernet_key(airflow), **options)


def fernet_key(airflow: AirflowHome) -> str:
    """Return the key with which Airflow encrypts values in its database."""
    return airflow.environ["AIRFLOW__CORE__FERNET_KEY"]


def store_connections(airflow: AirflowHome, wr: Emulator) -> set[bytes]:
    """Store a working connection, one with a wrong key, and one to a closed port; return the forms of their secrets."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        closed_url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    needles = of_private_key(wr.api_secret) | forms(wr.api_key)
    for name, host, api_key in (
        ("good", wr.url, wr.api_key),
        ("refused", wr.url, f"ws_{secrets.token_urlsafe(24)}"),
        ("away", closed_url, f"ws_{secrets.token_urlsafe(24)}"),
    ):
        callback, header = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        extra = {"api_key": api_key, "callback_secret": callback, "callback_headers": {"x-token": header}}
        needles |= forms(api_key) | forms(callback) | forms(header)
        body = {"conn_type": "whiterabbit", "host": host, "password": wr.api_secret, "extra": json.dumps(extra)}
        airflow.api.call("POST", "/connections", {"connection_id": f"secrets_{name}", **body})
    return needles


def store_inputs(airflow: AirflowHome) -> set[bytes]:
    """Store the secrets that inputs name; return their forms, as they are and without their beginnings."""
    key, token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
    extra = json.dumps({"secret_rpc_url": f"https://{secrets.token_hex(8)}.example.org/v2/{key}"})
    body = {"connection_id": "secrets_inputs", "conn_type": "http", "extra": extra}
    airflow.api.call("POST", "/connections", body)
    airflow.api.call("POST", "/variables", {"key": "secrets_token", "value": token})
    return forms(key) | forms(token)


@pytest.fixture(scope="module")
def secrets_run(airflow: AirflowHome, wr: Emulator, guarded: Emulator, sensor_runs: SensorRuns) -> SecretsRun:
    """Run the DAG `e2e_secrets` to its end, and search the database while some of its tasks are deferred.

    The session's runs of sensors, whose logs are searched too, reach their timeouts meanwhile.
    """
    needles = store_connections(airflow, guarded) | of_private_key(wr.api_secret) | forms(wr.api_key)
    needles |= store_inputs(airflow)
    guarded.fault(Uncertain("SECRETS_UNCERTAIN"), kind="submit", times=None)
    identity = guarded.create_execution("SECRETS", manual=True)
    run = airflow.run(
        "e2e_secrets", {"execution_id": identity, "callback_url": f"{guarded.url}/callback", "name": TOKEN}
    )
    guarded.wait_for_stream(identity, count=2, timeout=180)
    for task_id in DEFERRED:
        wait_until_deferred(airflow, run, task_id)
    secrets_run = SecretsRun(run, needles, search(airflow, needles), search(airflow, forms(identity)))
    guarded.complete(identity, OUTPUT)
    for record in guarded.executions:
        if record["module"] == "SECRETS_FAILED":
            guarded.fail(record["id"], ERROR)
        elif record["module"] in MANUAL:
            guarded.complete(record["id"])
    for record in guarded.runs:
        guarded.complete_stage(record["id"], 0)
    try:
        run.wait(240)
    except TimeoutError as error:
        pytest.fail(f"{error}\n{airflow.explain(run)}")
    return secrets_run


@pytest.mark.parametrize("name", ENDS)
def test_every_task_ended_as_expected(secrets_run: SecretsRun, name: str) -> None:
    """Each task ended in its expected way, so everything that a task writes at its end was written."""
    index = 0 if name == "inputs_mapped" else -1
    task = secrets_run.run.task(name, index)
    if ENDS[name] == "success":
        assert task.state == "success", secrets_run.run.messages(name, index)
    else:
        assert task.state == "failed"
        wait_for_log(secrets_run.run, name, ENDS[name])


def test_callback_secret_was_sent(secrets_run: SecretsRun, guarded: Emulator) -> None:
    """Each submission with a callback URL also sent the connection's callback secret and headers."""
    sent = [entry.json for entry in guarded.requests(kind="submit") if "callbackUrl" in entry.json]
    assert len(sent) >= 4
    assert all(body["callbackSecret"] and body["callbackHeaders"] for body in sent)


def test_secrets_of_inputs_were_sent(secrets_run: SecretsRun, guarded: Emulator) -> None:
    """Each submission of inputs held the secrets, and none held a name."""
    sent = [entry.json["input"] for entry in guarded.requests(kind="submit") if entry.json["input"]]
    assert len(sent) >= 6
    assert len({json.dumps(given) for given in sent}) == 1
    assert "${" not in json.dumps(sent)


def test_no_secret_is_in_a_file(secrets_run: SecretsRun, sensor_runs: SensorRuns, airflow: AirflowHome) -> None:
    """No file of Airflow contains a secret: not the logs of tasks and components, and not the file of the database."""
    for name in sensor_runs.runs:
        sensor_runs.ended(name)
    assert in_files(airflow.home, secrets_run.needles) == []


def test_no_secret_is_in_the_database(secrets_run: SecretsRun, airflow: AirflowHome) -> None:
    """No row of the database contains a secret, except the encrypted columns of connections."""
    assert search(airflow, secrets_run.needles) == []
    assert search(airflow, secrets_run.needles, allowed=()) == [
        "connection.extra",
        "connection.password",
        "variable.val",
    ]


def test_no_secret_is_in_a_trigger(secrets_run: SecretsRun) -> None:
    """While tasks are deferred, no row contains a secret; the search did decrypt the arguments of triggers."""
    assert secrets_run.leaks == []
    assert {"trigger.kwargs", "dag_run.conf"} <= set(secrets_run.mentions)
    assert any(place.startswith("rendered_task_instance_fields") for place in secrets_run.mentions)


@pytest.mark.parametrize("form", FORMS)
def test_secret_in_a_log_is_found(tmp_path: Path, form: str) -> None:
    """The search finds every form of a secret in nested folders and in binary files."""
    planted = tmp_path / "logs" / "task" / "attempt=1.log"
    planted.parent.mkdir(parents=True)
    planted.write_bytes(b"\x00\xff before " + FORMS[form].encode() + b" after")
    (tmp_path / "harmless").write_text("s3cr+t/of")
    assert in_files(tmp_path, forms(SECRET)) == ["logs/task/attempt=1.log"]


@pytest.mark.parametrize("place", ["xcom.value", "trigger.kwargs", "serialized_dag.data", "connection.extra"])
@pytest.mark.parametrize("form", FORMS)
def test_secret_in_the_database_is_found(secrets_run: SecretsRun, airflow: AirflowHome, place: str, form: str) -> None:
    """The search finds every form of a secret in each table, in encrypted values, and in an unencrypted connection."""
    table, _, column = place.partition(".")
    value = json.dumps({"id": FORMS[form]})
    with database(airflow) as connection:
        if table == "trigger":
            value = Fernet(fernet_key(airflow)).encrypt(value.encode()).decode()
            planting = "INSERT INTO trigger (classpath, kwargs, created_date) VALUES ('x', :value, '2026-01-01')"
        else:
            row = {"sqlite": "rowid", "postgresql": "ctid"}[connection.dialect.name]
            first = f"(SELECT {row} FROM {table} LIMIT 1)"  # noqa: S608
            planting = f"UPDATE {table} SET {column} = :value WHERE {row} = {first}"  # noqa: S608
        assert connection.execute(sqlalchemy.text(planting), {"value": value}).rowcount == 1
        assert in_database(connection, forms(SECRET), fernet_key(airflow)) == [place]


def test_private_key_is_found_without_its_header(tmp_path: Path) -> None:
    """The search finds the 32 secret bytes of a private key without the header that all such keys share."""
    seed = secrets.token_bytes(32)
    text = base64.b64encode(bytes.fromhex("302e020100300506032b657004220420") + seed).decode()
    for planted in (seed, base64.b64encode(seed), seed.hex().encode(), text.encode()):
        (tmp_path / "planted").write_bytes(b"before" + planted)
        assert in_files(tmp_path, of_private_key(text)) == ["planted"]
