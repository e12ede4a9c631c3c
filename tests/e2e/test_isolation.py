"""Simultaneous callbacks of one execution, where Airflow's configuration makes PostgreSQL's reads repeatable."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from dev.harness.postgres import Postgres
from tests.e2e import ROOT
from tests.versions import needs_receiver

pytestmark = [pytest.mark.e2e, needs_receiver]

PROGRAM = """
import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from airflow.utils.db import initdb

from airflow_provider_whiterabbit import assets
from airflow_provider_whiterabbit.client.records.execution import Execution
from airflow_provider_whiterabbit.receiver.events import emit_events
from tests.receiver.conftest import AssetDatabase
from tests.receiver.deliveries import record_of

initdb()
database = AssetDatabase()
database.schedule(assets.module("PAY"))
together = Barrier(3)

def emit(execution):
    together.wait()
    return emit_events("whiterabbit_default", execution).value

with ThreadPoolExecutor(3) as pool:
    answers = [sorted(pool.map(emit, [Execution.from_dict(record_of())] * 3)) for _ in range(5)]
print(json.dumps([answers, len(database.events())]))
"""


def test_simultaneous_callbacks_where_reads_are_repeatable(tmp_path: Path) -> None:
    """An execution gets one event, though its callbacks arrive at once: each sees the event of the one before."""
    (tmp_path / "airflow.cfg").touch()
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW_")}
    with ExitStack() as stack:
        try:
            server = stack.enter_context(Postgres())
        except FileNotFoundError as error:
            pytest.skip(str(error))
        environ = kept | {
            "AIRFLOW_HOME": str(tmp_path),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": server.url,
            "AIRFLOW__DATABASE__SQL_ALCHEMY_ENGINE_ARGS": json.dumps({"isolation_level": "REPEATABLE READ"}),
            "PYTHONPATH": str(ROOT),
        }
        run = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    answers, events = json.loads(run.stdout.splitlines()[-1])
    assert answers == [["emitted", "repeated", "repeated"]] * 5
    assert events == 5
