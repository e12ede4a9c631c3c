"""The steps of the cases that kill a process at a point of a submission."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import psutil  # type: ignore[import-untyped]  # comes with Airflow, its stubs don't

from dev.proofs.kills.case import Killed
from dev.proofs.kills.scene import Scene
from dev.proofs.kills.steps import Steps
from dev.proofs.kills.testbed import HoldFirst, is_dead

Point = Literal[
    "intent",
    "post",
    "request",
    "answer",
    "id",
    "defer",
    "deferred",
    "meanwhile",
    "resuming",
    "waiting",
    "cleared",
    "failed",
]
Remedy = Literal["there", "submit", "clear", "store"]

KEYED_DAG = "kills_keys"
"""The DAG whose task submits twice, under keys. The second submission is stopped."""

MANY_DAG = "kills_many"
MANY_WORKER_DAG = "kills_many_worker"
"""The DAGs whose task submits two inputs. The second submission is stopped."""

SUBMIT_TWICE = (KEYED_DAG, MANY_DAG, MANY_WORKER_DAG)

SECOND_PAYEE = "bob"
"""Whom the second submission pays."""


@dataclass(frozen=True)
class Kill:
    """Starts a task, kills a process at a point, and lets a user repair what must not be repaired automatically.

    :param point: the point at which the process is killed.
    :param remedy: what a user does after the first end of the task; None for nothing.
    """

    point: Point
    killed: Killed
    dag_id: str
    remedy: Remedy | None

    def __call__(self, scene: Scene) -> Steps[None]:
        """Yield the steps."""
        self._start(scene)
        orphan = None
        if self.point != "failed":
            yield from self._reach_point(scene)
            scene.reach_point()
            orphan = yield from self._kill(scene)
            scene.progress.past_kill.add(scene.module)
            yield from self._complete_execution(scene)
        yield scene.has_ended
        scene.bed.release(scene.module)
        if orphan:
            yield partial(is_dead, orphan)
        scene.record()
        if self.remedy is None:
            return
        doubt = scene.doubt()
        if self.remedy == "store":
            yield scene.executions  # the emulator processes the submission that it held
            scene.store({"id": scene.executions()[-1]["id"]})
        if self.remedy in ("there", "submit"):
            yield from scene.settle((-1, self.remedy))
        else:
            yield from scene.clear()
        yield scene.has_ended
        scene.record(same=doubt)

    @property
    def _submissions(self) -> int:
        """How many submissions the task makes."""
        return 2 if self.dag_id in SUBMIT_TWICE else 1

    def _start(self, scene: Scene) -> None:
        """Script the executions and start the DAG run."""
        is_manual = self.point in ("deferred", "meanwhile", "resuming", "waiting", "cleared")
        scene.script(manual=self._submissions if is_manual else 0, fails=self.point == "failed")
        if self.point in ("request", "answer"):
            payee = SECOND_PAYEE if self._submissions == 2 else ""
            hold = HoldFirst(scene.module, before=self.point == "request", payee=payee)
            scene.bed.faults[scene.module] = scene.bed.wr.fault(hold, kind="submit", times=None)
        scene.start(self.dag_id, stops=self.point)

    def _reach_point(self, scene: Scene) -> Steps[None]:
        """Wait until the task has reached the point of the kill."""
        bed, module = scene.bed, scene.module
        number = self._submissions  # of the submission that is stopped
        match self.point:
            case "request":
                yield lambda: len(bed.submissions(module)) >= number
            case "answer":
                yield lambda: len(scene.executions()) >= number
            case "waiting":
                yield partial(bed.count_streams, module)
            case "deferred" | "meanwhile" | "resuming" | "cleared":
                yield partial(bed.count_streams, module)
                yield scene.is_parked
            case point:
                yield partial(bed.has_stopped, module, point)
        if self.point == "resuming":
            # The trigger of many executions reads each record once more, for the credits.
            hold = bed.hold_record(module, skip=int(self.dag_id == MANY_DAG))
            scene.complete_all()
            yield lambda: hold.hits

    def _kill(self, scene: Scene) -> Steps[psutil.Process | None]:
        """Kill the case's process; return the task's process if it survives its supervisor."""
        bed, progress = scene.bed, scene.progress
        match self.killed:
            case "triggerer":
                yield (
                    lambda: (
                        progress.is_true_of(progress.at_point, killed="triggerer")
                        and progress.is_true_of(progress.past_kill, point="resuming")
                    )
                )
                bed.once("triggerer", lambda: bed.airflow.kill("triggerer"))
            case "scheduler":
                yield (
                    lambda: (
                        progress.is_true_of(progress.at_point, killed="scheduler")
                        and progress.is_true_of(progress.ended, last=False)
                    )
                )
                if bed.once("scheduler", lambda: bed.airflow.kill("scheduler")):
                    bed.make_forgetful()
                    yield partial(bed.is_unhealthy, "scheduler")
                    bed.airflow.start("scheduler")
            case "nothing":
                scene.run.clear("pay")
            case killed:
                task = bed.kill_task(scene.module, killed)
                return task if killed == "supervisor" else None
        return None

    def _complete_execution(self, scene: Scene) -> Steps[None]:
        """Complete a manual execution; unless the point is ``meanwhile``, only after the wait has begun anew."""
        bed, progress = scene.bed, scene.progress
        if self.point == "meanwhile":
            scene.complete_all()
            yield lambda: progress.is_true_of(progress.past_kill, point="meanwhile")
            bed.once("new triggerer", lambda: bed.airflow.start("triggerer"))
        elif self.point in ("deferred", "waiting", "cleared"):
            yield lambda: bed.count_streams(scene.module) > 1
            yield lambda: self.point != "cleared" or scene.is_parked()
            scene.complete_all()
