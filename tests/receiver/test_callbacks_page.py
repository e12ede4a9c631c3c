"""The code and the tables of `docs/callbacks.md` and `docs/operators/replay.md` do what the pages say."""

from __future__ import annotations

import asyncio
import gzip
import io
import json
import os
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.receiver.events import CallbackResult
from airflow_provider_whiterabbit.receiver.health import State
from airflow_provider_whiterabbit.receiver.secrets import SECRET_LIFETIME
from airflow_provider_whiterabbit.receiver.settings import URL_PREFIX
from tests.docs.pages import Block, blocks, tables
from tests.receiver.conftest import AssetDatabase, StartReceiver
from tests.receiver.deliveries import record_of, signed
from tests.versions import needs_receiver, needs_sdk

PAGE = "docs/callbacks.md"
PAGES = (PAGE, "docs/operators/replay.md")
BLOCKS = {block.title: block for block in blocks("python") if block.page in PAGES}

RUN = """
import sys
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before Airflow 3.2
    from airflow.models.dagbag import DagBag
from airflow.models.asset import AssetEvent, AssetModel
from airflow.utils.session import create_session

folder, execution_id = sys.argv[1:]
bag = DagBag(folder)
assert not bag.import_errors, bag.import_errors
dags = {dag.fileloc.rpartition("/")[2]: dag for dag in bag.dags.values()}
with create_session() as session:  # the DAG that submits has left an event
    asset = AssetModel(name="whiterabbit_submitted", uri="whiterabbit_submitted", group="asset", extra={})
    session.add(asset)
    session.flush()
    session.add(AssetEvent(asset_id=asset.id, extra={"execution_id": execution_id}))
for line in sys.stdin:
    print("RUN", dags[line.strip()].test().state, flush=True)
"""
"""Runs a DAG of the page as often as its file's name is on a line of the input. Airflow takes long to start."""


def names_of(block: Block) -> dict[str, Any]:
    """Run a block of code, and return the names that it defines."""
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block.text, str(block), "exec"), names)  # noqa: S102
    return names


@contextmanager
def running(folder: Path, environ: dict[str, str], execution_id: str) -> Iterator[Callable[[str], str]]:
    """Write the DAGs of the page to a folder; yield a function that runs the DAG in a file, and returns its state."""
    for title in ("dags/submit.py", "dags/recover.py"):
        (folder / title.removeprefix("dags/")).write_text(BLOCKS[title].text)
    command = [sys.executable, "-W", "ignore", "-c", RUN, str(folder), execution_id]
    pipe = subprocess.PIPE
    with (
        (folder / "errors").open("w+") as errors,
        subprocess.Popen(command, env=environ, text=True, stdin=pipe, stdout=pipe, stderr=errors) as process,
    ):

        def run(file: str) -> str:
            assert process.stdin
            assert process.stdout
            process.stdin.write(f"{file}\n")
            process.stdin.flush()
            state = next((line for line in process.stdout if line.startswith("RUN")), None)
            assert state, (folder / "errors").read_text()[-3000:]
            return state.split()[1]

        yield run
        assert process.stdin
        process.stdin.close()


def test_all_blocks_are_here() -> None:
    """The pages have exactly the blocks of code that this module tests."""
    assert set(BLOCKS) == {"dags/submit.py", "dags/paid.py", "dags/recover.py", "endpoint.py"}


@needs_sdk
@pytest.mark.parametrize(("script", "status"), [({"output": {"n": 1}}, "COMPLETED"), ({"error": "x"}, "FAILED")])
def test_running_when_it_has_ended(
    whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, script: dict[str, Any], status: str
) -> None:
    """The task finds the execution in its context, and reads the output from White Rabbit."""
    for name, value in whiterabbit_emulator.environ.items():
        monkeypatch.setenv(name, value)
    execution_id = whiterabbit_emulator.create_execution("BROADCAST_BITCOIN_TRANSACTION", **script)
    extra = {"execution_id": execution_id, "status": status, "whiterabbit_conn_id": "whiterabbit_default"}
    events = {"asset": [SimpleNamespace(extra=extra, timestamp=datetime.now(UTC))]}
    task = names_of(BLOCKS["dags/paid.py"])["paid"]().get_task("settle")
    expected = {"n": 1} if status == "COMPLETED" else f"payment {execution_id} failed"
    assert task.python_callable(triggering_asset_events=events) == expected


@pytest.mark.long
@needs_receiver
def test_recovering_and_submitting(
    whiterabbit_emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    own_database: dict[str, str],
) -> None:
    """A DAG replays lost callbacks until one arrives, and fails after three replays in vain; another one submits.

    The DAG that submits sends the URL of the receiver, and ends without waiting for the execution.
    """
    wr = whiterabbit_emulator
    wr.settings.callback_attempts = 1
    for name, value in wr.environ.items():
        monkeypatch.setenv(name, value)
    execution_id = WhiteRabbitHook().execute_component("SWAP", callback_url=f"{wr.url}/nobody-listens-here").id
    wr.wait_for_delivery(execution_id)
    connection = wr.connection
    connection["extra"] |= {"callback_secret": "whsec_of_the_page"}
    environ = {
        **os.environ,
        **own_database,
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(connection),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path),
        "AIRFLOW__WHITERABBIT__CALLBACK_CONNECTIONS": "whiterabbit_default",
        "AIRFLOW__WHITERABBIT__CALLBACK_BASE_URL": "https://airflow.example.org",
    }
    with running(tmp_path, environ, execution_id) as run:
        for count, state in enumerate(["success"] * 3 + ["failed"] * 2 + ["success"], 2):
            if count == 6:
                wr.fault(effects.Answer(204), path="/nobody-listens-here")
            assert run("recover.py") == state, (count, (tmp_path / "errors").read_text()[-3000:])
            wr.wait_for_delivery(execution_id, count=min(count, 6))
        assert len(wr.requests(kind="replay")) == 5
        assert run("submit.py") == "success", (tmp_path / "errors").read_text()[-3000:]
    (_, submission) = wr.requests(kind="submit")
    assert submission.json["callbackUrl"] == "https://airflow.example.org/whiterabbit/callbacks/whiterabbit_default"


@pytest.fixture
def endpoint() -> Iterator[tuple[int, dict[str, Any]]]:
    """Run the endpoint of the page; return its port, and the names that the page defines."""
    from aiohttp import web

    names = names_of(BLOCKS["endpoint.py"])
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    runner = names["runner"]()
    sock = socket.create_server(("127.0.0.1", 0))

    async def start() -> None:
        await runner.setup()
        await web.SockSite(runner, sock).start()

    asyncio.run_coroutine_threadsafe(start(), loop).result(30)
    yield sock.getsockname()[1], names
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(30)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


def status_of(port: int, headers: Mapping[str, Any] | list[tuple[str, Any]], chunks: Iterable[bytes] = ()) -> int:
    """Send a callback to the endpoint in pieces, and return the status of its answer.

    The sender stops when the endpoint answers, or closes the connection.
    """
    lines = headers.items() if isinstance(headers, Mapping) else headers
    head = "POST /callbacks HTTP/1.1\r\nhost: x\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines)
    with socket.create_connection(("127.0.0.1", port), 30) as sock:
        sock.sendall(f"{head}\r\n".encode())
        with suppress(OSError):
            for chunk in chunks:
                sock.sendall(chunk)
                if select.select([sock], [], [], 0)[0]:
                    break
        return int(sock.recv(65536).split(b" ", 2)[1])


def of_length(body: bytes, headers: Mapping[str, str]) -> tuple[dict[str, Any], list[bytes]]:
    """Return a request's headers with the length of its body, and the body in one piece."""
    return {**headers, "content-length": len(body)}, [body]


def test_an_endpoint_of_ones_own(endpoint: tuple[int, dict[str, Any]], capsys: pytest.CaptureFixture[str]) -> None:
    """The endpoint accepts callbacks that are signed with one of its secrets and a time, and refuses all others."""
    port, names = endpoint
    names["SECRETS"][:] = ["the new secret", "the old secret"]
    record = record_of()
    body, unfinished = json.dumps(record).encode(), json.dumps(record_of(status="EXECUTING")).encode()
    for secret in names["SECRETS"]:
        assert status_of(port, *of_length(body, signed(body, secret))) == 204
    assert capsys.readouterr().out.count(record["id"]) == 2
    good = signed(body, "the new secret")
    for headers in (
        {},
        signed(body, "other"),
        *(signed(body, "the new secret", form=form) for form in ("raw", "bare")),
    ):
        assert status_of(port, *of_length(body, headers)) == 401
    twice = [*good.items(), ("X-Signature", good["x-signature"]), ("content-length", len(body))]
    assert status_of(port, twice, [body]) == 401
    assert status_of(port, *of_length(unfinished, signed(unfinished, "the new secret"))) == 400
    assert record["id"] not in capsys.readouterr().out


def test_outputs_of_all_kinds(endpoint: tuple[int, dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint accepts an output that its standard output can't encode as text."""
    port, names = endpoint
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    body = json.dumps(record_of(output="half \ud83d")).encode()
    assert status_of(port, *of_length(body, signed(body, names["SECRETS"][0]))) == 204


def test_bounds_of_the_endpoint(endpoint: tuple[int, dict[str, Any]]) -> None:
    """The endpoint reads no body that is too large or too slow, and decompresses none."""
    port, names = endpoint
    megabyte = b"x" * 1_000_000
    sent: list[int] = []

    def counted(chunks: Iterable[bytes]) -> Iterator[bytes]:
        sent.clear()
        for chunk in chunks:
            sent.append(len(chunk))
            yield chunk

    for length in (-1, "", "abc", "1e9", "\u0663"):
        assert status_of(port, {"content-length": length}, counted([megabyte] * 300)) == 400
        assert len(sent) < 30
    assert status_of(port, [("content-length", 5), ("content-length", 6)], [b"hello"]) == 400
    chunked = [f"{len(megabyte):x}\r\n".encode(), megabyte, b"\r\n"] * 300
    for headers, chunks in (
        ({"content-length": 300 * len(megabyte)}, [megabyte] * 300),
        ({"transfer-encoding": "chunked"}, chunked),
    ):
        assert status_of(port, headers, counted(chunks)) == 413
        assert sum(sent) < 30_000_000
    small, bomb = gzip.compress(json.dumps(record_of()).encode()), gzip.compress(bytes(100_000_000))
    for body in (small, bomb):
        headers = signed(small, names["SECRETS"][0]) | {"content-encoding": "gzip"}
        assert status_of(port, *of_length(body, headers)) == (400 if body is small else 401)
    names["MAX_SECONDS"] = 0.2
    assert status_of(port, {"content-length": 1000}) == 408
    assert status_of(port, {"content-length": 1000}, (time.sleep(0.02) or b"x" for _ in range(1000))) == 408


@needs_receiver
def test_rotating(
    start_receiver: StartReceiver,
    database: AssetDatabase,
    monkeypatch: pytest.MonkeyPatch,
    whiterabbit_emulator: Emulator,
) -> None:
    """If the secret is rotated in the steps of the page, the receiver accepts the callbacks of all executions."""
    wr, seconds = whiterabbit_emulator, 0.0
    database.add_assets(assets.module("PAY"))
    database.schedule(assets.module("PAY"))
    receiver = start_receiver({"clock": lambda: seconds})
    monkeypatch.setenv("AIRFLOW__WHITERABBIT__CALLBACK_BASE_URL", receiver.url.removesuffix(URL_PREFIX))
    wr.script("PAY", manual=True)
    shown = [json.loads(block.text) for block in blocks("json") if block.page == PAGE]
    steps = [connection["extra"]["callback_secret"] for connection in shown if "extra" in connection]
    assert len(steps) == 3
    from_last_step: list[str] = []
    for secret in ("<old secret>", *steps):
        connection = wr.connection
        connection["extra"] |= {"callback_secret": secret}
        monkeypatch.setenv(
            "AIRFLOW_CONN_WHITERABBIT_DEFAULT", json.dumps(connection).replace("secret>", "secret, long>")
        )
        at_once, soon, later = (WhiteRabbitHook().execute_component("PAY", callback=True).id for _ in range(3))
        accepts_callback(wr, at_once)  # with the secrets that the receiver has read at the last step
        seconds += SECRET_LIFETIME
        for execution_id in (*from_last_step, soon):
            accepts_callback(wr, execution_id)
        from_last_step = [later]
    accepts_callback(wr, later)


def accepts_callback(wr: Emulator, execution_id: str) -> None:
    """Complete an execution, and check that the receiver accepts the first delivery of its callback."""
    wr.complete(execution_id)
    wr.wait_for_delivery(execution_id, timeout=60)
    callback = wr.execution(execution_id)["callback"]
    assert (callback["lastError"], callback["attemptCount"]) == (None, 1)


def test_tables() -> None:
    """The assets in the table exist, and the table of answers lists every result."""
    listed, _, answers, *_ = tables(PAGE)
    for row in listed[1:]:
        assert eval(row[0].strip("`").replace(", …", ""), {"assets": assets})  # noqa: S307
    documented = "".join(row[0] for row in answers)
    answered = [result.value for result in CallbackResult if result is not CallbackResult.UNHEARD]
    assert [value for value in answered if f"`{value}`" not in documented] == []


@needs_receiver
def test_health() -> None:
    """The page lists the states of connections that exist, and no others."""
    by_header = {table[0][0]: table[1:] for table in tables(PAGE)}
    assert {row[0].strip("`") for row in by_header["state"]} == set(get_args(State))
    (shown,) = [json.loads(block.text) for block in blocks("json") if block.title == "GET /whiterabbit/health"]
    assert {connection["state"] for connection in shown["connections"].values()} <= set(get_args(State))
