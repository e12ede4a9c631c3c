"""The true history of tasks, and what a try may do by it.

The truth is what White Rabbit received, what was stored and what people did. It knows who has cleared what; it does not
conclude that from Airflow's numbers, as an operator must.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowFailException, TaskDeferred

from airflow_provider_whiterabbit.exceptions import WhiteRabbitError
from tests.operators.histories.tries import Instance, Outcome, Worker, record_in
from tests.operators.histories.troubles import Death, Trouble
from tests.operators.histories.work import Work

INSTANCES = 2


@dataclass
class Dag:
    """One run of a DAG with mapped tasks.

    :param options: the operator's arguments, as ``on_doubt``.
    :param wishes: what the tasks ask for, by map index.
    :param retries_changed: the DAG's `retries` was changed at some time.
    :param clear_number: how often tasks of the run were cleared.
    :param submitted: what was submitted, by the ids of the executions or runs.
    """

    work: Work
    worker: Worker
    options: dict[str, Any]
    wishes: list[int] = field(default_factory=lambda: list(range(INSTANCES)))
    retries: int = 2
    retries_changed: bool = False
    clear_number: int = 0
    submitted: dict[str, int] = field(default_factory=dict)

    def taken(self, outcome: Outcome) -> str | None:
        """Return the id of what a try waits for, or whose output it has returned; None if there is none."""
        if isinstance(outcome.error, TaskDeferred):
            return str((outcome.error.kwargs or {})["identity"])
        if outcome.error is not None:
            return None
        waited = self.options["wait_for_completion"]
        return self.work.identity_of(outcome.result) if waited else str(outcome.result)

    def knows(self, identity: Any) -> bool:
        """Return whether White Rabbit has the record of an execution or run."""
        return identity in self.work.records and identity not in self.worker.forgotten


@dataclass(frozen=True)
class Claim:
    """What is stored of a task's last submission.

    :param identity: the id that was stored; None if no id was stored after the intent.
    :param wish: what the submission is for; None if a person stored the record.
    :param generation: how often the task had been cleared when it submitted, or took the submission for its own.
    :param clear_number: how often tasks of the DAG run had been cleared then.
    :param named: ids, at most one, that a person has named in an answer.
    """

    identity: str | None
    wish: int | None
    generation: int
    clear_number: int
    named: tuple[Any, ...] = ()


@dataclass
class Task(Instance):
    """A task instance with its true history.

    :param claim: None if nothing is stored.
    :param permit: a person has allowed the next submission.
    :param has_obeyed: the last try has acted upon the answer that it was given.
    :param generation: how often the task was cleared.
    :param wish: what the last try asked for.
    :param submissions: how many submissions White Rabbit received, by generation.
    :param permits: how many further submissions were allowed, by generation.
    :param accepted: ids, each with what the task asked for when a person told the task to take the id.
    """

    claim: Claim | None = None
    permit: bool = False
    has_obeyed: bool = False
    generation: int = 0
    retries_at_clear: int | None = None
    wish: int = 0
    submissions: Counter[int] = field(default_factory=Counter)
    permits: Counter[int] = field(default_factory=Counter)
    accepted: set[tuple[str, int]] = field(default_factory=set)

    def clear(self, dag: Dag) -> None:
        """Clear the task while it does not run, as Airflow's `clear_task_instances` does."""
        dag.clear_number += 1
        self.max_tries = self.try_number + dag.retries
        self.generation += 1
        self.retries_at_clear = dag.retries
        self.state, self.again = "ready", None

    def answered(self, dag: Dag, choice: str, identity: Any) -> None:
        """Note what a person has answered."""
        claim = self.claim or Claim(None, None, self.generation, dag.clear_number)
        earlier = () if claim.identity is None else (claim.identity,)
        named = {"there": (identity,), "earlier": earlier}.get(choice, ())
        self.claim, self.permit = replace(claim, named=named), choice == "submit"

    def allowed(self, dag: Dag) -> tuple[set[str], bool]:
        """Return what a try may do; and whether somebody has allowed the task to submit once more."""
        if self.permit or self.claim is None:
            return {"submit"}, self.permit
        if self.claim.named:
            deeds, doubts = self._allowed_by_answer(dag, self.claim)
        elif self.claim.identity is None:
            deeds, doubts = set(), {"uncertain"}
        elif not dag.knows(self.claim.identity):
            deeds, doubts = set(), {"gone"}
        else:
            deeds, doubts = self._allowed_by_record(dag, self.claim, self.claim.identity)
        may_resubmit = "resubmit" in deeds or (dag.options["on_doubt"] == "resubmit" and bool(doubts))
        if dag.options["on_doubt"] != "resubmit":
            deeds |= {f"doubt: {doubt}" for doubt in doubts}
        return deeds - {"resubmit"} | ({"submit"} if may_resubmit else set()), may_resubmit

    def _allowed_by_answer(self, dag: Dag, claim: Claim) -> tuple[set[str], set[str]]:
        if dag.knows(claim.named[0]):
            return {f"take {claim.named[0]}"}, set()
        return set(), {"uncertain" if claim.identity is None else "gone"}

    def _allowed_by_record(self, dag: Dag, claim: Claim, identity: str) -> tuple[set[str], set[str]]:
        """Return what a try may do if the stored id has a record."""
        take = f"take {identity}"
        has_failed = dag.work.records[identity]["status"] == "FAILED"
        renew = "resubmit" if has_failed and dag.options["on_failed_execution"] == "resubmit" else take
        if claim.wish is None:
            return {renew}, set()
        matters = dag.work.has_ended(identity) and dag.options["on_clear"] == "resubmit"
        doubts = set()
        if matters and dag.retries_changed and dag.clear_number > claim.clear_number:
            doubts = {"perhaps cleared"}
        if matters and self.generation > claim.generation:
            if claim.wish != self.wish and doubts:
                doubts |= {"other request"}
            elif doubts and dag.retries != self.retries_at_clear:
                return {"submit", renew}, doubts  # `retries` was lowered, and raised after the clear
            return {"submit"}, doubts
        if claim.wish != self.wish:
            return set(), {"other request"}
        return {renew}, doubts

    def learn(self, dag: Dag, outcome: Outcome, before: dict[str, Any], unanswered: tuple[Claim | None, bool]) -> None:
        """Find out what is stored after a try.

        :param before: the record that was stored before the try.
        :param unanswered: the claim and the permit before a person's answer.
        """
        stored = record_in(self.store)
        identity = stored.get("id")
        has_changed = _without_notes(stored) != _without_notes(before)
        new = Claim(identity, self.wish, self.generation, dag.clear_number)
        self.has_obeyed = outcome.sent or has_changed
        if outcome.sent:
            self.claim, self.permit = replace(new, identity=identity if identity in outcome.created else None), False
        elif has_changed and identity:
            self.claim = new
        elif has_changed:
            assert outcome.died, "nothing was sent, but the intent stays stored"
            self.claim, self.permit = new, False
        elif (outcome.died or isinstance(outcome.error, ConnectionError)) and stored.get("answer") == before.get(
            "answer"
        ):
            self.claim, self.permit = unanswered  # the answer was lost with the process

    def deed(self, dag: Dag, outcome: Outcome, before: dict[str, Any]) -> str:
        """Return what a try did, as `allowed` names it; an empty string if it did nothing of that.

        :param before: the record that was stored before the try.
        """
        if outcome.sent:
            return "submit"
        if outcome.doubt:
            return f"doubt: {outcome.doubt}"
        if "Stopped by the answer" in str(outcome.error):
            return "stop"
        stored = _without_notes(record_in(self.store))
        taken = dag.taken(outcome) or (stored.get("id") if stored != _without_notes(before) else None)
        return f"take {taken}" if taken else ""

    def end(self, dag: Dag, outcome: Outcome, trouble: Trouble, again: Any) -> None:
        """Check how a try ended, and let Airflow continue with the task.

        :param again: with what Airflow can call the method of the try again; None for `execute`.
        """
        error, state, self.again = outcome.error, self.state, None
        if error is None:
            taken = dag.taken(outcome)
            assert taken is not None
            assert dag.submitted.get(taken) == self.wish or (taken, self.wish) in self.accepted
            self.state = "success"
        elif isinstance(error, TaskDeferred):
            self.state, self.parked = "deferred", error
        elif outcome.question:
            self.state, self.parked, self.question = "awaiting", error, outcome.question
        elif outcome.died:
            assert isinstance(trouble, Death)
            self._retry(for_good=False)
            if trouble.then != "retried":
                self.state = "ready"
            if trouble.then == "restarted":
                dag.clear_number += 1
            if trouble.then == "cleared":
                self.clear(dag)
                self.state, self.again = (state, again) if again else ("ready", None)
        else:
            is_known = isinstance(error, AirflowException | WhiteRabbitError)
            assert is_known or (isinstance(error, ConnectionError) and trouble == "id not stored"), repr(error)
            self._retry(for_good=isinstance(error, AirflowFailException))

    def _retry(self, for_good: bool) -> None:
        self.state = "ready" if not for_good and 0 != self.max_tries >= self.try_number else "failed"


def _without_notes(record: dict[str, Any]) -> dict[str, Any]:
    record = {name: value for name, value in record.items() if name not in ("doubt", "answer")}
    return {} if record == {"id": None} else record
