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
from typing import Any

import pytest

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.emulator import Emulator
from airflow_provider_whiterabbit.receiver.events import CallbackResult
from tests.docs.pages import Block, blocks, tables
from tests.receiver.deliveries import record_of, signed
from tests.versions import needs_receiver, needs_sdk

PAGE = "docs/callbacks.md"
BLOCKS = {block.title: block for block in blocks("python") if block.page == PAGE}

RUN = """
import sys
try:
    from airflow.dag_processing.dagbag import DagBag
except ImportError:  # before Airflow 3.2
    from airflow.models.dagbag import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
(dag,) = bag.dags.values()
print("RUN", dag.test().state)
"""


def names_of(block: Block) -> dict[str, Any]:
    """Run a block of code, and return the names that it defines."""
    names: dict[str, Any] = {"__name__": "page"}
    exec(compile(block.text, str(block), "exec"), names)  # noqa: S102
    return names


def run(block: Block, folder: Any, wr: Emulator, environ: dict[str, str]) -> None:
    """Run a DAG of the page, and check that it succeeds."""
    connection = wr.connection
    connection["extra"] |= {"callback_secret": "whsec_1"}
    (folder / "dag.py").write_text(block.text)
    known = {
        "AIRFLOW_CONN_WHITERABBIT_DEFAULT": json.dumps(connection),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder),
        "AIRFLOW__WHITERABBIT__CALLBACK_CONNECTIONS": "whiterabbit_default",
        "AIRFLOW__WHITERABBIT__CALLBACK_BASE_URL": "https://airflow.example.org",
    }
    command = [sys.executable, "-W", "ignore", "-c", RUN, str(folder / "dag.py")]
    done = subprocess.run(command, env=os.environ | environ | known, capture_output=True, text=True, check=False)
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


class Events(list[Any]):
    """The events of an inlet, with those of Airflow's methods that the page uses."""

    def ascending(self, value: bool) -> Events:
        """Return the events sorted by their time."""
        return Events(sorted(self, key=lambda event: event.timestamp, reverse=not value))

    def limit(self, count: int) -> Events:
        """Return the first events."""
        return Events(self[:count])


class Inlets(dict[str, Events]):
    """The events of a task's inlets by asset name, because before Airflow 3.2 an asset can't be the key of a dict."""

    def __getitem__(self, asset: Any) -> Events:
        return super().__getitem__(asset.name)


@needs_sdk
def test_recovering() -> None:
    """The task `recent` returns the ids of the latest 500 events, and `replay` uses them."""
    names = names_of(BLOCKS["dags/recover.py"])
    dag = names["recover"]()
    events = [SimpleNamespace(extra={"execution_id": f"e-{number}"}, timestamp=number) for number in range(600)]
    inlets = Inlets({names["submitted"].name: Events(events)})
    recent_ids = dag.get_task("recent").python_callable(inlet_events=inlets)
    assert recent_ids == [f"e-{number}" for number in reversed(range(100, 600))]
    assert dag.get_task("replay").execution_ids.operator.task_id == "recent"


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
    listed, _, answers, _ = tables(PAGE)
    for row in listed[1:]:
        assert eval(row[0].strip("`").replace(", …", ""), {"assets": assets})  # noqa: S307
    documented = "".join(row[0] for row in answers)
    answered = [result.value for result in CallbackResult if result is not CallbackResult.UNHEARD]
    assert [value for value in answered if f"`{value}`" not in documented] == []
