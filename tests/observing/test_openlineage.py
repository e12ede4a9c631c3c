"""A real OpenLineage gets to know the executions and workflow runs of tasks, and nothing secret.

OpenLineage is not installed beside the other tests, where its listener would keep every task from ending in the
triggerer. This test installs it into a folder of its own, which only the process with the DAG imports from.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from airflow import __version__ as airflow_version

from airflow_provider_whiterabbit import __version__
from airflow_provider_whiterabbit.emulator import Emulator
from tests.docs.pages import ROOT, blocks
from tests.versions import RELEASE

MINOR = f"{RELEASE[0]}.{RELEASE[1]}"
CONSTRAINTS = ROOT / "constraints" / f"openlineage-{MINOR}.txt"
IS_PINNED = (
    CONSTRAINTS.exists()
    and f"apache-airflow=={airflow_version} " in CONSTRAINTS.with_stem(f"airflow-{MINOR}").read_text()
)
UV = shutil.which("uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.long,
    pytest.mark.skipif(not IS_PINNED, reason="needs the Airflow 3.3 or 2.11 that OpenLineage is pinned for"),
    pytest.mark.skipif(UV is None, reason="needs uv on PATH"),
]

DAG_FILE = """
import os
from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.operators.workflow import WhiteRabbitTriggerWorkflowOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

with DAG("payments", schedule=None) as dag:
    tasks = [
        WhiteRabbitExecuteComponentOperator(
            task_id="deferred", module="API_CALL", input={"rpc": os.environ["INPUT"]}, deferrable=True
        ),
        WhiteRabbitExecuteComponentOperator.partial(task_id="failed").expand(module=["REFUSE"]),
        WhiteRabbitTriggerWorkflowOperator(task_id="workflow", workflow_id="{{ 'fl' + 'ow' }}"),
        WhiteRabbitExecutionSensor(task_id="skipped", execution_id=os.environ["FAILING"], soft_fail=True),
        WhiteRabbitExecutionSensor(task_id="late", execution_id=os.environ["ENDLESS"], deferrable=True, timeout=1),
    ]
    for upstream, task in zip(tasks, tasks[1:]):
        task.trigger_rule = "all_done"
        upstream >> task

if __name__ == "__main__":
    dag.test()
"""

INPUT = "https://user:password-of-the-rpc@rpc.example.org/"


@pytest.fixture
def openlineage(tmp_path: Path) -> Path:
    """Return a new folder with the OpenLineage that is pinned for this Airflow."""
    folder = tmp_path / "openlineage"
    install = (str(UV), "pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder))
    subprocess.run([*install, "--no-deps", "--require-hashes", "--requirements", str(CONSTRAINTS)], check=True)
    return folder


class Events:
    """The events that OpenLineage wrote into a file, one a line.

    :param text: the text of the file.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        self.all: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]

    def of(self, task: str) -> list[dict[str, Any]]:
        """Return the events of a task in their order."""
        return [event for event in self.all if event["job"]["name"] == f"payments.{task}"]

    def facets(self, task: str, event_type: str) -> dict[str, Any]:
        """Check the type of the last event of a task, and return this provider's facets and the error."""
        event = self.of(task)[-1]
        assert event["eventType"] == event_type
        assert event["inputs"] == event["outputs"] == []
        facets: dict[str, Any] = event["run"]["facets"]
        assert "unknownSourceAttribute" not in facets
        producer = f"pkg:pypi/airflow-provider-whiterabbit@{__version__}"
        own = {name: facet for name, facet in facets.items() if facet["_producer"] == producer or "error" in name}
        return {name: {key: own[name][key] for key in own[name] if key[0] != "_"} for name in own}


def run(openlineage: Path, wr: Emulator, **environ: str) -> Events:
    """Run the DAG with OpenLineage, and return the events."""
    dag_file = Path(os.environ["AIRFLOW_HOME"]) / "dags" / "payments.py"
    dag_file.parent.mkdir(exist_ok=True)
    dag_file.write_text(DAG_FILE)
    log = openlineage.with_suffix(".jsonl")
    transport = json.dumps({"type": "file", "log_file_path": str(log), "append": True})
    environ |= {"PYTHONPATH": f"{ROOT}{os.pathsep}{openlineage}", "AIRFLOW__OPENLINEAGE__TRANSPORT": transport}
    done = subprocess.run(
        [sys.executable, str(dag_file)],
        env=os.environ | wr.environ | environ,
        capture_output=True,
        text=True,
        check=False,
    )
    dag_file.unlink()
    output = done.stdout + done.stderr
    assert log.exists(), output[-6000:]
    assert "OpenLineage gets nothing about White Rabbit" not in output
    return Events(log.read_text())


def assert_example(event: dict[str, Any], identity: str, host: str) -> None:
    """Check that the page shows what the provider has added to an event, with another id and host."""
    (block,) = (block for block in blocks("json") if block.title == "event.json")
    example = json.loads(block.text)
    shown = example["run"]["facets"]
    facets = {name: {**event["run"]["facets"][name]} for name in shown}
    for facet in facets.values():
        assert facet.pop("_schemaURL").startswith("https://openlineage.io/spec/")
    text = json.dumps(facets).replace(identity, shown["externalQuery"]["externalQueryId"])
    assert json.loads(text.replace(host, "api.whiterabbit.app")) == shown
    assert example["eventType"] == event["eventType"]
    assert example["job"].items() <= event["job"].items()


def test_events(openlineage: Path, whiterabbit_emulator: Emulator, own_database: dict[str, str]) -> None:
    """The events of tasks have facets about their executions and workflow runs, whichever way a task waits and ends."""
    wr = whiterabbit_emulator
    wr.script("API_CALL", output={"paid": 1}, usage=1.5, after=0.5)
    wr.script("REFUSE", error={"message": "insufficient funds"}, usage=0.5)
    wr.script_workflow("flow", [{"module": "API_CALL", "usage": 2.0}])
    failing = wr.create_execution("REFUSE", error="no such account")
    endless = wr.create_execution("ENDLESS", manual=True)
    events = run(openlineage, wr, INPUT=INPUT, FAILING=failing, ENDLESS=endless, **own_database)
    ids = {execution["module"]: execution["id"] for execution in reversed(wr.executions) if execution["id"] != failing}
    (workflow_run,) = wr.runs
    host = urlsplit(wr.url).netloc

    def external(identity: str) -> dict[str, str]:
        return {"externalQueryId": identity, "source": f"whiterabbit://{host}"}

    def facet(**more: Any) -> dict[str, Any]:
        return {"connectionId": "whiterabbit_default", "host": host, **more}

    assert events.facets("deferred", "COMPLETE") == {
        "externalQuery": external(ids["API_CALL"]),
        "whiteRabbit_execution": facet(executionId=ids["API_CALL"], module="API_CALL", status="COMPLETED", credits=1.5),
    }
    failed = events.facets("failed", "FAIL")
    assert failed.pop("errorMessage")["message"] == f"Execution {ids['REFUSE']} (REFUSE) FAILED: insufficient funds"
    assert failed == {
        "externalQuery": external(ids["REFUSE"]),
        "whiteRabbit_execution": facet(executionId=ids["REFUSE"], module="REFUSE", status="FAILED", credits=0.5),
    }
    assert events.facets("workflow", "COMPLETE") == {
        "externalQuery": external(workflow_run["id"]),
        "whiteRabbit_workflow": facet(
            workflowRunId=workflow_run["id"], workflowId="flow", status="COMPLETED", credits=2
        ),
    }
    if RELEASE >= (3, 1):  # older versions do not tell listeners about skipped tasks
        assert events.facets("skipped", "COMPLETE") == {
            "errorMessage": {
                "message": f"Execution {failing} (REFUSE) FAILED: no such account",
                "programmingLanguage": "python",
            },
            "externalQuery": external(failing),
            "whiteRabbit_execution": facet(executionId=failing, module="REFUSE", status="FAILED", credits=1),
        }
    late = events.facets("late", "FAIL")
    assert "had not ended" in late["errorMessage"]["message"]
    # The dag.test() of Airflow 2 resumes a task in the same process, which knows more.
    assert late["whiteRabbit_execution"].items() >= {"executionId": endless}.items()
    assert_example(events.of("deferred")[-1], ids["API_CALL"], host)
    connection = wr.connection
    for secret in (connection["password"], connection["extra"]["api_key"], INPUT, "password-of-the-rpc"):
        assert secret not in events.text
    starts = [event["run"]["facets"]["whiteRabbit_execution"] for event in events.of("late")[:-1]]
    assert [start["executionId"] for start in starts] == [endless, endless]
