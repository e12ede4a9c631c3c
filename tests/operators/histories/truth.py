"""The model: what `docs/at-most-once.md` says that a try does. It shares no code with the operators.

A request is its payee: two tries ask for the same if they pay the same payee.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from tests.operators.histories.tries import Killed, Outcome, Trouble
from tests.operators.histories.work import MODULE, Execution

SUBMITS, TAKES = "submits", "takes"

TABLE: tuple[tuple[set[str], str], ...] = (
    ({"no record"}, SUBMITS),
    ({"intent"}, "uncertain"),
    ({"unknown"}, "gone"),
    ({"ended", "cleared"}, SUBMITS),
    ({"differs"}, "other request"),
    ({"other module"}, "gone"),
    ({"running"}, TAKES),
    ({"ended", "perhaps cleared"}, "perhaps cleared"),
    ({"COMPLETED"}, TAKES),
    ({"FAILED", "resubmits failed"}, SUBMITS),
    ({"FAILED"}, TAKES),
)
"""The table *What a later try finds*: the first row whose facts all hold decides."""

ANSWERS = {
    "uncertain": ("there", "submit", "stop"),
    "other request": ("earlier", "submit", "stop"),
    "gone": ("there", "submit", "stop"),
    "perhaps cleared": ("earlier", "submit", "stop"),
}
"""The table *Settle a doubt*."""


@dataclass(frozen=True)
class Options:
    """The arguments of the operator that say what happens to an earlier submission."""

    on_doubt: str
    on_clear: str
    on_failed_execution: str


@dataclass(frozen=True)
class Answer:
    """How a person settles a doubt; `named` is the id for the choice ``there``."""

    choice: str
    named: str | None = None


@dataclass(frozen=True)
class Record:
    """The record of a submission. `request` is None if there is no digest, `max_tries` if a person wrote the record."""

    id: str | None = None
    request: str | None = None
    max_tries: int | None = None
    try_number: int = 0
    clears: int = 0
    doubt: str = ""
    asked: str | None = None
    answer: Answer | None = None

    @property
    def answers_to(self) -> str | None:
        """The request for which an answer counts; None for each request."""
        return self.asked or self.request


@dataclass(frozen=True)
class Now:
    """What Airflow tells a try: its request, the numbers of tries, and how often tasks of the DAG run were cleared."""

    request: str
    try_number: int
    max_tries: int
    retries: int
    clears: int


class _Unreachable(Exception):
    """White Rabbit or the task state store is out of reach."""


class Truth:
    """What the tries of one task instance have to do.

    :param read: returns an execution at White Rabbit, or None.
    """

    def __init__(self, options: Options, read: Callable[[str | None], Execution | None]) -> None:
        self.record: Record | None = None
        self._options = options
        self._read_now = read

    def outcome(self, now: Now, trouble: Trouble, new_id: str, answer: Answer | None = None) -> Outcome:
        """Return how a try has to end, and keep the record that it has to leave.

        :param new_id: id of the execution that a submission of this try creates.
        :param answer: the answer to the question of this try, which resumes the task.
        """
        self._now, self._trouble, self._new_id, self._resumed = now, trouble, new_id, answer is not None
        try:
            return self._acted() if answer is None else self._answered(answer)
        except Killed:
            return Outcome("killed")
        except _Unreachable:
            return Outcome("error")

    # --- what the record and the answers say

    def _answered(self, answer: Answer) -> Outcome:
        answered = replace(self.record or Record(), answer=answer)
        if answer.choice == "stop":
            with contextlib.suppress(_Unreachable):
                self._write("noted", answered)
            return Outcome("stopped", for_good=True)
        self._write("noted", answered)
        return self._acted()

    def _acted(self) -> Outcome:
        record, answer = self.record or Record(), self._counting_answer()
        if answer is not None and answer.choice == "submit":
            return self._submitted()
        if answer is not None and answer.choice == "there":
            named = self._read(answer.named)
            if named is not None and named.module == MODULE:
                return self._taken(named)
            return self._doubted("uncertain" if record.id is None else record.doubt or "gone", wrong_answer=True)
        found = self._read(record.id)
        if answer is not None and found is not None:
            return self._taken(found)
        facts = self._facts(self.record, found)
        does = next(does for needed, does in TABLE if needed <= facts)
        if does == TAKES and found is not None:
            return self._taken(found)
        return self._submitted() if does == SUBMITS else self._doubted(does)

    def _counting_answer(self) -> Answer | None:
        """Return the answer that takes precedence over the table: one about what this try asks for."""
        if self.record is None or self.record.answer is None or self.record.answer.choice == "stop":
            return None
        return self.record.answer if self.record.answers_to in (None, self._now.request) else None

    def _facts(self, record: Record | None, found: Execution | None) -> set[str]:
        if record is None:
            return {"no record"}
        if record.id is None:
            return {"intent"}
        if found is None:
            return {"unknown"}
        facts = {found.status, "ended" if found.ended else "running"}
        if record.request not in (None, self._now.request):
            facts.add("differs")
        if found.module != MODULE:
            facts.add("other module")
        if self._options.on_failed_execution == "resubmit":
            facts.add("resubmits failed")
        if self._options.on_clear == "resubmit" and record.max_tries is not None:
            facts |= self._clears(record)
        return facts

    def _clears(self, record: Record) -> set[str]:
        """Return whether the task was cleared: a clear sets `max_tries` to the last try's number plus `retries`."""
        if record.max_tries != self._now.max_tries:
            return {"cleared"}
        tries = range(record.try_number, self._now.try_number)
        looks_alike = self._now.max_tries in [number + self._now.retries for number in tries]
        return {"perhaps cleared"} if looks_alike and record.clears != self._now.clears else set()

    # --- what the try does then

    def _submitted(self) -> Outcome:
        before, fault = self.record, self._trouble.fault
        self._write("intent", self._new_record(None))
        if fault in ("refused", "outage"):
            self.record = before
            return Outcome("refused" if fault == "refused" else "error")
        if fault in ("answer lost", "request lost", "unavailable"):
            return Outcome("error") if self._options.on_doubt == "resubmit" else self._failed_or_asked("uncertain")
        self._store_id(self._new_record(self._new_id))
        return Outcome("waits", self._new_id)

    def _taken(self, found: Execution) -> Outcome:
        record, taken = self.record or Record(), self._new_record(found.id)
        if record.request is None and record.max_tries is not None and record.answer is None:
            taken = replace(taken, request=None)  # of an older version: what it asked for stays unknown
        self._store_id(taken)
        if found.status == "COMPLETED":
            return Outcome("returned", found.id, True)
        if found.status == "FAILED":
            return Outcome("failed", found.id, self._options.on_failed_execution != "resubmit")
        return Outcome("waits", found.id)

    def _doubted(self, kind: str, wrong_answer: bool = False) -> Outcome:
        if self._options.on_doubt == "resubmit":
            return self._submitted()
        return self._failed_or_asked(kind, wrong_answer)

    def _failed_or_asked(self, kind: str, wrong_answer: bool = False) -> Outcome:
        """Note the doubt, which makes an answer void that has not settled it."""
        self._write("noted", replace(self.record or Record(), doubt=kind, asked=self._now.request, answer=None))
        if self._options.on_doubt == "fail":
            return Outcome("doubt", kind, True)
        # In one try, a second question would show the text of the first; only a wrong id asks the same again.
        return Outcome("asks later" if self._resumed and not wrong_answer else "asks", kind)

    # --- reading and writing

    def _new_record(self, identity: str | None) -> Record:
        return Record(identity, self._now.request, self._now.max_tries, self._now.try_number, self._now.clears)

    def _read(self, identity: str | None) -> Execution | None:
        if identity is not None and self._trouble.fault == "outage":
            raise _Unreachable
        return None if self._trouble.fault == "forgotten" else self._read_now(identity)

    def _store_id(self, record: Record) -> None:
        with contextlib.suppress(_Unreachable):  # the task goes on without a stored id
            self._write("id stored", record)

    def _write(self, write: str, record: Record) -> None:
        store = self._trouble.store if write == self._trouble.write else ""
        if store == "out of reach":
            raise _Unreachable
        if store != "killed before":
            self.record = record
        if store:
            raise Killed
