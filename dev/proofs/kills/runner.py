"""Run the cases of the kills: start the tasks, kill a process at each case's point, and check how the tasks end."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # comes with Airflow, its stubs don't

from airflow_provider_whiterabbit.emulator import Emulator, Script, effects
from dev.harness.airflow_api import FINISHED, DagRun
from dev.harness.airflow_home import AirflowHome
from dev.proofs.kills.cases import CASES, FAILED, OUTPUT, REATTACHED, RESUBMITTED, UNCERTAIN, Case, Expected, Remedy
from dev.proofs.kills.testbed import SETTINGS, HoldFirst, Steps, Testbed, is_dead

DAGS = Path(__file__).parent / "dags"
ERROR = "balance too low for this transfer"
TASK = "pay"
EXECUTION_SECONDS = 3
"""How long an execution takes. By then, the process that deferred its task has exited (`AirflowHome.is_busy_with`)."""

MAX_STARTING = 6
"""How many tasks may be on their way to the point of the kill at a time: SQLite allows one writer at a time."""

_STATE_STORE_PATH = re.compile(r"/api/v2(/\S+/state-store/\S+)\?map_index=(-?\d+)")


@dataclass(frozen=True)
class Row:
    """A row of the table: how a case has ended.

    :param actual: None if the case did not end.
    :param unexpected: what differs from the specification, with the end of the task's log; empty if nothing does.
    """

    name: str
    actual: Expected | None
    unexpected: str = ""


def run_cases(cases: Sequence[Case] = CASES, timeout: float = 150) -> list[Row]:
    """Run the cases on a new Airflow and return the rows of the table.

    :param timeout: seconds from the first submission to the end of all cases.
    """
    with tempfile.TemporaryDirectory(prefix="kills-") as folder, Emulator() as wr:
        environ = wr.environ | SETTINGS | {"KILLS_FOLDER": folder}
        with AirflowHome([DAGS], environ=environ) as airflow:
            modules = {f"KILLS_{number}": case for number, case in enumerate(cases, 1)}
            return CaseRunner(Testbed(wr, airflow, Path(folder)), modules).run(timeout)


class CaseRunner:
    """Runs all cases concurrently on one testbed.

    :param cases: the cases, by the module that each case executes.
    """

    def __init__(self, testbed: Testbed, cases: Mapping[str, Case]) -> None:
        self._testbed = testbed
        self._cases = cases
        self._runs: dict[str, DagRun] = {}
        self._started: set[str] = set()
        self._at_point: set[str] = set()  # cases that have reached the point of the kill
        self._past_kill: set[str] = set()  # cases whose kill is done
        self._ended: set[str] = set()

    def run(self, timeout: float) -> list[Row]:
        """Run the cases and return the rows of the table."""
        steps = {module: self._steps(module, case) for module, case in self._cases.items()}
        results = self._testbed.run_concurrently(steps, timeout)
        rows = []
        for module, case in self._cases.items():
            result = results[module]
            rows += result if isinstance(result, list) else self._rows_without_end(module, case, result)
        return rows

    def _rows_without_end(self, module: str, case: Case, error: BaseException) -> list[Row]:
        """Return the rows of a case that did not end, with what Airflow knows about its run."""
        run = self._runs.get(module)
        state = f"{self._testbed.task(run)}\n{self._testbed.airflow.explain(run)}" if run else "It was not started."
        return [Row(name, None, f"{type(error).__name__}: {error}\n{state}") for name, _ in case.rows]

    def _steps(self, module: str, case: Case) -> Steps[list[Row]]:
        testbed = self._testbed
        try:
            yield lambda: self._may_start(case)
            self._started.add(module)
            run = self._runs[module] = self._start(module, case)
            orphan = None
            if case.point != "failed":
                yield from self._reach_point(module, case, run)
                self._at_point.add(module)
                orphan = yield from self._kill(module, case, run)
                self._past_kill.add(module)
                yield from self._complete_execution(module, case, run)
            yield partial(testbed.has_ended, run)
            testbed.release(module)
            if orphan:
                yield partial(is_dead, orphan)
            (name, expected), *later_rows = case.rows
            rows = [self._row(name, expected, module, run)]
            for name, expected in later_rows:
                earlier_message = testbed.uncertain_message(run)
                yield from self._apply_remedy(case.remedy[0] if case.remedy else "clear", module, run)
                yield partial(testbed.has_ended, run)
                rows.append(self._row(name, expected, module, run, earlier_message))
            return rows
        finally:
            self._ended.add(module)

    def _may_start(self, case: Case) -> bool:
        """Whether the case may start now: only a few start at a time, and kills of the scheduler start last."""
        if case.killed == "scheduler":
            return self._cases.keys() - self._modules_with(killed="scheduler") <= self._ended
        return len(self._started - self._at_point - self._ended) < MAX_STARTING

    def _start(self, module: str, case: Case) -> DagRun:
        """Script the executions of a case and start its DAG run."""
        execution_numbers = count(1)
        is_manual = case.point in ("deferred", "meanwhile", "resuming", "waiting", "cleared")

        def output(_input: object, _config: object) -> dict[str, int]:
            return {module: next(execution_numbers)}

        later = Script(output=output, after=EXECUTION_SECONDS)
        if case.point == "failed":
            self._testbed.wr.script(module, Script(error={"message": ERROR}, after=EXECUTION_SECONDS), later)
        elif is_manual:
            self._testbed.wr.script(module, Script(output=output, manual=True), later)
        else:
            self._testbed.wr.script(module, later)
        if case.point in ("request", "answer"):
            hold = HoldFirst(module, before=case.point == "request")
            self._testbed.faults[module] = self._testbed.wr.fault(hold, kind="submit", times=None)
        return self._testbed.airflow.run(case.dag_id, {"module": module, "stops": case.point})

    def _reach_point(self, module: str, case: Case, run: DagRun) -> Steps[None]:
        """Wait until the task has reached the point of the kill."""
        testbed = self._testbed
        match case.point:
            case "request":
                yield partial(testbed.submissions, module)
            case "answer":
                yield partial(testbed.executions, module)
            case "waiting":
                yield partial(testbed.count_reads, module, streams=True)
            case "deferred" | "meanwhile" | "resuming" | "cleared":
                yield lambda: testbed.count_reads(module) and testbed.count_reads(module, streams=True)
                yield lambda: not testbed.airflow.is_busy_with(testbed.task(run))
            case point:
                yield partial(testbed.has_stopped, module, point)
        if case.point == "resuming":
            execution_id = testbed.executions(module)[-1]["id"]
            fault = testbed.faults[module] = testbed.wr.fault(
                effects.Hold(before=True), kind="record", path=f"*/{execution_id}"
            )
            testbed.wr.complete(execution_id)
            yield lambda: fault.hits

    def _kill(self, module: str, case: Case, run: DagRun) -> Steps[psutil.Process | None]:
        """Kill the case's process; return the task's process if it survives its supervisor."""
        testbed = self._testbed
        match case.killed:
            case "triggerer":
                yield (
                    lambda: (
                        self._modules_with(killed="triggerer") <= self._at_point
                        and self._modules_with(point="resuming") <= self._past_kill
                    )
                )
                testbed.kill_component_once("triggerer")
            case "scheduler":
                yield lambda: self._modules_with(killed="scheduler") <= self._at_point
                if testbed.kill_component_once("scheduler"):
                    yield partial(testbed.is_unhealthy, "scheduler")
                    testbed.airflow.start("scheduler")
            case "nothing":
                run.clear(TASK)
            case killed:
                task = testbed.kill_task(module, killed)
                return task if killed == "supervisor" else None
        return None

    def _complete_execution(self, module: str, case: Case, run: DagRun) -> Steps[None]:
        """Complete a manual execution; unless the case is ``meanwhile``, only after the wait has begun anew."""
        testbed = self._testbed
        if case.point == "meanwhile":
            testbed.wr.complete(testbed.executions(module)[-1]["id"])
            testbed.airflow.start("triggerer")
        elif case.point in ("deferred", "waiting", "cleared"):
            yield lambda: testbed.count_reads(module, streams=True) > 1
            yield lambda: case.point != "cleared" or not testbed.airflow.is_busy_with(testbed.task(run))
            testbed.wr.complete(testbed.executions(module)[-1]["id"])

    def _apply_remedy(self, remedy: Remedy, module: str, run: DagRun) -> Steps[None]:
        """Store the id or delete the record, as the error message tells a user to do; then clear the task."""
        testbed = self._testbed
        yield lambda: run.state in FINISHED  # a run that ends while its task is cleared would never run the task again
        if remedy != "clear":
            path = _STATE_STORE_PATH.search(testbed.uncertain_message(run) or "")
            if not path:
                raise RuntimeError("the error message does not contain the path in Airflow's REST API")
            if remedy == "delete":
                testbed.airflow.api.call("DELETE", path[1], map_index=path[2])
            else:
                yield partial(testbed.executions, module)  # the emulator processes the submission that it held
                body = {"value": {"id": testbed.executions(module)[-1]["id"]}}
                testbed.airflow.api.call("PUT", path[1], body, map_index=path[2])
        run.clear(TASK)

    def _row(self, name: str, expected: Expected, module: str, run: DagRun, earlier_message: str | None = None) -> Row:
        """Compare how the run's task has ended with the specification.

        :param earlier_message: the error message of the try before the remedy; the new message must be the same.
        """
        testbed = self._testbed
        task = testbed.task(run)
        log = run.messages(TASK, attempt=task.try_number)
        actual = Expected(task.try_number, len(testbed.submissions(module)), self._end(module, run, "\n".join(log)))
        unexpected = ""
        if actual != expected:
            unexpected = f"{expected} was expected. The log of the last try:\n" + "\n".join(log[-20:])
        if actual.end == UNCERTAIN and earlier_message and earlier_message != testbed.uncertain_message(run):
            unexpected += f"The message differs from the earlier message: {earlier_message}"
        return Row(name, actual, unexpected)

    def _end(self, module: str, run: DagRun, log: str) -> str:
        state = self._testbed.task(run).state
        if state == "success":
            last_execution = self._testbed.executions(module)[-1]
            if (run.xcom(TASK), run.xcom(TASK, "execution_id")) != (last_execution["output"], last_execution["id"]):
                return "wrong output"
            if "Submitting anew" in log:
                return RESUBMITTED
            return REATTACHED if "Submitted before" in log else OUTPUT
        if state == "failed" and self._testbed.uncertain_message(run):
            return UNCERTAIN
        if state == "failed" and f"FAILED: {ERROR}" in log:
            return FAILED
        return str(state)

    def _modules_with(self, **attributes: str) -> set[str]:
        """Return the modules of the cases that have these attributes."""
        return {
            module
            for module, case in self._cases.items()
            if all(getattr(case, name) == value for name, value in attributes.items())
        }
