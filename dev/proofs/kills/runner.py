"""Run the cases of the kills concurrently on one Airflow, and return the rows of the table."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.airflow_home import AirflowHome
from dev.harness.polling import until
from dev.harness.postgres import Postgres
from dev.proofs.kills.case import Case, Row
from dev.proofs.kills.cases import CASES
from dev.proofs.kills.changes import write_dag_file
from dev.proofs.kills.scene import Progress, Scene
from dev.proofs.kills.steps import Steps, run_concurrently
from dev.proofs.kills.testbed import SETTINGS, Testbed

DAGS = Path(__file__).parent / "dags"
ROOT = Path(__file__).parents[3]

MAX_STARTING = 6
"""How many tasks may be on their way to the point of the kill at a time: the start of each takes seconds of CPU."""

DAG_COUNT = 14
"""How many DAGs the kills have."""

FEW = 4
"""How many other cases may be left when the last cases start. The last cases wait at their points for the others' end,
but not for long: the operator waits only a minute for the answer to a submission."""


def run_cases(cases: Sequence[Case] = CASES, timeout: float = 600) -> list[Row]:
    """Run the cases on a new Airflow and return the rows of the table.

    If a component of Airflow exits by itself, the cases prove nothing, and run once more on another Airflow: a
    restarted scheduler, for example, has lost the tasks that it ran. Airflow 3.3.2's scheduler was seen to exit with
    "Failed to add object to the flush context!" on a busy machine.

    :param timeout: seconds from the first submission to the end of all cases.
    :raises ExitError: if a component exits by itself each time.
    """
    try:
        return _run_once(cases, timeout)
    except ExitError as error:
        print(f"{error}\nAll cases run once more.", file=sys.stderr, flush=True)
        return _run_once(cases, timeout)


def _run_once(cases: Sequence[Case], timeout: float) -> list[Row]:
    with (
        tempfile.TemporaryDirectory(prefix="kills-") as name,
        Emulator() as wr,
        Emulator() as other,
        # With SQLite, Airflow's API server makes a task fail for good if the database is locked when the task ends.
        Postgres() as postgres,
    ):
        folder = Path(name)
        edited = folder / "edited"
        edited.mkdir()
        write_dag_file(edited)
        environ = wr.environ | SETTINGS | {"KILLS_FOLDER": name, "PYTHONPATH": str(ROOT)}
        with AirflowHome([DAGS, edited], database=postgres.url, environ=environ) as airflow:
            until(lambda: airflow.api.call("GET", "/dags")["total_entries"] == DAG_COUNT, "the DAGs to be parsed", 60)
            bed = Testbed(wr, other, airflow, folder)
            return CaseRunner(bed, {f"KILLS_{number}": case for number, case in enumerate(cases, 1)}).run(timeout)


class ExitError(RuntimeError):
    """A component of Airflow has exited by itself."""


class CaseRunner:
    """Runs all cases concurrently on one testbed.

    :param cases: the cases, by the module that each case executes.
    """

    def __init__(self, bed: Testbed, cases: Mapping[str, Case]) -> None:
        self._bed = bed
        self._cases = cases
        self._progress = Progress(cases)
        self._scenes = {module: Scene(bed, self._progress, case, module) for module, case in cases.items()}

    def run(self, timeout: float) -> list[Row]:
        """Run the cases and return the rows of the table."""
        steps = {module: self._steps(module, case) for module, case in self._cases.items()}
        errors = run_concurrently(steps, self._poll, timeout)
        rows: list[Row] = []
        for module, scene in self._scenes.items():
            error = errors[module]
            rows += scene.rows if error is None else [*scene.rows, *scene.rows_without_end(error)]
            if error is None:
                rows[-1] = scene.with_late_submissions(rows[-1])
        return rows

    def _poll(self) -> None:
        if dead := self._bed.airflow.dead():
            raise ExitError("".join(f"{name} has exited:\n{self._bed.airflow.output(name)}" for name in dead))
        running = [self._scenes[module] for module in self._progress.started - self._progress.ended]
        for scene in running:
            scene.note_waits()
        self._bed.poll()
        for scene in running:
            scene.end_executions()

    def _steps(self, module: str, case: Case) -> Steps[None]:
        progress = self._progress
        try:
            yield lambda: self._may_start(case)
            progress.started.add(module)
            yield from case.steps(self._scenes[module])
        finally:
            for reached in (progress.at_point, progress.past_kill, progress.ended):
                reached.add(module)

    def _may_start(self, case: Case) -> bool:
        """Whether the case may start now: only a few start at a time, and some start when few others are left."""
        progress = self._progress
        unfinished = [module for module in self._cases.keys() - progress.ended if not self._cases[module].last]
        if case.last and len(unfinished) > FEW:
            return False
        return len(progress.started - progress.at_point) < MAX_STARTING
