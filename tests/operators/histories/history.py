"""A history of two mapped task instances: what happens to them step by step, compared with the model after each try."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from airflow_provider_whiterabbit.emulator import Emulator
from dev.harness.standins import RETRIES, SUBMISSION_KEY
from tests.operators.histories.ledger import Ledger
from tests.operators.histories.tries import FAULTS, WRITES, Outcome, TaskInstance, Trouble, event
from tests.operators.histories.truth import ANSWERS, Answer, Now, Options, Record, Truth
from tests.operators.histories.work import UNKNOWN, Work

T = TypeVar("T")

ANSWER_KEY = "whiterabbit_answer"
"""Where the command stores the answer of a person; repeated here, because it must not change."""

PAYEES = ("alice", "bob", "carol")

OPTIONS = {"there": "It is there", "earlier": "Take the earlier one", "submit": "Submit now", "stop": "Stop"}

STORE_TROUBLES = [
    Trouble(store=store, write=write) for store in ("killed before", "killed after", "out of reach") for write in WRITES
]

TROUBLES = (
    *[Trouble()] * 20,
    *[Trouble(fault) for fault in FAULTS],
    *[Trouble("answer lost")] * 3,
    *STORE_TROUBLES,
    *[replace(each, fault="answer lost") for each in STORE_TROUBLES if each.write == "noted"],
)
"""What can befall a try, by its weight. While a refused intent is withdrawn, nothing else goes wrong."""


class Index:
    """One task instance with what the model and the ledger know of it."""

    def __init__(self, number: int, options: Options, work: Work, retries: int) -> None:
        self.number = number
        self.airflow = TaskInstance(number, retries)
        self.truth = Truth(options, work.read)
        self.ledger = Ledger(options, work)
        self.request = PAYEES[number]
        self.tried = ""  # what the present try asks for

    @property
    def store(self) -> Any:
        """Airflow's task state store of the task instance."""
        return self.airflow.airflow.store

    @property
    def stored(self) -> Any:
        """The stored record of the submission."""
        return self.store.values.get(SUBMISSION_KEY)

    @stored.setter
    def stored(self, record: Any) -> None:
        self.store.values[SUBMISSION_KEY] = record

    def overwrite(self, record: Record | None, stored: Any) -> None:
        """Let a person change the stored record."""
        self.truth.record, self.stored = record, stored
        self.ledger.tamper()


class History:
    """Two task instances of a mapped task, which pay Alice and Bob at first.

    :param choose: chooses one of several things.
    :param tell: receives what happens, one line a step.
    """

    def __init__(
        self, wr: Emulator, options: Options, choose: Callable[[Sequence[Any]], Any], tell: Callable[[str], None]
    ) -> None:
        self.work, self.options, self.choose, self.tell = Work(wr), options, choose, tell
        self.retries, self.clears, self.answers = choose((0, 1, RETRIES)), 0, 0
        self.indexes = [Index(number, options, self.work, self.retries) for number in (0, 1)]
        tell(f"{options}, retries={self.retries}")

    def step(self) -> None:
        """Let one of the things happen that can happen now."""
        running = {identity for identity, execution in self.work.executions.items() if not execution.ended}
        possible = [step for index in self.indexes for step in self._possible(index, running)]
        index, step = self.choose(possible)
        step(index)

    def _possible(self, index: Index, running: set[str]) -> Iterator[tuple[Index, Callable[[Index], None]]]:
        state, record = index.airflow.state, index.truth.record
        weights: dict[Callable[[Index], None], int] = {
            self._try: 12 * (state in ("new", "retry")),
            self._end: 4 * bool(running),
            self._resume: 4 * (state == "waits" and index.airflow.waits_for not in running),
            self._die: 4 * (state == "waits"),
            self._respond: 8 * (state == "asks"),
            self._answer: 8 * (state == "failed" and record is not None and bool(record.doubt or not record.id)),
            self._clear: {"new": 0, "failed": 8, "done": 8}.get(state, 2),
            self._clear_another: 1,
            self._edit: 2,
            self._shift: 1,
            self._lower_retries: int(self.retries > 0),
            self._forget: int(record is not None),
            self._name: 2 * (state == "failed"),
            self._lose_digest: int(record is not None and None not in (record.request, record.max_tries)),
        }
        for step, weight in weights.items():
            yield from [(index, step)] * weight

    # --- tries

    def _try(self, index: Index) -> None:
        trouble = self.choose(TROUBLES)
        index.tried = index.request
        self._check(index, trouble, None, lambda operator: index.airflow.execute(operator, trouble, self.clears))

    def _respond(self, index: Index) -> None:
        trouble, answer = self.choose(TROUBLES), self._chosen_answer(index)
        index.tried = index.request
        sent = event(OPTIONS[answer.choice], f"person {self.answers}", answer.named)
        self._check(
            index, trouble, answer, lambda operator: index.airflow.respond(operator, trouble, self.clears, sent)
        )

    def _check(self, index: Index, trouble: Trouble, answer: Answer | None, run: Callable[[Any], Outcome]) -> None:
        """Run a try, and compare it with the model and the promises."""
        wr, sent, known = self.work.wr, len(self.work.submitted), set(self.work.executions)
        if trouble.fault:
            FAULTS[trouble.fault](wr)
        seen = run(self._operator(index))
        if trouble.fault == "outage":
            wr.resume()
        wr.clear_faults()
        number, airflow = index.number, index.airflow
        did = f"answers {answer.choice} {answer.named or ''}" if answer else "runs"
        self.tell(f"{number}: try {airflow.try_number} for {index.tried} {did} ({trouble}): {seen}")
        created = set(self.work.executions) - known
        now = Now(index.tried, airflow.try_number, airflow.max_tries, self.retries, self.clears)
        expected = index.truth.outcome(now, trouble, next(iter(created), ""), answer)
        if seen.kind == "refused":  # whether Airflow retries it depends on what the message can say of earlier tries
            expected = replace(expected, for_good=seen.for_good)
        index.ledger.check(seen, trouble, index.tried, self.work.submitted[sent:], created)
        assert seen == expected, f"seen {seen}, expected {expected}"

    def _resume(self, index: Index) -> None:
        identity = index.airflow.waits_for
        completed = self.work.executions[identity].status == "COMPLETED"
        seen = index.airflow.complete(self._operator(index), "COMPLETED" if completed else "FAILED", self.clears)
        self.tell(f"{index.number}: resumes: {seen}")
        for_good = completed or self.options.on_failed_execution == "fail"
        assert seen == Outcome("returned" if completed else "failed", identity, for_good)
        index.ledger.check_output(seen, index.tried)

    def _operator(self, index: Index) -> Any:
        """Return the operator, as a new process of the task reads it in the DAG file."""
        return self.work.operator(index.request, retries=self.retries, **vars(self.options))

    def _die(self, index: Index) -> None:
        self.tell(f"{index.number}: dies while it waits")
        index.airflow.die()

    # --- at White Rabbit and in the DAG

    def _end(self, index: Index) -> None:
        running = [identity for identity, execution in self.work.executions.items() if not execution.ended]
        identity, status = self.choose(running), self.choose(("COMPLETED", "COMPLETED", "FAILED"))
        self.tell(f"{identity} ends {status}")
        self.work.end(identity, status)

    def _edit(self, index: Index) -> None:
        index.request = self.choose(PAYEES)
        self.tell(f"{index.number}: asks for {index.request} now")

    def _shift(self, index: Index) -> None:
        one, other = self.indexes
        one.request, other.request = other.request, one.request
        self.tell(f"the mapped inputs shift: {one.request}, {other.request}")

    def _lower_retries(self, index: Index) -> None:
        self.retries -= 1
        for each in self.indexes:
            each.ledger.lower_retries()
        self.tell(f"retries={self.retries}")

    # --- what people do

    def _clear(self, index: Index) -> None:
        index.airflow.clear(self.retries)
        self.clears += 1
        index.ledger.clear()
        self.tell(f"{index.number}: cleared, max_tries={index.airflow.max_tries}")

    def _clear_another(self, index: Index) -> None:
        self.clears += 1
        self.tell("another task of the DAG run is cleared")

    def _answer(self, index: Index) -> None:
        """Store an answer as the command does before it clears the task, some time after the submission."""
        answer = self._chosen_answer(index)
        record = index.stored | {"at": f"before answer {self.answers}"}
        stored = {"choice": answer.choice, "by": f"person {self.answers}", "at": "2026-11-26T10:00:00+00:00"}
        if answer.named is not None:
            stored["id"] = answer.named
        index.truth.record = replace(index.truth.record or Record(), answer=answer)
        index.stored = record
        index.store.values[ANSWER_KEY] = stored | {"for": {name: record.get(name) for name in ("id", "at", "asked")}}
        self.tell(f"{index.number}: stored answer {answer.choice} {answer.named or ''}")

    def _chosen_answer(self, index: Index) -> Answer:
        self.answers += 1
        record = index.truth.record or Record()
        choice = self.choose(ANSWERS[record.doubt or "uncertain"])
        named = self._chosen_id() if choice == "there" else None
        if choice == "submit":
            index.ledger.tell_to_submit()
        elif choice != "stop":
            index.ledger.vouch(named or record.id, record.answers_to)
        return Answer(choice, named)

    def _chosen_id(self) -> str:
        """Return the id of any execution: a task's, a stranger's, another module's, or one that is unknown."""
        return str(self.choose([*self.work.executions, UNKNOWN]))

    def _name(self, index: Index) -> None:
        """Store an id by hand: alone, in an object, or in the record that is there."""
        identity = self._chosen_id()
        forms = [identity, {"id": identity}]
        record = index.truth.record or Record()
        if record.id != identity and isinstance(index.stored, dict):
            forms.append(index.stored | {"id": identity})
        stored = self.choose(forms)
        kept = record if stored not in forms[:2] else Record()
        index.overwrite(replace(kept, id=identity, request=None, max_tries=None, answer=None), stored)
        index.ledger.vouch(identity, None)
        self.tell(f"{index.number}: a person stores {stored}")

    def _forget(self, index: Index) -> None:
        index.truth.record = None
        index.store.values.pop(SUBMISSION_KEY)
        index.ledger.forget()
        self.tell(f"{index.number}: the record is deleted")

    def _lose_digest(self, index: Index) -> None:
        """Make the record one of an older version."""
        record = index.truth.record or Record()
        stored = {name: value for name, value in index.stored.items() if name != "request"}
        index.overwrite(replace(record, request=None), stored)
        index.ledger.vouch(record.id, None)
        self.tell(f"{index.number}: the record has no digest")
