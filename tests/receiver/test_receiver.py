"""What is answered to what arrives, over a real socket, and what becomes of it in Airflow's database."""

from __future__ import annotations

import json
import logging
import random
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import requests

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.client import webhooks
from airflow_provider_whiterabbit.receiver import secrets
from tests.receiver.conftest import Database, Served
from tests.receiver.deliveries import OTHER_SECRET, SECRET, record_of, signed
from tests.versions import HAS_RUN_EACH, needs_receiver, needs_run_each

pytestmark = needs_receiver

Serve = Callable[..., Served]


def result(answer: requests.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"])


@pytest.fixture
def heard(database: Database) -> Database:
    """Let DAGs listen for both ends of PAY."""
    database.listen(assets.module("PAY"), assets.module("PAY", "failure"))
    return database


# --- taken


@pytest.mark.parametrize("form", ["timed", "raw"])
@pytest.mark.parametrize(("status", "asset"), [("COMPLETED", "success"), ("FAILED", "failure")])
def test_a_record_becomes_an_event(served: Served, heard: Database, form: str, status: str, asset: str) -> None:
    """Once, with the execution's id as its key, in either form of signature; the output stays out of it."""
    record = record_of(status=status)
    body = json.dumps(record).encode()
    assert result(served.post(body, signed(body, form=form))) == "emitted"
    assert result(served.post(body, signed(body, form=form))) == "repeated"
    extra = {
        "execution_id": record["id"],
        "whiterabbit_conn_id": "whiterabbit_default",
        "module": "PAY",
        "status": status,
        "usage": 1,
    }
    name = f"whiterabbit/whiterabbit_default/module/PAY/{asset}"
    key = record["id"] if HAS_RUN_EACH else None
    assert heard.events() == [{"asset": name, "key": key, "extra": extra}]


def test_another_body_of_the_same_execution_is_a_repeat(served: Served, heard: Database) -> None:
    """The id is what counts: not the attempt's number, and nothing else that a later delivery may say."""
    heard.listen(assets.module("SWAP"), assets.named("mine"))
    record = record_of()
    assert result(served.post(record)) == "emitted"
    for changes in (
        {"totalUsage": 2, "callback": {"attemptCount": 2}},
        {"output": None},
        {"status": "FAILED", "error": "late"},
        {"module": "SWAP"},
        {"module": None, "callback": {"url": "https://x/?name=mine"}},
        {"createdAt": "2999-01-01T00:00:00Z"},
        {"createdAt": None},
        {"createdAt": "2020-01-01T00:00:00Z"},
    ):
        assert result(served.post(record | changes)) == "repeated"
    assert len(heard.events()) == 1


def test_repeats_at_once(served: Served, heard: Database) -> None:
    """However many deliveries of a record arrive at the same moment, one becomes an event."""
    records = [record_of() for _ in range(5)]
    deliveries = [record for record in records for _ in range(4)]
    random.Random(1).shuffle(deliveries)  # noqa: S311

    def deliver(record: dict[str, Any]) -> str:
        while (answer := served.post(record)).status_code == 503:  # SQLite had too many at once: it says come back
            pass
        return result(answer)

    with ThreadPoolExecutor(len(deliveries)) as pool:
        results = list(pool.map(deliver, deliveries))
    assert sorted(results) == ["emitted"] * 5 + ["repeated"] * 15
    assert {event["extra"]["execution_id"] for event in heard.events()} == {record["id"] for record in records}
    assert len(heard.events()) == 5


def test_restarts_forget_nothing(serve: Serve, heard: Database) -> None:
    """What was delivered to one process is known to the next."""
    record = record_of()
    assert result(serve().post(record)) == "emitted"
    assert result(serve().post(record)) == "repeated"


def test_connections_are_apart(served: Served, database: Database) -> None:
    """Each has its own assets and its own executions; their ids may hold a slash."""
    database.listen(assets.module("PAY"), assets.module("PAY", whiterabbit_conn_id="other/one"))
    record = record_of()
    body = json.dumps(record).encode()
    assert result(served.post(body)) == "emitted"
    other = quote("other/one", safe="")
    for connection in (other, "other/one"):
        answer = served.post(body, signed(body, OTHER_SECRET), connection)
        assert result(answer) == ("emitted" if connection == other else "repeated")
    assert [event["extra"]["whiterabbit_conn_id"] for event in database.events()] == [
        "whiterabbit_default",
        "other/one",
    ]


def test_a_name_of_ones_own(served: Served, database: Database) -> None:
    """The name in the record's URL counts, which is signed; that in the request's URL does not."""
    database.listen(assets.named("my name&?"), assets.named("forged"))
    record = record_of(
        "SWAP", callback={"url": "https://airflow.example.org/whiterabbit/callbacks/x?name=my+name%26%3F"}
    )
    assert result(served.post(record, connection="whiterabbit_default?name=forged")) == "emitted"
    assert [event["asset"] for event in database.events()] == [
        "whiterabbit/whiterabbit_default/named/my%20name%26%3F/success"
    ]


@pytest.mark.parametrize("module", ["a/b", "é", "%", "_", "x' OR 1=1 --", "x" * 400, "\u2028"])
def test_modules_of_all_kinds(served: Served, database: Database, module: str) -> None:
    """Whatever a module is called, its asset is found, and no other."""
    database.listen(assets.module(module), assets.module("OTHER"))
    assert result(served.post(record_of(module))) == "emitted"
    (event,) = database.events()
    assert event["asset"] == assets.module(module).name
    assert event["asset"].isascii()


@pytest.mark.parametrize("module", ["\x00", "a\ud800", None, 7, ""])
def test_modules_that_no_database_takes(served: Served, heard: Database, module: Any) -> None:
    """They have no asset, and are kept out of the events that a name brings about."""
    heard.listen(assets.named("mine"))
    record = record_of(module, callback={"url": "https://x/?name=mine"})
    assert result(served.post(record)) == "emitted"
    assert heard.events()[0]["extra"].get("module") in (None, "")


# --- the output


@pytest.mark.parametrize(
    ("output", "limit", "kept"),
    [
        ({"hash": "0x1"}, 0, False),
        ({"hash": "0x1"}, 15, True),
        ({"hash": "0x1"}, 14, False),
        ("é" * 10, 22, True),
        ("é" * 10, 21, False),
        ("\x00", 100, False),
        ("\ud800", 100, False),
        (float("inf"), 100, False),
        (None, 100, True),
    ],
)
def test_output_where_it_is_asked_for(serve: Serve, heard: Database, output: Any, limit: int, kept: bool) -> None:
    """If it is small enough, and if PostgreSQL can read what it writes."""
    body = json.dumps(record_of(output=output)).replace("Infinity", "1e999").encode()
    assert result(serve(output_bytes=limit).post(body)) == "emitted"
    (event,) = heard.events()
    assert event["extra"].get("output", "nothing") == (output if kept else "nothing")


def test_errors_are_outputs_of_failures(serve: Serve, heard: Database) -> None:
    """With the same option."""
    assert result(serve(output_bytes=100).post(record_of(status="FAILED", error={"code": 1}))) == "emitted"
    assert heard.events()[0]["extra"]["output"] == {"code": 1}


# --- nobody listens


def test_nobody_listens(served: Served, database: Database) -> None:
    """White Rabbit is told to come back, and so does not count the callback as delivered; the DAG may come yet."""
    database.listen(assets.module("OTHER"))
    record = record_of()
    answer = served.post(record)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
    assert answer.json() == {"detail": "no DAG listens for PAY"}
    database.listen(assets.module("PAY"))
    assert result(served.post(record)) == "emitted"


def test_nobody_listens_for_this_end(served: Served, database: Database) -> None:
    """Whoever listens for failures alone has no use for the others, and White Rabbit is not to come back for that."""
    database.listen(assets.module("PAY", "failure"))
    record = record_of()
    assert result(served.post(record)) == "unwanted"
    assert database.events() == []
    database.listen(assets.module("PAY"))
    assert result(served.post(record)) == "emitted"


@pytest.mark.parametrize("plain", [True, False] if HAS_RUN_EACH else [True])
def test_a_dag_that_is_paused(served: Served, heard: Database, plain: bool) -> None:
    """Airflow would have the event and no run, for ever; so it is as if nobody listened, until the DAG is unpaused."""
    heard.schedule(assets.module("PAY"), paused=True, plain=plain)
    record = record_of()
    assert served.post(record).status_code == 503
    assert heard.events() == []
    if plain:  # for partitions Airflow would have to know the whole DAG
        heard.unpause()
        assert result(served.post(record)) == "emitted"


@needs_run_each  # before, there are no keys, and one event reaches all
def test_plain_schedules(served: Served, heard: Database) -> None:
    """A DAG on the asset as such does not see events with a key; so there is one without, for it alone."""
    heard.schedule(assets.module("PAY"))
    heard.schedule(assets.module("PAY"), paused=True)
    heard.schedule(assets.module("PAY", "failure"), paused=True)
    record, failure = record_of(), record_of(status="FAILED")
    assert result(served.post(record)) == "emitted"
    assert result(served.post(record)) == "repeated"
    assert served.post(failure).status_code == 503
    assert [event["key"] for event in heard.events()] == [record["id"], None]
    first, second = heard.events()
    assert first["extra"] == second["extra"]


def test_a_dag_that_is_gone(served: Served, heard: Database) -> None:
    """An asset that no DAG has any more is as good as none, but its events still tell repeats."""
    from airflow.models.asset import AssetActive
    from airflow.utils.session import create_session
    from sqlalchemy import delete

    record = record_of()
    assert result(served.post(record)) == "emitted"
    with create_session() as session:
        session.execute(delete(AssetActive))
    assert served.post(record_of()).status_code == 503
    assert result(served.post(record)) == "repeated"


# --- refused

FLIPPED = b'{"tampered": true}'


def refusals() -> dict[str, Callable[[bytes], tuple[bytes, dict[str, str], str]]]:
    """Return ways to be refused: body, headers and connection of each; all but the first are answered 401."""
    default = "whiterabbit_default"
    return {
        "no signature": lambda body: (body, {}, default),
        "a byte changed": lambda body: (body.replace(b"COMPLETED", b"COMPLETEE"), signed(body), default),
        "a byte more": lambda body: (body + b" ", signed(body), default),
        "another body": lambda body: (FLIPPED, signed(body), default),
        "stale": lambda body: (body, signed(body, age=301), default),
        "early": lambda body: (body, signed(body, age=-330), default),
        "time changed": lambda body: (body, signed(body) | {"x-signature-timestamp": "2026-01-01T00:00:00Z"}, default),
        "another connection's secret": lambda body: (body, signed(body, OTHER_SECRET), default),
        "at another connection": lambda body: (body, signed(body), "other/one"),
        "a byte changed, older form": lambda body: (FLIPPED, signed(body, form="raw"), default),
        "another secret, older form": lambda body: (body, signed(body, OTHER_SECRET, form="raw"), default),
        "no secret to sign with": lambda body: (body, signed(body, ""), "secretless"),
        "an empty secret": lambda body: (body, signed(body, ""), "empty"),
        "a secret that is a number": lambda body: (body, signed(body, "7"), "number"),
        "a connection of another kind": lambda body: (body, signed(body), "foreign"),
        "a connection that is missing": lambda body: (body, signed(body), "missing"),
    }


@pytest.mark.parametrize("way", refusals().values(), ids=refusals().keys())
@pytest.mark.parametrize("size", [0, 300_000], ids=["small", "large"])
def test_refused(
    served: Served,
    heard: Database,
    way: Callable[[bytes], tuple[bytes, dict[str, str], str]],
    size: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """401, nothing in the database, and neither secret nor signature in answer and log."""
    caplog.set_level(logging.DEBUG)
    body, headers, connection = way(json.dumps(record_of(output="x" * size)).encode())
    answer = served.post(body, headers, connection)
    assert answer.status_code == 401
    assert heard.events() == []
    for shown in (SECRET, OTHER_SECRET, headers.get("x-signature", "sha256=").removeprefix("sha256=")):
        assert not shown or shown not in answer.text + caplog.text


def test_older_form_can_be_declined(serve: Serve, heard: Database) -> None:
    """Where the configuration says so."""
    body = json.dumps(record_of()).encode()
    served = serve(raw_signatures=False)
    assert served.post(body, signed(body, form="raw")).status_code == 401
    assert heard.events() == []
    assert result(served.post(body)) == "emitted"


def test_tolerance(serve: Serve, heard: Database) -> None:
    """Is what the configuration says."""
    served = serve(tolerance=10)
    body = json.dumps(record_of()).encode()
    assert served.post(body, signed(body, age=15)).status_code == 401
    assert result(served.post(body, signed(body, age=5))) == "emitted"


@pytest.mark.parametrize("name", sorted(webhooks.SIGNATURE_HEADERS))
def test_headers_that_come_twice(served: Served, heard: Database, name: str) -> None:
    """Which of two counts is a question that is not answered."""
    body = json.dumps(record_of()).encode()
    headers = [*(signed(body) | signed(body, form="raw")).items()]
    headers.append((name, dict(headers)[name]))
    lines = "".join(f"{key}: {value}\r\n" for key, value in headers)
    head = f"POST /whiterabbit/callbacks/whiterabbit_default HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
    assert raw_answer(served, f"{head}{lines}\r\n".encode() + body).startswith(b"HTTP/1.1 401")
    assert heard.events() == []


def raw_answer(served: Served, data: bytes) -> bytes:
    """Send bytes and return the first that come back."""
    with socket.create_connection(served.address, 30) as sock:
        sock.sendall(data)
        return sock.recv(65536)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"{", b"[]", b"\xff", json.dumps(record_of(id="../x")).encode(), b"[" * 60_000, b"[" * 900_000],
    ids=lambda body: ascii(body)[:20],
)
def test_signed_nonsense(served: Served, heard: Database, body: bytes) -> None:
    """400, and nothing in the database."""
    assert served.post(body).status_code == 400
    assert heard.events() == []


@pytest.mark.parametrize("status", ["CREATED", "EXECUTING", "CANCELED"])
def test_records_that_are_not_finished(served: Served, heard: Database, status: str) -> None:
    """400 too."""
    assert served.post(record_of(status=status)).status_code == 400
    assert heard.events() == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/callbacks/unknown", 404),
        ("POST", "/callbacks/", 404),
        ("POST", "/callbacks/whiterabbit_default/", 404),
        ("POST", "/callbacks", 404),
        ("GET", "/callbacks/whiterabbit_default", 405),
        ("PUT", "/callbacks/whiterabbit_default", 405),
        ("GET", "/openapi.json", 404),
        ("GET", "/docs", 404),
        ("POST", "/health", 405),
    ],
)
def test_other_places(served: Served, heard: Database, method: str, path: str, status: int) -> None:
    """There is nothing else to be had, and no redirect."""
    body = json.dumps(record_of()).encode()
    answer = requests.request(
        method, served.url + path, data=body, headers=signed(body), timeout=10, allow_redirects=False
    )
    assert answer.status_code == status
    assert heard.events() == []


def test_health(served: Served) -> None:
    """It asks nothing of the database."""
    answer = requests.get(f"{served.url}/health", timeout=10)
    assert (answer.status_code, answer.json()) == (200, {"status": "healthy"})


# --- trouble


def test_a_database_that_is_down(served: Served, heard: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """503: White Rabbit comes again, and then it counts."""
    record = record_of()
    with monkeypatch.context() as patched:

        def down(**_: Any) -> None:
            raise OSError("the database is down")

        patched.setattr("airflow.assets.manager.asset_manager.register_asset_change", down)
        assert served.post(record).status_code == 503
    assert heard.events() == []
    assert result(served.post(record)) == "emitted"


def test_a_connection_that_cannot_be_read(served: Served, heard: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 as well; and strangers can't make it be read again and again."""
    reads = count_reads(monkeypatch, failing=True)
    assert [served.post(record_of()).status_code for _ in range(5)] == [503] * 5
    assert reads == ["whiterabbit_default"]


def count_reads(monkeypatch: pytest.MonkeyPatch, *, failing: bool = False) -> list[str]:
    reads: list[str] = []
    read = secrets.read_secret

    def counting(connection_id: str) -> str | None:
        reads.append(connection_id)
        if failing:
            raise OSError("the database is down")
        return read(connection_id)

    monkeypatch.setattr(secrets, "read_secret", counting)
    return reads


@pytest.mark.parametrize(("waiting", "reason"), [(256, "took too long"), (3, "too many at once")])
def test_a_secret_that_does_not_come(
    served: Served, heard: Database, monkeypatch: pytest.MonkeyPatch, waiting: int, reason: str
) -> None:
    """Nobody waits for it without end, nor do more than may wait at all; when it is there, it counts."""
    from airflow_provider_whiterabbit.receiver import app  # not where Airflow has no FastAPI

    came, read = threading.Event(), secrets.read_secret
    monkeypatch.setattr(secrets, "read_secret", lambda name: came.wait() and read(name))
    with monkeypatch.context() as patched, ThreadPoolExecutor(8) as pool:
        patched.setattr(app, "PATIENCE", 0.5)
        patched.setattr(app, "WAITING", waiting)
        answers = list(pool.map(lambda _: served.post(record_of()), range(8)))
    assert {answer.status_code for answer in answers} == {503}
    assert reason in {answer.json()["detail"] for answer in answers}
    came.set()
    assert result(served.post(record_of())) == "emitted"


def test_what_nobody_waits_for_is_not_begun(served: Served, heard: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind threads that hang, no bodies are kept, and nothing is emitted of which the sender was told otherwise."""
    from airflow_provider_whiterabbit.receiver import app

    goes_on, begun = threading.Event(), []

    def emit(*_: Any) -> None:
        begun.append(None)
        goes_on.wait()

    with monkeypatch.context() as patched, ThreadPoolExecutor(10) as pool:
        patched.setattr(app, "emit", emit)
        patched.setattr(app, "PATIENCE", 0.5)
        assert {answer.status_code for answer in pool.map(lambda _: served.post(record_of()), range(10))} == {503}
    goes_on.set()
    assert result(served.post(record_of())) == "emitted"
    assert len(begun) == app.THREADS


def test_strangers_cost_no_database(served: Served, heard: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many come at once, each connection is read once, and no event is looked for."""
    reads = count_reads(monkeypatch)
    looked_for = threading.Event()
    monkeypatch.setattr("airflow_provider_whiterabbit.receiver.app.emit", lambda *_: looked_for.set())
    body = json.dumps(record_of()).encode()
    with ThreadPoolExecutor(20) as pool:
        names = ["whiterabbit_default", "other/one", "missing", "unknown"] * 20
        answers = list(pool.map(lambda name: served.post(body, signed(body, "guess"), name).status_code, names))
    assert set(answers) == {401, 404}
    assert sorted(reads) == ["missing", "other/one", "whiterabbit_default"]
    assert not looked_for.is_set()


def test_a_secret_is_read_again_after_a_while(served: Served, heard: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed one counts from then on."""
    body = json.dumps(record_of()).encode()
    assert served.post(body, signed(body, "new")).status_code == 401
    connection = {"conn_type": "whiterabbit", "extra": {"callback_secret": "new"}}
    monkeypatch.setenv("AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection))
    assert served.post(body, signed(body, "new")).status_code == 401
    later = SimpleNamespace(monotonic=lambda: time.monotonic() + secrets.LIFETIME)
    monkeypatch.setattr(secrets, "time", later)
    assert result(served.post(body, signed(body, "new"))) == "emitted"
