"""`dag.test()`, with which users try their DAGs in one process, without a scheduler and a triggerer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.polling import until
from dev.harness.statsd import StatsdServer
from tests.versions import needs_dag_test

pytestmark = pytest.mark.airflow

DAG_FILE = """
import json
from datetime import timedelta
from airflow_provider_whiterabbit.compat import DAG, task
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

@task
def show(outputs):
    print("OUTPUTS", json.dumps(outputs))

WAYS = {
    "poke": {"poke_interval": 0.1},
    "deferrable": {"deferrable": True},
    "start": {"start_from_trigger": True},
    "both": {"start_from_trigger": True, "end_from_trigger": True},
}

with DAG("in_process", schedule=None) as dag:
    ended = previous = WhiteRabbitExecuteComponentOperator(
        task_id="end", module="SLOW", end_from_trigger=True, execution_timeout=timedelta(hours=1)
    )
    outputs = {"end": ended.output}
    for way, more in WAYS.items():  # one after the other, so that each task has to wait
        submit = WhiteRabbitExecuteComponentOperator(
            task_id=f"submit_{way}", module="SLOW", wait_for_completion=False
        )
        sensor = WhiteRabbitExecutionSensor(task_id=way, execution_id=submit.output, **more)
        previous >> submit >> sensor
        previous = sensor
        outputs[way] = sensor.output
    show(outputs)

if __name__ == "__main__":
    run = dag.test()
    print("STATE", run.state)
"""


def run_dag(dag_id: str, source: str, wr: Emulator, **variables: str) -> str:
    """Run a DAG file that calls `dag.test()`; return what it prints.

    :param variables: more environment variables.
    """
    dag_file = Path(os.environ["AIRFLOW_HOME"]) / "dags" / f"{dag_id}.py"
    dag_file.parent.mkdir(exist_ok=True)
    dag_file.write_text(source)
    command, environ = [sys.executable, str(dag_file)], os.environ | wr.environ | variables
    process = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)
    dag_file.unlink()
    assert "STATE " in process.stdout, process.stdout[-3000:] + process.stderr[-3000:]
    return process.stdout + process.stderr


@needs_dag_test
def test_all_ways_of_waiting(whiterabbit_emulator: Emulator) -> None:
    """Tasks that wait, start or end in the triggerer run in `dag.test()` too, and their outputs and metrics arrive."""
    whiterabbit_emulator.script("SLOW", output={"a": [1]}, after=0.5)
    expected = {"whiterabbit.submitted": 5, "whiterabbit.ended.completed": 5, "whiterabbit.credits": 5}
    with StatsdServer() as statsd:
        output = run_dag("in_process", DAG_FILE, whiterabbit_emulator, **statsd.environ)
        assert "STATE success" in output, output[-6000:]
        with suppress(TimeoutError):
            until(lambda: expected.items() <= statsd.sums().items(), "the metrics to arrive", 10, 0.01)
        sums = statsd.sums()
    assert expected.items() <= sums.items(), sums
    outputs = next(line for line in output.splitlines() if "OUTPUTS" in line).partition("OUTPUTS ")[2]
    assert json.JSONDecoder().raw_decode(outputs)[0] == {
        way: {"a": [1]} for way in ("end", "poke", "deferrable", "start", "both")
    }
    assert len(whiterabbit_emulator.requests(kind="submit")) == 5


QUESTION = """
from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator

with DAG("in_process_question", schedule=None) as dag:
    WhiteRabbitExecuteComponentOperator(task_id="pay", module="PAY", on_doubt="ask")

if __name__ == "__main__":
    print("STATE", dag.test().state)
"""


@needs_dag_test
def test_question_that_nobody_can_answer(whiterabbit_emulator: Emulator) -> None:
    """In `dag.test()`, a task that would ask a person fails, because nobody could answer."""
    whiterabbit_emulator.fault(effects.Reset("answer"), kind="submit")
    output = run_dag("in_process_question", QUESTION, whiterabbit_emulator)
    assert "STATE failed" in output
    assert "The task fails instead of asking a person" in output
