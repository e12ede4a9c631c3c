"""What the steps of one case see and do: they start a task, act on it, and record how it has ended."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Set
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dev.harness.airflow_api import FINISHED, DagRun, TaskInstance
from dev.proofs.kills.case import Case, Outcome, Row
from dev.proofs.kills.steps import Steps
from dev.proofs.kills.testbed import Testbed

if TYPE_CHECKING:
    from airflow_provider_whiterabbit.operators.doubt import Choice

TASK = "pay"
ERROR = "balance too low for this transfer"
DOUBT = re.compile(r"[^\n]*\(Doubt: (?P<kind>[a-z ]+)\.\)[^\n]*: (?P<command>airflow whiterabbit [^\n(]*)[^\n]*")
_AIRFLOW = str(Path(sys.executable).parent / "airflow")


class Progress:
    """How far all cases have got.

    :param cases: the cases, by the module that each case executes.
    """

    def __init__(self, cases: Mapping[str, Case]) -> None:
        self._cases = cases
        self.started: set[str] = set()
        self.at_point: set[str] = set()
        """The cases that have reached their point."""
        self.past_kill: set[str] = set()
        self.ended: set[str] = set()

    def is_true_of(self, modules: Set[str], **attributes: object) -> bool:
        """Whether all cases that have these attributes are among the modules."""
        return all(
            module in modules
            for module, case in self._cases.items()
            if all(getattr(case, name) == value for name, value in attributes.items())
        )


class Scene:
    """One case on the testbed.

    :param module: the module that only this case executes.
    """

    run: DagRun

    def __init__(self, bed: Testbed, progress: Progress, case: Case, module: str) -> None:
        self.bed = bed
        self.progress = progress
        self.module = module
        self.rows: list[Row] = []
        self._case = case
        self._specs = iter(case.rows)
        self._counted: Counter[int] = Counter()
        self._receipts = count(1)
        self._manual = 0
        self._fails = False
        self._waits: set[str] = set()

    # --- Airflow

    def start(self, dag_id: str, stops: str = "") -> None:
        """Start a run of a DAG.

        :param stops: the point at which the task stops in its first try; empty for none.
        """
        api = self.bed.airflow.api
        self.run = DagRun(api, dag_id, f"run-{self.module}")
        conf = {"module": self.module, "stops": stops}
        body = {"dag_run_id": self.run.run_id, "logical_date": None, "conf": conf}
        api.call("POST", f"/dags/{dag_id}/dagRuns", body)

    def task(self, index: int = -1) -> TaskInstance:
        """Return the case's task instance, as it was at the last poll."""
        task = self.bed.task(self.run, TASK, index)
        if task is None:
            raise RuntimeError(f"{self.run} has no task instance {index}")
        return task

    def is_parked(self, index: int = -1) -> bool:
        """Whether the task waits in the triggerer or for a person; see `Testbed.is_parked`."""
        return self.bed.is_parked(self.run, TASK, index)

    def has_ended(self, index: int = -1) -> bool:
        """Whether the task had ended at the last poll; one that is about to be tried again is failed for a moment."""
        task = self.bed.task(self.run, TASK, index)
        if task is None or task.state not in FINISHED:
            return False
        return task.state != "failed" or self.run.state in FINISHED

    def log(self, index: int = -1) -> str:
        """Return the log of the task's last try."""
        return "\n".join(self.run.messages(TASK, index, attempt=self.task(index).try_number))

    def doubt(self, index: int = -1) -> re.Match[str] | None:
        """Return the error message about a doubt from the log of the last try; None without one."""
        return DOUBT.search(self.log(index))

    def clear(self, *task_ids: str) -> Steps[None]:
        """Wait until the DAG run has ended, and clear tasks, as a user does."""
        yield lambda: self.run.state in FINISHED  # a run that ends while its task is cleared never runs the task again
        self.run.clear(*(task_ids or (TASK,)))

    def store(self, record: Any) -> None:
        """Replace the record of the task's submission in the task state store, as a user can do in Airflow's UI."""
        path = f"{self.run.path}/taskInstances/{TASK}/state-store/whiterabbit_submission"
        self.bed.airflow.api.call("PUT", path, {"value": record}, map_index=-1)

    def settle(self, *answers: tuple[int, Choice]) -> Steps[None]:
        """Wait until the DAG run has ended, and settle doubts with the command that the error message names.

        :param answers: map indices, each with the answer; the answer ``there`` names the last execution.
        """
        yield lambda: self.run.state in FINISHED
        doubt = self.doubt(answers[0][0])
        if not doubt:
            raise RuntimeError("the error message names no command")
        command = [_AIRFLOW, *shlex.split(doubt["command"])[1:]]
        if answers == ((-1, "submit"),):
            yield from self._run(*command, "--all", "submit")
            return
        file = self.bed.folder / f"{self.module}.{len(self.rows)}.json"
        yield from self._run(*command, "--output", str(file))
        entries = {entry["map_index"]: entry for entry in json.loads(file.read_text())}
        for index, answer in answers:
            entries[index]["answer"] = answer
            if answer == "there":
                yield partial(self.executions, index)  # the emulator processes the submission that it held
                entries[index]["id"] = self.executions(index)[-1]["id"]
        file.write_text(json.dumps(list(entries.values())))
        yield from self._run(*command, "--answers", str(file))

    def _run(self, *command: str) -> Steps[None]:
        """Run a command when no other case runs one."""
        yield self.bed.takes_turn
        try:
            with (self.bed.folder / "command.log").open("w+") as output:
                process = subprocess.Popen(command, env=self.bed.airflow.environ, stdout=output, stderr=output)
                yield lambda: process.poll() is not None
                output.seek(0)
                printed = output.read()
        finally:
            self.bed.ends_turn()
        if process.returncode != 0:
            raise RuntimeError(f"{shlex.join(command)}: exit status {process.returncode}\n{printed}")

    # --- White Rabbit

    def script(self, *, manual: int = 0, fails: bool = False) -> None:
        """Set how the case's executions end: each returns a receipt as soon as the task waits for it.

        :param manual: how many of the first executions end only when the case completes them.
        :param fails: whether the first execution fails.
        """
        for wr in (self.bed.wr, self.bed.other):
            wr.component(self.module)
        self.bed.wr.script(self.module, output=self._receipt, manual=True)
        self._manual = manual
        self._fails = fails

    def note_waits(self) -> None:
        """Note which executions the task waits for; call this before `Testbed.poll`.

        A stream that is opened after the poll may be that of a trigger, while the poll still saw the task in a worker.
        """
        self._waits = {record["id"] for record in self.executions() if self.bed.wr.streams(record["id"])}

    def end_executions(self) -> None:
        """End the executions that the task waited for at the last poll, except those that the case itself completes."""
        for number, record in enumerate(self.executions()):
            if number < self._manual or record["completed"] or record["id"] not in self._waits:
                continue
            if self.bed.is_run_parked(self.run):
                if number == 0 and self._fails:
                    self.bed.wr.fail(record["id"], {"message": ERROR})
                else:
                    self.bed.wr.complete(record["id"])

    def count_waits(self) -> int:
        """Count the executions that a task waits for."""
        return sum(self.bed.wr.streams(record["id"]) > 0 for record in self.executions())

    def forget_waits(self) -> Steps[None]:
        """Wait until no task waits for an execution; from then on, each execution ends when a task waits for it."""
        yield lambda: self.count_waits() == 0
        self._manual = 0

    def _receipt(self, inputs: Any, _config: object) -> dict[str, Any]:
        return {"payee": inputs["payee"], "receipt": next(self._receipts)}

    def executions(self, index: int = -1) -> list[dict[str, Any]]:
        """Return the records of the case's executions, oldest first."""
        return self.bed.executions(self.module, index)

    def complete(self, index: int = -1) -> None:
        """Complete the last execution."""
        self.bed.wr.complete(self.executions(index)[-1]["id"])

    def complete_all(self) -> None:
        """Complete all executions."""
        for record in self.executions():
            self.bed.wr.complete(record["id"])

    # --- rows

    def reach_point(self) -> None:
        """Tell other cases that this case has reached its point."""
        self.progress.at_point.add(self.module)

    def record(self, index: int = -1, same: re.Match[str] | None = None) -> None:
        """Record how the task has ended, and compare it with the specification of the case's next row.

        :param same: the error message that a new message about the doubt must equal.
        """
        spec = next(self._specs)
        log = self.log(index)
        submissions = self.bed.submissions(self.module, index)
        payees = ", ".join(entry.json["input"]["payee"] for entry in submissions)
        actual = Outcome(self.task(index).try_number, payees or "nothing", self._returned(index, log))
        new = len(submissions) - self._counted[index]
        self._counted[index] = len(submissions)
        unexpected = ""
        if actual != spec.expected or index != spec.index:
            unexpected = f"{spec.expected} was expected. The log of the last try:\n" + "\n".join(log.splitlines()[-20:])
        elif spec.warning and sum(spec.warning in line for line in log.splitlines()) != 1:
            unexpected = f"One warning was expected: {spec.warning}. The log of the last try:\n{log}"
        elif same and (doubt := DOUBT.search(log)) and doubt[0] != same[0]:
            unexpected = f"The message differs from the earlier message: {same[0]}"
        is_foreign = self._is_foreign(index) and not spec.takes_other
        self.rows.append(Row(self._case.name(spec), spec, actual, new, is_foreign, unexpected))

    def _returned(self, index: int, log: str) -> str:
        state = self.task(index).state
        if state == "success":
            executions = [(record["id"], record["output"]) for record in self.executions(index)]
            result = self.run.xcom(TASK, map_index=index)
            if isinstance(result, list):  # of many executions, of which the last is shown
                pairs = [(one["id"], one["output"]) for one in result]
            else:
                pairs = [(self.run.xcom(TASK, "execution_id", index), result)]
            if not all(pair in executions for pair in pairs):
                return "wrong output"
            returned = pairs[-1]
            how = "(reattached)" if "Submitted before" in log else ""
            how = "(resubmitted)" if "Submitting anew" in log else how
            return f"{returned[1]['payee']}'s receipt {executions.index(returned) + 1} {how}".strip()
        if doubt := DOUBT.search(log):
            return f"doubt: {doubt['kind']}"
        return "FAILED" if f"FAILED: {ERROR}" in log else str(state)

    def _is_foreign(self, index: int) -> bool:
        """Whether the task has returned the output of an execution with another input than the task asked for."""
        if self.task(index).state != "success":
            return False
        inputs, result = self.bed.rendered_inputs(self.run, TASK, index), self.run.xcom(TASK, map_index=index)
        outputs = [one["output"] for one in result] if isinstance(result, list) else [result]
        return [output["payee"] for output in outputs] != [one["payee"] for one in inputs]

    def with_late_submissions(self, row: Row) -> Row:
        """Return a row that also counts the submissions after the case's last row."""
        late = len(self.bed.submissions(self.module)) - sum(self._counted.values())
        if not late:
            return row
        unexpected = f"{row.unexpected}\n{late} submissions came later."
        return replace(row, submissions=row.submissions + late, unexpected=unexpected)

    def rows_without_end(self, error: BaseException) -> list[Row]:
        """Return the rows of what did not end, with what Airflow knows about the case's run."""
        run = getattr(self, "run", None)
        state = f"{run.tasks()}\n{self.bed.airflow.explain(run)}" if run else "It was not started."
        reason = f"{type(error).__name__}: {error}\n{state}"
        return [Row(self._case.name(spec), spec, None, unexpected=reason) for spec in self._specs]
