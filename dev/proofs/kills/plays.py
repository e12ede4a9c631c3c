"""How the cases are played."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from itertools import count

import psutil  # type: ignore[import-untyped]  # comes with Airflow, its stubs don't

from airflow_provider_whiterabbit.emulator import Script, effects
from dev.harness.airflow_api import FINISHED, DagRun
from dev.proofs.kills.cases import ANEW, FAILED, OUTPUT, REATTACHED, UNCERTAIN, Case, Expected, Then
from dev.proofs.kills.stage import AT_ONCE, HoldFirst, Play, Stage, dead

ERROR = "balance too low for this transfer"
TASK = "pay"
SECONDS = 3
"""How long an execution takes: the process that has deferred its task is over by then (`AirflowHome.is_busy_with`)."""

_REMEDY = re.compile(r'PUT \{"value": \{"id": "<its id>"\}\} to /api/v2(/\S+)\?map_index=(\S+) of')


@dataclass(frozen=True)
class Row:
    """What came of a case: a line of the table.

    :param why: what is wrong with it.
    """

    name: str
    got: Expected | None
    why: str = ""


class Theatre:
    """Plays all the cases on one stage.

    :param cases: by the module that each of them executes.
    """

    def __init__(self, stage: Stage, cases: Mapping[str, Case]) -> None:
        self._stage = stage
        self._cases = cases
        self._runs: dict[str, DagRun] = {}
        self._started: set[str] = set()
        self._arrived: set[str] = set()  # at the point where something is killed
        self._passed: set[str] = set()  # that point
        self._ended: set[str] = set()

    def run(self, timeout: float) -> list[Row]:
        """Play them and return the table."""
        ends = self._stage.play({module: self._play(module, case) for module, case in self._cases.items()}, timeout)
        rows = []
        for module, case in self._cases.items():
            end = ends[module]
            rows += end if isinstance(end, list) else self._unplayed(module, case, end)
        return rows

    def _unplayed(self, module: str, case: Case, error: BaseException) -> list[Row]:
        """Say what is known of a case that did not come to its end."""
        run = self._runs.get(module)
        seen = f"{self._stage.task(run)}\n{self._stage.airflow.explain(run)}" if run else "It was not started."
        return [Row(name, None, f"{type(error).__name__}: {error}\n{seen}") for name, _ in case.rows]

    def _play(self, module: str, case: Case) -> Play[list[Row]]:
        stage = self._stage
        try:
            yield lambda: self._may_start(case)
            self._started.add(module)
            run = self._runs[module] = self._start(module, case)
            orphan = None
            if case.point != "failed":
                yield from self._arrive(module, case, run)
                self._arrived.add(module)
                orphan = yield from self._kill(module, case, run)
                self._passed.add(module)
                yield from self._finish(module, case, run)
            yield partial(stage.ended, run)
            stage.let_go(module)
            if orphan:
                yield partial(dead, orphan)
            (name, expected), *others = case.rows
            rows = [self._row(name, expected, module, run)]
            for name, expected in others:
                said = stage.message(run)
                yield from self._settle(case.then[0] if case.then else "clear", module, run)
                yield partial(stage.ended, run)
                rows.append(self._row(name, expected, module, run, said))
            return rows
        finally:
            self._ended.add(module)

    def _may_start(self, case: Case) -> bool:
        """Whether it is a case's turn: a few at a time, and those that need everything for themselves last."""
        if case.killed == "scheduler":
            return self._cases.keys() - self._of(killed="scheduler") <= self._ended
        return len(self._started - self._arrived - self._ended) < AT_ONCE

    def _start(self, module: str, case: Case) -> DagRun:
        """Start the run of a case, and script what its executions do."""
        number = count(1)
        manual = case.point in ("deferred", "meanwhile", "resuming", "waiting", "cleared")

        def output(_input: object, _config: object) -> dict[str, int]:
            return {module: next(number)}

        later = Script(output=output, after=SECONDS)
        if case.point == "failed":
            self._stage.wr.script(module, Script(error={"message": ERROR}, after=SECONDS), later)
        elif manual:
            self._stage.wr.script(module, Script(output=output, manual=True), later)
        else:
            self._stage.wr.script(module, later)
        if case.point in ("request", "answer"):
            hold = HoldFirst(module, before=case.point == "request")
            self._stage.faults[module] = self._stage.wr.fault(hold, kind="submit", times=None)
        return self._stage.airflow.run(case.dag_id, {"module": module, "stops": case.point})

    def _arrive(self, module: str, case: Case, run: DagRun) -> Play[None]:
        """Wait until the task is where something is to be killed."""
        stage = self._stage
        match case.point:
            case "request":
                yield partial(stage.submissions, module)
            case "answer":
                yield partial(stage.executions, module)
            case "waiting":
                yield partial(stage.reads, module, streams=True)
            case "deferred" | "meanwhile" | "resuming" | "cleared":
                yield lambda: stage.reads(module) and stage.reads(module, streams=True)
                yield lambda: not stage.airflow.is_busy_with(stage.task(run))
            case point:
                yield partial(stage.stopped, module, point)
        if case.point == "resuming":
            identity = stage.executions(module)[-1]["id"]
            fault = stage.faults[module] = stage.wr.fault(
                effects.Hold(before=True), kind="record", path=f"*/{identity}"
            )
            stage.wr.complete(identity)
            yield lambda: fault.hits

    def _kill(self, module: str, case: Case, run: DagRun) -> Play[psutil.Process | None]:
        """Kill; return the process that goes on without its supervisor, if there is one."""
        stage = self._stage
        match case.killed:
            case "triggerer":
                yield lambda: self._are(self._arrived, killed="triggerer") and self._are(self._passed, point="resuming")
                stage.kill_component("triggerer")
            case "scheduler":
                yield lambda: self._are(self._arrived, killed="scheduler")
                if stage.kill_component("scheduler"):
                    yield partial(stage.unhealthy, "scheduler")
                    stage.airflow.start("scheduler")
            case "nothing":
                run.clear(TASK)
            case killed:
                task = stage.kill(module, killed)
                return task if killed == "supervisor" else None
        return None

    def _finish(self, module: str, case: Case, run: DagRun) -> Play[None]:
        """Let an execution end that waits for being told, when it is waited for anew."""
        stage = self._stage
        if case.point == "meanwhile":
            stage.wr.complete(stage.executions(module)[-1]["id"])
            stage.airflow.start("triggerer")
        elif case.point in ("deferred", "waiting", "cleared"):
            yield lambda: stage.reads(module, streams=True) > 1
            yield lambda: case.point != "cleared" or not stage.airflow.is_busy_with(stage.task(run))
            stage.wr.complete(stage.executions(module)[-1]["id"])

    def _settle(self, then: Then, module: str, run: DagRun) -> Play[None]:
        """Do what the message asks for: after it, or instead of it, clear the task."""
        stage = self._stage
        yield lambda: run.state in FINISHED  # a run that ends while its task is cleared would never run it
        if then != "clear":
            remedy = _REMEDY.search(stage.message(run) or "")
            if not remedy:
                raise RuntimeError("the message does not say what to do")
            if then == "delete":
                stage.airflow.api.call("DELETE", remedy[1], map_index=remedy[2])
            else:
                yield partial(stage.executions, module)  # what was held back has been processed by now
                body = {"value": {"id": stage.executions(module)[-1]["id"]}}
                stage.airflow.api.call("PUT", remedy[1], body, map_index=remedy[2])
        run.clear(TASK)

    def _row(self, name: str, expected: Expected, module: str, run: DagRun, said: str | None = None) -> Row:
        """Return what came of it, and what is wrong with that."""
        stage = self._stage
        task = stage.task(run)
        messages = run.messages(TASK, attempt=task.try_number)
        got = Expected(task.try_number, len(stage.submissions(module)), self._end(module, run, "\n".join(messages)))
        why = "" if got == expected else f"{expected} was expected. The last try's log:\n" + "\n".join(messages[-20:])
        if got.end == UNCERTAIN and said and said != stage.message(run):
            why += f"The message was another one before: {said}"
        return Row(name, got, why)

    def _end(self, module: str, run: DagRun, log: str) -> str:
        state = self._stage.task(run).state
        if state == "success":
            last = self._stage.executions(module)[-1]
            if (run.xcom(TASK), run.xcom(TASK, "execution_id")) != (last["output"], last["id"]):
                return "another output"
            if "Submitting anew" in log:
                return ANEW
            return REATTACHED if "Submitted before" in log else OUTPUT
        if state == "failed" and self._stage.message(run):
            return UNCERTAIN
        if state == "failed" and f"FAILED: {ERROR}" in log:
            return FAILED
        return str(state)

    def _of(self, **wanted: str) -> set[str]:
        """Return the modules of the cases whose attributes are those."""
        return {
            module
            for module, case in self._cases.items()
            if all(getattr(case, name) == value for name, value in wanted.items())
        }

    def _are(self, state: set[str], **wanted: str) -> bool:
        return self._of(**wanted) <= state
