"""A lost answer: the example DAG asks a person whether its payment arrived, and does not pay twice."""

from __future__ import annotations

import json
import re
import sys

from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.airflow_api import DagRun
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until
from dev.scripts.demo.timeline import MAX_WAIT, Timeline, log_lines

DAG = "whiterabbit_ask"
TASK = "broadcast"
MODULE = "BROADCAST_BITCOIN_TRANSACTION"
OUTPUT = {"txid": "f4184fc5"}


def prepare(wr: Emulator) -> str:
    """Let White Rabbit execute the component, and lose its answer to the submission; return what was prepared."""
    wr.script(MODULE, output=OUTPUT)
    wr.fault(effects.Reset("answer"), kind="submit")
    return f"it executes {MODULE}, but its answer to the submission is lost on the way"


def show(airflow: AirflowHome, wr: Emulator, timeline: Timeline, *, attended: bool) -> bool:
    """Run the example DAG until it asks, and wait for the answer; return whether the run has ended as it should.

    :param attended: wait until a person answers in Airflow's web UI, and accept every answer; otherwise, the demo
        answers through Airflow's API.
    """
    run = airflow.run(DAG)
    timeline.print(f"A run of DAG {DAG} is triggered")
    try:
        succeeded = _asked(airflow, run, timeline) and _settled(run, wr, timeline, attended=attended)
    except (RuntimeError, TimeoutError) as error:
        timeline.print(str(error))
        succeeded = False
    if not succeeded:
        print(airflow.explain(run), file=sys.stderr)
    return succeeded


def _asked(airflow: AirflowHome, run: DagRun, timeline: Timeline) -> bool:
    """Wait until the task asks, and the scheduler knows that its worker has left it.

    The scheduler takes the exit for a failure if the answer resumes the task before.
    """
    task = run.wait_for(TASK, {"awaiting_input"}, MAX_WAIT)
    noticed = re.compile(rf"TaskInstance Finished: .*ti_id={task.id}")
    until(lambda: noticed.search(airflow.output("scheduler", lines=1000)), "the scheduler to notice the exit", MAX_WAIT)
    for line in log_lines(run, TASK):
        timeline.print(line)
    return task.state == "awaiting_input"


def _settled(run: DagRun, wr: Emulator, timeline: Timeline, *, attended: bool) -> bool:
    """Wait for the answer and the end of the run; return whether the answer was a person's, or had the right effect."""
    (execution,) = wr.executions
    timeline.print(f"Task {TASK} does not know whether its submission arrived: it holds no worker, and asks a person")
    timeline.print(f"White Rabbit's dashboard shows the execution {execution['id']}: {execution['status']}")
    if attended:
        timeline.print(f"Open {run.api.url}/dags/{run.dag_id}/runs/{run.run_id}/tasks/{TASK}/required_actions")
        timeline.print(f"Enter {execution['id']} as the id of the execution, and choose *It is there*")
    else:
        timeline.print("The demo answers through Airflow's API: *It is there*, with this id")
        answer = {"chosen_options": ["It is there"], "params_input": {"execution_id": execution["id"]}}
        run.api.call("PATCH", f"{run.path}/taskInstances/{TASK}/-1/hitlDetails", answer)
    state = run.wait(timeout=24 * 60 * 60 if attended else MAX_WAIT)
    for line in log_lines(run, TASK):
        timeline.print(line)
    output = run.xcom(TASK)
    submissions = len(wr.requests(kind="submit"))
    timeline.print(f"XCom of {TASK}: {json.dumps(output)}")
    timeline.print(f"The run has ended: {state}. Submissions: {submissions}; executions: {len(wr.executions)}")
    return attended or (state == "success" and output == OUTPUT and submissions == 1)
