"""The receiver's answers to callbacks, over a real socket, and the asset events that it emits."""

from __future__ import annotations

import json
import logging
import random
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any
from urllib.parse import quote

import pytest
import requests

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.client import webhooks
from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.receiver.secrets import Secrets, read_secret
from dev.harness.polling import until
from tests.receiver.conftest import AssetDatabase, RunningReceiver, StartReceiver
from tests.receiver.deliveries import OTHER_SECRET, SECRET, record_of, signed
from tests.versions import HAS_RUN_EACH, needs_receiver

pytestmark = needs_receiver


def result(answer: requests.Response) -> str:
    """Return the result in a successful answer."""
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"])


def accepted(receiver: RunningReceiver, record: dict[str, Any]) -> None:
    """Deliver a record again and again until the receiver accepts it: threads that hung may end late."""
    answer = until(lambda: (answer := receiver.post(record)).status_code != 503 and answer, "an answer", 60)
    assert result(answer) in ("emitted", "repeated")


@pytest.fixture
def pay_database(database: AssetDatabase) -> AssetDatabase:
    """Return a database with a DAG on both assets of the module PAY."""
    database.schedule(assets.module("PAY", "both"))
    return database


# --- accepted callbacks


@pytest.mark.parametrize(("status", "asset"), [("COMPLETED", "success"), ("FAILED", "failure")])
def test_a_record_becomes_an_event(
    receiver: RunningReceiver, pay_database: AssetDatabase, status: str, asset: str
) -> None:
    """A record becomes one event, with the execution's id as its key and without the output."""
    record = record_of(status=status)
    assert result(receiver.post(record)) == "emitted"
    assert result(receiver.post(record)) == "repeated"
    extra = {
        "execution_id": record["id"],
        "whiterabbit_conn_id": "whiterabbit_default",
        "module": "PAY",
        "status": status,
        "usage": 1,
    }
    name = f"whiterabbit/whiterabbit_default/module/PAY/{asset}"
    key = record["id"] if HAS_RUN_EACH else None
    assert pay_database.events() == [{"asset": name, "key": key, "extra": extra}]


def test_another_body_of_the_same_execution_is_a_repeat(receiver: RunningReceiver, pay_database: AssetDatabase) -> None:
    """A callback with a known execution id is a repeat, whatever else its body says."""
    pay_database.schedule(assets.module("SWAP"))
    pay_database.schedule(assets.named("mine"))
    record = record_of()
    assert result(receiver.post(record)) == "emitted"
    for changes in (
        {"totalUsage": 2, "callback": {"attemptCount": 2}},
        {"output": None},
        {"status": "FAILED", "error": "late"},
        {"module": "SWAP"},
        {"module": None, "callback": {"url": "https://x/?name=mine"}},
        {"createdAt": "2999-01-01T00:00:00Z"},
        {"createdAt": None},
        {"createdAt": "2020-01-01T00:00:00Z"},
        {"createdAt": "0001-01-01T00:00:00Z"},
    ):
        assert result(receiver.post(record | changes)) == "repeated"
    assert len(pay_database.events()) == 1


def test_repeats_at_once(receiver: RunningReceiver, pay_database: AssetDatabase) -> None:
    """If several deliveries of a record arrive at the same moment, exactly one becomes an event."""
    records = [record_of() for _ in range(5)]
    deliveries = [record for record in records for _ in range(4)]
    random.Random(1).shuffle(deliveries)  # noqa: S311

    def deliver(record: dict[str, Any]) -> str:
        while (answer := receiver.post(record)).status_code == 503:  # SQLite had too many writers at once
            pass
        return result(answer)

    with ThreadPoolExecutor(len(deliveries)) as pool:
        results = list(pool.map(deliver, deliveries))
    assert sorted(results) == ["emitted"] * 5 + ["repeated"] * 15
    assert {event["extra"]["execution_id"] for event in pay_database.events()} == {record["id"] for record in records}
    assert len(pay_database.events()) == 5


def test_restarts_forget_nothing(start_receiver: StartReceiver, pay_database: AssetDatabase) -> None:
    """A receiver recognises an execution whose callback another receiver accepted."""
    record = record_of()
    assert result(start_receiver().post(record)) == "emitted"
    assert result(start_receiver().post(record)) == "repeated"


def test_connections_are_apart(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """Each connection has its own assets and executions; the id of a connection may contain a slash."""
    database.schedule(assets.module("PAY"))
    database.schedule(assets.module("PAY", whiterabbit_conn_id="other/one"))
    record = record_of()
    body = json.dumps(record).encode()
    assert result(receiver.post(body)) == "emitted"
    other = quote("other/one", safe="")
    for connection in (other, "other/one"):
        answer = receiver.post(body, signed(body, OTHER_SECRET), connection)
        assert result(answer) == ("emitted" if connection == other else "repeated")
    assert [event["extra"]["whiterabbit_conn_id"] for event in database.events()] == [
        "whiterabbit_default",
        "other/one",
    ]


def test_a_name_of_ones_own(receiver: RunningReceiver, database: AssetDatabase) -> None:
    """The receiver takes the name from the signed URL in the record, not from the URL of the request."""
    database.schedule(assets.named("my name&?"))
    database.schedule(assets.named("forged"))
    url = "https://airflow.example.org/whiterabbit/callbacks/whiterabbit_default?name=my+name%26%3F"
    record = record_of("SWAP", callback={"url": url})
    assert result(receiver.post(record, connection="whiterabbit_default?name=forged")) == "emitted"
    assert [event["asset"] for event in database.events()] == [
        "whiterabbit/whiterabbit_default/named/my%20name%26%3F/success"
    ]


@pytest.mark.parametrize("source", ["user", "task"])
def test_events_of_others(receiver: RunningReceiver, pay_database: AssetDatabase, source: str) -> None:
    """An event that a user or a task has created does not make the true delivery of the execution a repeat."""
    record = record_of()
    extra = {"execution_id": record["id"], "whiterabbit_conn_id": "other", "module": "PAY", "status": "COMPLETED"}
    if source == "user":
        pay_database.forge(assets.module("PAY"), extra | {"from_rest_api": True})
    else:
        pay_database.forge(assets.module("PAY"), extra, source_task_id="forge")
    assert result(receiver.post(record)) == "emitted"
    assert result(receiver.post(record)) == "repeated"


def test_ids_within_other_events(receiver: RunningReceiver, pay_database: AssetDatabase) -> None:
    """An execution whose id is part of another id, or of an output, has no event of its own yet."""
    for execution_id in ("e-1_0", "e-1", "e-1x0", "E-1", "_"):
        assert result(receiver.post(record_of(id=execution_id))) == "emitted"
        assert result(receiver.post(record_of(id=execution_id))) == "repeated"


@pytest.mark.parametrize("module", ["a/b", "é", "%", "_", "x' OR 1=1 --", "x" * 400, "\u2028"])
def test_modules_of_all_kinds(receiver: RunningReceiver, database: AssetDatabase, module: str) -> None:
    """The receiver finds the asset of a module with any name, and emits no event of another asset."""
    database.schedule(assets.module(module))
    database.schedule(assets.module("OTHER"))
    assert result(receiver.post(record_of(module))) == "emitted"
    (event,) = database.events()
    assert event["asset"] == assets.module(module).name
    assert event["asset"].isascii()


@pytest.mark.parametrize("module", ["\x00", "a\ud800", None, 7, ""])
def test_modules_that_no_database_takes(receiver: RunningReceiver, pay_database: AssetDatabase, module: Any) -> None:
    """A module name that a database can't store has no asset, and is not in the event of another asset."""
    pay_database.schedule(assets.named("mine"))
    record = record_of(module, callback={"url": "https://x/?name=mine"})
    assert result(receiver.post(record)) == "emitted"
    assert pay_database.events()[0]["extra"].get("module") in (None, "")


# --- outputs in events


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
def test_output_where_it_is_asked_for(
    start_receiver: StartReceiver, pay_database: AssetDatabase, output: Any, limit: int, kept: bool
) -> None:
    """The event holds the output if the output is no larger than `output_bytes` and PostgreSQL can store it."""
    body = json.dumps(record_of(output=output)).replace("Infinity", "1e999").encode()
    assert result(start_receiver(output_bytes=limit).post(body)) == "emitted"
    (event,) = pay_database.events()
    assert event["extra"].get("output", "nothing") == (output if kept else "nothing")


def test_errors_are_outputs_of_failures(start_receiver: StartReceiver, pay_database: AssetDatabase) -> None:
    """The event of a FAILED execution holds the error instead of the output."""
    assert result(start_receiver(output_bytes=100).post(record_of(status="FAILED", error={"code": 1}))) == "emitted"
    assert pay_database.events()[0]["extra"]["output"] == {"code": 1}


# --- refused callbacks

FLIPPED = b'{"tampered": true}'


def refusals() -> dict[str, Callable[[bytes], tuple[bytes, dict[str, str], str]]]:
    """Return changes to a valid callback by name; each takes a body, and returns body, headers and connection."""
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
        "no secret to sign with": lambda body: (body, signed(body, ""), "secretless"),
        "an empty secret": lambda body: (body, signed(body, ""), "empty"),
        "a connection of another kind": lambda body: (body, signed(body), "foreign"),
        "a connection that is missing": lambda body: (body, signed(body), "missing"),
    }


@pytest.mark.parametrize("way", refusals().values(), ids=refusals().keys())
@pytest.mark.parametrize("size", [0, 300_000], ids=["small", "large"])
def test_refused(
    receiver: RunningReceiver,
    pay_database: AssetDatabase,
    way: Callable[[bytes], tuple[bytes, dict[str, str], str]],
    size: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The receiver answers 401, emits no event, and shows neither a secret nor the valid signature."""
    caplog.set_level(logging.DEBUG)
    body, headers, connection = way(json.dumps(record_of(output="x" * size)).encode())
    answer = receiver.post(body, headers, connection)
    assert answer.status_code == 401
    assert pay_database.events() == []
    for shown in (SECRET, OTHER_SECRET, headers.get("x-signature", "sha256=").removeprefix("sha256=")):
        assert not shown or shown not in answer.text + caplog.text


def test_tolerance(start_receiver: StartReceiver, pay_database: AssetDatabase) -> None:
    """The setting `tolerance` limits the age of a signature."""
    receiver = start_receiver(tolerance=10)
    body = json.dumps(record_of()).encode()
    assert receiver.post(body, signed(body, age=15)).status_code == 401
    assert result(receiver.post(body, signed(body, age=5))) == "emitted"


@pytest.mark.parametrize("name", sorted(webhooks.SIGNATURE_HEADERS))
def test_headers_that_come_twice(receiver: RunningReceiver, pay_database: AssetDatabase, name: str) -> None:
    """The receiver refuses a request in which a signature header occurs twice."""
    body = json.dumps(record_of()).encode()
    headers = [*(signed(body) | signed(body, form="raw")).items()]
    headers.append((name, dict(headers)[name]))
    lines = "".join(f"{key}: {value}\r\n" for key, value in headers)
    head = f"POST /whiterabbit/callbacks/whiterabbit_default HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n"
    assert raw_answer(receiver, f"{head}{lines}\r\n".encode() + body).startswith(b"HTTP/1.1 401")
    assert pay_database.events() == []


def raw_answer(receiver: RunningReceiver, data: bytes) -> bytes:
    """Send bytes, and return the first bytes of the answer."""
    with socket.create_connection(receiver.address, 60) as sock:
        sock.sendall(data)
        return sock.recv(65536)


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"{", b"[]", b"\xff", json.dumps(record_of(id="../x")).encode(), b"[" * 60_000, b"[" * 900_000],
    ids=lambda body: ascii(body)[:20],
)
def test_signed_nonsense(receiver: RunningReceiver, pay_database: AssetDatabase, body: bytes) -> None:
    """The receiver answers 400 to a signed body that is not a record, and emits no event."""
    assert receiver.post(body).status_code == 400
    assert pay_database.events() == []


@pytest.mark.parametrize("status", ["CREATED", "EXECUTING", "CANCELED"])
def test_records_that_are_not_finished(receiver: RunningReceiver, pay_database: AssetDatabase, status: str) -> None:
    """The receiver answers 400 to a signed record of an execution that has not ended."""
    assert receiver.post(record_of(status=status)).status_code == 400
    assert pay_database.events() == []


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
def test_other_places(
    receiver: RunningReceiver, pay_database: AssetDatabase, method: str, path: str, status: int
) -> None:
    """The receiver has no other routes, and redirects nothing."""
    body = json.dumps(record_of()).encode()
    answer = requests.request(
        method, receiver.url + path, data=body, headers=signed(body), timeout=60, allow_redirects=False
    )
    assert answer.status_code == status
    assert pay_database.events() == []


# --- failures of the database and overload


def test_a_database_that_is_down(
    receiver: RunningReceiver, pay_database: AssetDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The receiver answers 503 while the database is down, and accepts the callback afterwards."""
    record = record_of()
    with monkeypatch.context() as patched:

        def down(**_: Any) -> None:
            raise OSError("the database is down")

        patched.setattr("airflow.assets.manager.asset_manager.register_asset_change", down)
        assert receiver.post(record).status_code == 503
    assert pay_database.events() == []
    assert result(receiver.post(record)) == "emitted"


def test_an_outage_fills_no_log(
    start_receiver: StartReceiver, pay_database: AssetDatabase, caplog: pytest.LogCaptureFixture
) -> None:
    """If all callbacks fail alike, the log has a line for each of them, and the traceback once in a while."""

    def emit(connection_id: str, execution: Execution, output_bytes: int) -> None:
        raise OSError("the database is down")

    receiver = start_receiver({"emit": emit, "clock": lambda: 0.0})
    assert {receiver.post(record_of()).status_code for _ in range(20)} == {503}
    errors = [record for record in caplog.records if "could not be emitted" in record.getMessage()]
    assert len(errors) == 20
    assert sum(1 for record in errors if record.exc_info) == 1


@pytest.mark.parametrize(
    ("max_waiting", "reason"), [(256, "the callback took too long"), (3, "too many callbacks at once")]
)
def test_a_secret_that_takes_too_long(
    start_receiver: StartReceiver, pay_database: AssetDatabase, max_waiting: int, reason: str
) -> None:
    """Callbacks wait for a secret at most `answer_timeout` seconds, and at most `max_waiting` of them wait."""
    may_read = threading.Event()

    def slow_read(connection_id: str) -> Secrets | None:
        may_read.wait()
        return read_secret(connection_id)

    receiver = start_receiver({"read_secret": slow_read, "answer_timeout": 1.0, "max_waiting": max_waiting})
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: receiver.post(record_of()), range(8)))
    assert {answer.status_code for answer in answers} == {503}
    assert reason in {answer.json()["detail"] for answer in answers}
    may_read.set()
    record = record_of()
    accepted(receiver, record)
    assert [event["extra"]["execution_id"] for event in pay_database.events()] == [record["id"]]


def test_threads_that_hang(start_receiver: StartReceiver, pay_database: AssetDatabase) -> None:
    """If all threads hang, the receiver answers 503 to the waiting callbacks, and never emits their events."""
    from airflow_provider_whiterabbit.receiver import events, threads  # not where Airflow has no FastAPI

    database_answers = threading.Event()
    hanging: list[str] = []

    def emit(connection_id: str, execution: Execution, output_bytes: int) -> events.CallbackResult:
        if database_answers.is_set():
            return events.emit_events(connection_id, execution, output_bytes)
        hanging.append(execution.id)
        database_answers.wait()
        return events.CallbackResult.UNHEARD

    receiver = start_receiver({"emit": emit, "answer_timeout": 1.0})
    statuses: set[int] = set()

    def overload() -> bool:
        with ThreadPoolExecutor(10) as pool:
            statuses.update(pool.map(lambda _: receiver.post(record_of()).status_code, range(10)))
        return len(hanging) == threads.THREADS  # one that starts late finds that its callback was given up

    until(overload, "all threads to hang", 60)
    assert statuses == {503}
    database_answers.set()
    record = record_of()
    accepted(receiver, record)
    assert [event["extra"]["execution_id"] for event in pay_database.events()] == [record["id"]]
    assert len(hanging) == threads.THREADS


def test_strangers_cost_no_database(start_receiver: StartReceiver, pay_database: AssetDatabase) -> None:
    """For many callbacks with a wrong signature, the receiver reads each secret once, and looks for no event."""
    reads: list[str] = []
    emitted: list[str] = []

    def counted_read(connection_id: str) -> Secrets | None:
        reads.append(connection_id)
        return read_secret(connection_id)

    def emit(connection_id: str, execution: Execution, output_bytes: int) -> None:
        emitted.append(execution.id)

    receiver = start_receiver({"read_secret": counted_read, "emit": emit})
    body = json.dumps(record_of()).encode()
    with ThreadPoolExecutor(20) as pool:
        names = ["whiterabbit_default", "other/one", "missing", "unknown"] * 20
        answers = list(pool.map(lambda name: receiver.post(body, signed(body, "guess"), name).status_code, names))
    assert set(answers) == {401, 404}
    assert sorted(reads) == ["missing", "other/one", "whiterabbit_default"]
    assert not emitted


def test_strangers_take_no_turns(start_receiver: StartReceiver, pay_database: AssetDatabase) -> None:
    """A callback with a wrong signature neither waits for a turn, nor makes a valid callback wait for the next one."""
    receiver = start_receiver({"turn_interval": 3600.0})
    body = json.dumps(record_of()).encode()
    assert receiver.post(body, signed(body, "guess")).status_code == 401
    assert result(receiver.post(body)) == "emitted"
    assert receiver.post(body, signed(body, "guess")).status_code == 401


def test_one_connection_delays_no_other_one(start_receiver: StartReceiver, pay_database: AssetDatabase) -> None:
    """While so many callbacks of one connection wait that further ones are refused, those of another one are taken."""
    from airflow_provider_whiterabbit.receiver import events, threads  # not where Airflow has no FastAPI

    begun: list[str] = []
    permits = threading.Semaphore(0)

    def emit(connection_id: str, execution: Execution, output_bytes: int) -> events.CallbackResult:
        begun.append(connection_id)
        permits.acquire()
        return events.CallbackResult.EMITTED

    most = 20
    receiver = start_receiver({"emit": emit, "max_waiting": most, "turn_interval": 0.0})
    other = json.dumps(record_of()).encode()
    with ThreadPoolExecutor(2 * (most + 1)) as pool:
        try:
            for arguments in ((record_of(),), (other, signed(other, OTHER_SECRET), "other%2Fone")):
                flood = [pool.submit(receiver.post, *arguments) for _ in range(most + 1)]
                # The answer tells that all others wait: as many of the second connection as of the first one.
                assert next(as_completed(flood)).result().json() == {"detail": "too many callbacks at once"}
            for ended in range(2 * most):  # each ends when all threads are busy, or they overtake each other
                busy = min(ended + threads.THREADS, 2 * most)
                until(lambda busy=busy: len(begun) == busy, "the next callback to be taken", 60, 0.001)
                permits.release()
        finally:
            permits.release(2 * most)
    assert len(begun) == 2 * most
    assert begun.index("other/one") <= threads.THREADS + 1


def test_large_bodies_of_strangers_while_the_database_hangs(
    start_receiver: StartReceiver, pay_database: AssetDatabase
) -> None:
    """While the database hangs, large bodies with a wrong signature get their answer, and take no callback's place."""
    from airflow_provider_whiterabbit.receiver import events, threads  # not where Airflow has no FastAPI

    hanging, database_answers = threading.Semaphore(0), threading.Event()

    def emit(connection_id: str, execution: Execution, output_bytes: int) -> events.CallbackResult:
        hanging.release()
        database_answers.wait()
        return events.emit_events(connection_id, execution, output_bytes)

    most = threads.THREADS + 1
    receiver = start_receiver({"emit": emit, "max_waiting": most})
    body = json.dumps(record_of(output="x" * 65_536)).encode()
    with ThreadPoolExecutor(threads.THREADS + most) as pool:
        try:
            honest = [pool.submit(receiver.post, record_of()) for _ in range(threads.THREADS)]
            for _ in honest:
                hanging.acquire()
            strangers = [pool.submit(receiver.post, body, signed(body, "guess")) for _ in range(most)]
            assert {stranger.result().status_code for stranger in strangers} == {401}
        finally:
            database_answers.set()
        assert [result(callback.result()) for callback in honest] == ["emitted"] * threads.THREADS


def test_strangers_at_a_connection_whose_secret_does_not_come(
    start_receiver: StartReceiver, pay_database: AssetDatabase
) -> None:
    """However many strangers wait for the secret of one connection, the callbacks of another one are accepted."""
    may_read = threading.Event()

    def read(connection_id: str) -> Secrets | None:
        if connection_id == "other/one":
            may_read.wait()
        return read_secret(connection_id)

    receiver = start_receiver({"read_secret": read, "max_waiting": 3})
    body = json.dumps(record_of()).encode()
    with ThreadPoolExecutor(4) as pool:
        try:
            strangers = [pool.submit(receiver.post, body, signed(body, "guess"), "other/one") for _ in range(4)]
            refused = next(as_completed(strangers)).result()
            assert refused.json() == {"detail": "too many callbacks at once"}  # the three others wait
            assert result(receiver.post(body)) == "emitted"
        finally:
            may_read.set()
        assert sorted(stranger.result().status_code for stranger in strangers) == [401, 401, 401, 503]
