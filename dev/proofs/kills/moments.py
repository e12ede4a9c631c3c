"""The cases in which White Rabbit, the connection, another DAG, a person or an option of Airflow intervenes."""

from __future__ import annotations

import json
from functools import partial
from http import HTTPStatus

from airflow_provider_whiterabbit.emulator import Emulator, effects
from dev.harness.airflow_api import DagRun
from dev.proofs.kills.case import Case, Outcome, RowSpec
from dev.proofs.kills.scene import Scene
from dev.proofs.kills.steps import Steps


def gone(scene: Scene) -> Steps[None]:
    """Let White Rabbit forget the execution, and kill the task."""
    yield from _stop_with_id(scene, "kills_deferred")
    error = {"errors": [{"code": "NOT_FOUND", "message": "There is no such execution."}]}
    path = f"*/{scene.executions()[-1]['id']}*"
    scene.bed.wr.fault(effects.Answer(HTTPStatus.NOT_FOUND, error), path=path, times=None)
    scene.bed.kill_task(scene.module)
    yield scene.has_ended
    scene.record()


def moved(scene: Scene) -> Steps[None]:
    """Change the connection to another workspace of White Rabbit, and kill the task."""
    _store_connection(scene, "POST", "/connections", scene.bed.wr)
    yield from _stop_with_id(scene, "kills_moved")
    _store_connection(scene, "PATCH", "/connections/kills_moved", scene.bed.other)
    scene.bed.kill_task(scene.module)
    yield scene.has_ended
    scene.record()


def _stop_with_id(scene: Scene, dag_id: str) -> Steps[None]:
    """Start a task, and wait until it has stored the id of its execution."""
    scene.script()
    scene.start(dag_id, stops="defer")
    yield lambda: scene.bed.has_stopped(scene.module, "defer")
    scene.reach_point()


def _store_connection(scene: Scene, method: str, path: str, wr: Emulator) -> None:
    connection = {**wr.connection, "extra": json.dumps(wr.connection["extra"])}
    scene.bed.airflow.api.call(method, path, {"connection_id": "kills_moved", **connection})


def cleared_by_parent(scene: Scene) -> Steps[None]:
    """Kill the task of another DAG that has triggered the DAG run; the retry of that task clears the DAG run."""
    scene.script()
    scene.start("kills_parent")
    parent = scene.run
    scene.run = DagRun(scene.bed.airflow.api, "kills_child", f"{parent.run_id}-child")
    yield scene.has_ended
    scene.reach_point()
    scene.bed.kill_task(f"{scene.module}.parent")

    def parent_has_ended() -> bool:
        task = scene.bed.task(parent, "run_child", -1)
        return task is not None and task.state == "success"

    yield parent_has_ended
    yield scene.has_ended
    scene.record()


def asked(scene: Scene, *, killed_again: bool = False) -> Steps[None]:
    """Kill the task so that its retry asks a person, and answer in Airflow.

    :param killed_again: whether the task is killed again after the answer, while it reads the execution's record.
    """
    scene.script(manual=1)
    scene.start("kills_ask", stops="id")
    yield lambda: scene.bed.has_stopped(scene.module, "id")
    scene.reach_point()
    scene.bed.kill_task(scene.module)
    yield scene.is_parked
    scene.complete()
    hold = scene.bed.hold_record(scene.module) if killed_again else None
    answer = {"chosen_options": ["It is there"], "params_input": {"execution_id": scene.executions()[-1]["id"]}}
    scene.bed.airflow.api.call("PATCH", f"{scene.run.path}/taskInstances/pay/-1/hitlDetails", answer)
    if hold:
        yield lambda: hold.hits
        scene.bed.kill_task(scene.module)
        scene.bed.release(scene.module)
    yield scene.has_ended
    scene.record()


def forgotten(scene: Scene) -> Steps[None]:
    """Clear the task after Airflow has emptied the task state store, because the task has succeeded."""
    yield lambda: scene.progress.is_true_of(scene.progress.past_kill, killed="scheduler")
    scene.script()
    scene.start("kills_worker")
    yield scene.has_ended
    scene.record()
    yield from scene.clear()
    yield scene.has_ended
    scene.record()


_GONE = Outcome(2, "alice", "doubt: gone")

CASES = (
    Case("gone", "task", "White Rabbit forgets the execution; a retry", (RowSpec("", _GONE),), gone),
    Case("moved", "task", "the connection leads to another workspace; a retry", (RowSpec("", _GONE),), moved),
    Case(
        point="reset",
        killed="parent task",
        title='on_clear="reattach"; the parent DAG resets the ended DAG run',
        rows=(RowSpec("", Outcome(2, "alice", "alice's receipt 1 (reattached)")),),
        steps=cleared_by_parent,
    ),
    Case(
        point="asked",
        killed="task",
        title='on_doubt="ask", before the id is stored; answer "It is there"',
        rows=(RowSpec("", Outcome(2, "alice", "alice's receipt 1 (reattached)")),),
        steps=asked,
    ),
    Case(
        point="asked",
        killed="task",
        title="the same, killed again after the answer",
        rows=(RowSpec("", Outcome(3, "alice", "alice's receipt 1 (reattached)")),),
        steps=partial(asked, killed_again=True),
    ),
    Case(
        point="forgotten",
        killed="nothing",
        title="[state_store] clear_on_success",
        rows=(
            RowSpec("", Outcome(1, "alice", "alice's receipt 1"), warning="clear_on_success is set"),
            RowSpec("a user clears the task", Outcome(2, "alice, alice", "alice's receipt 2")),
        ),
        steps=forgotten,
        last=True,
    ),
)
