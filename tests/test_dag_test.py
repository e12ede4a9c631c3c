"""`dag.test()`, with which users try their DAGs: one process, triggers run inline, no scheduler and no triggerer."""

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
    for way, more in WAYS.items():  # one after the other, so that each of them has to wait
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


def test_every_way(whiterabbit_emulator: Emulator) -> None:
    """Whatever a task asks of the triggerer, here it runs, and its output arrives."""
    whiterabbit_emulator.script("SLOW", output={"a": [1]}, after=0.5)
    file = Path(os.environ["AIRFLOW_HOME"]) / "dags" / "in_process.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(DAG_FILE)
    environ = os.environ | whiterabbit_emulator.environ
    done = subprocess.run([sys.executable, str(file)], env=environ, capture_output=True, text=True, check=False)
    file.unlink()
    assert "STATE success" in done.stdout, done.stdout[-300000:] + done.stderr[-3000:]
    outputs = next(line for line in done.stdout.splitlines() if "OUTPUTS" in line).partition("OUTPUTS ")[2]
    found = json.JSONDecoder().raw_decode(outputs)[0]
    assert found == {way: {"a": [1]} for way in ("end", "poke", "deferrable", "start", "both")}
    assert len(whiterabbit_emulator.requests(kind="submit")) == 5
