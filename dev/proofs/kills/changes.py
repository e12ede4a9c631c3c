"""The cases in which a task asks for something else than its earlier try did, or in which its DAG file is edited."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from dev.proofs.kills.case import Case, Outcome, RowSpec
from dev.proofs.kills.scene import Scene
from dev.proofs.kills.steps import Steps

_DAG_FILE = '''\
"""A DAG file that is edited while its tasks run."""
from airflow_provider_whiterabbit.compat import DAG
from dev.proofs.kills.stopping import kills_dag

corrected = kills_dag("kills_corrected", deferrable=True, payee="{payee}")
lowered = kills_dag("kills_lowered", deferrable=True, retries={retries})
'''


def write_dag_file(folder: Path, *, edited: bool = False) -> None:
    """Write the DAG file: before the edit it pays Alice and has three retries, after the edit Bob and two retries."""
    new = folder / "kills_edited.new"
    new.write_text(_DAG_FILE.format(payee="bob", retries=2) if edited else _DAG_FILE.format(payee="alice", retries=3))
    new.rename(new.with_suffix(".py"))  # Airflow never sees an incomplete file


def edit(scene: Scene) -> Steps[None]:
    """Edit the DAG file, after all cases of the edit have reached their points; wait until Airflow knows the edit."""
    scene.reach_point()
    yield lambda: scene.progress.is_true_of(scene.progress.at_point, point="edited")
    scene.bed.once("edit", lambda: write_dag_file(scene.bed.folder / "edited", edited=True))
    yield lambda: scene.bed.knows_edit(scene.run.dag_id)


def shifted(scene: Scene) -> Steps[None]:
    """Change a list of payees to another order with one more item, and clear the mapped tasks while they wait."""
    _write_payees(scene, "alice", "bob")
    scene.script(manual=2)
    scene.start("kills_mapped")
    yield lambda: all(scene.is_parked(index) for index in (0, 1)) and scene.count_waits() == 2
    scene.reach_point()
    _write_payees(scene, "bob", "carol", "alice")
    scene.run.clear("payees", "pay")
    yield from scene.forget_waits()
    for index in range(3):
        yield lambda index=index: scene.has_ended(index)  # type: ignore[misc]
        scene.record(index)
    yield from scene.settle((0, "earlier"), (1, "submit"))
    for index in (0, 1):
        yield lambda index=index: scene.has_ended(index)  # type: ignore[misc]
        scene.record(index)


def _write_payees(scene: Scene, *payees: str) -> None:
    """Write the file that the task upstream of the mapped task reads."""
    inputs = [{"payee": payee} for payee in payees]
    (scene.bed.folder / f"{scene.module}.payees").write_text(json.dumps(inputs))


def corrected_while_waiting(scene: Scene) -> Steps[None]:
    """Correct the payee in the DAG file while the task waits, and clear the task."""
    scene.script(manual=1)
    scene.start("kills_corrected")
    yield lambda: scene.is_parked() and scene.count_waits()
    yield from edit(scene)
    scene.run.clear("pay")
    yield from scene.forget_waits()
    yield scene.has_ended
    scene.record()


def corrected_before_retry(scene: Scene) -> Steps[None]:
    """Correct the payee in the DAG file after the task has submitted, and kill the task."""
    scene.script()
    scene.start("kills_corrected", stops="defer")
    yield lambda: scene.bed.has_stopped(scene.module, "defer")
    yield from edit(scene)
    scene.bed.kill_task(scene.module)
    yield scene.has_ended
    scene.record()


def corrected_after_end(scene: Scene) -> Steps[None]:
    """Correct the payee in the DAG file after the task has ended, and clear the task."""
    scene.script()
    scene.start("kills_corrected")
    yield scene.has_ended
    scene.record()
    yield from edit(scene)
    yield from scene.clear()
    yield scene.has_ended
    scene.record()


def lowered(scene: Scene, *, fails: bool = False) -> Steps[None]:
    """Lower the task's retries after the task has ended, so that a clear looks like a retry; clear the task."""
    scene.script(fails=fails)
    scene.start("kills_lowered")
    yield scene.has_ended
    yield from edit(scene)
    yield from scene.clear()
    yield scene.has_ended
    scene.record()
    yield from scene.settle((-1, "submit")) if fails else scene.clear()
    yield scene.has_ended
    scene.record()


_CORRECTED = "alice is corrected to bob in the DAG file"
_OTHER = Outcome(2, "alice", "doubt: other request")
_LOWERED = "retries is lowered in the DAG file"
_PERHAPS = Outcome(2, "alice", "doubt: perhaps cleared")

CASES = (
    Case(
        point="edited",
        killed="nothing",
        title=f"{_CORRECTED}, after the end",
        rows=(
            RowSpec("", Outcome(1, "alice", "alice's receipt 1")),
            RowSpec("a user clears the task", Outcome(2, "alice, bob", "bob's receipt 2 (resubmitted)")),
        ),
        steps=corrected_after_end,
    ),
    Case("edited", "nothing", f"{_CORRECTED}; clear while it waits", (RowSpec("", _OTHER),), corrected_while_waiting),
    Case("edited", "task", f"{_CORRECTED}; a retry", (RowSpec("", _OTHER),), corrected_before_retry),
    Case(
        point="edited",
        killed="nothing",
        title=f"{_LOWERED}; clear after the end",
        rows=(
            RowSpec("", _PERHAPS),
            RowSpec("a user clears the task again", Outcome(3, "alice, alice", "alice's receipt 2 (resubmitted)")),
        ),
        steps=lowered,
    ),
    Case(
        point="edited",
        killed="nothing",
        title=f"{_LOWERED}; clear after FAILED",
        rows=(
            RowSpec("", _PERHAPS),
            RowSpec('a user answers "submit"', Outcome(3, "alice, alice", "alice's receipt 2 (resubmitted)")),
        ),
        steps=partial(lowered, fails=True),
    ),
    Case(
        point="shifted",
        killed="nothing",
        title="a mapped task over [alice, bob], then over [bob, carol, alice]; clear while it waits",
        rows=(
            RowSpec("[0] asks for bob now", _OTHER, index=0),
            RowSpec("[1] asks for carol now", Outcome(2, "bob", "doubt: other request"), index=1),
            RowSpec("[2] is new and asks for alice", Outcome(1, "alice", "alice's receipt 1"), index=2),
            RowSpec(
                '[0], a user answers "earlier"',
                Outcome(3, "alice", "alice's receipt 1 (reattached)"),
                asked=0,
                index=0,
                takes_other=True,
            ),
            RowSpec(
                '[1], a user answers "submit"', Outcome(3, "bob, carol", "carol's receipt 2 (resubmitted)"), index=1
            ),
        ),
        steps=shifted,
    ),
)
