"""The code and the tables of `docs/callbacks.md` do what the page says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from http.server import HTTPServer
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.emulator import Emulator, effects
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.receiver.events import CallbackResult
from airflow_provider_whiterabbit.receiver.health import State
from tests.docs.pages import Block, blocks, tables
from tests.receiver.deliveries import record_of, signed
from tests.versions import needs_receiver, needs_sdk

PAGE = "docs/callbacks.md"
BLOCKS = {block.title: block for block in blocks("python") if block.page == PAGE}

BAG = """
import sys
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before Airflow 3.2
    from airflow.models.dagbag import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
(dag,) = bag.dags.values()
"""

RUN = f"""
{BAG}
print("RUN", dag.test().state)
"""

RECOVER = f"""
{BAG}
from airflow.models.asset import AssetEvent, AssetModel
from airflow.utils.session import create_session
with create_session() as session:  # the DAG that submits has left an event
    asset = AssetModel(name="whiterabbit_submitted", uri="whiterabbit_submitted", group="asset", extra={{}})
    session.add(asset)
    session.flush()
    session.add(AssetEvent(asset_id=asset.id, extra={{"execution_id": sys.argv[2]}}))
for line in sys.stdin:
    print("RUN", dag.test().state, flush=True)
"""


def names_of(block: Block) -> dict[str, Any]:
    """Run a block of code, and return the names that it defines."""
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block.text, str(block), "exec"), names)  # noqa: S102
    return names


def environ_of(block: Block, folder: Any, wr: Emulator) -> dict[str, str]:
    """Write a DAG of the page to a folder, and return the environment in which it runs."""
    connection = wr.connection
    connection["extra"] |= {"callback_secret": "whsec_1"}
    (folder / "dag.py").write_text(block.text)
    return {
        **os.environ,
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(connection),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__WHITERABBIT__CALLBACK_CONNECTIONS": "whiterabbit_default",
        "AIRFLOW__WHITERABBIT__CALLBACK_BASE_URL": "https://airflow.example.org",
    }


def run(block: Block, folder: Any, wr: Emulator, environ: dict[str, str]) -> None:
    """Run a DAG of the page, and check that it succeeds."""
    command = [sys.executable, "-W", "ignore", "-c", RUN, str(folder / "dag.py")]
    variables = environ_of(block, folder, wr) | environ
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert "RUN success" in done.stdout, done.stdout[-5000:] + done.stderr[-3000:]


def test_all_blocks_are_here() -> None:
    """The page has exactly the blocks of code that this module tests."""
    assert set(BLOCKS) == {"dags/submit.py", "dags/swapped.py", "dags/recover.py", "endpoint.py"}


@needs_receiver
def test_submitting(whiterabbit_emulator: Emulator, tmp_path: Any, own_database: dict[str, str]) -> None:
    """The DAG submits the URL of the receiver, and ends without waiting for the execution."""
    run(BLOCKS["dags/submit.py"], tmp_path, whiterabbit_emulator, own_database)
    (entry,) = whiterabbit_emulator.requests(kind="submit")
    assert entry.json["callbackUrl"] == "https://airflow.example.org/whiterabbit/callbacks/whiterabbit_default"


@needs_sdk
@pytest.mark.parametrize(("script", "status"), [({"output": {"n": 1}}, "COMPLETED"), ({"error": "x"}, "FAILED")])
def test_running_when_it_has_ended(
    whiterabbit_emulator: Emulator, monkeypatch: pytest.MonkeyPatch, script: dict[str, Any], status: str
) -> None:
    """The task finds the execution in its context, and reads the output from White Rabbit."""
    for name, value in whiterabbit_emulator.environ.items():
        monkeypatch.setenv(name, value)
    execution_id = whiterabbit_emulator.create_execution("SWAP", **script)
    extra = {"execution_id": execution_id, "status": status, "whiterabbit_conn_id": "whiterabbit_default"}
    events = {"asset": [SimpleNamespace(extra=extra, timestamp=datetime.now(UTC))]}
    task = names_of(BLOCKS["dags/swapped.py"])["swapped"]().get_task("settle")
    expected = {"n": 1} if status == "COMPLETED" else f"swap {execution_id} failed"
    assert task.python_callable(triggering_asset_events=events) == expected


@needs_receiver
def test_recovering(
    whiterabbit_emulator: Emulator,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    own_database: dict[str, str],
) -> None:
    """The DAG replays lost callbacks of submissions until one arrives, and fails after three replays in vain."""
    wr = whiterabbit_emulator
    wr.settings.callback_attempts = 1
    for name, value in wr.environ.items():
        monkeypatch.setenv(name, value)
    execution_id = WhiteRabbitHook().execute_component("SWAP", callback_url=f"{wr.url}/nobody-listens-here").id
    wr.wait_for_delivery(execution_id)
    command = [sys.executable, "-W", "ignore", "-c", RECOVER, str(tmp_path / "dag.py"), execution_id]
    variables = environ_of(BLOCKS["dags/recover.py"], tmp_path, wr) | own_database
    with (
        (tmp_path / "errors").open("w+") as errors,
        subprocess.Popen(
            command, env=variables, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors
        ) as process,
    ):
        assert process.stdin
        assert process.stdout
        for count, state in enumerate(["success"] * 3 + ["failed"] * 2 + ["success"], 2):
            if count == 6:
                wr.fault(effects.Answer(204), path="/nobody-listens-here")
            process.stdin.write("again\n")
            process.stdin.flush()
            ends = (line for line in process.stdout if line.startswith("RUN"))
            assert next(ends, None) == f"RUN {state}\n", (count, (tmp_path / "errors").read_text()[-3000:])
            wr.wait_for_delivery(execution_id, count=min(count, 6))
        process.stdin.close()
    assert len(wr.requests(kind="replay")) == 5


def test_an_endpoint_of_ones_own(capsys: pytest.CaptureFixture[str]) -> None:
    """The endpoint accepts callbacks with a valid signature, and refuses all others."""
    import requests

    names = names_of(BLOCKS["endpoint.py"])
    server = HTTPServer(("127.0.0.1", 0), names["Endpoint"])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        record = record_of()
        body, unfinished = json.dumps(record).encode(), json.dumps(record_of(status="EXECUTING")).encode()
        deliveries = [
            (body, signed(body, names["SECRET"])),
            (body, signed(body, names["SECRET"], form="raw")),
            (body, signed(body, "other")),
            (unfinished, signed(unfinished, names["SECRET"])),
        ]
        url = f"http://127.0.0.1:{server.server_port}"
        answers = [requests.post(url, data=data, headers=headers, timeout=10) for data, headers in deliveries]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert [answer.status_code for answer in answers] == [204, 204, 401, 400]
    assert capsys.readouterr().out.count(record["id"]) == 2


def test_tables() -> None:
    """The assets in the table exist, and the table of answers lists every result."""
    listed, _, answers, *_ = tables(PAGE)
    for row in listed[1:]:
        assert eval(row[0].strip("`").replace(", …", ""), {"assets": assets})  # noqa: S307
    documented = "".join(row[0] for row in answers)
    answered = [result.value for result in CallbackResult if result is not CallbackResult.NO_LISTENER]
    assert [value for value in answered if f"`{value}`" not in documented] == []


@needs_receiver
def test_health_and_metrics() -> None:
    """The page lists the states of connections and the metrics that exist, and no others."""
    from airflow_provider_whiterabbit.receiver.bodies import REFUSALS

    by_header = {table[0][0]: table[1:] for table in tables(PAGE)}
    assert {row[0].strip("`") for row in by_header["state"]} == set(get_args(State))
    (shown,) = [json.loads(block.text) for block in blocks("json") if block.title == "GET /whiterabbit/health"]
    assert {connection["state"] for connection in shown["connections"].values()} <= set(get_args(State))
    outcomes = {result.value for result in CallbackResult} - {"no_listener"} | {"unheard"}
    refused = {f"refused.{reason}" for reason in {*REFUSALS.values(), "error"}}
    listed = {row[0].strip("`").removeprefix("whiterabbit.callbacks.") for row in by_header["metric"]}
    assert listed == outcomes | refused | {"seconds"}
