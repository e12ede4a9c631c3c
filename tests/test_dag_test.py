"""`dag.test()`, with which users try their DAGs in one process, without a scheduler and a triggerer."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.airflow_settings import EXAMPLE_VARIABLES
from dev.harness.polling import until
from dev.harness.statsd import StatsdServer
from tests.docs.pages import ROOT
from tests.versions import HAS_STORE, needs_dag_test

pytestmark = pytest.mark.airflow

DAG_FILE = """
import json
from datetime import timedelta
import example_whiterabbit_decorator
from airflow_provider_whiterabbit.compat import DAG, task
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator
from airflow_provider_whiterabbit.sensors.execution import WhiteRabbitExecutionSensor

@task
def show(outputs):
    print("OUTPUTS", json.dumps(outputs, default=list))

WAYS = {
    "poke": {"poke_interval": "{{ params.interval }}", "timeout": "{{ params.hours * 3600 }}"},
    "deferrable": {"deferrable": True},
    "start": {"start_from_trigger": True},
    "both": {"start_from_trigger": True, "end_from_trigger": True},
}

with DAG("in_process", schedule=None, params={"interval": 0.1, "hours": 1}) as dag:
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
    mapped = WhiteRabbitExecuteComponentOperator.partial(
        task_id="mapped", module="SLOW", config="slow.json", timeout="{{ params.hours * 3600 }}"
    ).expand(attempts=["2", 3])
    previous >> mapped
    outputs["mapped"] = mapped.output
    show(outputs)

with DAG("in_process_question", schedule=None) as question:
    WhiteRabbitExecuteComponentOperator(task_id="pay", module="PAY", on_doubt="ask")

if __name__ == "__main__":
    print("STATE", dag.test().state)
    print("STATE", question.test().state)
    run = example_whiterabbit_decorator.whiterabbit_decorator().test()
    print("STATE", run.state)
    print("TASKS", json.dumps({f"{ti.task_id}{ti.map_index}": ti.state for ti in run.get_task_instances()}))
"""


@needs_dag_test
def test_all_ways_of_waiting(whiterabbit_emulator: Emulator) -> None:
    """Tasks that wait, start or end in the triggerer run in `dag.test()` too, and their outputs and metrics arrive.

    A task that would ask a person fails there, because nobody could answer. The example of `@task.whiterabbit`, with
    mapped and skipped tasks, calls each function once.
    """
    wr = whiterabbit_emulator
    wr.script("SLOW", output={"a": [1]}, after=0.5)
    wr.fault(effects.Reset("answer"), kind="submit", skip=7)
    folder = Path(os.environ["AIRFLOW_HOME"]) / "dags"
    folder.mkdir(exist_ok=True)
    dag_file, config_file = folder / "in_process.py", folder / "slow.json"
    example = Path(shutil.copy(ROOT / "example_dags" / "example_whiterabbit_decorator.py", folder))
    dag_file.write_text(DAG_FILE)
    config_file.write_text('{"hours": "{{ params.hours }}"}')
    expected = {"whiterabbit.submitted": 10, "whiterabbit.ended.completed": 10, "whiterabbit.credits": 10}
    with StatsdServer() as statsd:
        command, environ = [sys.executable, str(dag_file)], os.environ | wr.environ | statsd.environ | EXAMPLE_VARIABLES
        process = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=600)
        with suppress(TimeoutError):
            until(lambda: expected.items() <= statsd.sums().items(), "the metrics to arrive", 60, 0.01)
        sums = statsd.sums()
    dag_file.unlink()
    config_file.unlink()
    example.unlink()
    output = process.stdout + process.stderr
    assert [line for line in output.splitlines() if line.startswith("STATE")] == [
        "STATE success",
        "STATE failed",
        "STATE success",
    ], output[-6000:]
    assert expected.items() <= sums.items(), sums
    outputs = next(line for line in output.splitlines() if "OUTPUTS" in line).partition("OUTPUTS ")[2]
    assert json.JSONDecoder().raw_decode(outputs)[0] == {
        **{way: {"a": [1]} for way in ("end", "poke", "deferrable", "start", "both")},
        "mapped": [{"a": [1]}, {"a": [1]}],
    }
    submissions = [entry.json for entry in wr.requests(kind="submit")]
    assert [submission["module"] for submission in submissions] == ["SLOW"] * 7 + ["PAY"] + [
        "GET_EVM_ACCOUNT_BALANCE"
    ] * 2 + ["API_CALL"]
    mapped = [(submission["attempts"], submission["config"]["hours"]) for submission in submissions[5:7]]
    assert sorted(mapped) == [(2, "1"), (3, "1")]
    assert submissions[8]["input"]["jsonRpcUrl"] == EXAMPLE_VARIABLES["AIRFLOW_VAR_SECRET_RPC_URL"]
    assert submissions[10]["input"]["headers"]["X-Total"] == str(2 * 10**18)
    states = json.loads(next(line for line in output.splitlines() if line.startswith("TASKS"))[6:])
    assert (states["report-1"], states["warn-1"], states["balance1"]) == ("success", "skipped", "success")
    assert "The task fails instead of asking a person" in output


def output_of(name: str, text: str, wr: Emulator, state: str = "success") -> str:
    """Run a DAG file that ends with `dag.test()`, in a process of its own; return what it prints.

    :param state: how the DAG run ends.
    """
    folder = Path(os.environ["AIRFLOW_HOME"]) / "dags"
    folder.mkdir(exist_ok=True)
    dag_file = folder / f"{name}.py"
    dag_file.write_text(text)
    command, environ = [sys.executable, str(dag_file)], os.environ | wr.environ
    process = subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=600)
    dag_file.unlink()
    output = process.stdout + process.stderr
    assert f"STATE {state}" in output, output[-6000:]
    return output


MANY_FILE = """
from airflow_provider_whiterabbit.compat import DAG
from airflow_provider_whiterabbit.operators.components import WhiteRabbitExecuteComponentsOperator

with DAG("many_in_process", schedule=None) as dag:
    arguments = {"module": "SLOW", "deferrable": True, "inline_wait": 0, "do_xcom_push": False}
    one = WhiteRabbitExecuteComponentsOperator(task_id="one", inputs=[{"n": 1}, {"n": 2}], **arguments)
    one >> WhiteRabbitExecuteComponentsOperator.partial(task_id="mapped", **arguments).expand(
        inputs=[[{"n": 3}, {"n": 4}], [{"n": 5}]]
    )

if __name__ == "__main__":
    print("STATE", dag.test().state)
"""


@pytest.mark.long
@needs_dag_test
def test_many_inputs_without_xcom(whiterabbit_emulator: Emulator) -> None:
    """A deferred task of many inputs ends although `dag.test()` does not hand on the ids, and no XCom has them."""
    whiterabbit_emulator.script("SLOW", output=1, after=0.5)
    output_of("many_in_process", MANY_FILE, whiterabbit_emulator)
    submitted = [entry.json["input"]["n"] for entry in whiterabbit_emulator.requests(kind="submit")]
    assert sorted(submitted) == [1, 2, 3, 4, 5]


MAPPED_DATA_FILE = """
from pathlib import Path
from airflow_provider_whiterabbit.compat import DAG, task
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator

Path(__file__).with_name("other.json").write_text('{"file": "of the DAGs"}')
PAY = {"module": "SLOW", "wait_for_completion": False}

with DAG("mapped_data", schedule=None) as dag:

    @task
    def names():
        return ["other.json"]

    WhiteRabbitExecuteComponentOperator.partial(task_id="input", **PAY).expand(input=names())
    WhiteRabbitExecuteComponentOperator.partial(task_id="config", **PAY).expand(config=names())
    WhiteRabbitExecuteComponentOperator.partial(task_id="file", **PAY).expand(input=["other.json"])

if __name__ == "__main__":
    print("STATE", dag.test().state)
"""


@needs_dag_test
def test_mapped_data_names_no_file(whiterabbit_emulator: Emulator) -> None:
    """A text that comes from another task, to be mapped over, is not the name of a file; one in the DAG file is."""
    output_of("mapped_data", MAPPED_DATA_FILE, whiterabbit_emulator, "failed")
    submitted = [entry.json for entry in whiterabbit_emulator.requests(kind="submit")]
    assert [(body["input"], body["config"]) for body in submitted] == [({"file": "of the DAGs"}, {})]


FORKING_FILE = """
import multiprocessing
from airflow_provider_whiterabbit.compat import DAG, get_current_context, task
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator

def pay(key):
    try:
        return WhiteRabbitHook().once().execute_component(key, "PAY").id
    except Exception as error:
        return f"{type(error).__name__}: {error}"

def execute(key):
    try:
        return WhiteRabbitExecuteComponentOperator(task_id=key, module="PAY").execute(get_current_context())
    except Exception as error:
        return f"{type(error).__name__}: {error}"

@task
def pay_all():
    pool = multiprocessing.get_context("fork").Pool(2)
    print("CHILDREN", *pool.map(pay, ["alice", "bob"]), *pool.map(execute, ["alice", "bob"]), sep="|")
    pool.close()  # `terminate` can wait for ever: the processes inherit Airflow's handler of SIGTERM, and do not end
    pool.join()
    print("PARENT", len({pay(key) for key in ["alice", "bob", "alice"]}))

with DAG("forking", schedule=None) as dag:
    pay_all()

if __name__ == "__main__":
    print("STATE", dag.test().state)
"""


@needs_dag_test
def test_processes_of_a_task(whiterabbit_emulator: Emulator) -> None:
    """A process that the code of a task forks submits nothing, also if the task has not done so before."""
    output = output_of("forking", FORKING_FILE, whiterabbit_emulator)
    children = next(line for line in output.splitlines() if "CHILDREN" in line)
    assert children.count("A task submits in its own process") == 4, children
    assert "PARENT 2" in output
    assert len(whiterabbit_emulator.requests(kind="submit")) == 2


RESCHEDULED_FILE = """
from datetime import UTC, datetime, timedelta
from pathlib import Path
from airflow.exceptions import AirflowRescheduleException
from airflow.triggers.temporal import TimeDeltaTrigger
from airflow_provider_whiterabbit.compat import DAG, BaseOperator, get_current_context, task
from airflow_provider_whiterabbit.hooks.whiterabbit import WhiteRabbitHook
from airflow_provider_whiterabbit.operators.component import WhiteRabbitExecuteComponentOperator

RAN = Path(__file__).with_suffix(".ran")

def submit(key):
    return WhiteRabbitHook().once().execute_component(key, "PAY").id

class Deferring(BaseOperator):
    def execute(self, context):
        self.defer(trigger=TimeDeltaTrigger(timedelta(seconds=0.1)), method_name="resume")

    def resume(self, context, event=None):
        WhiteRabbitExecuteComponentOperator(task_id="inner", module="PAY").execute(context)

with DAG("rescheduled", schedule=None) as dag:
    @task.sensor(mode="reschedule", poke_interval=1, timeout=60)
    def look():
        print("RUN", submit("a"))
        return get_current_context()["ti"].get_first_reschedule_date(get_current_context()) is not None

    @task
    def again():
        print("RUN", submit("b"))
        if not RAN.exists():
            RAN.touch()
            raise AirflowRescheduleException(datetime.now(UTC) + timedelta(seconds=1))

    look()
    again()
    Deferring(task_id="deferring")

if __name__ == "__main__":
    print("STATE", dag.test().state)
"""


@needs_dag_test
def test_task_that_runs_again(whiterabbit_emulator: Emulator) -> None:
    """A task that runs more than once within a try submits once; before Airflow 3.3, if at all, in its first run."""
    output = output_of("rescheduled", RESCHEDULED_FILE, whiterabbit_emulator, "success" if HAS_STORE else "failed")
    assert len(whiterabbit_emulator.requests(kind="submit")) == (3 if HAS_STORE else 1), output
    if HAS_STORE:
        assert output.count("RUN ") > 3
    else:
        assert output.count("uncertain.") >= 3, output
