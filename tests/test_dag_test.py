"""`dag.test()`, with which users try their DAGs in one process, without a scheduler and a triggerer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_provider_whiterabbit.emulator import Emulator

pytestmark = pytest.mark.airflow

DAG_FILE = """
import json
from datetime import timedelta
from airflow.providers.common.compat.sdk import DAG, task
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


def test_all_ways_of_waiting(whiterabbit_emulator: Emulator) -> None:
    """Tasks that wait, start or end in the triggerer run in `dag.test()` too, and their outputs arrive."""
    whiterabbit_emulator.script("SLOW", output={"a": [1]}, after=0.5)
    dag_file = Path(os.environ["AIRFLOW_HOME"]) / "dags" / "in_process.py"
    dag_file.parent.mkdir(exist_ok=True)
    dag_file.write_text(DAG_FILE)
    environ = os.environ | whiterabbit_emulator.environ
    process = subprocess.run([sys.executable, str(dag_file)], env=environ, capture_output=True, text=True, check=False)
    dag_file.unlink()
    assert "STATE success" in process.stdout, process.stdout[-3000:] + process.stderr[-3000:]
    outputs = next(line for line in process.stdout.splitlines() if "OUTPUTS" in line).partition("OUTPUTS ")[2]
    assert json.JSONDecoder().raw_decode(outputs)[0] == {
        way: {"a": [1]} for way in ("end", "poke", "deferrable", "start", "both")
    }
    assert len(whiterabbit_emulator.requests(kind="submit")) == 5
