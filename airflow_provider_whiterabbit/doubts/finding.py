"""Finds the doubts of a DAG run: questions that wait for an answer, and tasks that failed with a doubt."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from airflow_provider_whiterabbit.doubts.airflow_api import RunApi
from airflow_provider_whiterabbit.operators.doubt import CHOICES, Choice, Kind
from airflow_provider_whiterabbit.operators.question import OPTIONS, SUBJECT
from airflow_provider_whiterabbit.operators.submission import answer_to, is_edited


@dataclass(frozen=True, slots=True)
class Doubt:
    """A doubt of a task instance about its earlier submission.

    :param kind: the kind of the doubt, as `Kind` names it.
    :param waits: True if the task waits for an answer; False if it has failed.
    :param choices: the answers that settle the doubt.
    :param record: the record of the submission in Airflow's task state store.
    :param answer: the answer that a person stored for a failed task; empty if there is none.
    :param field: the field of the question that takes an id; None if there is none.
    :param key: the key under which the task submitted; empty for the only submission of an operator.
    """

    task_id: str
    map_index: int
    kind: str
    waits: bool
    choices: tuple[Choice, ...]
    record: Any
    answer: dict[str, Any] = dataclasses.field(default_factory=dict)
    field: str | None = None
    key: str = ""

    @property
    def instance(self) -> tuple[str, int]:
        """The task id and the map index."""
        return self.task_id, self.map_index

    @property
    def place(self) -> tuple[str, int, str]:
        """The task id, the map index and the key."""
        return self.task_id, self.map_index, self.key

    @property
    def state(self) -> str:
        """What the task does, and the answer that is stored already."""
        if self.waits:
            return "waiting for an answer"
        return f"failed, answered: {self.answer.get('choice')}" if self.answer else "failed"

    @property
    def listed(self) -> dict[str, Any]:
        """The doubt in a file of answers, without an answer."""
        return {
            "task_id": self.task_id,
            "map_index": self.map_index,
            **({"key": self.key} if self.key else {}),
            "kind": self.kind,
            "id": self._entry("id"),
            "at": self._entry("at"),
            "request": str(self._entry("asked") or "")[:8] or None,
            "answer": None,
        }

    def _entry(self, name: str) -> Any:
        return self.record.get(name) if isinstance(self.record, dict) else None


def find(run: RunApi, task_id: str | None = None, kind: str | None = None) -> list[Doubt]:
    """Return the doubts of a DAG run, sorted by task id, map index and key.

    :param task_id: None for all tasks.
    :param kind: None for all kinds.
    """
    # A question that somebody stops meanwhile is found twice: what is found later counts.
    found = {doubt.place: doubt for doubt in (*_asked(run, task_id), *_failed(run, task_id))}
    return sorted((doubt for doubt in found.values() if kind in (None, doubt.kind)), key=lambda doubt: doubt.place)


def _asked(run: RunApi, task_id: str | None) -> Iterator[Doubt]:
    for question in run.questions(task_id):
        choices = tuple(choice for choice, option in OPTIONS.items() if option in question["options"])
        if question["subject"].startswith(SUBJECT) and len(choices) == len(question["options"]):
            place = question["task_instance"]["task_id"], question["task_instance"]["map_index"]
            record = run.record(*place, "")
            kind = (record.get("doubt") if isinstance(record, dict) else None) or Kind.UNCERTAIN
            yield Doubt(*place, str(kind), True, choices, record, field=next(iter(question["params"]), None))


def _failed(run: RunApi, task_id: str | None) -> Iterator[Doubt]:
    """Yield the doubts of failed tasks.

    Neither its operator's name nor its module tells whether a task submits: the operator can be a subclass, or can be
    executed in the code of a ``@task``. So this looks into the state store of each failed task instance.
    """
    for instance in run.instances("failed", task_id):
        place = instance["task_id"], instance["map_index"]
        for key, record in run.records(*place).items():
            if isinstance(record, dict) and (record.get("doubt") or not record.get("id")):
                kind = record.get("doubt") or Kind.UNCERTAIN  # a killed task leaves its intent without the entry
                choices = next((choices for known, choices in CHOICES.items() if known == kind), ())
                answer = _answer(run, (*place, key), record)
                yield Doubt(*place, str(kind), False, choices, record, answer, key=key)


def _answer(run: RunApi, place: tuple[str, int, str], record: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a failed task's doubt that was given before, in Airflow's UI, by this command or by hand."""
    if record.get("id") and is_edited(record):
        return {"choice": "there", "id": record["id"]}
    answer = record.get("answer")
    return answer_to(record, run.answer_of(*place)) or (answer if isinstance(answer, dict) else {})
